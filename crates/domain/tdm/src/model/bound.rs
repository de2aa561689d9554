//! Bounds of numeric properties (TG 3.1).

use serde::{Deserialize, Serialize};

/// An inclusive bound of a numeric property, exact over all integer types.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bound {
    /// A bound that fits `i64`.
    Signed(i64),
    /// A bound above `i64::MAX`.
    Unsigned(u64),
    /// A bound with a fraction or of a floating type.
    Float(f64),
}

impl Bound {
    /// An integer bound; `None` outside `i64::MIN..=u64::MAX`.
    pub fn integer(value: i128) -> Option<Self> {
        i64::try_from(value).map(Bound::Signed).ok().or_else(|| u64::try_from(value).map(Bound::Unsigned).ok())
    }

    /// The exact integer, when it is one.
    pub fn as_integer(self) -> Option<i128> {
        match self {
            Bound::Signed(value) => Some(value.into()),
            Bound::Unsigned(value) => Some(value.into()),
            Bound::Float(_) => None,
        }
    }

    /// The nearest float.
    #[allow(clippy::cast_precision_loss)] // what "nearest" means
    pub fn as_f64(self) -> f64 {
        match self {
            Bound::Signed(value) => value as f64,
            Bound::Unsigned(value) => value as f64,
            Bound::Float(value) => value,
        }
    }
}
