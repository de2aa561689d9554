//! Shadows that do not agree and will not by themselves: a person has to change something, so a person is told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use marram_edge_ports::DataPlaneError;
use marram_shadow::TopicBase;
use marram_types::Timestamp;

use crate::sync::round::RoundError;

/// A shadow whose sides stay apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// `thing`, or `thing/name` of a named one.
    pub shadow: String,
    /// The first try that was refused.
    pub since: Timestamp,
    /// What the last one was refused for.
    pub why: String,
    /// Its sides together are more than the control plane takes.
    pub is_too_large: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    apart: Mutex<BTreeMap<String, (TopicBase, Apart)>>,
}

impl Ledger {
    /// A round ended with `error`; one that passes by itself says nothing new.
    pub(crate) fn refused(&self, id: &TopicBase, error: &RoundError, now: Timestamp) {
        let is_too_large = matches!(error, RoundError::TooLarge { .. });
        let is_lasting = match error {
            RoundError::TooLarge { .. } | RoundError::Here(_) => true,
            // What the control plane denies is told once for all shadows, with its rights.
            RoundError::Cloud(DataPlaneError::Answered { status: 403, .. }) => false,
            RoundError::Cloud(error) => matches!(error, DataPlaneError::Answered { .. }) && !error.is_retryable(),
            RoundError::Busy | RoundError::Answer => false,
        };
        if !is_lasting {
            return;
        }
        let shadow = shown(id);
        let mut all = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        let since = all.get(&shadow).map_or(now, |(_, before)| before.since);
        let apart = Apart { shadow: shadow.clone(), since, why: error.to_string(), is_too_large };
        all.insert(shadow, (id.clone(), apart));
    }

    /// The sides agree.
    pub(crate) fn agreed(&self, id: &TopicBase) {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner).remove(&shown(id));
    }

    /// Keeps those that are still synchronised.
    pub(crate) fn retain(&self, is_wanted: impl Fn(&TopicBase) -> bool) {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (id, _)| is_wanted(id));
    }

    pub(crate) fn all(&self) -> Vec<Apart> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(_, apart)| apart.clone()).collect()
    }
}

fn shown(id: &TopicBase) -> String {
    match &id.name {
        None => id.thing.to_string(),
        Some(name) => format!("{}/{name}", id.thing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> RoundError {
        RoundError::Cloud(DataPlaneError::Answered { status, code: "X".to_owned(), message: "no".to_owned() })
    }

    /// What passes by itself is not told, and does not take back what was; what stays is told since it began.
    #[test]
    fn what_needs_a_person_is_told_since_it_began() {
        let id = |name: &str| TopicBase { thing: "pump".parse().unwrap(), name: Some(name.parse().unwrap()) };
        let ledger = Ledger::default();
        let told = || ledger.all().into_iter().map(|one| (one.shadow, one.since.as_secs())).collect::<Vec<_>>();
        for passing in [answered(403), answered(429), answered(503), RoundError::Busy] {
            ledger.refused(&id("a"), &passing, Timestamp::from_secs(1));
            assert_eq!(told(), []);
        }
        ledger.refused(&id("a"), &RoundError::TooLarge { here: 1, there: 2, together: 3 }, Timestamp::from_secs(2));
        ledger.refused(&id("a"), &RoundError::Busy, Timestamp::from_secs(3));
        ledger.refused(&id("a"), &answered(400), Timestamp::from_secs(4));
        ledger.refused(&id("b"), &answered(400), Timestamp::from_secs(5));
        assert_eq!(told(), [("pump/a".to_owned(), 2), ("pump/b".to_owned(), 5)]);
        assert!(!ledger.all()[0].is_too_large, "the last reason");
        ledger.agreed(&id("a"));
        assert_eq!(told(), [("pump/b".to_owned(), 5)]);
        ledger.retain(|_| false);
        assert_eq!(told(), []);
    }
}
