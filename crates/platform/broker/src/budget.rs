//! What the messages in memory cost, and how much of it one queue may have.
//!
//! A message is counted once, however many queues hold it, from the moment it was accepted until the last of them let it
//! go; a place in a queue is counted for every queue. Queues share what is left: each may grow to a part of the room that
//! is still free, so that the limit of every queue falls as the room does, some room is always left, and the first to
//! feel it are the longest queues (dynamic thresholds, Choudhury and Hahne 1998). Receivers nobody waits for get a smaller
//! part than those that read. QoS 0 has a room of its own inside the whole one: it fills first, and QoS 1 does not notice.

use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

use marram_mqtt::QoS;

/// A queue of this many bytes is always allowed: somebody else's backlog does not silence a client that reads.
pub(crate) const QUEUE_MIN: usize = 4 * 1024;
/// Part of the free room a queue may have whose receiver reads.
const PART_MOVING: usize = 4;
/// Part of the free room a QoS 0 queue may have whose receiver nobody waits for.
const PART_STALLED: usize = 64;
/// The same for QoS 1, and for sessions that are not connected: 10 MiB of the default, as long as nobody else has any.
const PART_KEPT: usize = 16;
/// Bytes a thread counts for itself before it tells everybody.
const TALLY_MAX: isize = 16 * 1024;

/// Whose room is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// QoS 0, and bytes that wait for a socket.
    Fleeting = 0,
    /// QoS 1: queued, kept for sessions that are away, unacknowledged.
    Kept = 1,
}

impl From<QoS> for Class {
    fn from(qos: QoS) -> Self {
        if qos == QoS::AtMostOnce { Self::Fleeting } else { Self::Kept }
    }
}

/// The memory of one broker for messages. It lives as long as the process, as brokers do: messages refer to it without
/// counting the references.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    fleeting: usize,
    used: [AtomicIsize; 2],
}

/// What one thread has not told yet.
struct Tally {
    budget: Cell<Option<&'static Budget>>,
    owed: [Cell<isize>; 2],
}

thread_local! {
    static TALLY: Tally = const { Tally { budget: Cell::new(None), owed: [Cell::new(0), Cell::new(0)] } };
}

impl Tally {
    fn flush(&self) {
        let Some(budget) = self.budget.get() else { return };
        for (used, owed) in budget.used.iter().zip(&self.owed) {
            used.fetch_add(owed.replace(0), Ordering::Relaxed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Budget {
    /// `total` bytes, of which QoS 0 may have `fleeting`. The memory of the counters is never given back.
    pub(crate) fn forever(total: usize, fleeting: usize) -> &'static Self {
        Box::leak(Box::new(Self { total, fleeting, used: [AtomicIsize::new(0), AtomicIsize::new(0)] }))
    }

    /// Counts `bytes` more, or less.
    pub(crate) fn add(&'static self, class: Class, bytes: isize) {
        let counted = TALLY.try_with(|tally| {
            if !tally.budget.get().is_some_and(|known| std::ptr::eq(known, self)) {
                tally.flush();
                tally.budget.set(Some(self));
            }
            let owed = &tally.owed[class as usize];
            owed.set(owed.get() + bytes);
            if owed.get().abs() >= TALLY_MAX {
                self.used[class as usize].fetch_add(owed.replace(0), Ordering::Relaxed);
            }
        });
        if counted.is_err() {
            // The thread is ending.
            self.used[class as usize].fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn used_by(&self, class: Class) -> usize {
        // Threads tell late: less than nothing may be in use for a moment.
        usize::try_from(self.used[class as usize].load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes in use, up to what the other threads have not told.
    pub(crate) fn used(&self) -> usize {
        TALLY.with(Tally::flush);
        self.used_by(Class::Fleeting) + self.used_by(Class::Kept)
    }

    /// Bytes that are free for a class.
    pub(crate) fn free(&self, class: Class) -> usize {
        let fleeting = self.used_by(Class::Fleeting);
        let all = self.total.saturating_sub(fleeting + self.used_by(Class::Kept));
        match class {
            Class::Kept => all,
            Class::Fleeting => all.min(self.fleeting.saturating_sub(fleeting)),
        }
    }

    /// Bytes a queue may have now. `moving`: its receiver reads.
    pub(crate) fn share(&self, class: Class, moving: bool) -> usize {
        let part = match (class, moving) {
            (_, true) => PART_MOVING,
            (Class::Fleeting, false) => PART_STALLED,
            (Class::Kept, false) => PART_KEPT,
        };
        (self.free(class) / part).max(QUEUE_MIN)
    }
}

/// The part of the budget that a message takes; given back when it goes.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    budget: Option<&'static Budget>,
    bytes: u32,
    class: Option<Class>,
}

impl Charge {
    pub(crate) fn new(budget: &'static Budget, class: Class, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        budget.add(class, bytes as isize);
        Self { budget: Some(budget), bytes, class: Some(class) }
    }

    /// The budget, of a message that is counted.
    pub(crate) fn budget(&self) -> Option<&'static Budget> {
        self.budget
    }
}

impl Clone for Charge {
    /// A copy of a message is another message, not yet counted.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let (Some(budget), Some(class)) = (self.budget, self.class) {
            budget.add(class, -(self.bytes as isize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Design 5: hundreds of receivers that stand still leave room for one that reads, and the sum stays below the whole.
    #[test]
    fn queues_that_stand_still_leave_room() {
        const MIB: usize = 1 << 20;
        for (class, part) in [(Class::Fleeting, PART_STALLED), (Class::Kept, PART_KEPT)] {
            for stalled in [1, 10, 100, 1000] {
                let budget = Budget::forever(64 * MIB, 16 * MIB);
                let room = if class == Class::Fleeting { 16 * MIB } else { 64 * MIB };
                let mut queues = vec![0; stalled];
                for _ in 0..20_000 {
                    for queue in &mut queues {
                        if *queue + 1000 <= budget.share(class, false) {
                            *queue += 1000;
                            budget.add(class, 1000);
                        }
                    }
                    if queues.iter().all(|queue| *queue + 1000 > budget.share(class, false)) {
                        break;
                    }
                }
                let used = budget.used();
                assert!(used <= room, "{used}");
                let wanted = room * part / (part + stalled) / PART_MOVING;
                assert!(budget.share(class, true) * 11 / 10 >= wanted, "{stalled}: {}", budget.share(class, true));
            }
        }
    }

    /// What is counted is given back, whichever thread lets it go.
    #[test]
    fn a_charge_is_given_back() {
        let budget = Budget::forever(1 << 20, 1 << 20);
        let charges: Vec<Charge> = (0..100).map(|_| Charge::new(budget, Class::Kept, 5000)).collect();
        let copies = charges.clone();
        assert_eq!(budget.used(), 500_000);
        assert_eq!(budget.free(Class::Kept), (1 << 20) - 500_000);
        std::thread::spawn(move || drop((charges, copies))).join().unwrap();
        assert_eq!(budget.used(), 0);
    }
}
