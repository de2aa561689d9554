//! What a component used of its network, and what it was refused (SEC-139).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use smol_str::SmolStr;

use marram_reach::Policy;

/// Places of one component that are counted one by one.
const PLACES_MAX: usize = 512;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Connected.
    Allowed,
    /// Allowed, but the host did not answer.
    Failed,
    /// No name of the declaration.
    UnknownName,
    /// No host and port of the declaration.
    Undeclared,
    /// Declared with `tls: required`, and not TLS, or TLS for somebody else.
    NotTls,
    /// The name leads to the host's own loopback, or to a place that no name may lead to.
    Inward,
    /// UDP.
    Datagram,
}

impl Outcome {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "connected",
            Self::Failed => "the host does not answer",
            Self::UnknownName => "the name is not declared",
            Self::Undeclared => "host and port are not declared",
            Self::NotTls => "declared with tls: required, and this is not TLS for that host",
            Self::Inward => {
                "the name leads to an address of this machine or its link: declare localhost, or the address"
            }
            Self::Datagram => "UDP is not forwarded",
        }
    }

    fn is_refusal(self) -> bool {
        !matches!(self, Self::Allowed | Self::Failed)
    }
}

/// What is counted for one host and port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Connections made.
    pub allowed: u64,
    /// Attempts refused.
    pub refused: u64,
    /// Connections that the host did not take.
    pub failed: u64,
    /// The last one was TLS for this host.
    pub tls: bool,
    /// Why the last refusal.
    pub reason: Option<&'static str>,
    /// Only UDP was tried.
    pub is_udp: bool,
}

/// Called for a refusal the first time, and whenever their number has doubled: component, `host:port`, why, how often.
pub type Watcher = Box<dyn Fn(&str, &str, u64) + Send + Sync>;

/// Counts of one component since the core started.
pub struct Ledger {
    places: Mutex<BTreeMap<(SmolStr, u16), Entry>>,
    watcher: Watcher,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// An empty one.
    pub fn new(watcher: Watcher) -> Self {
        Self { places: Mutex::default(), watcher }
    }

    /// An attempt at `host` ended. Port 0: it is not known.
    pub(crate) fn note(&self, host: &str, port: u16, outcome: Outcome) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (SmolStr::from(host), port);
        // One that asks for many names does not make the core grow; what comes later is counted together.
        let key = if places.len() < PLACES_MAX || places.contains_key(&key) { key } else { ("others".into(), 0) };
        let entry = places.entry(key.clone()).or_default();
        match outcome {
            Outcome::Allowed => entry.allowed += 1,
            Outcome::Failed => entry.failed += 1,
            _ => entry.refused += 1,
        }
        if outcome.is_refusal() {
            entry.reason = Some(outcome.as_str());
            entry.is_udp = outcome == Outcome::Datagram;
            let count = entry.refused;
            drop(places);
            if count.is_power_of_two() {
                (self.watcher)(&place(&key.0, port), outcome.as_str(), count);
            }
        }
    }

    /// A connection showed itself as TLS for its host.
    pub(crate) fn note_tls(&self, host: &str, port: u16) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = places.get_mut(&(SmolStr::from(host), port)) {
            entry.tls = true;
        }
    }

    /// Everything counted, by host and port; port 0 is one that is not known.
    pub fn entries(&self) -> Vec<(SmolStr, u16, Entry)> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().map(|((host, port), entry)| (host.clone(), *port, entry.clone())).collect()
    }

    /// The declaration that would have allowed everything that was tried: that of `policy`, and what is missing. Beside it the
    /// names whose ports are not known.
    pub fn proposal(&self, policy: &Policy) -> (Vec<Value>, Vec<SmolStr>) {
        let mut rules: Vec<Value> =
            if policy.learn { Vec::new() } else { policy.to_value().as_array().cloned().unwrap_or_default() };
        let mut portless = Vec::new();
        let entries = self.entries();
        for (host, port, entry) in &entries {
            let is_missing = policy.learn || entry.refused > 0;
            if !is_missing || entry.is_udp || host == "others" {
                continue;
            }
            if *port == 0 {
                if !entries.iter().any(|(other, port, _)| other == host && *port != 0) {
                    portless.push(host.clone());
                }
                continue;
            }
            let declared = host.parse().map_or_else(|_| policy.of_name(host, *port), |ip| policy.of_address(ip, *port));
            if policy.learn || declared.is_none() {
                let mut rule = json!({"host": host, "port": port});
                if entry.tls {
                    rule["tls"] = json!("required");
                }
                rules.push(rule);
            }
        }
        (rules, portless)
    }
}

/// `host:port` as people write it.
pub(crate) fn place(host: &str, port: u16) -> String {
    match port {
        0 => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// SEC-139: refusals are told as they double, kept within bounds, and lead to a proposal.
    #[test]
    fn what_was_tried_leads_to_a_proposal() {
        let told = Arc::new(AtomicU64::new(0));
        let teller = Arc::clone(&told);
        let ledger = Ledger::new(Box::new(move |_, _, _| {
            teller.fetch_add(1, Ordering::Relaxed);
        }));
        for _ in 0..9 {
            ledger.note("10.0.0.9", 22, Outcome::Undeclared);
        }
        assert_eq!(told.load(Ordering::Relaxed), 4);
        ledger.note("a.b", 443, Outcome::Allowed);
        ledger.note_tls("a.b", 443);
        ledger.note("c.d", 0, Outcome::UnknownName);
        ledger.note("8.8.8.8", 53, Outcome::Datagram);
        ledger.note("a.b", 80, Outcome::NotTls);
        let declared = json!([{"host": "a.b", "port": 443}, {"host": "a.b", "port": 80, "tls": "required"}]);
        let policy = Policy::parse(&declared).unwrap();
        let (rules, portless) = ledger.proposal(&policy);
        assert_eq!(rules[2..], [json!({"host": "10.0.0.9", "port": 22})]);
        assert_eq!((rules.len(), portless), (3, vec![SmolStr::from("c.d")]));
        let (rules, _) = ledger.proposal(&Policy { learn: true, rules: Vec::new() });
        assert!(rules.contains(&json!({"host": "a.b", "port": 443, "tls": "required"})), "{rules:?}");
        assert!(Policy::parse(&json!(rules)).is_ok());
        for number in 0..2 * PLACES_MAX {
            ledger.note(&format!("n{number}.x"), 0, Outcome::UnknownName);
        }
        assert_eq!(ledger.entries().len(), PLACES_MAX + 1);
    }
}
