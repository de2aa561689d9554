//! The history a core keeps: bounded, in order, each message once, until and after the control plane has it (TG 6.10).
//!
//! The runtime replays its journal after a restart, so messages come again: the highest `seq` of each execution tells
//! them. Messages get ascending numbers of the stream; what the control plane accepted is known by one number. When the
//! store is full the oldest go first, and those that were never accepted are counted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use marram_flow_runtime::replica::{self, Page, PageExecution, PageMessage};
use marram_flow_runtime::{HistoryBatch, HistorySink, Pending};
use marram_store::{Migration, Store, StoreError, StoreOptions, Tx, params};
use smol_str::SmolStr;
use tokio::sync::Notify;

const MIGRATIONS: &[Migration] = &[Migration {
    component: "edge_flow_history",
    number: 1,
    sql: "CREATE TABLE edge_execution (
        number INTEGER PRIMARY KEY,
        execution TEXT NOT NULL UNIQUE,
        deployment TEXT NOT NULL,
        flow TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        through BIGINT NOT NULL
    );
    CREATE TABLE edge_message (
        id INTEGER PRIMARY KEY,
        number BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        event_type TEXT NOT NULL,
        at BIGINT NOT NULL,
        payload TEXT NOT NULL
    );
    CREATE INDEX edge_message_of ON edge_message (number, seq);
    CREATE TABLE edge_stream (
        name TEXT NOT NULL,
        next_id BIGINT NOT NULL,
        accepted BIGINT NOT NULL,
        dropped BIGINT NOT NULL,
        bytes BIGINT NOT NULL
    );",
}];

/// What a message costs beside its payload, about, bytes.
const ROW_BYTES: i64 = 96;
/// Executions whose `through` is remembered after their messages are gone.
const EXECUTIONS_REMEMBERED: i64 = 50_000;
/// Messages looked at for a page.
const PAGE_MESSAGES: u32 = 1_000;
/// What a message costs in a page beside its payload, about, bytes.
const PAGE_ROW_BYTES: usize = 120;

/// How full the history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryStats {
    /// Messages that wait for the control plane.
    pub waiting: u64,
    /// Messages given up before they were accepted.
    pub dropped: u64,
    /// Bytes kept, about.
    pub bytes: u64,
}

/// The history of a core. A cheap clone.
#[derive(Clone)]
pub struct LocalHistory {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    stream: String,
    limit: AtomicU64,
    news: Notify,
}

impl std::fmt::Debug for LocalHistory {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LocalHistory").field("stream", &self.inner.stream).finish_non_exhaustive()
    }
}

impl LocalHistory {
    /// Opens or makes the history in `dir`; at most `limit` bytes of it are kept.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn open(dir: &Path, limit: u64) -> Result<Self, StoreError> {
        let options = StoreOptions {
            read_connections: 1,
            read_cache_kib: 128,
            write_cache_kib: 256,
            queue: 64,
            ..StoreOptions::default()
        };
        let store = Store::open(dir, options)?;
        store.migrate(MIGRATIONS)?;
        let fresh = marram_types::random_hex(16);
        let stream = store
            .write(move |tx| {
                let known = tx.query_opt("SELECT name FROM edge_stream", params![], |row| row.get::<String>(0))?;
                if let Some(known) = known {
                    return Ok::<_, StoreError>(known);
                }
                tx.execute("INSERT INTO edge_stream VALUES ($1, 1, 0, 0, 0)", params![fresh])?;
                Ok(fresh)
            })
            .await?;
        let inner = Inner { store, stream, limit: AtomicU64::new(limit), news: Notify::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Changes how much is kept; it is kept to at the next write.
    pub fn set_limit(&self, limit: u64) {
        self.inner.limit.store(limit, Ordering::Relaxed);
    }

    /// How full it is.
    ///
    /// # Errors
    /// The store's failure.
    pub fn stats(&self) -> Result<HistoryStats, StoreError> {
        self.inner.store.read(|s| {
            s.query_one(
                "SELECT (SELECT COUNT(*) FROM edge_message WHERE id > accepted), dropped, bytes FROM edge_stream",
                params![],
                |row| {
                    let number = |index| row.get::<i64>(index).map(i64::unsigned_abs);
                    Ok(HistoryStats { waiting: number(0)?, dropped: number(1)?, bytes: number(2)? })
                },
            )
        })
    }

    /// Resolves when something was written since the last call.
    pub(crate) async fn news(&self) {
        self.inner.news.notified().await;
    }

    /// The oldest messages the control plane has not accepted; `None`: it has all.
    pub(crate) fn page(&self) -> Result<Option<Page>, StoreError> {
        let mut page = Page { version: replica::VERSION, stream: self.inner.stream.clone(), ..Page::default() };
        let mut known: HashMap<i64, usize> = HashMap::new();
        let mut room = replica::PAGE_BYTES;
        self.inner.store.read(|s| {
            let (accepted, dropped) =
                s.query_one("SELECT accepted, dropped FROM edge_stream", params![], |row| {
                    Ok::<_, StoreError>((row.get::<i64>(0)?, row.get::<i64>(1)?))
                })?;
            page.dropped = dropped.unsigned_abs();
            s.query_each(
                "SELECT m.id, m.number, m.seq, m.event_type, m.at, m.payload, e.execution, e.deployment, e.flow, e.created_at
                 FROM edge_message m JOIN edge_execution e ON e.number = m.number WHERE m.id > $1 ORDER BY m.id LIMIT $2",
                params![accepted, PAGE_MESSAGES],
                |row| {
                    let (number, payload) = (row.get::<i64>(1)?, row.get::<String>(5)?);
                    let quoted = payload.len() + payload.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
                    let ids = if known.contains_key(&number) {
                        0
                    } else {
                        [6, 7, 8].into_iter().map(|column| row.text(column).map_or(0, str::len)).sum()
                    };
                    let cost = quoted + ids + PAGE_ROW_BYTES;
                    if cost > room && !page.messages.is_empty() {
                        return Ok(false);
                    }
                    room = room.saturating_sub(cost);
                    let execution = match known.get(&number) {
                        Some(index) => *index,
                        None => {
                            page.executions.push(PageExecution {
                                id: row.text(6)?.into(),
                                deployment: row.text(7)?.into(),
                                flow: row.text(8)?.into(),
                                created_at: row.get(9)?,
                            });
                            known.insert(number, page.executions.len() - 1);
                            page.executions.len() - 1
                        }
                    };
                    page.through = row.get::<i64>(0)?.unsigned_abs();
                    // What was written by an earlier program under a name this one does not know stays behind.
                    let name = serde_json::Value::from(row.text(3)?);
                    if let Ok(event_type) = serde_json::from_value(name) {
                        page.messages.push(PageMessage {
                            execution,
                            seq: row.get::<i64>(2)?.unsigned_abs(),
                            event_type,
                            at: row.get(4)?,
                            payload,
                        });
                    }
                    Ok::<_, StoreError>(true)
                },
            )
        })?;
        Ok((page.through > 0).then_some(page))
    }

    /// The control plane has everything of `stream` up to `through`.
    pub(crate) async fn accept(&self, stream: &str, through: u64) -> Result<(), StoreError> {
        if stream != self.inner.stream {
            return Ok(());
        }
        let through = i64::try_from(through).unwrap_or(i64::MAX);
        self.inner
            .store
            .write(move |tx| {
                tx.execute("UPDATE edge_stream SET accepted = MAX(accepted, MIN($1, next_id - 1))", params![through])
                    .map(drop)
            })
            .await
    }
}

impl HistorySink for LocalHistory {
    fn write(&self, batch: HistoryBatch) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            let limit = i64::try_from(self.inner.limit.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            let written = self.inner.store.write(move |tx| write(tx, &batch, limit));
            written.await.map_err(|error: StoreError| error.to_string())?;
            self.inner.news.notify_one();
            Ok(())
        })
    }
}

fn write(tx: &mut Tx<'_>, batch: &HistoryBatch, limit: i64) -> Result<(), StoreError> {
    let (mut next, mut bytes) = tx.query_one("SELECT next_id, bytes FROM edge_stream", params![], |row| {
        Ok::<_, StoreError>((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    // Number and highest `seq` of each execution of the batch.
    let mut executions = Vec::with_capacity(batch.executions.len());
    for entry in &batch.executions {
        let known = tx.query_opt(
            "SELECT number, through FROM edge_execution WHERE execution = $1",
            params![entry.execution.as_str()],
            |row| Ok::<_, StoreError>((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        executions.push(match known {
            Some(known) => known,
            None => {
                tx.execute(
                    "INSERT INTO edge_execution (execution, deployment, flow, status, created_at, through)
                     VALUES ($1, $2, $3, 'RUNNING', $4, 0)",
                    params![entry.execution.as_str(), entry.deployment.as_str(), entry.flow.as_str(), entry.created.0],
                )?;
                tx.query_one("SELECT last_insert_rowid()", params![], |row| row.get(0)).map(|number| (number, 0))?
            }
        });
    }
    for message in &batch.messages {
        let Some((number, through)) = executions.get_mut(message.execution) else { continue };
        let seq = i64::try_from(message.seq).unwrap_or(i64::MAX);
        if seq <= *through {
            continue;
        }
        *through = seq;
        tx.execute(
            "INSERT INTO edge_message (id, number, seq, event_type, at, payload) VALUES ($1, $2, $3, $4, $5, $6)",
            params![next, *number, seq, message.event_type.as_str(), message.at.0, message.payload],
        )?;
        next += 1;
        bytes += i64::try_from(message.payload.len()).unwrap_or(i64::MAX) + ROW_BYTES;
    }
    for (entry, (number, through)) in batch.executions.iter().zip(&executions) {
        tx.execute(
            "UPDATE edge_execution SET through = $1, status = $2 WHERE number = $3 AND through <= $1",
            params![*through, entry.status.as_str(), *number],
        )?;
    }
    tx.execute("UPDATE edge_stream SET next_id = $1, bytes = $2", params![next, bytes])?;
    if bytes > limit { trim(tx, bytes, limit) } else { Ok(()) }
}

/// Drops the oldest messages until a tenth of the room is free again.
fn trim(tx: &mut Tx<'_>, mut bytes: i64, limit: i64) -> Result<(), StoreError> {
    let accepted = tx.query_one("SELECT accepted FROM edge_stream", params![], |row| row.get::<i64>(0))?;
    let target = limit - limit / 10;
    let (mut last, mut dropped) = (0, 0);
    tx.query_each("SELECT id, LENGTH(CAST(payload AS BLOB)) FROM edge_message ORDER BY id", params![], |row| {
        if bytes <= target {
            return Ok(false);
        }
        last = row.get::<i64>(0)?;
        bytes -= row.get::<i64>(1)? + ROW_BYTES;
        dropped += i64::from(last > accepted);
        Ok::<_, StoreError>(true)
    })?;
    tx.execute("DELETE FROM edge_message WHERE id <= $1", params![last])?;
    tx.execute(
        "UPDATE edge_stream SET bytes = $1, dropped = dropped + $2, accepted = MAX(accepted, $3)",
        params![bytes.max(0), dropped, last],
    )?;
    tx.execute(
        "DELETE FROM edge_execution WHERE status <> 'RUNNING'
           AND number <= (SELECT MAX(number) FROM edge_execution) - $1
           AND NOT EXISTS (SELECT 1 FROM edge_message m WHERE m.number = edge_execution.number)",
        params![EXECUTIONS_REMEMBERED],
    )?;
    if dropped > 0 {
        tracing::warn!(dropped, "flow history was dropped before the control plane had it: its store is full");
    }
    Ok(())
}

impl LocalHistory {
    /// `eventType` of every message kept of an execution, oldest first.
    ///
    /// # Errors
    /// The store's failure.
    pub fn events(&self, execution: &str) -> Result<Vec<SmolStr>, StoreError> {
        self.inner.store.read(|s| {
            s.query_all(
                "SELECT m.event_type FROM edge_message m JOIN edge_execution e ON e.number = m.number
                 WHERE e.execution = $1 ORDER BY m.seq",
                params![execution],
                |row| row.text(0).map(SmolStr::from),
            )
        })
    }
}
