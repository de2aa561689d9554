//! What may be written at a place: words of the grammar, URNs, names of inputs, events and variables, paths and
//! functions of expressions (API.md, "complete").

mod place;
mod table;

use marram_tdm::model::{Action, Metatype, RoleKind, Urn};
use marram_tdm::syntax;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::analysis;
use crate::offsets::Offsets;
use crate::outline::{self, Flow};
use crate::request::Request;
use crate::scope::function_path;
use crate::types::{Entities, Names, Types, is_word, members, type_name};
use crate::{LanguageError, MAX_ITEMS, World};
use place::{Header, Place, Wanted};

/// The answer of `complete`.
pub(crate) fn answer(request: &Request<'_>, world: &dyn World) -> Result<Value, LanguageError> {
    let text = request.text()?;
    let offsets = Offsets::new(text);
    let at = offsets.byte(request.offset("offset")?);
    let place = place::read(text, at);
    let checked = analysis::check(text, world);
    let (document, _) = syntax::parse(text);
    let flows = outline::flows(&document);
    let around = |flow: &&Flow<'_>| {
        let place = flow.definition.place.0;
        (place.start as usize) < at && at <= place.end as usize
    };
    // an unclosed text ends its last definition early
    let flow = flows.iter().find(around).or_else(|| {
        let mut before = flows.iter().filter(|flow| (flow.definition.place.0.start as usize) < at);
        before.next_back().filter(|_| defined(&place) == Some(Metatype::Workflow))
    });
    let types = Types::new(Entities { own: &checked.model, world });
    let completer = Completer { text, at, place: &place, flow, types: &types, world, checked: &checked };
    let proposal = completer.propose();
    let mut items = proposal.items;
    items.truncate(MAX_ITEMS);
    Ok(json!({
        "from": offsets.utf16(proposal.from),
        "to": offsets.utf16(proposal.to),
        "items": items.iter().map(Item::to_json).collect::<Vec<_>>(),
    }))
}

/// Something that may be written.
struct Item {
    label: String,
    kind: &'static str,
    detail: Option<String>,
    insert: String,
}

impl Item {
    fn new(kind: &'static str, label: impl Into<String>) -> Self {
        let label = label.into();
        Item { insert: label.clone(), label, kind, detail: None }
    }

    fn detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail;
        self
    }

    fn insert(mut self, insert: String) -> Self {
        self.insert = insert;
        self
    }

    fn to_json(&self) -> Value {
        let mut item = json!({ "label": self.label, "kind": self.kind, "insert": self.insert });
        if let Some(detail) = &self.detail {
            item["detail"] = json!(detail);
        }
        item
    }
}

/// Items and what they replace, in bytes.
struct Proposal {
    from: usize,
    to: usize,
    items: Vec<Item>,
}

struct Completer<'c> {
    text: &'c str,
    at: usize,
    place: &'c Place,
    flow: Option<&'c Flow<'c>>,
    types: &'c Types<'c>,
    world: &'c dyn World,
    checked: &'c marram_tdm::check::Mixed,
}

/// What the definition around a place defines.
fn defined(place: &Place) -> Option<Metatype> {
    let header = place.blocks.iter().find(|block| !block.keyword.is_empty()).unwrap_or(&place.header);
    let known = |directive: &place::Called| {
        table::DEFINITIONS.iter().find(|(_, name, _)| directive.name.eq_ignore_ascii_case(name)).map(|known| known.2)
    };
    header.directives.iter().find_map(known)
}

/// Items whose label holds what is typed: those that start with it first.
fn fitting(items: impl IntoIterator<Item = Item>, typed: &str) -> Vec<Item> {
    let typed = typed.to_lowercase();
    let mut ranked: Vec<(bool, Item)> = Vec::new();
    for item in items {
        let label = item.label.to_lowercase();
        if typed.is_empty() || label.starts_with(&typed) {
            ranked.push((false, item));
        } else if label.contains(&typed) {
            ranked.push((true, item));
        }
    }
    ranked.sort_by_key(|(is_inside, _)| *is_inside);
    ranked.into_iter().map(|(_, item)| item).collect()
}

impl Completer<'_> {
    fn propose(&self) -> Proposal {
        let header = &self.place.header;
        match &self.place.wanted {
            Wanted::Nothing => self.words([]),
            Wanted::Item => self.words(self.blocks()),
            Wanted::Directive => self.words(self.directives().into_iter().map(|name| Item::new("directive", name))),
            Wanted::DataType => self.words(table::DATA_TYPES.map(|name| Item::new("keyword", name))),
            Wanted::ArgumentName { of_directive: true } => {
                let directive = header.directives.last().map_or("", |directive| directive.name.as_str());
                let given = header.directives.last().map_or(&[][..], |directive| directive.arguments.as_slice());
                self.words(argument_names(table::directive_arguments(directive), given))
            }
            Wanted::ArgumentName { of_directive: false } => self.words(self.own_arguments()),
            Wanted::ArgumentValue { of_directive: true, argument } => {
                let directive = header.directives.last().map_or("", |directive| directive.name.as_str());
                self.directive_value(directive, argument)
            }
            Wanted::ArgumentValue { of_directive: false, argument } => self.argument_value(argument),
        }
    }

    /// The bytes a bare word takes: from its start to its end.
    fn words(&self, items: impl IntoIterator<Item = Item>) -> Proposal {
        let word = self.place.word;
        let (from, to) = if word.is_empty() { (self.at, self.at) } else { (word.start as usize, word.end as usize) };
        let typed = self.text.get(from..self.at).unwrap_or_default();
        Proposal { from, to, items: fitting(items, typed) }
    }

    /// Values: the whole inside of the string at the place, or a bare word that becomes a string.
    fn values(&self, items: impl IntoIterator<Item = Item>) -> Proposal {
        let Some(string) = self.place.string else {
            let quoted = items.into_iter().map(|item| {
                let insert = format!("\"{}\"", item.insert);
                item.insert(insert)
            });
            return self.words(quoted);
        };
        let typed = self.text.get(string.start as usize..self.at).unwrap_or_default();
        Proposal { from: string.start as usize, to: string.end as usize, items: fitting(items, typed) }
    }

    fn urns(&self, wanted: &[Metatype]) -> Vec<Item> {
        let mut known = self.types.entities().known(wanted);
        // flows and systems of the text itself
        let flows = self.checked.flows.iter().map(|flow| (flow.id.clone(), flow.name.to_string()));
        let systems = self.checked.systems.iter().map(|system| (system.id.clone(), system.name.to_string()));
        for (urn, name) in flows.chain(systems) {
            if wanted.contains(&urn.metatype()) && !known.iter().any(|known| known.urn == urn) {
                known.insert(0, crate::Known { urn, name });
            }
        }
        let items = known.into_iter().map(|known| Item::new("urn", known.urn.as_str()).detail(Some(known.name)));
        items.collect()
    }

    // ---- words of the grammar

    fn blocks(&self) -> Vec<Item> {
        let keywords = |words: &[&str]| words.iter().map(|word| Item::new("keyword", *word)).collect::<Vec<_>>();
        let named: Vec<&Header> = self.place.blocks.iter().filter(|block| !block.name.is_empty()).collect();
        let Some((definition, inner)) = named.split_first() else {
            return if self.place.header.keyword.is_empty() {
                keywords(&["type", "query", "enum"])
            } else {
                Vec::new()
            };
        };
        let block = inner.last().map_or("", |block| block.name.as_str());
        match defined(self.place) {
            Some(Metatype::Workflow) => {
                if block.eq_ignore_ascii_case("DeviceActivity") || block.eq_ignore_ascii_case("WebServiceActivity") {
                    return self.actions(inner.last().copied());
                }
                keywords(table::flow_blocks(block))
            }
            Some(metatype @ (Metatype::Device | Metatype::Service)) => {
                let protocol = inner.first().map_or(String::new(), |block| block.name.to_ascii_lowercase());
                keywords(&table::device_blocks(inner.len(), block, &protocol, metatype == Metatype::Device))
            }
            Some(Metatype::Mapping) => match inner.len() {
                0 => keywords(&["symmetric", "forward", "reverse"]),
                _ => keywords(&["map"]),
            },
            Some(Metatype::Deployment) => match inner {
                [] => {
                    let roles = self.roles(definition);
                    let roles = roles.into_iter().filter(|(_, _, is_flow)| !is_flow);
                    let roles = roles.map(|(name, urn, _)| Item::new("property", name).detail(Some(urn.to_string())));
                    roles.chain(keywords(&["triggers"])).collect()
                }
                [triggers, ..] if triggers.is("triggers") && inner.len() == 2 => keywords(&["condition", "action"]),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Actions of the activity at hand.
    fn actions(&self, activity: Option<&Header>) -> Vec<Item> {
        let Some((_, capability)) = activity.and_then(|activity| self.callee(activity)) else { return Vec::new() };
        let entities = self.types.entities();
        let actions = capability.actions.iter().map(|member| {
            let signature = entities.action(&capability, &member.name).map(|(_, action)| self.signature(&action));
            Item::new("keyword", member.name.as_str()).detail(signature)
        });
        actions.collect()
    }

    fn callee(&self, activity: &Header) -> Option<(Urn, marram_tdm::model::Capability)> {
        let id = activity.argument("deviceModel").or_else(|| activity.argument("webservice"))?;
        self.types.entities().capability_of(&Urn::parse(id).ok()?)
    }

    fn signature(&self, action: &Action) -> String {
        let inputs = action.inputs.iter().map(|input| format!("{}: {}", input.name, self.types.of_field(input)));
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        match &action.returns {
            Some(returns) => format!("({inputs}) -> {}", self.types.of_field(returns)),
            None => format!("({inputs})"),
        }
    }

    fn directives(&self) -> Vec<&'static str> {
        let header = &self.place.header;
        if header.keyword.is_empty() {
            return defined(self.place).map_or(Vec::new(), |metatype| table::usages(metatype).to_vec());
        }
        let has_definition = defined(self.place).is_some();
        let definitions =
            table::DEFINITIONS.iter().filter(|(keyword, ..)| header.keyword == *keyword && !has_definition);
        definitions.map(|(_, name, _)| *name).chain(table::SIDE_DIRECTIVES).collect()
    }

    /// Names of arguments of the selection at hand.
    fn own_arguments(&self) -> Vec<Item> {
        let header = &self.place.header;
        let given = &header.arguments;
        if let Some(action) = self.called(header) {
            let inputs = action.inputs.iter().filter(|input| header.argument(&input.name).is_none());
            let inputs = inputs.map(|input| {
                let insert = format!("{}: ", input.name);
                Item::new("property", input.name.as_str()).detail(Some(self.types.of_field(input))).insert(insert)
            });
            return inputs.collect();
        }
        if defined(self.place) == Some(Metatype::Deployment)
            && self.place.blocks.iter().filter(|b| !b.name.is_empty()).count() == 1
        {
            return argument_names(&["deviceId"], given);
        }
        if header.is("Action") && matches!(defined(self.place), Some(Metatype::Device | Metatype::Service)) {
            return argument_names(&["name"], given);
        }
        argument_names(table::selection_arguments(&header.name), given)
    }

    /// The action a selection inside an activity calls.
    fn called(&self, call: &Header) -> Option<Action> {
        let activity = self.place.blocks.last()?;
        if !activity.is("DeviceActivity") && !activity.is("WebServiceActivity") {
            return None;
        }
        let (_, capability) = self.callee(activity)?;
        self.types.entities().action(&capability, &call.name).map(|(_, action)| action)
    }

    // ---- values

    fn directive_value(&self, directive: &str, argument: &str) -> Proposal {
        let is_definition = self.place.blocks.iter().all(|block| block.name.is_empty());
        let own = table::DEFINITIONS.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(directive));
        if let Some((_, _, metatype)) = own.filter(|_| is_definition && argument.eq_ignore_ascii_case("id")) {
            let namespace = self.world.namespace().map(|namespace| namespace.to_string());
            let namespace = namespace.unwrap_or_else(|| "us-east-1/000000000000/default".to_owned());
            let urn = format!("urn:tdm:{namespace}:{metatype}:{}", self.place.header.name);
            return self.values([Item::new("urn", urn)]);
        }
        if directive.eq_ignore_ascii_case("mapping")
            && ["from", "to"].iter().any(|end| argument.eq_ignore_ascii_case(end))
        {
            return self.values(self.urns(&[Metatype::Property]));
        }
        if argument.eq_ignore_ascii_case("dataType") && self.place.string.is_none() {
            return self.words(table::DATA_TYPES.map(|name| Item::new("keyword", name)));
        }
        if argument.eq_ignore_ascii_case("uom") {
            let units = marram_tdm::units::UNITS;
            return self.values(units.map(|unit| Item::new("urn", format!("urn:tdm:aws:uom:{unit}"))));
        }
        if argument.len() > 2 && argument.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("is")) {
            return self.words(["true", "false"].map(|word| Item::new("keyword", word)));
        }
        let wanted = table::directive_reference(directive, argument);
        if !wanted.is_empty() {
            return self.values(self.urns(wanted));
        }
        self.words([])
    }

    fn argument_value(&self, argument: &str) -> Proposal {
        let header = &self.place.header;
        let is = |name: &str| argument.eq_ignore_ascii_case(name);
        let metatype = defined(self.place);
        if is("property") {
            return self.values(self.urns(&[Metatype::Property]));
        }
        match metatype {
            Some(Metatype::Device | Metatype::Service) => {
                if is("id") {
                    return self.values(self.urns(&[Metatype::Capability]));
                }
                let action = self.place.blocks.iter().rev().find(|block| block.is("Action"));
                let inputs = action.and_then(|block| self.implemented(block.argument("name")?));
                let names = match inputs {
                    Some(action) if !header.is("Response") => Names::of_inputs(&action, self.types),
                    _ => Names::default().with_system(),
                };
                if is("value") || is("topic") || is("url") || is("arn") {
                    return self.expression(&names, false);
                }
                self.words([])
            }
            Some(Metatype::Deployment) if is("expr") => self.trigger(header.is("action")),
            Some(Metatype::Workflow) => self.flow_value(header, argument),
            _ => self.words([]),
        }
    }

    fn flow_value(&self, header: &Header, argument: &str) -> Proposal {
        let is = |name: &str| argument.eq_ignore_ascii_case(name);
        if self.called(header).is_some() {
            return self.expression(&self.names(false), false);
        }
        if is("deviceModel") {
            return self.values(self.urns(&[Metatype::DeviceModel, Metatype::Device]));
        }
        if is("webservice") {
            return self.values(self.urns(&[Metatype::Service]));
        }
        if is("inEvent") || is("outEvent") || is("raiseEvent") || (is("name") && header.is("setEvent")) {
            let events = self.flow.map(Flow::events).unwrap_or_default();
            return self.values(events.into_iter().map(|event| Item::new("keyword", event.as_str())));
        }
        if is("errorEquals") {
            return self.values(table::ERRORS.map(|name| Item::new("keyword", name)));
        }
        if is("out") || (is("name") && header.is("setVariable")) {
            let variables = self.flow.into_iter().flat_map(|flow| flow.variables());
            let variables = variables.map(|variable| {
                let ty = type_name(&self.types.of_variable(variable));
                Item::new("path", variable.name.text.as_str()).detail(ty)
            });
            return self.values(variables);
        }
        let is_clause = header.is("Retry") || header.is("Catch");
        if is("condition") || is("expr") {
            return self.expression(&self.names(is_clause), true);
        }
        if is("deviceId") || is("value") {
            return self.expression(&self.names(false), false);
        }
        self.words([])
    }

    fn names(&self, has_error: bool) -> Names {
        match self.flow {
            Some(flow) => Names::of_flow(flow, self.types, has_error),
            None => Names::default().with_system(),
        }
    }

    /// The action of the capability that a device or service implements.
    fn implemented(&self, name: &str) -> Option<Action> {
        let capability = self.place.blocks.iter().find_map(|block| block.argument("id"))?;
        let (_, capability) = self.types.entities().capability_of(&Urn::parse(capability).ok()?)?;
        self.types.entities().action(&capability, name).map(|(_, action)| action)
    }

    // ---- expressions

    /// Paths and functions. In a value position (`is_bare` false) they stand inside `${}`.
    fn expression(&self, names: &Names, is_bare: bool) -> Proposal {
        let Some(string) = self.place.string else {
            let roots = names.roots().iter().filter(|(_, ty)| !matches!(ty, marram_expr::Type::Record(_)));
            let whole = roots.map(|(name, ty)| {
                let text = if is_bare { name.to_string() } else { format!("${{{name}}}") };
                Item::new("path", text).detail(type_name(ty))
            });
            return self.values(whole);
        };
        let before = self.text.get(string.start as usize..self.at).unwrap_or_default();
        let is_inside = is_bare || before.rfind("${").is_some_and(|open| !before[open..].contains('}'));
        let path_start = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_.$".contains(c)).len();
        if !is_inside {
            if !before[..path_start].is_empty() || before.contains("${") {
                return self.words([]);
            }
            let roots =
                names.roots().iter().map(|(name, ty)| Item::new("path", format!("${{{name}}}")).detail(type_name(ty)));
            let typed = before.trim_start_matches('$');
            return Proposal { from: string.start as usize, to: self.at, items: fitting(roots, typed) };
        }
        let path = before[path_start..].trim_start_matches('$');
        let (base, typed) = path.rsplit_once('.').unwrap_or(("", path));
        let from = self.at - typed.len();
        let rest = self.text.get(self.at..string.end as usize).unwrap_or_default();
        let to = self.at + rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        Proposal { from, to, items: fitting(path_items(names, base, path.contains('.')), typed) }
    }

    // ---- triggers

    fn trigger(&self, is_action: bool) -> Proposal {
        let Some(definition) = self.place.blocks.iter().find(|block| !block.name.is_empty()) else {
            return self.words([]);
        };
        let roles = self.roles(definition);
        let bindings = || roles.iter().filter(|(_, _, is_flow)| !is_flow);
        let mut items = Vec::new();
        if is_action {
            let flows = roles.iter().filter(|(_, _, is_flow)| *is_flow);
            items.extend(flows.map(|(name, ..)| Item::new("function", format!("ThingsGraph.startFlow('{name}')"))));
            items
                .extend(bindings().map(|(name, ..)| Item::new("path", format!("bindings[name == '{name}'].deviceId"))));
        } else {
            items.extend(["every 1 minute", "every 1 hour", "every 1 day"].map(|text| Item::new("keyword", text)));
        }
        for (name, urn, _) in bindings() {
            let capability = self.types.entities().capability_of(urn);
            for event in capability.iter().flat_map(|(_, capability)| &capability.events) {
                let path = format!("devices[name == '{name}'].events[name == '{}'].lastEvent", event.name);
                items.push(Item::new("path", path));
            }
        }
        // such texts are taken as a whole, or put in at the place
        let is_empty = self.place.string.is_none_or(|string| string.is_empty());
        if is_empty {
            return self.values(items);
        }
        let string = self.place.string.unwrap_or(self.place.word);
        let before = self.text.get(string.start as usize..self.at).unwrap_or_default();
        let start = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_.".contains(c)).len();
        let from = string.start as usize + start;
        Proposal { from, to: self.at, items: fitting(items, &before[start..]) }
    }

    /// Roles of the system of a deployment: name, what it asks for, whether it is a flow.
    fn roles(&self, definition: &Header) -> Vec<(String, Urn, bool)> {
        let id = definition.directive("deployment").and_then(|directive| directive.argument("systemId"));
        let Some(id) = id.and_then(|id| Urn::parse(id).ok()) else { return Vec::new() };
        let own = self.checked.systems.iter().find(|system| system.id == id).cloned();
        let system = own.or_else(|| match self.world.templates().system(&id) {
            marram_tdm::check::Template::Usable(system) => Some(system),
            _ => None,
        });
        let roles = system.iter().flat_map(|system| &system.roles).filter_map(|role| match &role.kind {
            RoleKind::Thing(urn) => Some((role.name.to_string(), urn.clone(), false)),
            RoleKind::Flow(urn) => Some((role.name.to_string(), urn.clone(), true)),
            _ => None,
        });
        roles.collect()
    }
}

/// Members of `base`, or roots and functions when there is none.
fn path_items(names: &Names, base: &str, has_base: bool) -> Vec<Item> {
    let path = |(name, ty): (SmolStr, marram_expr::Type)| Item::new("path", name.as_str()).detail(type_name(&ty));
    if !has_base {
        let functions = marram_expr::LibraryFn::all().map(|function| {
            let (least, most) = function.arity();
            let count = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            let plural = if most == 1 { "argument" } else { "arguments" };
            let path = function_path(function);
            Item::new("function", path.clone()).detail(Some(format!("{count} {plural}"))).insert(format!("{path}()"))
        });
        return names.roots().iter().cloned().map(path).chain(functions).collect();
    }
    let lower = base.to_ascii_lowercase();
    let group = ["tdm.lib", "lib"].iter().find_map(|prefix| lower.strip_prefix(prefix));
    if let Some(group) = group.filter(|group| group.is_empty() || group.starts_with('.')) {
        let group = group.trim_start_matches('.');
        let functions = marram_expr::LibraryFn::all().filter(|function| function.group().eq_ignore_ascii_case(group));
        let mut items: Vec<Item> = functions
            .map(|function| Item::new("function", function.name()).insert(format!("{}()", function.name())))
            .collect();
        if group.is_empty() {
            items.extend(["Math", "String"].map(|group| Item::new("path", group)));
        }
        return items;
    }
    if lower == "tdm" {
        return vec![Item::new("path", "lib")];
    }
    let segments: Vec<&str> = base.split('.').collect();
    if !segments.iter().all(|segment| is_word(segment)) {
        return Vec::new();
    }
    names.path(&segments).map(|ty| members(&ty).into_iter().map(path).collect()).unwrap_or_default()
}

fn argument_names(known: &[&str], given: &[(SmolStr, SmolStr)]) -> Vec<Item> {
    let open = known.iter().filter(|name| !given.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
    open.map(|name| Item::new("property", *name).insert(format!("{name}: "))).collect()
}
