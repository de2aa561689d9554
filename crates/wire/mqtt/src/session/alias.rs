//! Topic aliases of MQTT 5 (section 3.3.2.3.4): small numbers that stand for topics on one connection.

use std::num::NonZeroU16;

use crate::codec::error::DecodeError;
use crate::topic::Topic;

/// Aliases a server of ours accepts and uses. Source: upstream's quota (CP 5.2).
pub const TOPIC_ALIAS_MAX: u16 = 8;

/// What the peer's aliases stand for. `T` is whatever the owner keeps per topic.
#[derive(Debug)]
pub struct InboundAliases<T> {
    topics: Vec<Option<T>>,
    maximum: u16,
}

impl<T> InboundAliases<T> {
    /// Accepts aliases 1 to `maximum`.
    pub fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum }
    }

    fn index(&self, alias: NonZeroU16) -> Result<usize, DecodeError> {
        if alias.get() > self.maximum { Err(DecodeError::TopicAlias) } else { Ok(usize::from(alias.get()) - 1) }
    }

    /// The peer sent topic and alias together.
    pub fn define(&mut self, alias: NonZeroU16, topic: T) -> Result<(), DecodeError> {
        let index = self.index(alias)?;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        self.topics[index] = Some(topic);
        Ok(())
    }

    /// The peer sent the alias alone.
    pub fn resolve(&self, alias: NonZeroU16) -> Result<&T, DecodeError> {
        let index = self.index(alias)?;
        self.topics
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(DecodeError::Protocol("a topic alias that was never defined"))
    }
}

/// How to send a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// In full, without an alias.
    Full,
    /// In full, together with the alias that will stand for it.
    Define(NonZeroU16),
    /// As the alias alone.
    Alias(NonZeroU16),
}

/// Which aliases we gave the peer. When all are taken the oldest is given to the new topic.
#[derive(Debug)]
pub struct OutboundAliases {
    topics: Vec<Topic>,
    oldest: usize,
    maximum: usize,
}

impl OutboundAliases {
    /// Uses aliases 1 to the smaller of `maximum` (what the peer accepts) and [`TOPIC_ALIAS_MAX`].
    pub fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), oldest: 0, maximum: usize::from(maximum.min(TOPIC_ALIAS_MAX)) }
    }

    /// Defines everything anew: a packet with a definition was not sent.
    pub fn reset(&mut self) {
        self.topics.clear();
        self.oldest = 0;
    }

    /// How to send `topic` now.
    pub fn assign(&mut self, topic: &Topic) -> Outgoing {
        if self.maximum == 0 {
            return Outgoing::Full;
        }
        let number = |index: usize| NonZeroU16::new(index as u16 + 1).expect("one more than an index is not zero");
        if let Some(index) = self.topics.iter().position(|known| known.ptr_eq(topic) || known == topic) {
            return Outgoing::Alias(number(index));
        }
        if self.topics.len() < self.maximum {
            self.topics.push(topic.clone());
            return Outgoing::Define(number(self.topics.len() - 1));
        }
        let index = self.oldest;
        self.topics[index] = topic.clone();
        self.oldest = (index + 1) % self.maximum;
        Outgoing::Define(number(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    /// MQTT 5 3.3.2.3.4: an alias above the maximum or never defined is an error; defining again replaces.
    #[test]
    fn inbound_aliases_are_defined_before_use() {
        let mut aliases = InboundAliases::new(2);
        assert_eq!(aliases.define(alias(3), "x"), Err(DecodeError::TopicAlias));
        assert!(matches!(aliases.resolve(alias(2)), Err(DecodeError::Protocol(_))));
        aliases.define(alias(2), "a").unwrap();
        aliases.define(alias(2), "b").unwrap();
        assert_eq!(aliases.resolve(alias(2)), Ok(&"b"));
    }

    /// MQTT 5 3.3.2.3.4: what we send, the peer's table resolves to the same topic, however topics interleave.
    #[test]
    fn outbound_aliases_resolve_at_the_other_end() {
        let topics: Vec<Topic> = (0..12).map(|n| Topic::new(&format!("t/{n}")).unwrap()).collect();
        let mut ours = OutboundAliases::new(65_535);
        let mut theirs = InboundAliases::new(TOPIC_ALIAS_MAX);
        for step in [0, 1, 0, 2, 3, 4, 5, 6, 7, 8, 0, 9, 1, 10, 11, 8, 0, 0] {
            let topic = &topics[step];
            match ours.assign(topic) {
                Outgoing::Full => panic!("aliases are on"),
                Outgoing::Define(alias) => theirs.define(alias, topic.clone()).unwrap(),
                Outgoing::Alias(alias) => assert_eq!(theirs.resolve(alias), Ok(topic)),
            }
        }
        assert_eq!(OutboundAliases::new(0).assign(&topics[0]), Outgoing::Full);
    }
}
