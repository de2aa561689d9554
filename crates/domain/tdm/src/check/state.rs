//! States, events and actions (TG 3.3 to 3.5), inheritance, and states that contain themselves.

use std::collections::BTreeMap;

use super::context::{Context, twice};
use super::declare::{Declared, Taken};
use super::scope::Scope;
use crate::codes::*;
use crate::model::{Action, EntityKind, Event, Field, Metatype, PropertyShape, State, Urn};
use crate::syntax::ast::{self, Body, Interface};

/// Fields an expanded complex value may have in all, lists counted once. Bounds what a compact document of states
/// inside states can unfold to.
pub const MAX_EXPANDED_FIELDS: u64 = 2_000;

const USAGE_FACETS: [&str; 9] =
    ["id", "isRequired", "default", "condition", "expr", "isReadOnly", "multiplicity", "description", "name"];

impl<'a> Context<'a> {
    pub fn state(&mut self, one: &Declared<'_>) -> Option<State> {
        let Body::Type { implements, fields: written } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        let parents = self.parents(implements, "stateType", Metatype::State);
        if !self.has_room(written.len(), 0, one.definition.name.span()) {
            return None;
        }
        let mut fields: Vec<Field> = Vec::new();
        for parent in &parents {
            let Some(entity) = self.entity(parent) else { continue };
            let EntityKind::State(state) = &entity.kind else { continue };
            if !self.has_room(fields.len() + written.len(), state.fields.len(), one.definition.name.span()) {
                return None;
            }
            for field in &state.fields {
                self.references.insert(field.property.clone());
                self.inherit(&mut fields, field, one);
            }
        }
        let inherited = fields.len();
        let mut names = Taken::default();
        for field in written.iter().filter(|field| !field.is_ignore_marker()) {
            if let Some(first) = names.take(&field.name.text, field.name.span()) {
                let message = format!("the state has two fields `{}`", field.name.text);
                self.findings.push(twice(TDM3005, field.name.span(), message, first));
                continue;
            }
            let Some(read) = self.property_field(field, "@stateType") else { continue };
            let known = fields[..inherited].iter_mut().find(|known| known.name.eq_ignore_ascii_case(&read.name));
            match known {
                Some(known) if read.property.is_a(&known.property) => *known = read,
                Some(known) => {
                    let message = format!(
                        "`{}` is inherited as `{}`; it may only become that property or a descendant of it",
                        read.name, known.property
                    );
                    self.error(TDM3009, field.name.span(), message);
                }
                None => fields.push(read),
            }
        }
        let has_expressions = fields.iter().any(|field| field.condition.is_some() || field.expr.is_some());
        let visible = if has_expressions { fields.as_slice() } else { &[] };
        let siblings = visible.iter().fold(Scope::empty(), |scope, field| {
            let ty = self.value_type(&field.property, field.is_list);
            scope.with(&field.name, ty)
        });
        for (field, written) in written.iter().filter_map(|written| {
            let read = fields.iter().find(|field| field.name.eq_ignore_ascii_case(&written.name.text))?;
            Some((read, written))
        }) {
            for (name, expr) in [("condition", &field.condition), ("expr", &field.expr)] {
                let argument = written.directive("property").and_then(|directive| directive.argument(name));
                if let (Some(expr), Some(argument)) = (expr, argument) {
                    self.check_expr(expr, &siblings, &argument.value, TDM3019);
                }
            }
        }
        Some(State { parents, fields })
    }

    fn inherit(&mut self, fields: &mut Vec<Field>, field: &Field, one: &Declared<'_>) {
        match fields.iter().find(|known| known.name.eq_ignore_ascii_case(&field.name)) {
            None => fields.push(field.clone()),
            Some(known) if known.property == field.property => {}
            Some(known) => {
                let message =
                    format!("`{}` is inherited as `{}` and as `{}`", field.name, known.property, field.property);
                self.error(TDM3009, one.definition.name.span(), message);
            }
        }
    }

    /// The identities after `implements`.
    pub fn parents(&mut self, implements: &[Interface], directive: &str, metatype: Metatype) -> Vec<Urn> {
        let mut parents = Vec::new();
        for interface in implements {
            let known = interface.directives.iter().any(|known| known.name.is(directive));
            if !known {
                let message = format!("`implements {}` needs `@{directive}(id: ...)`", interface.name.text);
                self.error(TDM3006, interface.name.span(), message);
            } else if let Some((_, parent)) = self.usage(&interface.directives, directive, metatype)
                && !parents.contains(&parent)
            {
                parents.push(parent);
            }
        }
        parents
    }

    /// A field with `@property(id, usage facets)`.
    pub fn property_field(&mut self, field: &ast::Field, owner: &str) -> Option<Field> {
        self.known_directives(&field.directives, &["property", "annotation", "position"]);
        let Some(directive) = field.directive("property") else {
            let message = format!("a field of {owner} needs `@property(id: ...)`");
            self.error(TDM3006, field.name.span(), message);
            return None;
        };
        self.known_arguments(directive.arguments.as_ref(), &USAGE_FACETS);
        let id = self.required(directive, "id")?;
        let property = self.value_property(&id.value)?;
        let facet = |name: &str| directive.argument(name);
        let required = facet("isRequired").and_then(|argument| self.boolean(&argument.value));
        let says_read_only = facet("isReadOnly").and_then(|argument| self.boolean(&argument.value));
        let condition = facet("condition").and_then(|argument| self.expression(&argument.value));
        let expr = facet("expr").and_then(|argument| self.expression(&argument.value));
        if let Some(argument) = facet("multiplicity") {
            let text = self.text_of(&argument.value)?;
            let word = text.rsplit(['.', '/', ':']).next().unwrap_or_default();
            if !["Multivalued", "Singlevalued"].iter().any(|known| known.eq_ignore_ascii_case(word)) {
                self.error(TDM3010, argument.value.span(), "multiplicity is Multivalued or Singlevalued");
            }
        }
        let is_required = required.unwrap_or(false) || field.ty.is_required;
        let default = match facet("default") {
            Some(argument) if !is_required => {
                self.error(TDM3010, argument.name.span(), "`default` goes with isRequired: true only");
                None
            }
            Some(argument) => {
                let value = self.default_value(argument)?;
                self.check_constant(&value, &property, field.ty.is_list(), argument.value.span());
                Some(value)
            }
            None => None,
        };
        Some(Field {
            name: field.name.text.clone(),
            property,
            is_list: field.ty.is_list(),
            is_required,
            default,
            is_read_only: says_read_only.unwrap_or(false) || condition.is_some() || expr.is_some(),
            condition,
            expr,
        })
    }

    pub fn event(&mut self, one: &Declared<'_>) -> Option<Event> {
        self.known_arguments(one.directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name", "payload"]);
        self.expect_empty(one.definition);
        let payload = match one.directive.argument("payload") {
            Some(argument) => Some(self.value_property(&argument.value)?),
            None => None,
        };
        Some(Event { payload })
    }

    pub fn action(&mut self, one: &Declared<'_>) -> Option<Action> {
        let Body::Type { fields, implements } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        for parent in implements {
            self.warning(TDM3007, parent.name.span(), "an action type implements nothing; ignored");
        }
        if !self.has_room(fields.len(), 0, one.definition.name.span()) {
            return None;
        }
        let mut action = Action { inputs: Vec::new(), returns: None };
        let mut names = Taken::default();
        for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
            if let Some(first) = names.take(&field.name.text, field.name.span()) {
                let message = format!("the action has two fields `{}`", field.name.text);
                self.findings.push(twice(TDM3005, field.name.span(), message, first));
                continue;
            }
            let Some(read) = self.property_field(field, "@actionType") else { continue };
            if field.name.is("return") {
                action.returns = Some(read);
            } else {
                action.inputs.push(read);
            }
        }
        Some(action)
    }

    // ---- order and cycles

    /// Sorts states or capabilities so that parents come before children. Members of a cycle are TDM3015 and left out.
    pub fn parents_first<'d>(&mut self, of_kind: Vec<&'d Declared<'a>>) -> Vec<&'d Declared<'a>> {
        let by_id: BTreeMap<&Urn, usize> = of_kind.iter().enumerate().map(|(index, one)| (&one.id, index)).collect();
        let parents: Vec<Vec<usize>> = of_kind
            .iter()
            .map(|one| {
                let Body::Type { implements, .. } = &one.definition.body else { return Vec::new() };
                let directives = implements.iter().flat_map(|interface| &interface.directives);
                let ids = directives.filter_map(|directive| directive.argument("id")?.value.as_text());
                ids.filter_map(|id| by_id.get(&Urn::parse(id).ok()?).copied()).collect()
            })
            .collect();
        let order = needed_first(&parents);
        for index in &order.in_cycle {
            let one = of_kind[*index];
            self.enter(one);
            let message = format!("`{}` lies on, or inherits from, a cycle of inheritance", one.id);
            self.error(TDM3015, one.definition.name.span(), message);
        }
        order.finished.into_iter().map(|index| of_kind[index]).collect()
    }

    /// TDM3015 for states that contain themselves through complex properties, TDM1005 for states that unfold to more
    /// than [`MAX_EXPANDED_FIELDS`] fields.
    pub fn check_containment(&mut self, declared: &[Declared<'a>]) {
        let states: Vec<&Declared<'a>> = declared.iter().filter(|one| one.id.metatype() == Metatype::State).collect();
        let by_id: BTreeMap<&Urn, usize> = states.iter().enumerate().map(|(index, one)| (&one.id, index)).collect();
        let parts: Vec<Vec<Urn>> = states.iter().map(|one| self.contained_states(&one.id)).collect();
        let edges: Vec<Vec<usize>> =
            parts.iter().map(|parts| parts.iter().filter_map(|id| by_id.get(id).copied()).collect()).collect();
        let order = needed_first(&edges);
        for index in &order.in_cycle {
            let one = states[*index];
            self.enter(one);
            let message = format!("`{}` contains itself, or a state that does", one.id);
            self.error(TDM3015, one.definition.name.span(), message);
        }
        let mut sizes: BTreeMap<Urn, u64> = BTreeMap::new();
        for index in order.finished {
            let one = states[index];
            let mut size = 0u64;
            for part in &parts[index] {
                let inner = match sizes.get(part) {
                    Some(size) => *size,
                    None => self.expanded_size(part, &mut sizes, 0),
                };
                size = size.saturating_add(inner);
            }
            let own = self.entity(&one.id).map_or(0, |entity| match &entity.kind {
                EntityKind::State(state) => state.fields.len() as u64,
                _ => 0,
            });
            let size = size.saturating_add(own);
            if size > MAX_EXPANDED_FIELDS {
                self.enter(one);
                let message = format!("`{}` unfolds to more than {MAX_EXPANDED_FIELDS} fields", one.id);
                self.error(TDM1005, one.definition.name.span(), message);
            }
            sizes.insert(one.id.clone(), size);
        }
    }

    /// Size of a state that was accepted earlier; those contain no cycles.
    fn expanded_size(&self, id: &Urn, sizes: &mut BTreeMap<Urn, u64>, depth: usize) -> u64 {
        if let Some(size) = sizes.get(id) {
            return *size;
        }
        // INVARIANT: accepted states hold at most MAX_EXPANDED_FIELDS fields, so a chain of them is no longer
        if depth > 256 {
            return MAX_EXPANDED_FIELDS + 1;
        }
        let own = self.entity(id).map_or(0, |entity| match &entity.kind {
            EntityKind::State(state) => state.fields.len() as u64,
            _ => 0,
        });
        let parts = self.contained_states(id);
        let size = parts.iter().fold(own, |sum, part| sum.saturating_add(self.expanded_size(part, sizes, depth + 1)));
        sizes.insert(id.clone(), size);
        size
    }

    /// The states of a state's complex fields, one per field.
    fn contained_states(&self, id: &Urn) -> Vec<Urn> {
        let Some(entity) = self.entity(id) else { return Vec::new() };
        let EntityKind::State(state) = &entity.kind else { return Vec::new() };
        let complex = state.fields.iter().filter_map(|field| match &self.entity(&field.property)?.kind {
            EntityKind::Property(property) => match &property.shape {
                PropertyShape::Complex(state) => Some(state.clone()),
                _ => None,
            },
            _ => None,
        });
        complex.collect()
    }
}

/// The nodes of a graph, needed ones first, and the nodes that lie on or lead into a cycle.
pub(crate) struct Order {
    pub finished: Vec<usize>,
    pub in_cycle: Vec<usize>,
}

/// Kahn's algorithm over `needs[node]`: a node finishes after everything it needs.
pub(crate) fn needed_first(needs: &[Vec<usize>]) -> Order {
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (node, needed) in needs.iter().enumerate() {
        needed.iter().for_each(|other| needed_by[*other].push(node));
    }
    let mut finished: Vec<usize> = (0..needs.len()).filter(|node| waiting[*node] == 0).collect();
    let mut next = 0;
    while next < finished.len() {
        for node in &needed_by[finished[next]] {
            waiting[*node] -= 1;
            if waiting[*node] == 0 {
                finished.push(*node);
            }
        }
        next += 1;
    }
    let in_cycle = (0..needs.len()).filter(|node| waiting[*node] > 0).collect();
    Order { finished, in_cycle }
}
