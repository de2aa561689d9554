//! From the journal to the history: replays what was journaled, with the trace on (TG 6.10).
//!
//! The runtime runs executions without rendering a message. This task follows behind, feeds the same inputs to its own
//! copies, and hands executions and messages to the [`HistorySink`] in batches. It reads only what is safe, so history
//! never tells of a transition that a power cut may undo. A message has the same number however often it is made, which
//! is what makes history exactly-once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use marram_flow::{Effect, Execution, Input, Program, Status, Time, step};

use crate::host::Readable;
use crate::journal::{JournalError, Position, Record, read_segment, remove_segment, segments};
use crate::port::{ExecutionRecord, HistoryBatch, HistorySink, MessageRecord};
use crate::spec::Deployment;

/// Messages of one batch, about.
const BATCH_MESSAGES: usize = 2_000;
/// How long the index waits for more before it looks, so that a busy deployment is read in batches.
const GATHER: Duration = Duration::from_millis(20);
/// How long it waits after the sink failed.
const RETRY: Duration = Duration::from_secs(1);

/// Follows one journal.
pub(crate) struct Indexer {
    reader: Reader,
    readable: Arc<Readable>,
    sink: Arc<dyn HistorySink>,
}

/// The blocking half: files in, batches out.
struct Reader {
    dir: PathBuf,
    position: Position,
    generations: HashMap<u32, Deployment>,
    programs: HashMap<(u32, u16), Program>,
    live: HashMap<u64, (Execution, u32, u16)>,
    closed: bool,
    /// Segments read to their end, to be removed once the sink has what they said.
    finished: Vec<u64>,
}

impl Indexer {
    pub fn new(dir: PathBuf, readable: Arc<Readable>, sink: Arc<dyn HistorySink>) -> Self {
        let reader = Reader {
            dir,
            position: Position::default(),
            generations: HashMap::new(),
            programs: HashMap::new(),
            live: HashMap::new(),
            closed: false,
            finished: Vec::new(),
        };
        Self { reader, readable, sink }
    }

    /// Runs until the journal is closed and read to its end; then removes it.
    pub async fn run(mut self) {
        let mut is_stuck = false;
        loop {
            let until = self.readable.get();
            if self.reader.position >= until && !self.reader.closed {
                self.readable.changed.notified().await;
                tokio::time::sleep(GATHER).await;
                continue;
            }
            let before = self.reader.position;
            let mut reader = self.reader;
            let read = tokio::task::spawn_blocking(move || {
                let batch = reader.batch(until);
                (reader, batch)
            });
            // The closure cannot panic short of a bug in the engine, which the deployment's own run met first.
            let Ok((reader, batch)) = read.await else { return };
            self.reader = reader;
            match batch {
                Ok(batch) => {
                    self.write(batch).await;
                    for number in self.reader.finished.drain(..) {
                        if let Err(error) = remove_segment(&self.reader.dir, number) {
                            tracing::warn!(%error, "an old journal segment stays");
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the flow history stops: its journal cannot be read");
                    return;
                }
            }
            if self.reader.closed {
                if let Err(error) = std::fs::remove_dir_all(&self.reader.dir) {
                    tracing::warn!(%error, "the journal of an undeployed deployment stays");
                }
                return;
            }
            // What is safe on disk is not there (the directory was removed, a frame is damaged): not worth a busy loop.
            let was_stuck = std::mem::replace(&mut is_stuck, self.reader.position == before);
            if is_stuck {
                if !was_stuck {
                    let (dir, segment) = (self.reader.dir.display(), before.segment);
                    tracing::error!(%dir, segment, offset = before.offset, "the flow history waits: its journal ends too early");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn write(&self, batch: HistoryBatch) {
        if batch.executions.is_empty() {
            return;
        }
        while let Err(reason) = self.sink.write(batch.clone()).await {
            tracing::warn!(%reason, "flow history could not be written; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Reader {
    /// The next batch, read no further than `until`.
    fn batch(&mut self, until: Position) -> Result<HistoryBatch, JournalError> {
        let mut batch = HistoryBatch::default();
        let mut touched: HashMap<u64, usize> = HashMap::new();
        if self.position.segment == 0 {
            self.position.segment = segments(&self.dir)?.first().copied().unwrap_or(1);
        }
        loop {
            let position = self.position;
            let limit = if position.segment == until.segment { until.offset } else { u64::MAX };
            if position.offset >= limit {
                break;
            }
            let dir = self.dir.clone();
            let end = read_segment(&dir, position, |record, end| {
                if end > limit || self.closed || batch.messages.len() >= BATCH_MESSAGES {
                    return Ok(false);
                }
                self.apply(record, &mut batch, &mut touched);
                Ok(true)
            })?;
            let advanced = end > position.offset;
            self.position.offset = end;
            if self.closed || batch.messages.len() >= BATCH_MESSAGES {
                break;
            }
            if position.segment < until.segment {
                // Nothing is appended to a segment once a later one is readable.
                let later = segments(&self.dir)?.into_iter().find(|number| *number > position.segment);
                if let Some(next) = later {
                    self.finished.push(position.segment);
                    self.position = Position { segment: next, offset: 0 };
                    continue;
                }
            }
            if !advanced {
                break;
            }
        }
        Ok(batch)
    }

    fn apply(&mut self, record: Record, batch: &mut HistoryBatch, touched: &mut HashMap<u64, usize>) {
        match record {
            Record::Deploy { generation, deployment, .. } => {
                self.generations.insert(generation, *deployment);
                self.programs.retain(|(known, _), _| *known != generation);
            }
            Record::Create(create) => {
                let Some(program) = self.program(create.generation, create.flow) else { return };
                let Some(deployment) = self.generations.get(&create.generation) else { return };
                let mut exec = Execution::new(&program, create.origin(deployment), create.at);
                let effects = step(&program, &mut exec, Input::Start, create.at);
                self.live.insert(create.number, (exec, create.generation, create.flow));
                self.note(create.number, effects, batch, touched);
            }
            Record::Input { number, at, input } => self.input(number, at, input, batch, touched),
            // What a checkpoint says was replayed already, unless this reader began behind it.
            Record::Checkpoint { number, generation, flow, execution } => {
                self.live.entry(number).or_insert((*execution, generation, flow));
            }
            Record::Watch(_) | Record::Complete { .. } => {}
            Record::Close => self.closed = true,
        }
    }

    fn input(
        &mut self,
        number: u64,
        at: Time,
        input: Input,
        batch: &mut HistoryBatch,
        touched: &mut HashMap<u64, usize>,
    ) {
        let Some((_, generation, flow)) = self.live.get(&number) else { return };
        let Some(program) = self.program(*generation, *flow) else { return };
        let Some((exec, ..)) = self.live.get_mut(&number) else { return };
        let effects = step(&program, exec, input, at);
        self.note(number, effects, batch, touched);
    }

    fn program(&mut self, generation: u32, flow: u16) -> Option<Program> {
        if let Some(program) = self.programs.get(&(generation, flow)) {
            return Some(program.clone());
        }
        let snapshot = &self.generations.get(&generation)?.snapshot;
        let role = snapshot.flows.get(usize::from(flow))?;
        let program = Program::new(Arc::clone(&role.flow), Arc::clone(&snapshot.site));
        self.programs.insert((generation, flow), program.clone());
        Some(program)
    }

    /// Takes the messages of a step and the state it led to.
    fn note(&mut self, number: u64, effects: Vec<Effect>, batch: &mut HistoryBatch, touched: &mut HashMap<u64, usize>) {
        let Some((exec, generation, flow)) = self.live.get(&number) else { return };
        let Some(deployment) = self.generations.get(generation) else { return };
        let index = *touched.entry(number).or_insert_with(|| {
            batch.executions.push(ExecutionRecord {
                account: deployment.principal.account.clone(),
                region: deployment.principal.region.clone(),
                execution: exec.id().clone(),
                deployment: deployment.id().clone(),
                flow: deployment.snapshot.flows[usize::from(*flow)].flow.id.clone(),
                status: exec.status(),
                created: exec.started(),
                updated: exec.updated(),
            });
            batch.executions.len() - 1
        });
        let entry = &mut batch.executions[index];
        (entry.status, entry.updated) = (exec.status(), exec.updated());
        for effect in effects {
            if let Effect::Message(message) = effect {
                batch.messages.push(MessageRecord {
                    execution: index,
                    seq: message.seq,
                    event_type: message.event_type,
                    at: message.at,
                    payload: message.payload,
                });
            }
        }
        if exec.status() != Status::Running {
            self.live.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::port::NoHistory;

    /// TG 6.10: a journal whose safe part is gone (its directory was removed, a frame is damaged) costs a look a second.
    #[tokio::test]
    async fn a_journal_that_ends_too_early_is_no_busy_loop() {
        let dir = tempfile::tempdir().unwrap();
        let readable = Arc::new(Readable::default());
        readable.set(Position { segment: 1, offset: 4_096 });
        let mut run = pin!(Indexer::new(dir.path().to_owned(), readable, Arc::new(NoHistory)).run());
        let (mut end, mut polls) = (pin!(tokio::time::sleep(RETRY)), 0);
        poll_fn(|context| {
            polls += 1;
            assert!(polls < 100, "polled {polls} times");
            assert!(run.as_mut().poll(context).is_pending(), "the index ended");
            if end.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
