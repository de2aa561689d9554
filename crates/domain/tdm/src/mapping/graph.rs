//! The graph of mappings and the choice of a conversion (TG 5.4, 5.5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::{Conversion, Direction, Entity, EntityKind, FieldConversion, MappingHop, Primitive, Property};
use crate::model::{PropertyShape, Urn};

/// Most mappings in a chain.
pub const MAX_CHAIN: usize = 4;
/// Deepest field-wise conversion of complex values inside complex values.
const MAX_FIELD_DEPTH: usize = 16;

/// Edges one graph looks at in its life, about a second's work. A graph serves one check run; past it no further chain
/// is found. Honest documents need a thousandth of it.
const MAX_WORK: usize = 20_000_000;

/// Directed edges between properties, one per direction of each mapping.
#[derive(Debug, Default)]
pub struct ConversionGraph {
    edges: BTreeMap<Urn, Vec<Edge>>,
    targets: BTreeSet<Urn>,
    work: AtomicUsize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    is_public: bool,
    mapping: Urn,
    direction: Direction,
    to: Urn,
}

/// A chosen conversion and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The conversion.
    pub conversion: Conversion,
    /// A reason to look again.
    pub warning: Option<String>,
}

/// No conversion exists (TDM3019).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no conversion from `{from}` to `{to}`")]
pub struct PlanError {
    /// Property of the value.
    pub from: Urn,
    /// Property needed.
    pub to: Urn,
}

type Lookup<'l> = &'l dyn Fn(&Urn) -> Option<Arc<Entity>>;

impl ConversionGraph {
    /// The graph of these mappings; other entities are passed over.
    pub fn new<'e>(mappings: impl IntoIterator<Item = &'e Arc<Entity>>) -> Self {
        let mut graph = ConversionGraph::default();
        for entity in mappings {
            let EntityKind::Mapping(mapping) = &entity.kind else { continue };
            for direction in [Direction::Forward, Direction::Reverse] {
                if mapping.rules(direction).is_some() {
                    let (from, to) = mapping.ends(direction);
                    graph.add(&entity.id, direction, &from.property, &to.property);
                }
            }
        }
        graph
    }

    /// Adds one direction of a mapping.
    pub(crate) fn add(&mut self, mapping: &Urn, direction: Direction, from: &Urn, to: &Urn) {
        let edge = Edge { is_public: mapping.is_public(), mapping: mapping.clone(), direction, to: to.clone() };
        self.targets.insert(to.clone());
        let edges = self.edges.entry(from.clone()).or_default();
        let at = edges.partition_point(|known| *known < edge);
        edges.insert(at, edge);
    }

    /// Shortest chain from `from`, or an ancestor of it, to `to`. Ties go to private mappings, then to the lower URN.
    fn chain(&self, from: &Urn, to: &Urn) -> Option<Vec<MappingHop>> {
        if !self.targets.contains(to) {
            return None;
        }
        let mut level: BTreeMap<&Urn, Vec<&Edge>> = BTreeMap::new();
        let ancestors: Vec<Urn> = std::iter::successors(Some(from.clone()), Urn::parent).collect();
        let starts = ancestors.iter().filter_map(|start| self.edges.get_key_value(start));
        level.extend(starts.map(|(start, _)| (start, Vec::new())));
        let mut seen: BTreeSet<&Urn> = level.keys().copied().collect();
        for _ in 0..MAX_CHAIN {
            let mut next: BTreeMap<&Urn, Vec<&Edge>> = BTreeMap::new();
            let edges = level.keys().filter_map(|at| self.edges.get(*at)).map(Vec::len).sum::<usize>();
            if self.work.fetch_add(edges, Ordering::Relaxed) > MAX_WORK {
                return None;
            }
            for (at, path) in &level {
                for edge in self.edges.get(*at).into_iter().flatten().filter(|edge| !seen.contains(&edge.to)) {
                    let mut longer = path.clone();
                    longer.push(edge);
                    match next.get(&edge.to) {
                        Some(known) if *known <= longer => {}
                        _ => {
                            next.insert(&edge.to, longer);
                        }
                    }
                }
            }
            if let Some(path) = next.get(to) {
                let hop = |edge: &&Edge| MappingHop { mapping: edge.mapping.clone(), direction: edge.direction };
                return Some(path.iter().map(hop).collect());
            }
            seen.extend(next.keys().copied());
            level = next;
        }
        None
    }

    /// How a value of `from` becomes one of `to`.
    pub fn plan(
        &self,
        from: &Urn,
        to: &Urn,
        lookup: &dyn Fn(&Urn) -> Option<Arc<Entity>>,
    ) -> Result<Planned, PlanError> {
        self.plan_at(from, to, lookup, 0)
    }

    fn plan_at(&self, from: &Urn, to: &Urn, lookup: Lookup<'_>, depth: usize) -> Result<Planned, PlanError> {
        let silent = |conversion| Ok(Planned { conversion, warning: None });
        let refuse = || PlanError { from: from.clone(), to: to.clone() };
        if from == to {
            return silent(Conversion::Coerce);
        }
        let (Some((from, source)), Some((to, target))) = (property(lookup, from), property(lookup, to)) else {
            return Err(refuse());
        };
        // an alternate id stands for the property it belongs to
        let (from, to) = (&from, &to);
        if from == to {
            return silent(Conversion::Coerce);
        }
        let is_json = |property: &Property| property.shape == PropertyShape::Primitive(Primitive::Json);
        let is_ancestor = from.is_a(to) && (target.is_abstract || target.shape == source.shape);
        if is_json(&source) || is_json(&target) || is_ancestor {
            return silent(Conversion::Coerce);
        }
        if let Some(hops) = self.chain(from, to) {
            return silent(Conversion::Mappings(hops));
        }
        match (&source.shape, &target.shape) {
            (PropertyShape::Complex(source_state), PropertyShape::Complex(target_state)) => {
                if depth >= MAX_FIELD_DEPTH {
                    return Err(refuse());
                }
                let fields = self.field_wise(source_state, target_state, lookup, depth).ok_or_else(refuse)?;
                silent(Conversion::Fields(fields))
            }
            (PropertyShape::Complex(_) | PropertyShape::Abstract, _)
            | (_, PropertyShape::Complex(_) | PropertyShape::Abstract) => Err(refuse()),
            (one, other) => {
                let is_one_built_in = is_built_in(from) || is_built_in(to);
                if !is_one_built_in && one != other {
                    return Err(refuse());
                }
                let differs = source.uom.is_some() && target.uom.is_some() && source.uom != target.uom;
                let warning = if differs {
                    Some(format!("`{from}` and `{to}` have different units and no mapping between them"))
                } else {
                    (!is_one_built_in).then(|| format!("`{from}` is used as `{to}` although no mapping connects them"))
                };
                Ok(Planned { conversion: Conversion::Coerce, warning })
            }
        }
    }

    /// Field by field, if every required field of the target is covered.
    fn field_wise(&self, from: &Urn, to: &Urn, lookup: Lookup<'_>, depth: usize) -> Option<Vec<FieldConversion>> {
        let (source, target) = (lookup(from)?, lookup(to)?);
        let (EntityKind::State(source), EntityKind::State(target)) = (&source.kind, &target.kind) else { return None };
        let mut fields = Vec::new();
        for field in &target.fields {
            let same = source.fields.iter().find(|known| known.name.eq_ignore_ascii_case(&field.name));
            let planned = same
                .filter(|same| same.is_list == field.is_list)
                .and_then(|same| self.plan_at(&same.property, &field.property, lookup, depth + 1).ok());
            match planned {
                Some(planned) => {
                    fields.push(FieldConversion { field: field.name.clone(), conversion: planned.conversion });
                }
                None if field.is_required && field.default.is_none() => return None,
                None => {}
            }
        }
        (!fields.is_empty() || target.fields.is_empty()).then_some(fields)
    }
}

fn property(lookup: Lookup<'_>, id: &Urn) -> Option<(Urn, Property)> {
    let entity = lookup(id)?;
    match &entity.kind {
        EntityKind::Property(property) => Some((entity.id.clone(), property.clone())),
        _ => None,
    }
}

/// `urn:tdm:aws:Property:<built-in type>`.
pub(crate) fn is_built_in(id: &Urn) -> bool {
    id.namespace().eq_ignore_ascii_case("aws") && Primitive::parse(id.path()).is_some()
}
