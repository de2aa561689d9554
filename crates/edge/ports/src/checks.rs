//! What the parts of a core find wrong with themselves, for `marram-core doctor`, and what sandboxes learned.

use serde_json::Value;

use crate::PortError;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but not as it should.
    Warning,
    /// Does not work.
    Error,
}

impl Severity {
    /// The word of the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Finding {
    /// A finding.
    pub fn new(severity: Severity, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity, what: what.into(), advice: advice.into() }
    }
}

/// Parts that can be asked.
pub trait Checks: Send + Sync {
    /// Everything that is found now.
    fn findings(&self) -> Vec<Finding>;
}

/// What components did within their sandboxes, and what they would need (SEC-139).
pub trait Sandboxes: Send + Sync {
    /// What the component used of its network, what it was refused, and the declaration that would have allowed it.
    ///
    /// # Errors
    /// There is no such component, or its sandbox cannot be made.
    fn learned(&self, component: &str) -> Result<Value, PortError>;
}
