//! Local topics: who receives what is published on the core (CR 6.10).
//!
//! Filters without wildcards are a hash map, which is most of them and costs least; the others are a trie over levels.
//! `a/#` does not match `a`: local topics differ from MQTT in that.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::subscription::Subscription;

/// Most levels of a filter with wildcards; bounds the depth of the trie.
pub(crate) const MAX_LEVELS: usize = 128;
/// Longest topic or filter in bytes, as in MQTT.
pub(crate) const MAX_TOPIC: usize = 65_535;

/// Whether a filter has wildcards.
///
/// # Errors
/// It is no filter: a sentence for its author.
pub(crate) fn check_filter(filter: &str) -> Result<bool, &'static str> {
    if filter.is_empty() {
        return Err("the topic must not be empty");
    }
    if filter.len() > MAX_TOPIC {
        return Err("the topic is too long");
    }
    if !filter.contains(['+', '#']) {
        return Ok(false);
    }
    if filter.split('/').count() > MAX_LEVELS {
        return Err("the topic filter has too many levels");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Err("`#` must be the last level of a topic filter"),
            "#" | "+" => {}
            level if level.contains(['+', '#']) => return Err("a wildcard must be a whole level of a topic filter"),
            _ => {}
        }
    }
    Ok(true)
}

/// Who subscribed to one filter. One subscriber is the usual case and costs no allocation.
#[derive(Default)]
enum Receivers {
    #[default]
    None,
    One(Arc<Subscription>),
    #[expect(clippy::box_collection, reason = "keeps a lone subscriber at two words")]
    Many(Box<Vec<Arc<Subscription>>>),
}

impl Receivers {
    fn add(&mut self, new: Arc<Subscription>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(new),
            Self::One(old) => Self::Many(Box::new(vec![old, new])),
            Self::Many(mut all) => {
                all.push(new);
                Self::Many(all)
            }
        };
    }

    fn remove(&mut self, gone: &Arc<Subscription>) {
        match self {
            Self::One(one) if Arc::ptr_eq(one, gone) => *self = Self::None,
            Self::Many(all) => {
                if let Some(at) = all.iter().position(|one| Arc::ptr_eq(one, gone)) {
                    all.swap_remove(at);
                }
                if all.is_empty() {
                    *self = Self::None;
                }
            }
            Self::None | Self::One(_) => {}
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn each(&self, visit: &mut impl FnMut(&Arc<Subscription>)) {
        match self {
            Self::None => {}
            Self::One(one) => visit(one),
            Self::Many(all) => all.iter().for_each(visit),
        }
    }
}

#[derive(Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    one_level: Option<Box<Node>>,
    here: Receivers,
    below: Receivers,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.one_level.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    fn visit(&self, rest: Option<&str>, found: &mut impl FnMut(&Arc<Subscription>)) {
        let Some(rest) = rest else {
            return self.here.each(found);
        };
        self.below.each(found);
        let (level, rest) = first_level(rest);
        if let Some(child) = self.children.get(level) {
            child.visit(rest, found);
        }
        if let Some(child) = &self.one_level {
            child.visit(rest, found);
        }
    }

    fn receivers(&mut self, filter: Option<&str>) -> &mut Receivers {
        let Some(filter) = filter else { return &mut self.here };
        match first_level(filter) {
            ("#", None) => &mut self.below,
            ("+", rest) => self.one_level.get_or_insert_default().receivers(rest),
            (level, rest) => self.children.entry(level.into()).or_default().receivers(rest),
        }
    }

    fn remove(&mut self, filter: Option<&str>, gone: &Arc<Subscription>) {
        let Some(filter) = filter else { return self.here.remove(gone) };
        match first_level(filter) {
            ("#", None) => self.below.remove(gone),
            ("+", rest) => {
                if let Some(child) = &mut self.one_level {
                    child.remove(rest, gone);
                    if child.is_empty() {
                        self.one_level = None;
                    }
                }
            }
            (level, rest) => {
                if let Some(child) = self.children.get_mut(level) {
                    child.remove(rest, gone);
                    if child.is_empty() {
                        self.children.remove(level);
                    }
                }
            }
        }
    }
}

fn first_level(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(level, rest)| (level, Some(rest)))
}

#[derive(Default)]
struct Table {
    exact: HashMap<Arc<str>, Receivers>,
    wild: Node,
}

/// All local subscriptions of the core.
#[derive(Default)]
pub(crate) struct Topics(RwLock<Table>);

impl Topics {
    /// Adds a subscription under its resource, a filter that [`check_filter`] accepted.
    pub(crate) fn add(&self, subscription: &Arc<Subscription>) {
        let filter = &subscription.resource;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let receivers = if is_wild(filter) {
            table.wild.receivers(Some(filter))
        } else {
            table.exact.entry(Arc::clone(filter)).or_default()
        };
        receivers.add(Arc::clone(subscription));
    }

    /// Takes it away again.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) {
        let filter = &subscription.resource;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_wild(filter) {
            table.wild.remove(Some(filter), subscription);
        } else if let Some(receivers) = table.exact.get_mut(filter) {
            receivers.remove(subscription);
            if receivers.is_empty() {
                table.exact.remove(filter);
                // A departed crowd leaves no empty table behind.
                if table.exact.capacity() > 1024 && table.exact.len() < table.exact.capacity() / 8 {
                    table.exact.shrink_to_fit();
                }
            }
        }
    }

    /// Visits every subscription that `topic` reaches.
    pub(crate) fn each(&self, topic: &str, mut found: impl FnMut(&Arc<Subscription>)) {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(receivers) = table.exact.get(topic) {
            receivers.each(&mut found);
        }
        if !table.wild.is_empty() {
            table.wild.visit(Some(topic), &mut found);
        }
    }
}

fn is_wild(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use marram_edge_ports::{Caller, Identities, Peer};
    use proptest::prelude::*;

    use super::*;
    use crate::connection::Connection;
    use crate::operation::Operation;
    use crate::server::{Door, Options, Ports};

    struct Nobody;

    impl Identities for Nobody {
        fn authenticate(&self, _: &str, _: Peer) -> Option<Caller> {
            None
        }
        fn owner_of(&self, _: &str) -> Option<Caller> {
            None
        }
    }

    /// CR 6.10 word by word: `+` is one level, `#` at least one further level.
    fn reaches(filter: &str, topic: &str) -> bool {
        let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
        loop {
            match (filter.next(), topic.next()) {
                (Some("#"), Some(_)) => return true,
                (Some("+"), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// CR 6.10: the table finds whom a plain reading of all filters finds, before and after some have left.
        #[test]
        fn the_table_agrees_with_a_plain_reading(
            filters in proptest::collection::vec("([ab]|\\+){0,1}(/([ab]|\\+)){0,3}(/#)?", 1..12),
            topics in proptest::collection::vec("[ab]?(/[ab]?){0,4}", 1..6),
            stay in any::<u16>(),
        ) {
            let connection = Connection::new(Arc::new(Door::new(Ports::new(Arc::new(Nobody)), Options::default())));
            let table = Topics::default();
            let filters: Vec<_> = filters.into_iter().filter(|filter| check_filter(filter).is_ok()).collect();
            let made = filters.iter().enumerate().map(|(number, filter)| {
                let (operation, resource) = (Operation::SubscribeToTopic, filter.as_str().into());
                Subscription::new(Arc::clone(&connection), number as u32, operation, resource, false)
            });
            let all: Vec<_> = made.inspect(|subscription| table.add(subscription)).collect();
            let check = |present: &dyn Fn(usize) -> bool| {
                for topic in &topics {
                    let mut found = Vec::new();
                    table.each(topic, |subscription| found.push(subscription.stream as usize));
                    found.sort_unstable();
                    let wanted = |number: &usize| present(*number) && reaches(&filters[*number], topic);
                    assert_eq!(found, (0..filters.len()).filter(wanted).collect::<Vec<_>>(), "{topic} in {filters:?}");
                }
            };
            check(&|_| true);
            let stays = |number: usize| stay & (1 << number) != 0;
            all.iter().enumerate().filter(|(number, _)| !stays(*number)).for_each(|(_, gone)| table.remove(gone));
            check(&stays);
            all.iter().for_each(|gone| table.remove(gone));
            prop_assert!(table.0.read().unwrap().wild.is_empty() && table.0.read().unwrap().exact.is_empty());
        }
    }
}
