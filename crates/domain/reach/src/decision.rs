//! The word of the component, the word of its core, and what follows from both.

use serde_json::Value;

use crate::policy::{Policy, PolicyError, wrong};

/// What a component may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everything the host can.
    Open,
    /// Nothing but local sockets.
    Nothing,
    /// What is declared; it does not start where that cannot be enforced.
    Held(Policy),
}

/// What was said about the network of a component.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'a> {
    /// The profile in force is `off`.
    pub is_off: bool,
    /// `marram.sandbox.network`; without it the word of the profile.
    pub network: Option<bool>,
    /// Whether the profile in force leaves the network open.
    pub is_open: bool,
    /// `marram.sandbox.egress` of the component.
    pub egress: Option<&'a Value>,
    /// `marram.sandbox.egress` of the core: `declared`, `learn`, or a list that no declaration may go beyond.
    pub core: Option<&'a Value>,
}

/// Why a component must not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// Its own declaration.
    #[error("{0}")]
    Component(PolicyError),
    /// The core's.
    #[error("of the nucleus: {0}; or write \"declared\" or \"learn\"")]
    Core(PolicyError),
}

impl Words<'_> {
    /// What the component may connect to.
    ///
    /// # Errors
    /// [`ReachError`]: a declaration that cannot be read, that nothing would hold, or that goes beyond what the core allows.
    pub fn decide(self) -> Result<Reach, ReachError> {
        let refused = |what: &str, remedy| Err(ReachError::Component(wrong("", what, remedy)));
        if self.is_off {
            return match self.egress {
                Some(_) => refused(
                    "the sandbox profile is off, nothing would hold the component to it",
                    "give it the profile standard or strict, or take the declaration away",
                ),
                None => Ok(Reach::Open),
            };
        }
        if self.egress.is_some() && self.network == Some(false) {
            return refused("marram.sandbox.network is false", "take one of them away");
        }
        if self.egress.is_none() && !self.network.unwrap_or(self.is_open) {
            return Ok(Reach::Nothing);
        }
        let asked = self.egress.map(Policy::parse).transpose().map_err(ReachError::Component)?;
        let Some(core) = self.core else { return Ok(asked.map_or(Reach::Open, Reach::Held)) };
        match Ceiling::parse(core).map_err(ReachError::Core)? {
            Ceiling::Learn => Ok(Reach::Held(asked.unwrap_or(Policy { learn: true, ..Policy::default() }))),
            Ceiling::Declared if asked.as_ref().is_some_and(|asked| asked.learn) => refused(
                "this core opens its network to no component, not even to learn",
                "set marram.sandbox.egress of the nucleus to \"learn\" meanwhile",
            ),
            Ceiling::Declared => Ok(Reach::Held(asked.unwrap_or_default())),
            Ceiling::AtMost(ceiling) => {
                let asked = asked.unwrap_or_default();
                asked.within(&ceiling).map_err(ReachError::Component)?;
                Ok(Reach::Held(asked))
            }
        }
    }
}

/// The word of a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ceiling {
    /// What is not declared is closed, nobody learns.
    Declared,
    /// Who declares nothing learns.
    Learn,
    /// No declaration goes beyond this.
    AtMost(Policy),
}

impl Ceiling {
    /// Reads `marram.sandbox.egress` of a nucleus.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(value: &Value) -> Result<Self, PolicyError> {
        if value.as_str().is_some_and(|word| word.eq_ignore_ascii_case("declared")) {
            return Ok(Self::Declared);
        }
        let policy = Policy::parse(value)?;
        Ok(if policy.learn { Self::Learn } else { Self::AtMost(policy) })
    }
}
