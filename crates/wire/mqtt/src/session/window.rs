//! Messages sent with QoS 1 and not yet acknowledged, and the packet ids they hold (sections 2.2.1, 4.9).

use std::collections::VecDeque;

use crate::packet::PacketId;

/// Packet ids come round after this many.
const IDS: u64 = 65_535;

/// A first-in-first-out window of unacknowledged messages. Acknowledgements usually arrive in order, which costs
/// O(1); out of order they cost O(window).
#[derive(Debug)]
pub struct Window<T> {
    slots: VecDeque<Slot<T>>,
    next: u64,
    limit: usize,
}

#[derive(Debug)]
struct Slot<T> {
    sequence: u64,
    item: T,
}

fn packet_id(sequence: u64) -> PacketId {
    PacketId::new((sequence % IDS) as u16 + 1).expect("one more than a remainder is not zero")
}

impl<T> Window<T> {
    /// At most `limit` unacknowledged messages at a time; clamped to 1..=65,535.
    pub fn new(limit: usize) -> Self {
        Self { slots: VecDeque::new(), next: 0, limit: limit.clamp(1, IDS as usize) }
    }

    /// Changes the limit: another connection may promise another Receive Maximum.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, IDS as usize);
    }

    /// Whether nothing more may be sent before an acknowledgement.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.limit
    }

    /// Unacknowledged messages.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether everything sent was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The id the next [`Window::push`] will name; `None` while the window is full.
    #[inline]
    pub fn next_id(&mut self) -> Option<PacketId> {
        if self.is_full() {
            return None;
        }
        // Ids repeat after 65,535 messages. Only then can a slot still hold the next one.
        if self.slots.front().is_some_and(|oldest| self.next - oldest.sequence >= IDS) {
            while self.slots.iter().any(|slot| slot.sequence % IDS == self.next % IDS) {
                self.next += 1;
            }
        }
        Some(packet_id(self.next))
    }

    /// Remembers `item` and names the id to send it with; gives it back if the window is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<PacketId, T> {
        let Some(id) = self.next_id() else { return Err(item) };
        self.slots.push_back(Slot { sequence: self.next, item });
        self.next += 1;
        Ok(id)
    }

    /// Forgets the message with `id` and gives it back; `None` if no message holds the id.
    #[inline]
    pub fn acknowledge(&mut self, id: PacketId) -> Option<T> {
        if packet_id(self.slots.front()?.sequence) == id {
            return self.slots.pop_front().map(|slot| slot.item);
        }
        let index = self.slots.iter().position(|slot| packet_id(slot.sequence) == id)?;
        self.slots.remove(index).map(|slot| slot.item)
    }

    /// Unacknowledged messages in the order they were sent: what a resumed session sends again.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, &T)> {
        self.slots.iter().map(|slot| (packet_id(slot.sequence), &slot.item))
    }

    /// Empties the window, in the order of sending.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.slots.drain(..).map(|slot| slot.item)
    }

    /// Gives back memory an idle window does not need.
    pub fn shrink(&mut self) {
        self.slots.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// MQTT 2.2.1: ids are not zero, and an id in use is not given out again, over several rounds of the id space
    /// and with acknowledgements in any order.
    #[test]
    fn an_id_in_use_is_never_given_out() {
        let mut window = Window::new(4);
        let stuck = window.push(0_u32).unwrap();
        for round in 1..200_000_u32 {
            let id = window.push(round).unwrap();
            assert_ne!(id, stuck);
            assert_eq!(window.acknowledge(id), Some(round));
        }
        assert_eq!(window.acknowledge(stuck), Some(0));
        assert_eq!(window.acknowledge(stuck), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// MQTT 4.9: never more than the limit; every acknowledgement finds exactly its message.
        #[test]
        fn the_window_behaves_like_a_map(limit in 1_usize..8, steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..80)) {
            let mut window = Window::new(limit);
            let mut model: Vec<(PacketId, usize)> = Vec::new();
            for (number, (send, pick)) in steps.into_iter().enumerate() {
                if send {
                    match window.push(number) {
                        Ok(id) => {
                            prop_assert!(model.len() < limit && model.iter().all(|(other, _)| *other != id));
                            model.push((id, number));
                        }
                        Err(_) => prop_assert_eq!(model.len(), limit),
                    }
                } else if !model.is_empty() {
                    let (id, item) = model.remove(pick.index(model.len()));
                    prop_assert_eq!(window.acknowledge(id), Some(item));
                }
                prop_assert_eq!(window.iter().map(|(id, item)| (id, *item)).collect::<Vec<_>>(), model.clone());
            }
        }
    }
}
