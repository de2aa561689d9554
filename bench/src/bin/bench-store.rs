//! Durable single-row commits per second from concurrent callers, and point reads, over one store.
//!
//! `bench-store --dir DIR [--callers 256] [--seconds 3] [--rows 0]` prints one JSON line per result. `--rows` fills the
//! table first, to see what size costs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use marram_store::{Migration, Store, StoreError, StoreOptions, params};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// An empty directory on the disk to measure.
    #[arg(long)]
    dir: PathBuf,
    /// Concurrent callers.
    #[arg(long, default_value_t = 256)]
    callers: usize,
    /// How long each measurement runs.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rows already in the table.
    #[arg(long, default_value_t = 0)]
    rows: i64,
}

const SCHEMA: &[Migration] = &[Migration {
    component: "bench",
    number: 1,
    sql: "CREATE TABLE item (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
}];

fn name(id: i64) -> String {
    // Spread, so that inserts do not all land on the last page.
    format!("thing-{:016x}", (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let store = Store::open(&arguments.dir, StoreOptions::default())?;
    store.migrate(SCHEMA)?;
    let body = Arc::new("x".repeat(200));
    let chunk = 10_000;
    for start in (0..arguments.rows).step_by(chunk as usize) {
        let (body, end) = (Arc::clone(&body), (start + chunk).min(arguments.rows));
        store
            .write(move |tx| {
                (start..end).try_for_each(|id| {
                    tx.execute("INSERT INTO item VALUES ($1, $2)", params![name(id), *body]).map(|_| ())
                })
            })
            .await
            .map_err(|error: StoreError| error)?;
    }

    let next = Arc::new(AtomicI64::new(arguments.rows));
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let started = Instant::now();
    let callers: Vec<_> = (0..arguments.callers)
        .map(|_| {
            let (store, next, body) = (store.clone(), Arc::clone(&next), Arc::clone(&body));
            tokio::spawn(async move {
                while Instant::now() < end {
                    let (id, body) = (next.fetch_add(1, Ordering::Relaxed), Arc::clone(&body));
                    store
                        .write(move |tx| tx.execute("INSERT INTO item VALUES ($1, $2)", params![name(id), *body]))
                        .await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let (written, took) = (next.load(Ordering::Relaxed) - arguments.rows, started.elapsed().as_secs_f64());
    let stats = store.stats();
    println!(
        "{}",
        json!({"bench": "store_commit", "callers": arguments.callers, "rows": arguments.rows,
            "per_second": (written as f64 / took).round(), "transactions_per_fsync": stats.transactions as f64 / stats.commits as f64})
    );

    let total = next.load(Ordering::Relaxed);
    let readers = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    let end = started + Duration::from_secs(arguments.seconds);
    let reads: i64 = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..readers as i64)
            .map(|lane| {
                let store = &store;
                scope.spawn(move || {
                    let mut done = 0_i64;
                    while Instant::now() < end {
                        let id = (done * 7919 + lane * 104_729) % total;
                        store.read(|s| {
                            s.query_one("SELECT body FROM item WHERE name = $1", params![name(id)], |row| {
                                row.get::<String>(0)
                            })
                        })?;
                        done += 1;
                    }
                    Ok::<_, StoreError>(done)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or(Err(StoreError::Panicked))).sum::<Result<i64, _>>()
    })?;
    println!(
        "{}",
        json!({"bench": "store_read", "threads": readers, "rows": total,
            "per_second": (reads as f64 / started.elapsed().as_secs_f64()).round()})
    );
    Ok(())
}
