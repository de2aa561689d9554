//! When the journal is written and synced, and what may go out then.
//!
//! A turn's records are one write. With [`Durability::PowerLoss`] what waits for them goes out after a sync:
//!
//! | situation | sync |
//! | --- | --- |
//! | few wait, the queue is empty, the disk is quick | here: the hop to another thread and back costs more than it saves |
//! | many wait, or the disk is slow | on a blocking thread, while the next turn's records gather: group commit |
//! | nobody waits (an execution ended, an answer was noted) | with the next one that somebody waits for, or after [`UNAWAITED_MAX`] |

use std::io;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::{Host, Syncing};
use crate::journal::Position;
use crate::runtime::Durability;

/// How long after a failed write of the journal the next attempt is made.
const JOURNAL_RETRY: Duration = Duration::from_millis(200);
/// How long records that nobody waits for may stay unsynced.
const UNAWAITED_MAX: Duration = Duration::from_millis(5);
/// Most effects for which a sync is made in place: beyond, other work gains more from going on meanwhile.
const IN_PLACE_GROUP: usize = 16;
/// Most syncs in place in one turn: a flow whose steps follow each other at once must let others on its thread run.
const IN_PLACE_ROUNDS: usize = 4;
/// The longest a sync may usually take to be made in place: what others on this thread wait.
const IN_PLACE_MAX: Duration = Duration::from_micros(250);

impl Host {
    /// Writes the journal and lets out what is safe, until nothing more happens by itself.
    pub(super) async fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            if self.journal.is_dirty() {
                if let Err(error) = self.journal.write() {
                    // Without a journal nothing may happen: stand still until the disk takes writes again.
                    tracing::error!(%error, "the journal cannot be written; effects wait");
                    tokio::time::sleep(JOURNAL_RETRY).await;
                    if self.journal.recover_write().is_err() {
                        continue;
                    }
                }
                self.writes += 1;
                if !self.is_power_safe() {
                    self.synced = self.writes;
                    self.readable.set(self.position());
                }
            }
            if rounds < IN_PLACE_ROUNDS && self.needs_sync() && self.is_awaited() && self.is_quick() {
                self.sync_in_place();
                rounds += 1;
            }
            if !self.release() && !self.journal.is_dirty() {
                break;
            }
        }
        if self.needs_sync() {
            let now = Instant::now();
            let due = *self.sync_due.get_or_insert(now + UNAWAITED_MAX);
            if self.is_awaited() || due <= now {
                self.sync_aside();
            }
        }
        self.retime();
        if self.journal.length() > self.shared.options.segment_bytes
            && self.syncing.is_none()
            && let Err(error) = self.rotate()
        {
            tracing::error!(%error, "the journal stays on its old segment");
        }
    }

    /// Lets out what is safe; whether there was anything.
    fn release(&mut self) -> bool {
        let mut released = false;
        while self.waiting.front().is_some_and(|waiting| waiting.write <= self.synced) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            self.dispatch(waiting);
            released = true;
        }
        while self.confirmations.front().is_some_and(|confirmation| confirmation.write <= self.synced) {
            let Some(confirmation) = self.confirmations.pop_front() else { break };
            drop(confirmation.reply.send(Ok(confirmation.execution)));
            released = true;
        }
        released
    }

    /// Confirms every start: all records are known to be safe.
    pub(super) fn confirm_all(&mut self) {
        for confirmation in self.confirmations.drain(..) {
            drop(confirmation.reply.send(Ok(confirmation.execution)));
        }
    }

    fn is_power_safe(&self) -> bool {
        self.shared.options.durability == Durability::PowerLoss
    }

    fn needs_sync(&self) -> bool {
        self.is_power_safe() && self.syncing.is_none() && self.synced < self.writes
    }

    fn is_awaited(&self) -> bool {
        !self.waiting.is_empty() || !self.confirmations.is_empty()
    }

    fn is_quick(&self) -> bool {
        self.waiting.len() <= IN_PLACE_GROUP && self.sync_time <= IN_PLACE_MAX && self.commands.is_empty()
    }

    fn sync_in_place(&mut self) {
        self.shared.metrics.journal_syncs.inc();
        let (result, took) = timed(|| self.journal.file().sync_data());
        self.synced_to(self.writes, self.position(), result, took);
    }

    fn sync_aside(&mut self) {
        self.shared.metrics.journal_syncs.inc();
        self.sync_due = None;
        let (write, position, file) = (self.writes, self.position(), self.journal.file());
        let done = tokio::task::spawn_blocking(move || timed(|| file.sync_data()));
        self.syncing = Some(Syncing { write, position, done });
    }

    /// A sync on another thread ended.
    pub(super) fn sync_done(&mut self, done: Result<(io::Result<()>, Duration), JoinError>) {
        let Some(Syncing { write, position, .. }) = self.syncing.take() else { return };
        let (result, took) = done.unwrap_or_else(|error| (Err(io::Error::other(error)), Duration::ZERO));
        self.synced_to(write, position, result, took);
    }

    fn synced_to(&mut self, write: u64, position: Position, result: io::Result<()>, took: Duration) {
        // Moving average over about eight syncs: one slow sync moves the next ones aside, quick ones bring them back.
        self.sync_time = (self.sync_time * 7 + took) / 8;
        match result {
            Ok(()) => {
                self.synced = write;
                if write == self.writes {
                    self.sync_due = None;
                }
                self.readable.set(position);
            }
            // After a failed sync the kernel may have dropped the pages: only a new segment is known to be on disk.
            Err(error) => {
                tracing::error!(%error, "the journal could not be synced; writing a new segment");
                if let Err(error) = self.rotate() {
                    tracing::error!(%error, "the journal cannot be written; effects wait");
                }
            }
        }
    }
}

fn timed(sync: impl FnOnce() -> io::Result<()>) -> (io::Result<()>, Duration) {
    let start = std::time::Instant::now();
    let result = sync();
    (result, start.elapsed())
}
