//! Mappings: rules, completeness, unambiguity (TG 5.1 to 5.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_diag::Span;
use marram_expr::{DataType, Expr, ExprKind, MapRule, PropertyType, Type, UnaryOp, Value as ExprValue};
use smol_str::SmolStr;

use super::context::{Context, twice};
use super::declare::Declared;
use super::device::is_ignore_marker;
use super::scope::Scope;
use crate::codes::*;
use crate::mapping::guard::{Domain, enum_member};
use crate::model::{Conversion, Direction, EntityKind, Mapping, MappingEnd, MappingRule, Metatype, PropertyShape, Urn};
use crate::syntax::ast::{Body, Selection, Value};

/// Most rules of one block. Rules are compared pair by pair.
const MAX_RULES: usize = 1_000;

/// One end with what the rules need to know of it.
struct End {
    end: MappingEnd,
    ty: Option<Arc<PropertyType>>,
}

impl End {
    fn is_complex(&self) -> bool {
        self.ty.as_ref().is_some_and(|ty| matches!(ty.data_type, DataType::Complex(_)))
    }

    /// The path below the alias, if `expr` is a bare path of this end.
    fn path(&self, expr: &Expr) -> Option<Vec<SmolStr>> {
        let path = expr.as_name_path()?;
        let (root, rest) = path.split_first()?;
        let rest = match rest {
            [only] if only.eq_ignore_ascii_case("value") && !self.is_complex() => &[],
            rest => rest,
        };
        root.eq_ignore_ascii_case(&self.end.alias).then(|| rest.iter().map(SmolStr::new).collect())
    }
}

/// The rules of one direction with where they stand.
struct Rules<'d> {
    rules: Vec<(MappingRule, &'d Value)>,
    at: Span,
}

impl Context<'_> {
    pub fn mapping(&mut self, one: &Declared<'_>) -> Option<Mapping> {
        let Body::Query { selections, .. } = &one.definition.body else { return None };
        self.known_arguments(
            one.directive.arguments.as_ref(),
            &["id", "SemTypeId", "description", "name", "from", "to"],
        );
        let from = self.mapping_end(one, "from", "s");
        let to = self.mapping_end(one, "to", "t");
        let (from, to) = (from?, to?);
        if from.end.property == to.end.property {
            self.error(TDM3010, one.directive.place.0, "a mapping has two different ends");
            return None;
        }
        if from.end.alias.eq_ignore_ascii_case(&to.end.alias) {
            self.error(TDM3010, one.directive.place.0, "the two aliases of a mapping differ");
            return None;
        }
        let mut blocks: BTreeMap<&'static str, &Selection> = BTreeMap::new();
        for block in selections.iter().filter(|selection| !is_ignore_marker(selection)) {
            let Some(name) = ["forward", "reverse", "symmetric"].into_iter().find(|name| block.name.is(name)) else {
                self.error(TDM3016, block.span(), format!("unknown block `{}` in a mapping", block.name.text));
                continue;
            };
            if let Some(first) = blocks.insert(name, block) {
                let message = format!("the mapping has two blocks `{name}`");
                self.findings.push(twice(TDM3005, block.span(), message, first.span()));
            }
        }
        if blocks.is_empty() {
            let message = "a mapping needs a block forward, reverse or symmetric";
            self.error(TDM3006, one.definition.name.span(), message);
            return None;
        }
        let errors = self.findings.error_count();
        let mut directions = [None, None];
        for (name, block) in blocks {
            for (value, rule) in self.map_rules(block) {
                let ways: &[usize] = match name {
                    "forward" => &[0],
                    "reverse" => &[1],
                    _ => &[0, 1],
                };
                for way in ways {
                    let (source, target) = if *way == 0 { (&from, &to) } else { (&to, &from) };
                    let rule = if name == "symmetric" {
                        self.symmetric_rule(&rule, source, target, value, *way == 0)
                    } else {
                        self.rule(&rule, source, target, value)
                    };
                    let rules = directions[*way].get_or_insert_with(|| Rules { rules: Vec::new(), at: block.span() });
                    rules.rules.extend(rule.map(|rule| (rule, value)));
                }
            }
        }
        if self.findings.error_count() > errors {
            return None;
        }
        let [forward, reverse] = directions;
        if let Some(rules) = &forward {
            self.check_direction(rules, &from, &to);
        }
        if let Some(rules) = &reverse {
            self.check_direction(rules, &to, &from);
        }
        if self.findings.error_count() > errors {
            return None;
        }
        let bare = |rules: Option<Rules<'_>>| Some(rules?.rules.into_iter().map(|(rule, _)| rule).collect());
        Some(Mapping { forward: bare(forward), reverse: bare(reverse), from: from.end, to: to.end })
    }

    /// `from` or `to`: a property URN and an optional alias.
    fn mapping_end(&mut self, one: &Declared<'_>, name: &str, default_alias: &str) -> Option<End> {
        let argument = self.required(one.directive, name)?;
        let text = self.text_of(&argument.value)?;
        let mut words = text.split_whitespace();
        let (urn, alias) = (words.next().unwrap_or_default(), words.next().unwrap_or(default_alias));
        if words.next().is_some() || !is_alias(alias) {
            self.error(TDM2001, argument.value.span(), "expected a property's urn, a space and an alias");
            return None;
        }
        let mut urn_value = argument.value.clone();
        urn_value.kind = crate::syntax::ast::ValueKind::Name(SmolStr::new(urn));
        let property = self.reference(&urn_value, &[Metatype::Property])?;
        let ty = self.property_type(&property);
        Some(End { end: MappingEnd { property, alias: SmolStr::new(alias) }, ty })
    }

    /// The rules of a block: `map(expr)` children and `expr` arguments of the block itself.
    fn map_rules<'d>(&mut self, block: &'d Selection) -> Vec<(&'d Value, MapRule)> {
        let mut values = Vec::new();
        for argument in block.arguments.iter().flat_map(|arguments| &arguments.items) {
            if argument.name.is("expr") {
                values.push(&argument.value);
            } else {
                let message = format!("unknown argument `{}` is ignored", argument.name.text);
                self.warning(TDM3007, argument.name.span(), message);
            }
        }
        for child in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if !child.name.is("map") {
                self.error(TDM3016, child.span(), format!("expected `map`, found `{}`", child.name.text));
                continue;
            }
            self.known_arguments(child.arguments.as_ref(), &["expr", "description", "name"]);
            values.extend(self.required_of(child, "expr").map(|argument| &argument.value));
        }
        if values.is_empty() {
            self.error(TDM3006, block.span(), format!("the block `{}` has no rules", block.name.text));
        }
        if values.len() > MAX_RULES {
            self.error(TDM1005, block.span(), format!("more than {MAX_RULES} rules"));
            return Vec::new();
        }
        let parsed = values.into_iter();
        parsed.filter_map(|value| Some((value, self.parse_text(value, marram_expr::parse_map_rule)?))).collect()
    }

    /// A rule of a `symmetric` block in one direction: both sides are bare paths, written in either order.
    fn symmetric_rule(
        &mut self,
        rule: &MapRule,
        source: &End,
        target: &End,
        at: &Value,
        reports: bool,
    ) -> Option<MappingRule> {
        for (one, other) in [(&rule.left, &rule.right), (&rule.right, &rule.left)] {
            if let (Some(_), Some(path)) = (source.path(one), target.path(other)) {
                return Some(MappingRule::Field { source: one.clone(), target: path, conversion: Conversion::Coerce });
            }
        }
        if reports {
            self.error(TDM3019, at.span(), "a symmetric rule has a path of one end on each side");
        }
        None
    }

    fn rule(&mut self, rule: &MapRule, source: &End, target: &End, at: &Value) -> Option<MappingRule> {
        let source_type = self.value_type(&source.end.property, false);
        let mut scope = Scope::empty().with(&source.end.alias, source_type.clone()).with_short_math();
        if let Some(DataType::Enum(members)) = source.ty.as_ref().map(|ty| &ty.data_type) {
            let all = members.members.iter().map(|member| (member.name.clone(), source_type.clone())).collect();
            let names = members.members.iter();
            scope = names.fold(scope, |scope, member| scope.with(&member.name, source_type.clone()));
            scope = scope.with(&members.name, Type::Record(Arc::new(all)));
        }
        let errors = self.findings.error_count();
        self.check_expr(&rule.left, &scope, at, TDM3019);
        if self.findings.error_count() > errors {
            return None;
        }
        let is_null = matches!(rule.right.kind, ExprKind::Literal(ExprValue::Null));
        if is_null && let Some(path) = source.path(&rule.left).filter(|path| !path.is_empty()) {
            return Some(MappingRule::Skip { source: path });
        }
        if let Some(path) = target.path(&rule.right) {
            let source = rule.left.clone();
            return Some(MappingRule::Field { source, target: path, conversion: Conversion::Coerce });
        }
        if !self.is_constant_of(&rule.right, target) {
            let message =
                format!("expected a path of `{}` or a constant of `{}`", target.end.alias, target.end.property);
            self.error(TDM3019, at.span(), message);
            return None;
        }
        if source.is_complex() || target.is_complex() {
            self.error(TDM3019, at.span(), "a constant needs simple properties at both ends");
            return None;
        }
        Some(MappingRule::Value { guard: rule.left.clone(), value: rule.right.clone() })
    }

    fn is_constant_of(&self, expr: &Expr, target: &End) -> bool {
        let Some(ty) = &target.ty else { return true };
        if let DataType::Enum(members) = &ty.data_type
            && enum_member(expr, members).is_some()
        {
            return true;
        }
        literal(expr).is_some_and(|value| value.is_null() || ty.coerce(&value).is_ok())
    }

    // ---- completeness of one direction

    fn check_direction(&mut self, rules: &Rules<'_>, source: &End, target: &End) {
        let values = rules.rules.iter().filter(|(rule, _)| matches!(rule, MappingRule::Value { .. })).count();
        if values == rules.rules.len() {
            self.check_guards(rules, source);
        } else if values > 0 {
            let message = "a direction has either constants or paths on the right, not both";
            self.error(TDM3019, rules.at, message);
        } else {
            self.check_targets(rules, target);
            self.check_sources(rules, source);
        }
    }

    /// Value rules: the guards' sets cover the domain and do not meet.
    fn check_guards(&mut self, rules: &Rules<'_>, source: &End) {
        let Some(ty) = &source.ty else { return };
        let Some(domain) = Domain::of(ty) else {
            let message = format!("not provable that the rules cover `{}` exactly once", source.end.property);
            self.warning(TDM3012, rules.at, message);
            return;
        };
        let mut covered: Vec<(crate::mapping::guard::Set, Span)> = Vec::new();
        let mut is_provable = true;
        for (rule, at) in &rules.rules {
            let MappingRule::Value { guard, .. } = rule else { continue };
            let Some(set) = domain.set(guard, &source.end.alias) else {
                self.warning(
                    TDM3012,
                    at.span(),
                    "not provable: the guard is no comparison of the source with constants",
                );
                is_provable = false;
                continue;
            };
            for (earlier, first) in &covered {
                if let Some(both) = set.intersection(earlier).first() {
                    let message = format!("the value {} satisfies two rules", domain.show(both));
                    self.findings.push(twice(TDM3013, at.span(), message, *first));
                    break;
                }
            }
            covered.push((set, at.span()));
        }
        let none = domain.all.complement(&domain.all);
        let union = covered.iter().fold(none, |union, (set, _)| union.union(set));
        if let Some(missing) = union.complement(&domain.all).first().filter(|_| is_provable) {
            let message = format!("no rule is for the value {} of `{}`", domain.show(missing), source.end.property);
            self.error(TDM3012, rules.at, message);
        }
    }

    /// Field rules: every target field exactly once.
    fn check_targets(&mut self, rules: &Rules<'_>, target: &End) {
        let Some(ty) = &target.ty else { return };
        let mut assigned: BTreeMap<String, Span> = BTreeMap::new();
        for (rule, at) in &rules.rules {
            let MappingRule::Field { target: path, .. } = rule else { continue };
            if !path.is_empty() && field_of(ty, path).is_none() {
                let message = format!("`{}` has no field `{}`", target.end.property, path.join("."));
                self.error(TDM3019, at.span(), message);
                continue;
            }
            let key = path.join(".").to_lowercase();
            let clash = assigned.iter().find(|(known, _)| covers(known, &key) || covers(&key, known));
            if let Some((_, first)) = clash {
                let message = format!("`{}` is assigned twice", show_path(&target.end.alias, path));
                self.findings.push(twice(TDM3013, at.span(), message, *first));
            }
            assigned.insert(key, at.span());
        }
        if assigned.contains_key("") {
            return;
        }
        match &ty.data_type {
            DataType::Complex(complex) => {
                for field in &complex.fields {
                    let name = field.name.to_lowercase();
                    let is_assigned = assigned.keys().any(|path| path.split('.').next() == Some(name.as_str()));
                    if !is_assigned && field.expr.is_none() {
                        let message = format!("no rule assigns `{}.{}`", target.end.alias, field.name);
                        self.error(TDM3014, rules.at, message);
                    }
                }
            }
            _ => self.error(TDM3014, rules.at, format!("no rule assigns `{}`", target.end.alias)),
        }
    }

    /// Field rules: every source field used or skipped.
    fn check_sources(&mut self, rules: &Rules<'_>, source: &End) {
        let Some(DataType::Complex(complex)) = source.ty.as_ref().map(|ty| &ty.data_type) else { return };
        let mut used: Vec<String> = Vec::new();
        for (rule, at) in &rules.rules {
            match rule {
                MappingRule::Skip { source: path } => {
                    if complex.field(&path[0]).is_none() {
                        let message = format!("`{}` has no field `{}`", source.end.property, path[0]);
                        self.error(TDM3019, at.span(), message);
                    }
                    used.push(path[0].to_lowercase());
                }
                MappingRule::Field { source: expr, .. } => collect_fields(expr, &source.end.alias, &mut used),
                MappingRule::Value { .. } => {}
            }
        }
        if used.iter().any(String::is_empty) {
            return;
        }
        for field in &complex.fields {
            if !used.contains(&field.name.to_lowercase()) {
                let message = format!("no rule uses `{}.{}`", source.end.alias, field.name);
                let help = format!("drop it with map(expr: \"{}.{} => NULL\")", source.end.alias, field.name);
                self.findings.push(marram_diag::Diagnostic::error(TDM3014, rules.at, message).help(help));
            }
        }
    }

    // ---- the graph

    /// Two mappings for one directed edge are TDM3013; then the conversions of field rules are chosen.
    pub fn link_mappings(&mut self, declared: &[Declared<'_>])
    where
        Self: Sized,
    {
        let mut edges: BTreeMap<(Urn, Urn), Urn> = BTreeMap::new();
        let mut all: Vec<_> = self.source.mappings();
        all.retain(|entity| !self.declared.contains_key(&entity.id));
        all.extend(self.built.mappings().cloned());
        for entity in all.iter() {
            let EntityKind::Mapping(mapping) = &entity.kind else { continue };
            for direction in [Direction::Forward, Direction::Reverse] {
                if mapping.rules(direction).is_none() {
                    continue;
                }
                let (from, to) = mapping.ends(direction);
                let edge = (from.property.clone(), to.property.clone());
                let Some(first) = edges.get(&edge).filter(|first| first.is_public() == entity.id.is_public()).cloned()
                else {
                    edges.insert(edge, entity.id.clone());
                    continue;
                };
                let place = declared.iter().find(|one| one.id == entity.id || one.id == first);
                if let Some(place) = place {
                    let message = format!("`{first}` and `{}` both map `{}` to `{}`", entity.id, edge.0, edge.1);
                    self.findings.set_source(place.source);
                    self.findings.set_entity(Some(place.id.to_string()));
                    self.error(TDM3013, place.definition.name.span(), message);
                }
            }
        }
        let graph = crate::mapping::ConversionGraph::new(all.iter());
        for one in declared.iter().filter(|one| one.id.metatype() == Metatype::Mapping) {
            let Some(entity) = self.built.get(&one.id).cloned() else { continue };
            let EntityKind::Mapping(mapping) = &entity.kind else { continue };
            self.findings.set_source(one.source);
            self.findings.set_entity(Some(one.id.to_string()));
            let mut mapping = mapping.clone();
            let (from, to) = (mapping.from.clone(), mapping.to.clone());
            let forward = mapping.forward.as_mut();
            let forward_ok = forward.is_none_or(|rules| self.choose(rules, &from, &to, &graph, one));
            let reverse = mapping.reverse.as_mut();
            let reverse_ok = reverse.is_none_or(|rules| self.choose(rules, &to, &from, &graph, one));
            if forward_ok && reverse_ok {
                let mut linked = crate::model::Entity::clone(&entity);
                linked.kind = EntityKind::Mapping(mapping);
                self.built.insert(Arc::new(linked));
            }
        }
    }

    /// Chooses the conversion of each field rule; answers whether all exist.
    fn choose(
        &mut self,
        rules: &mut [MappingRule],
        source: &MappingEnd,
        target: &MappingEnd,
        graph: &crate::mapping::ConversionGraph,
        one: &Declared<'_>,
    ) -> bool {
        let mut all_exist = true;
        for rule in rules {
            let MappingRule::Field { source: expr, target: path, conversion } = rule else { continue };
            let Some(names) = expr.as_name_path() else { continue };
            let below: Vec<SmolStr> = names[1..].iter().map(SmolStr::new).collect();
            let (Some(from), Some(to)) =
                (self.field_property(&source.property, &below), self.field_property(&target.property, path))
            else {
                continue;
            };
            // the whole to the whole is what this very mapping is for
            if from == source.property && to == target.property {
                continue;
            }
            match graph.plan(&from, &to, &|id| self.entity(id)) {
                Ok(planned) => *conversion = planned.conversion,
                Err(error) => {
                    self.error(TDM3019, one.definition.name.span(), error.to_string());
                    all_exist = false;
                }
            }
        }
        all_exist
    }

    /// The property of a path of fields below `property`.
    pub fn field_property(&self, property: &Urn, path: &[SmolStr]) -> Option<Urn> {
        let mut at = self.entity(property)?.id.clone();
        for name in path {
            let entity = self.entity(&at)?;
            let EntityKind::Property(property) = &entity.kind else { return None };
            let state = match &property.shape {
                PropertyShape::Complex(state) => self.entity(state)?,
                _ if name.eq_ignore_ascii_case("value") => continue,
                _ => return None,
            };
            let EntityKind::State(state) = &state.kind else { return None };
            let field = state.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            at = field.property.clone();
        }
        Some(at)
    }
}

fn is_alias(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn show_path(alias: &str, path: &[SmolStr]) -> String {
    if path.is_empty() { alias.to_owned() } else { format!("{alias}.{}", path.join(".")) }
}

/// Whether the dotted path `outer` is `inner` or contains it.
fn covers(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn field_of(ty: &PropertyType, path: &[SmolStr]) -> Option<Arc<PropertyType>> {
    let DataType::Complex(complex) = &ty.data_type else { return None };
    let (name, rest) = path.split_first()?;
    let field = complex.field(name)?;
    if rest.is_empty() { Some(field.property.clone()) } else { field_of(&field.property, rest) }
}

/// First fields below `alias` that `expr` reads, lower-case; the empty name for the alias alone.
fn collect_fields(expr: &Expr, alias: &str, into: &mut Vec<String>) {
    let mut below = Vec::new();
    expr.walk(&mut |inner| match &inner.kind {
        ExprKind::Path { base, steps } => {
            if let (ExprKind::Name(root), Some(marram_expr::Step::Field(name))) = (&base.kind, steps.first())
                && root.eq_ignore_ascii_case(alias)
            {
                below.push(&raw const **base);
                into.push(name.to_lowercase());
            }
        }
        ExprKind::Name(root) if root.eq_ignore_ascii_case(alias) && !below.contains(&(&raw const *inner)) => {
            into.push(String::new());
        }
        _ => {}
    });
}

/// The value of a literal, with its sign.
pub(crate) fn literal(expr: &Expr) -> Option<ExprValue> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        ExprKind::Unary { op: UnaryOp::Negate, .. } => {
            let scope = marram_expr::MapScope::new();
            marram_expr::eval(expr, &scope).ok().map(std::borrow::Cow::into_owned)
        }
        _ => None,
    }
}
