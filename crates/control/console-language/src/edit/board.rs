//! Edits of systems and deployments.

use marram_tdm::Span;
use marram_tdm::model::{Metatype, Urn};
use marram_tdm::syntax::ast::{Body, Definition, Directive, Field, Selection};

use super::sheet::{Block, Lines, Patch, Sheet, header_end};
use super::step::move_directive;
use super::{field_span, fresh_name, position_text};
use crate::LanguageError;
use crate::drawing::{ROLES, deployment_parts};
use crate::outline::{children, definitions, escape};
use crate::request::{Request, clip};
use crate::scope::is_urn;
use crate::types::is_word;

type Found<'d> = (&'d Definition, &'d Directive);

fn pick<'d>(sheet: &'d Sheet<'_>, metatype: Metatype, wanted: &str, member: &str) -> Result<Found<'d>, LanguageError> {
    let all: Vec<(&Definition, &Directive, Option<Urn>)> = definitions(&sheet.document, metatype).collect();
    let by_urn = all.iter().find(|(_, _, urn)| urn.as_ref().is_some_and(|urn| is_urn(urn, wanted)));
    let found = by_urn.or_else(|| all.iter().find(|(definition, ..)| definition.name.is(wanted)));
    let missing = || LanguageError::about(member, format!("the text has no {member} `{}`", clip(wanted)));
    found.map(|(definition, directive, _)| (*definition, *directive)).ok_or_else(missing)
}

pub(super) fn body(
    sheet: &Sheet<'_>,
    definition: &Definition,
    children: Vec<Span>,
    member: &str,
) -> Result<Block, LanguageError> {
    let header = definition.directives.last().map_or(definition.name.span(), |directive| directive.place.0);
    let block = sheet.block_behind(header.end as usize, definition.place.0, children);
    block.ok_or_else(|| LanguageError::about(member, "it has no body"))
}

pub(super) fn change_system(sheet: &Sheet<'_>, op: &str, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
    let (definition, _) = pick(sheet, Metatype::System, edit.string("system")?, "system")?;
    let fields: &[Field] = match &definition.body {
        Body::Type { fields, .. } => fields,
        _ => &[],
    };
    let roles = || fields.iter().filter(|field| !field.is_ignore_marker());
    let role = || {
        let name = edit.string("node")?;
        let missing = || LanguageError::about("node", format!("the system has no role `{}`", clip(name)));
        roles().find(|field| field.name.is(name)).ok_or_else(missing)
    };
    match op {
        "move" => {
            let role = role()?;
            match role.directive("position") {
                Some(directive) => move_directive(sheet, directive, edit),
                None => {
                    let end = field_span(role).end as usize;
                    Ok(vec![Patch::insert(end, format!(" {}", position_text(edit)?))])
                }
            }
        }
        "rename-node" => {
            let (role, to) = (role()?, edit.string("to")?);
            let is_other = |field: &&Field| field.name.is(to) && field.name.span() != role.name.span();
            if !is_word(to) {
                return Err(LanguageError::about("to", "a role's name holds letters, digits and `_`"));
            }
            if roles().any(|field| is_other(&field)) {
                return Err(LanguageError::about("to", format!("another role has the name `{}`", clip(to))));
            }
            Ok(vec![Patch::replace(role.name.span(), to)])
        }
        "remove-node" => Ok(vec![sheet.remove(field_span(role()?))]),
        "set-role" => {
            let role = role()?;
            let found = ROLES.iter().find_map(|(word, kind)| role.directive(word).map(|directive| (directive, *kind)));
            let (directive, kind) = found.ok_or_else(|| LanguageError::about("node", "the role names no entity"))?;
            let urn = urn_of(kind, edit)?;
            let name_end = directive.name.span().end as usize;
            let quoted = sheet.quoted(urn.as_str());
            Ok(sheet.set_argument(directive.arguments.as_ref(), name_end, "id", Some(&quoted)))
        }
        "add-node" => {
            let node = edit.object("node")?.ok_or_else(|| LanguageError::about("node", "expected an object"))?;
            let line = new_role(sheet, fields, &node).map_err(|error| error.within("node"))?;
            let spans = fields.iter().map(field_span).collect();
            let block = body(sheet, definition, spans, "system")?;
            Ok(vec![sheet.insert_child(&block, block.children.len().checked_sub(1), &vec![(0, line)])])
        }
        _ => Err(LanguageError::about("op", format!("there is no edit `{}` of a system", clip(op)))),
    }
}

fn new_role(sheet: &Sheet<'_>, fields: &[Field], node: &Request<'_>) -> Result<String, LanguageError> {
    let kind = node.string("kind")?;
    let found = ROLES.iter().find(|(_, known)| *known == kind);
    let (directive, _) =
        found.ok_or_else(|| LanguageError::about("kind", "expected device, flow, service or system"))?;
    let urn = urn_of(kind, node)?;
    let is_taken = |name: &str| fields.iter().any(|field| field.name.is(name));
    let name = match node.optional("name")? {
        Some(name) if !is_word(name) => {
            return Err(LanguageError::about("name", "a role's name holds letters, digits and `_`"));
        }
        Some(name) if is_taken(name) => {
            return Err(LanguageError::about("name", format!("another role has the name `{}`", clip(name))));
        }
        Some(name) => name.to_owned(),
        None if kind == "flow" && !is_taken(urn.name()) => urn.name().to_owned(),
        None => fresh_name(urn.name(), "", is_taken),
    };
    let mut line = format!("{name}: {} @{directive}(id: {})", urn.name(), sheet.quoted(urn.as_str()));
    if let Some(position) = node.object("position")? {
        line.push(' ');
        line.push_str(&position_text(&position).map_err(|error| error.within("position"))?);
    }
    Ok(line)
}

/// The member `urn`: of an entity that can play a role of this kind.
fn urn_of(kind: &str, node: &Request<'_>) -> Result<Urn, LanguageError> {
    let wanted: &[Metatype] = match kind {
        "device" => &[Metatype::Device, Metatype::DeviceModel],
        "flow" => &[Metatype::Workflow],
        "service" => &[Metatype::Service],
        _ => &[Metatype::System],
    };
    let urn = Urn::parse(node.string("urn")?).ok().filter(|urn| wanted.contains(&urn.metatype()));
    urn.ok_or_else(|| LanguageError::about("urn", format!("expected the urn of a {kind}")))
}

pub(super) fn change_deployment(sheet: &Sheet<'_>, op: &str, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
    let (definition, _) = pick(sheet, Metatype::Deployment, edit.string("deployment")?, "deployment")?;
    match op {
        "bind" => bind(sheet, definition, edit),
        "unbind" => {
            let role = edit.string("role")?;
            let parts = deployment_parts(definition);
            let found = parts.bindings.iter().find(|(path, _)| path.eq_ignore_ascii_case(role));
            let missing = || LanguageError::about("role", format!("nothing is bound to `{}`", clip(role)));
            Ok(vec![sheet.remove(found.ok_or_else(missing)?.1.place.0)])
        }
        "move" if edit.get("trigger").is_none() => {
            let name = edit.string("node")?;
            let parts = deployment_parts(definition);
            let found = parts.bindings.iter().find(|(path, _)| path.eq_ignore_ascii_case(name));
            let missing = || LanguageError::about("node", format!("nothing is bound to `{}`", clip(name)));
            let (_, binding) = found.ok_or_else(missing)?;
            match binding.directive("position") {
                Some(directive) => move_directive(sheet, directive, edit),
                None => Ok(vec![Patch::insert(header_end(binding), format!(" {}", position_text(edit)?))]),
            }
        }
        "move" | "add-trigger" | "set-trigger" | "remove-trigger" => {
            super::trigger::change(sheet, definition, op, edit)
        }
        "set-condition" => {
            let id = edit.string("edge")?;
            let condition = edit.string("condition")?;
            let parts = deployment_parts(definition);
            let is_its = |trigger: &&&Selection| {
                let name = escape(&trigger.name.text);
                ["fires", "listens"].iter().any(|word| id.starts_with(&format!("{word}|{name}|")))
            };
            let trigger = parts.triggers.iter().find(is_its);
            let condition_block = trigger.and_then(|trigger| children(trigger).find(|part| part.name.is("condition")));
            let missing = || LanguageError::about("edge", format!("the deployment has no edge `{}`", clip(id)));
            let quoted = sheet.quoted(condition);
            Ok(sheet.set_of(condition_block.ok_or_else(missing)?, "expr", Some(&quoted)))
        }
        _ => Err(LanguageError::about("op", format!("there is no edit `{}` of a deployment", clip(op)))),
    }
}

fn bind(sheet: &Sheet<'_>, definition: &Definition, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
    let (role, thing) = (edit.string("role")?, edit.string("thing")?);
    let quoted = sheet.quoted(thing);
    let parts = deployment_parts(definition);
    if let Some((_, binding)) = parts.bindings.iter().find(|(path, _)| path.eq_ignore_ascii_case(role)) {
        return Ok(sheet.set_of(binding, "deviceId", Some(&quoted)));
    }
    let words: Vec<&str> = role.split('.').collect();
    if !words.iter().all(|word| is_word(word)) {
        return Err(LanguageError::about("role", "expected the name of a role"));
    }
    let Body::Query { selections, .. } = &definition.body else {
        return Err(LanguageError::about("deployment", "a deployment is a `query`"));
    };
    // `outer.inner` goes into the block of `outer`
    let mut holder: Option<&Selection> = None;
    let mut depth = 0;
    let mut level: &[Selection] = selections;
    while depth + 1 < words.len()
        && let Some(found) =
            level.iter().find(|block| block.name.is(words[depth]) && block.argument("deviceId").is_none())
    {
        holder = Some(found);
        level = found.children();
        depth += 1;
    }
    let (outer, last) = words[depth..].split_at(words.len() - depth - 1);
    let mut lines: Lines = outer.iter().enumerate().map(|(deep, word)| (deep, format!("{word} {{"))).collect();
    lines.push((outer.len(), format!("{}(deviceId: {quoted})", last.concat())));
    lines.extend((0..outer.len()).rev().map(|deep| (deep, "}".to_owned())));
    if let Some(holder) = holder {
        return Ok(vec![sheet.append(holder, &lines)]);
    }
    let spans = selections.iter().map(|selection| selection.place.0).collect();
    let block = body(sheet, definition, spans, "deployment")?;
    let is_binding = |index: &usize| !selections[*index].name.is("triggers");
    let after = (0..selections.len()).rev().find(is_binding);
    Ok(vec![sheet.insert_child(&block, after, &lines)])
}
