//! What a connection remembers per topic, so that neither text nor permission nor route is looked at twice.
//!
//! Direct-mapped: a topic has one slot, a newcomer with the same slot replaces it. Bounded, no chains, and nothing
//! is allocated until a second topic appears.

use marram_mqtt::Topic;

/// Topics remembered per connection and direction.
const SLOTS: usize = 64;

/// An entry knows its topic.
pub(crate) trait Entry {
    fn topic(&self) -> &Topic;
}

#[derive(Debug)]
pub(crate) struct TopicCache<E> {
    last: Option<Box<E>>,
    slots: Vec<Option<Box<E>>>,
}

impl<E> Default for TopicCache<E> {
    fn default() -> Self {
        Self { last: None, slots: Vec::new() }
    }
}

fn slot(topic: &[u8]) -> usize {
    let mut hash = 0_u64;
    for chunk in topic.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (hash >> 58) as usize
}

impl<E: Entry> TopicCache<E> {
    /// The entry of the topic with these bytes, made most recent.
    #[inline]
    pub(crate) fn find(&mut self, topic: &[u8]) -> Option<&mut E> {
        if self.last.as_ref().is_some_and(|last| last.topic().as_bytes() == topic) {
            return self.last.as_deref_mut();
        }
        let found = self.slots.get_mut(slot(topic))?;
        if found.as_ref().is_some_and(|entry| entry.topic().as_bytes() == topic) {
            let found = found.take();
            self.store_last();
            self.last = found;
            return self.last.as_deref_mut();
        }
        None
    }

    /// Remembers an entry and makes it the most recent.
    pub(crate) fn insert(&mut self, entry: E) -> &mut E {
        self.store_last();
        self.last.insert(Box::new(entry))
    }

    fn store_last(&mut self) {
        if let Some(last) = self.last.take() {
            if self.slots.is_empty() {
                self.slots.resize_with(SLOTS, || None);
            }
            let index = slot(last.topic().as_bytes());
            self.slots[index] = Some(last);
        }
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(Topic, usize);

    impl Entry for Named {
        fn topic(&self) -> &Topic {
            &self.0
        }
    }

    /// Whatever is found is what was put in last under that topic.
    #[test]
    fn a_hit_is_always_right() {
        let mut cache = TopicCache::<Named>::default();
        let topics: Vec<Topic> = (0..200).map(|n| Topic::new(&format!("plant/{n}/x")).unwrap()).collect();
        let mut hits = 0;
        for round in 0..2000 {
            let number = round * 7 % if round < 1000 { 20 } else { 200 };
            let topic = &topics[number];
            match cache.find(topic.as_bytes()) {
                Some(entry) => {
                    assert_eq!((&entry.0, entry.1), (topic, number));
                    hits += 1;
                }
                None => drop(cache.insert(Named(topic.clone(), number)).1),
            }
        }
        assert!(hits > 500, "{hits}");
    }
}
