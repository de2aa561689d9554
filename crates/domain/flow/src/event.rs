//! Tokens and joins: when a step activates (TG 6.3).
//!
//! Emitting an event puts one token on every (event, consuming step) pair. A step activates when the tokens it
//! holds satisfy its [`Join`]; activating consumes them. The two producers of one event therefore activate the
//! consumer twice, which is how the arms of a choice merge.

use serde::{Deserialize, Serialize};

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// No `inEvent`: activates once, at the start of the execution.
    Start,
    /// `inEvent: [e1, e2]`: one token of each. Values are indices into the step's [`Inlets`].
    All(Vec<u16>),
    /// `inEvent: "${e1 && (e2 || e3)}"`.
    Expr(Gate),
}

/// An event expression over "a token is available"; leaves index the step's inlets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// A token of this inlet is available.
    Event(u16),
    /// Both sides hold.
    And(Box<Gate>, Box<Gate>),
    /// One side holds.
    Or(Box<Gate>, Box<Gate>),
    /// The inner expression does not hold.
    Not(Box<Gate>),
}

impl Gate {
    fn holds(&self, tokens: &[u32]) -> bool {
        match self {
            Gate::Event(inlet) => tokens[usize::from(*inlet)] > 0,
            Gate::And(a, b) => a.holds(tokens) && b.holds(tokens),
            Gate::Or(a, b) => a.holds(tokens) || b.holds(tokens),
            Gate::Not(inner) => !inner.holds(tokens),
        }
    }

    /// Calls `found` for every event mentioned under an even number of negations.
    fn positive(&self, negated: bool, found: &mut impl FnMut(u16)) {
        match self {
            Gate::Event(inlet) if !negated => found(*inlet),
            Gate::Event(_) => {}
            Gate::And(a, b) | Gate::Or(a, b) => {
                a.positive(negated, found);
                b.positive(negated, found);
            }
            Gate::Not(inner) => inner.positive(!negated, found),
        }
    }
}

impl Join {
    /// Takes the tokens of one activation out of `tokens` (one counter per inlet) and says whether there was one.
    /// `consumed` receives the inlets a token was taken from.
    ///
    /// An expression that holds without a single token (`!e`) does not activate: an activation is always caused
    /// by an emission, otherwise the step would run without end.
    pub fn try_consume(&self, tokens: &mut [u32], consumed: &mut Vec<u16>) -> bool {
        consumed.clear();
        match self {
            Join::Start => return false,
            Join::All(inlets) => {
                if inlets.iter().any(|&inlet| tokens[usize::from(inlet)] == 0) {
                    return false;
                }
                consumed.extend_from_slice(inlets);
            }
            Join::Expr(gate) => {
                if !gate.holds(tokens) {
                    return false;
                }
                gate.positive(false, &mut |inlet| {
                    if tokens[usize::from(inlet)] > 0 && !consumed.contains(&inlet) {
                        consumed.push(inlet);
                    }
                });
            }
        }
        for &inlet in consumed.iter() {
            tokens[usize::from(inlet)] -= 1;
        }
        !consumed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(inlet: u16) -> Box<Gate> {
        Box::new(Gate::Event(inlet))
    }

    /// TG 6.3: a list joins all of its events and consumes one token of each.
    #[test]
    fn list_is_a_join() {
        let join = Join::All(vec![0, 1]);
        let mut consumed = Vec::new();
        for (before, activates, after) in
            [([0, 3], false, [0, 3]), ([1, 0], false, [1, 0]), ([1, 1], true, [0, 0]), ([2, 3], true, [1, 2])]
        {
            let mut tokens = before;
            assert_eq!(join.try_consume(&mut tokens, &mut consumed), activates, "{before:?}");
            assert_eq!(tokens, after);
        }
    }

    /// TG 6.3: an expression consumes every available event it mentions positively, and needs at least one.
    #[test]
    fn expression_consumes_what_made_it_true() {
        let either = Gate::And(event(0), Box::new(Gate::Or(event(1), event(2))));
        let unless = Gate::And(event(0), Box::new(Gate::Not(event(1))));
        let table: [(&Gate, [u32; 3], bool, [u32; 3]); 7] = [
            (&either, [1, 0, 0], false, [1, 0, 0]),
            (&either, [1, 1, 0], true, [0, 0, 0]),
            (&either, [2, 1, 1], true, [1, 0, 0]),
            (&unless, [1, 0, 0], true, [0, 0, 0]),
            (&unless, [1, 1, 0], false, [1, 1, 0]),
            (&Gate::Not(event(0)), [0, 0, 0], false, [0, 0, 0]),
            (&Gate::Not(Box::new(Gate::Not(event(0)))), [1, 0, 0], true, [0, 0, 0]),
        ];
        let mut consumed = Vec::new();
        for (gate, before, activates, after) in table {
            let mut tokens = before;
            assert_eq!(
                Join::Expr(gate.clone()).try_consume(&mut tokens, &mut consumed),
                activates,
                "{gate:?} {before:?}"
            );
            assert_eq!(tokens, after, "{gate:?} {before:?}");
        }
    }
}
