//! Which subscriptions a published topic reaches.
//!
//! Filters without wildcards live in a flat map; filters with wildcards in a trie over topic levels, where `+` and
//! `#` are branches of their own. One lookup costs O(1) plus O(levels x live wildcards), independent of the number
//! of subscribers. Topics that start with `$` never match a filter that starts with a wildcard (MQTT-4.7.2-1), and
//! `a/#` does not match `a` (CP 5.2). `$share/{name}/{filter}` hangs beside the filter it shares.
//!
//! Not here: who may subscribe (`authorize`), what happens to the message (`deliver`).

use std::collections::HashMap;

use marram_mqtt::TopicFilter;
use smol_str::SmolStr;

/// The subscriptions of one tenant. `S` is a subscriber; `S::key` tells subscribers apart.
#[derive(Debug)]
pub(crate) struct Tree<S> {
    exact: HashMap<SmolStr, Leaf<S>>,
    root: Node<S>,
    subscriptions: usize,
}

/// Tells one subscriber from another.
pub(crate) trait Subscriber {
    fn is_same(&self, other: &Self) -> bool;
}

#[derive(Debug)]
struct Node<S> {
    children: HashMap<SmolStr, Node<S>>,
    plus: Option<Box<Node<S>>>,
    hash: Leaf<S>,
    here: Leaf<S>,
}

/// Members of shared subscriptions, by share name.
type Shares<S> = Vec<(SmolStr, Vec<S>)>;

/// Subscribers of one filter.
#[derive(Debug)]
struct Leaf<S> {
    direct: Vec<S>,
    /// By share name; almost always empty, hence the box.
    #[allow(clippy::box_collection)]
    shared: Option<Box<Shares<S>>>,
}

impl<S> Default for Leaf<S> {
    fn default() -> Self {
        Self { direct: Vec::new(), shared: None }
    }
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Self { children: HashMap::new(), plus: None, hash: Leaf::default(), here: Leaf::default() }
    }
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Self { exact: HashMap::new(), root: Node::default(), subscriptions: 0 }
    }
}

/// Receives what a topic matches.
pub(crate) trait Matches<S> {
    fn direct(&mut self, subscriber: &S);
    /// All members of one shared subscription.
    fn shared(&mut self, members: &[S]);
}

impl<S: Subscriber> Tree<S> {
    /// Adds or replaces a subscription. Whether it is new.
    pub(crate) fn insert(&mut self, filter: &TopicFilter, subscriber: S) -> bool {
        let share = filter.shared().map(|shared| shared.share);
        let pattern = filter.pattern();
        let leaf = if filter.is_exact() {
            self.exact.entry(SmolStr::new(pattern)).or_default()
        } else {
            self.root.leaf(pattern)
        };
        let is_new = leaf.insert(share, subscriber);
        self.subscriptions += usize::from(is_new);
        is_new
    }

    /// Removes a subscription. Whether it existed.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, is_it: impl Fn(&S) -> bool) -> bool {
        let share = filter.shared().map(|shared| shared.share);
        let pattern = filter.pattern();
        let existed = if filter.is_exact() {
            let Some(leaf) = self.exact.get_mut(pattern) else { return false };
            let existed = leaf.remove(share, &is_it);
            if leaf.is_empty() {
                self.exact.remove(pattern);
            }
            existed
        } else {
            self.root.remove(pattern, share, &is_it)
        };
        self.subscriptions -= usize::from(existed);
        existed
    }

    /// Live subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions
    }

    /// Hands every match of `topic` to `into`. A subscriber with several matching filters appears several times.
    pub(crate) fn matches(&self, topic: &str, into: &mut impl Matches<S>) {
        if let Some(leaf) = self.exact.get(topic) {
            leaf.visit(into);
        }
        if !self.root.is_empty() {
            self.root.visit(topic, !topic.starts_with('$'), into);
        }
    }
}

impl<S: Subscriber> Leaf<S> {
    fn insert(&mut self, share: Option<&str>, subscriber: S) -> bool {
        let list = match share {
            None => &mut self.direct,
            Some(share) => {
                let groups = self.shared.get_or_insert_default();
                let index = groups.iter().position(|(name, _)| name == share).unwrap_or_else(|| {
                    groups.push((SmolStr::new(share), Vec::new()));
                    groups.len() - 1
                });
                &mut groups[index].1
            }
        };
        match list.iter_mut().find(|known| known.is_same(&subscriber)) {
            Some(known) => {
                *known = subscriber;
                false
            }
            None => {
                // Most filters have one subscriber: do not take room for four.
                list.reserve_exact(if list.is_empty() { 1 } else { list.len() });
                list.push(subscriber);
                true
            }
        }
    }

    fn remove(&mut self, share: Option<&str>, is_it: &impl Fn(&S) -> bool) -> bool {
        match share {
            None => {
                let before = self.direct.len();
                self.direct.retain(|known| !is_it(known));
                before != self.direct.len()
            }
            Some(share) => {
                let Some(groups) = &mut self.shared else { return false };
                let Some(index) = groups.iter().position(|(name, _)| name == share) else { return false };
                let before = groups[index].1.len();
                groups[index].1.retain(|known| !is_it(known));
                let existed = before != groups[index].1.len();
                if groups[index].1.is_empty() {
                    groups.swap_remove(index);
                }
                if groups.is_empty() {
                    self.shared = None;
                }
                existed
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.shared.is_none()
    }

    fn visit(&self, into: &mut impl Matches<S>) {
        self.direct.iter().for_each(|subscriber| into.direct(subscriber));
        if let Some(groups) = &self.shared {
            groups.iter().for_each(|(_, members)| into.shared(members));
        }
    }
}

impl<S: Subscriber> Node<S> {
    fn leaf(&mut self, pattern: &str) -> &mut Leaf<S> {
        let mut node = self;
        for level in pattern.split('/') {
            node = match level {
                "#" => return &mut node.hash,
                "+" => node.plus.get_or_insert_default(),
                _ => node.children.entry(SmolStr::new(level)).or_default(),
            };
        }
        &mut node.here
    }

    /// Removes along the path and prunes branches that became empty.
    fn remove(&mut self, pattern: &str, share: Option<&str>, is_it: &impl Fn(&S) -> bool) -> bool {
        let (level, rest) = match pattern.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (pattern, None),
        };
        if level == "#" {
            return self.hash.remove(share, is_it);
        }
        let child = if level == "+" { self.plus.as_deref_mut() } else { self.children.get_mut(level) };
        let Some(child) = child else { return false };
        let existed = match rest {
            Some(rest) => child.remove(rest, share, is_it),
            None => child.here.remove(share, is_it),
        };
        if child.is_empty() {
            if level == "+" {
                self.plus = None;
            } else {
                self.children.remove(level);
            }
        }
        existed
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.hash.is_empty() && self.here.is_empty()
    }

    /// `topic` is what is left below this node; `wildcards` is false only at the root of a `$` topic.
    fn visit(&self, topic: &str, wildcards: bool, into: &mut impl Matches<S>) {
        let (level, rest) = match topic.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (topic, None),
        };
        if wildcards {
            self.hash.visit(into);
        }
        let plus = self.plus.as_deref().filter(|_| wildcards);
        for child in self.children.get(level).into_iter().chain(plus) {
            match rest {
                Some(rest) => child.visit(rest, true, into),
                None => child.here.visit(into),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Sub(u8, u8);

    impl Subscriber for Sub {
        fn is_same(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    #[derive(Default)]
    struct Found(Vec<Sub>, Vec<Vec<Sub>>);

    impl Matches<Sub> for Found {
        fn direct(&mut self, subscriber: &Sub) {
            self.0.push(subscriber.clone());
        }
        fn shared(&mut self, members: &[Sub]) {
            self.1.push(members.to_vec());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// MQTT 4.7, 4.8.2: the tree finds exactly what matching every subscription one by one finds, also after
        /// replacements and removals, and empties itself.
        #[test]
        fn the_tree_agrees_with_a_list(
            steps in prop::collection::vec((any::<bool>(), 0..4_u8, any::<u8>(), "(\\$share/[gh]/)?([ab]?|\\+|\\$s)(/([ab]?|\\+)){0,2}(/#)?"), 0..60),
            topics in prop::collection::vec("(\\$s|[ab]?)(/[ab]?){0,3}", 1..10),
        ) {
            let mut tree = Tree::default();
            let mut list: Vec<(TopicFilter, Sub)> = Vec::new();
            for (add, who, mark, filter) in steps {
                let Ok(filter) = TopicFilter::new(&filter) else { continue };
                let known = list.iter().position(|(other, sub)| *other == filter && sub.0 == who);
                if add {
                    prop_assert_eq!(tree.insert(&filter, Sub(who, mark)), known.is_none());
                    match known {
                        Some(index) => list[index].1 = Sub(who, mark),
                        None => list.push((filter, Sub(who, mark))),
                    }
                } else {
                    prop_assert_eq!(tree.remove(&filter, |sub| sub.0 == who), known.is_some());
                    if let Some(index) = known { list.remove(index); }
                }
                prop_assert_eq!(tree.len(), list.len());
            }
            let key = |sub: &Sub| (sub.0, sub.1);
            for topic in topics.iter().filter(|topic| !topic.is_empty()) {
                let mut found = Found::default();
                tree.matches(topic, &mut found);
                found.0.sort_by_key(key);
                let mut wanted: Vec<Sub> = list.iter()
                    .filter(|(filter, _)| filter.shared().is_none() && filter.matches(topic))
                    .map(|(_, sub)| sub.clone()).collect();
                wanted.sort_by_key(key);
                prop_assert_eq!(&found.0, &wanted, "{}", topic);
                let mut shared: Vec<Sub> = found.1.concat();
                shared.sort_by_key(key);
                let mut wanted: Vec<Sub> = list.iter()
                    .filter(|(filter, _)| filter.shared().is_some() && filter.matches(topic))
                    .map(|(_, sub)| sub.clone()).collect();
                wanted.sort_by_key(key);
                prop_assert_eq!(shared, wanted, "{}", topic);
            }
            for (filter, sub) in list {
                prop_assert!(tree.remove(&filter, |other| other.0 == sub.0));
            }
            prop_assert!(tree.exact.is_empty() && tree.root.is_empty());
        }
    }
}
