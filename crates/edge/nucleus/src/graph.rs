//! Which component waits for which (CR 2.6).

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

/// How a dependency binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The dependent runs only while it is ready.
    Hard,
    /// Always ready.
    Soft,
}

/// Reads `name:HARD`; the type by its beginning, in any case, HARD when it is missing.
pub fn parse_dependency(text: &str) -> (SmolStr, Binding) {
    let (name, binding) = text.rsplit_once(':').unwrap_or((text, ""));
    let soft = binding.get(..1).is_some_and(|first| first.eq_ignore_ascii_case("s"));
    (name.into(), if soft { Binding::Soft } else { Binding::Hard })
}

/// Components and their HARD dependencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    hard: BTreeMap<SmolStr, BTreeSet<SmolStr>>,
}

impl Graph {
    /// Sets the dependencies of a component.
    pub fn set<'a>(&mut self, component: &str, dependencies: impl IntoIterator<Item = &'a str>) {
        let hard = dependencies
            .into_iter()
            .map(parse_dependency)
            .filter(|(name, binding)| *binding == Binding::Hard && name != component)
            .map(|(name, _)| name);
        self.hard.insert(component.into(), hard.collect());
    }

    /// Forgets a component.
    pub fn remove(&mut self, component: &str) {
        self.hard.remove(component);
    }

    /// What `component` waits for.
    pub fn dependencies<'a>(&'a self, component: &str) -> impl Iterator<Item = &'a SmolStr> + use<'a> {
        self.hard.get(component).into_iter().flatten()
    }

    /// Who waits for `component`.
    pub fn dependents<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a SmolStr> {
        self.hard.iter().filter(move |(_, needs)| needs.contains(component)).map(|(name, _)| name)
    }

    /// Dependencies before dependents; members of a circle come last, by name, so that none is left out.
    pub fn start_order(&self) -> Vec<SmolStr> {
        let mut order = Vec::with_capacity(self.hard.len());
        let mut placed = BTreeSet::new();
        while placed.len() < self.hard.len() {
            let open = |name: &SmolStr| self.hard.contains_key(name) && !placed.contains(name);
            let free: Vec<&SmolStr> = self
                .hard
                .iter()
                .filter(|(name, needs)| !placed.contains(*name) && !needs.iter().any(open))
                .map(|(name, _)| name)
                .collect();
            let next: Vec<SmolStr> = match free.as_slice() {
                [] => self.hard.keys().filter(|name| !placed.contains(*name)).cloned().collect(),
                free => free.iter().map(|name| (*name).clone()).collect(),
            };
            placed.extend(next.iter().cloned());
            order.extend(next);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (name, needs) in edges {
            graph.set(name, needs.iter().copied());
        }
        graph
    }

    /// CR 2.6: `name:HARD`, `name:SOFT`, the type by its beginning in any case.
    #[test]
    fn dependencies_are_read_from_their_stored_form() {
        for (text, expected) in [
            ("a.b:HARD", ("a.b", Binding::Hard)),
            ("a:soft", ("a", Binding::Soft)),
            ("a:S", ("a", Binding::Soft)),
            ("a", ("a", Binding::Hard)),
        ] {
            assert_eq!(parse_dependency(text), (expected.0.into(), expected.1), "{text}");
        }
    }

    /// CR 2.6: topological; what is not there, SOFT, or circular holds nobody up for ever.
    #[test]
    fn the_start_order_puts_dependencies_first() {
        let order = graph(&[
            ("app", &["db:HARD", "cache:SOFT", "absent:HARD"]),
            ("db", &["disk:HARD"]),
            ("cache", &["app:HARD"]),
            ("disk", &[]),
            ("x", &["y:HARD"]),
            ("y", &["x:HARD"]),
        ]);
        assert_eq!(order.start_order(), ["disk", "db", "app", "cache", "x", "y"]);
        assert_eq!(order.dependents("db").collect::<Vec<_>>(), ["app"]);
        assert_eq!(order.dependencies("app").collect::<Vec<_>>(), ["absent", "db"]);
    }
}
