//! Mappings between properties (TG section 5).

use marram_expr::Expr;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Urn;

/// Rules that turn values of one property into values of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// The `from` end.
    pub from: MappingEnd,
    /// The `to` end.
    pub to: MappingEnd,
    /// Rules from -> to, symmetric ones included; `None`: that direction does not exist.
    pub forward: Option<Vec<MappingRule>>,
    /// Rules to -> from, symmetric ones included.
    pub reverse: Option<Vec<MappingRule>>,
}

/// One end of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingEnd {
    /// The property.
    pub property: Urn,
    /// Its name in the rules.
    pub alias: SmolStr,
}

/// Which way a mapping is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// From `from` to `to`.
    Forward,
    /// From `to` to `from`.
    Reverse,
}

impl Mapping {
    /// The rules of one direction.
    pub fn rules(&self, direction: Direction) -> Option<&[MappingRule]> {
        match direction {
            Direction::Forward => self.forward.as_deref(),
            Direction::Reverse => self.reverse.as_deref(),
        }
    }

    /// Source and target of one direction.
    pub fn ends(&self, direction: Direction) -> (&MappingEnd, &MappingEnd) {
        match direction {
            Direction::Forward => (&self.from, &self.to),
            Direction::Reverse => (&self.to, &self.from),
        }
    }
}

/// One rule in one direction (TG 5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MappingRule {
    /// If `guard` holds for the source, the target is `value`.
    Value {
        /// Boolean over the source alias.
        guard: Expr,
        /// Literal, enum member or null.
        value: Expr,
    },
    /// The target, or one field of it, is `source`.
    Field {
        /// Expression over the source alias.
        source: Expr,
        /// Field names below the target alias; empty: the whole target.
        target: Vec<SmolStr>,
        /// Conversion of the value from its property to the field's.
        conversion: super::Conversion,
    },
    /// The source field is consumed and dropped.
    Skip {
        /// Field names below the source alias.
        source: Vec<SmolStr>,
    },
}
