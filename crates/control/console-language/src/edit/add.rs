//! New steps, variables and parameters.

use marram_tdm::check::EntitySource;
use marram_tdm::model::{EntityKind, Metatype, Urn};
use marram_tdm::syntax::ast::Body;

use super::sheet::{Block, Lines, Patch};
use super::step::call_text;
use super::{Bench, fresh_name, position_text};
use crate::LanguageError;
use crate::request::{Request, clip};
use crate::types::{is_word, parameter_type};

impl Bench<'_, '_> {
    pub(super) fn add_node(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let node = edit.object("node")?.ok_or_else(|| LanguageError::about("node", "expected an object"))?;
        self.new_step(&node).map_err(|error| error.within("node"))
    }

    fn new_step(&self, node: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let mut patches = Vec::new();
        let (base, mut lines) = match node.string("kind")? {
            "choice" => ("choice".to_owned(), vec![(0, "ChoiceActivity { default }".to_owned())]),
            kind @ ("device" | "service") => self.activity(node, kind == "device", &mut patches)?,
            _ => return Err(LanguageError::about("kind", "expected device, service or choice")),
        };
        let name = match node.optional("name")? {
            Some(name) if name.trim().is_empty() => return Err(LanguageError::about("name", "a step needs a name")),
            Some(name) if self.flow.step(name).is_some() => {
                return Err(LanguageError::about("name", format!("another step has the name `{}`", clip(name))));
            }
            Some(name) => name.to_owned(),
            None => fresh_name(&base, "", |name| self.flow.step(name).is_some()),
        };
        let mut arguments = vec![("name".to_owned(), self.sheet.quoted(&name))];
        if let Some(description) = node.optional("description")? {
            arguments.push(("description".to_owned(), self.sheet.quoted(description)));
        }
        // a step that waits for nothing runs as soon as an execution starts: only the first one may, unasked
        if !self.flow.steps.is_empty() && !node.flag("start")? {
            let event = self.fresh_event(&name, "Ready");
            arguments.push(("inEvent".to_owned(), self.sheet.list(&[&event])));
        }
        let mut header = call_text("step", &arguments);
        if let Some(position) = node.object("position")? {
            header.push(' ');
            header.push_str(&position_text(&position).map_err(|error| error.within("position"))?);
        }
        for line in &mut lines {
            line.0 += 1;
        }
        let mut whole: Lines = vec![(0, format!("{header} {{"))];
        whole.extend(lines);
        whole.push((0, "}".to_owned()));
        match self.flow.steps_block {
            Some(block) => patches.push(self.sheet.append(block, &whole)),
            None => {
                let mut block: Lines = vec![(0, "steps {".to_owned())];
                block.extend(whole.into_iter().map(|(depth, line)| (depth + 1, line)));
                block.push((0, "}".to_owned()));
                patches.push(self.in_body(&block, false)?);
            }
        }
        Ok(patches)
    }

    /// The activity of a new device or service step, and what names it.
    fn activity(
        &self,
        node: &Request<'_>,
        is_device: bool,
        patches: &mut Vec<Patch>,
    ) -> Result<(String, Lines), LanguageError> {
        let entities = self.entities();
        let text = node.string("urn")?;
        let urn = Urn::parse(text).map_err(|error| LanguageError::about("urn", error.to_string()))?;
        let wanted: &[Metatype] =
            if is_device { &[Metatype::DeviceModel, Metatype::Device] } else { &[Metatype::Service] };
        let entity = entities.entity(&urn).filter(|entity| wanted.contains(&entity.metatype()));
        let missing = || LanguageError::about("urn", format!("`{urn}` is no such entity of the namespace"));
        let entity = entity.ok_or_else(missing)?;
        let (_, capability) = entities.capability_of(&entity.id).ok_or_else(missing)?;
        let action = match node.optional("action")? {
            Some(name) => {
                let missing = || LanguageError::about("action", format!("there is no action `{}`", clip(name)));
                capability.action(name).ok_or_else(missing)?
            }
            None => {
                let missing = || LanguageError::about("urn", format!("`{urn}` has no action to call"));
                capability.actions.first().ok_or_else(missing)?
            }
        };
        let id = self.sheet.quoted(entity.id.as_str());
        let mut arguments = Vec::new();
        if is_device {
            let device_id = match node.optional("deviceId")? {
                Some(text) => text.to_owned(),
                None => format!("${{{}}}", self.device_parameter(&entity, patches)?),
            };
            arguments.push(("deviceModel".to_owned(), id));
            arguments.push(("deviceId".to_owned(), self.sheet.quoted(&device_id)));
        } else {
            arguments.push(("webservice".to_owned(), id));
        }
        if let Some(out) = node.optional("out")? {
            arguments.push(("out".to_owned(), self.sheet.quoted(out)));
        }
        let word = if is_device { "DeviceActivity" } else { "WebServiceActivity" };
        let activity = call_text(word, &arguments);
        let call = call_text(&action.name, &self.arguments(node)?);
        Ok((action.name.to_string(), vec![(0, format!("{activity} {{ {call} }}"))]))
    }

    /// The parameter that names the thing of a model; added when the flow has none of that name.
    fn device_parameter(
        &self,
        entity: &marram_tdm::model::Entity,
        patches: &mut Vec<Patch>,
    ) -> Result<String, LanguageError> {
        let model = match &entity.kind {
            EntityKind::Device(device) => device.model.name().to_owned(),
            _ => entity.id.name().to_owned(),
        };
        let name = fresh_name(&model, "", |_| false);
        let existing = self.flow.parameters.iter().find(|parameter| parameter.name.is(&name));
        if let Some(existing) = existing.filter(|parameter| parameter_type(&parameter.ty).is_text()) {
            return Ok(existing.name.text.to_string());
        }
        let name = fresh_name(&model, "", |name| self.is_taken(name));
        patches.push(self.new_parameter(&format!("${name}: string!"))?);
        Ok(name)
    }

    /// Whether a parameter or variable has the name.
    fn is_taken(&self, name: &str) -> bool {
        self.flow.parameters.iter().any(|parameter| parameter.name.is(name))
            || self.flow.variables().any(|variable| variable.name.is(name))
            || self.flow.steps.iter().filter_map(crate::outline::Step::out).any(|out| out.eq_ignore_ascii_case(name))
    }

    fn new_name<'v>(&self, edit: &Request<'v>) -> Result<&'v str, LanguageError> {
        let name = edit.string("name")?;
        if !is_word(name) {
            return Err(LanguageError::about("name", "a name starts with a letter and holds letters, digits and `_`"));
        }
        let is_declared = self.flow.parameters.iter().any(|parameter| parameter.name.is(name))
            || self.flow.variables().any(|variable| variable.name.is(name));
        if is_declared {
            let message = format!("`{name}` is already a parameter or variable of the flow");
            return Err(LanguageError::about("name", message));
        }
        Ok(name)
    }

    pub(super) fn add_variable(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let name = self.new_name(edit)?;
        let urn = Urn::parse(edit.string("urn")?).ok().filter(|urn| urn.metatype() == Metatype::Property);
        let urn = urn.ok_or_else(|| LanguageError::about("urn", "expected the urn of a property"))?;
        let line = format!("{name} @property(id: {})", self.sheet.quoted(urn.as_str()));
        let patch = match self.flow.variables_block {
            Some(block) => self.sheet.append(block, &vec![(0, line)]),
            None => self.in_body(&vec![(0, "variables {".to_owned()), (1, line), (0, "}".to_owned())], true)?,
        };
        Ok(vec![patch])
    }

    pub(super) fn remove_variable(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let name = edit.string("name")?;
        let found = self.flow.variables().find(|variable| variable.name.is(name));
        let missing = || LanguageError::about("name", format!("the flow declares no variable `{}`", clip(name)));
        Ok(vec![self.sheet.remove(found.ok_or_else(missing)?.place.0)])
    }

    pub(super) fn add_parameter(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let name = self.new_name(edit)?;
        let ty = edit.string("type")?;
        let inner = ty.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(ty);
        if !is_word(inner) {
            return Err(LanguageError::about("type", "expected a data type such as string or [Float64]"));
        }
        let required = if edit.flag("required")? { "!" } else { "" };
        let default = match edit.get("default") {
            Some(value) => format!(" = {}", self.plain_value(value).map_err(|error| error.within("default"))?),
            None => String::new(),
        };
        Ok(vec![self.new_parameter(&format!("${name}: {ty}{required}{default}"))?])
    }

    /// Appends a parameter to the flow's header.
    fn new_parameter(&self, text: &str) -> Result<Patch, LanguageError> {
        let Some(last) = self.flow.parameters.last() else {
            let name_end = self.flow.definition.name.span().end as usize;
            let rest = &self.sheet.text[name_end..];
            let blank = rest.len() - rest.trim_start().len();
            // `query F()`: the parenthesis is there already
            return Ok(match rest[blank..].strip_prefix('(') {
                Some(_) => Patch::insert(name_end + blank + 1, text),
                None => Patch::insert(name_end, format!("({text})")),
            });
        };
        let mut end = last.ty.place.0.end;
        if let Some(default) = &last.default {
            end = end.max(default.span().end);
        }
        let end = last.directives.last().map_or(end, |directive| directive.place.0.end.max(end));
        Ok(Patch::insert(end as usize, format!(", {text}")))
    }

    /// Puts a block into the body of the flow, first or last.
    fn in_body(&self, lines: &Lines, is_first: bool) -> Result<Patch, LanguageError> {
        let definition = self.flow.definition;
        let Body::Query { selections, .. } = &definition.body else {
            return Err(LanguageError::about("flow", "a flow is a `query`"));
        };
        let children = selections.iter().map(|selection| selection.place.0).collect::<Vec<_>>();
        let header = definition.directives.last().map_or(definition.name.span(), |directive| directive.place.0);
        let block: Option<Block> = self.sheet.block_behind(header.end as usize, definition.place.0, children);
        let block = block.ok_or_else(|| LanguageError::about("flow", "the flow has no body"))?;
        let after = if is_first { None } else { block.children.len().checked_sub(1) };
        Ok(self.sheet.insert_child(&block, after, lines))
    }
}
