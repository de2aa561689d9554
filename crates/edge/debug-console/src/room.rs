//! Who may be connected at a time, and who gives way to a newcomer.
//!
//! A local process can open as many connections as it likes. So the room has few places, and when all are taken, one that has not shown a
//! good password is closed for the one that comes: of the user of this machine who holds most of them, the oldest. Whoever floods the room
//! pushes out itself; a process of the same user still has its place for as long as it takes to fill the whole room anew, which the
//! pauses between newcomers make long enough for a handshake and a request. Who has shown a good password stays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, Id};

use crate::peers;

/// Whether a connection has shown a good password.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proof(Arc<AtomicBool>);

impl Proof {
    pub(crate) fn give(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whose connection it is: the number of a user, as far as the system tells it.
pub(crate) type User = Option<u32>;

#[derive(Debug)]
struct Guest {
    task: AbortHandle,
    peer: SocketAddr,
    /// None: nobody looked yet.
    user: Option<User>,
    proof: Proof,
}

/// The connections that are served, the oldest first.
#[derive(Debug)]
pub(crate) struct Room {
    places: usize,
    own: SocketAddr,
    guests: Vec<Guest>,
}

impl Room {
    /// A room of so many places behind the address `own`.
    pub(crate) fn new(places: usize, own: SocketAddr) -> Self {
        Self { places, own, guests: Vec::new() }
    }

    /// Whether somebody can come in: there is a place, or one who gives it up.
    pub(crate) fn takes_more(&self) -> bool {
        self.guests.len() < self.places || self.guests.iter().any(|guest| !guest.proof.is_given())
    }

    /// A connection is served. Answers whose connection was closed for it, if one was.
    pub(crate) fn enter(&mut self, task: AbortHandle, peer: SocketAddr, proof: Proof) -> Option<User> {
        self.guests.push(Guest { task, peer, user: None, proof });
        if self.guests.len() <= self.places {
            return None;
        }
        self.look();
        let all: Vec<_> = self.guests.iter().map(|guest| (guest.user.flatten(), guest.proof.is_given())).collect();
        let gone = self.guests.remove(gives_way(&all)?);
        gone.task.abort();
        Some(gone.user.flatten())
    }

    /// A connection has ended.
    pub(crate) fn leave(&mut self, id: Id) {
        self.guests.retain(|guest| guest.task.id() != id);
    }

    fn look(&mut self) {
        if self.guests.iter().all(|guest| guest.user.is_some()) {
            return;
        }
        let users = peers::users(self.own);
        for guest in self.guests.iter_mut().filter(|guest| guest.user.is_none()) {
            guest.user = Some(users.get(&guest.peer).copied());
        }
    }
}

/// Who gives way, of guests from the oldest to the newest: the oldest without proof of the user who has most such.
fn gives_way(guests: &[(User, bool)]) -> Option<usize> {
    let mut held: BTreeMap<User, (usize, usize)> = BTreeMap::new();
    for (place, (user, _)) in guests.iter().enumerate().filter(|(_, (_, is_proven))| !is_proven) {
        held.entry(*user).or_insert((0, place)).0 += 1;
    }
    held.into_values().max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest))).map(|(_, oldest)| oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.3: whoever holds most gives way, the oldest first; proof protects.
    #[test]
    fn whoever_holds_most_gives_way() {
        let (operator, flood, other) = (Some(0), Some(60_001), None);
        for (guests, expected) in [
            (vec![(operator, false), (flood, false), (flood, false), (flood, false)], Some(1)),
            // The newcomer is counted.
            (vec![(operator, false), (flood, false), (operator, false)], Some(0)),
            (vec![(flood, true), (flood, false), (operator, false), (flood, false)], Some(1)),
            // As many each: the oldest of all.
            (vec![(other, false), (operator, false), (flood, false)], Some(0)),
            (vec![(operator, true), (flood, true)], None),
            (vec![(operator, true), (flood, true), (other, false)], Some(2)),
            (vec![], None),
        ] {
            assert_eq!(gives_way(&guests), expected, "{guests:?}");
        }
    }
}
