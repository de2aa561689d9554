//! Killed at any moment, a runtime loses nothing it acted on and acts on nothing twice (TG 6.8).
//!
//! The child is this test binary again: it runs a flow of two steps over and over and notes each publish in a file, as a
//! device would. The parent kills it at random moments, and at the end compares the notes with the history.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use marram_flow_runtime::{History, HistorySink, Ports, RuntimeHandle, RuntimeOptions};
use serde_json::Map;

const KILLS: u32 = 55;
/// Two for an execution.
const ACTS_MIN: usize = 300;
const DIR: &str = "MARRAM_FLOW_CRASH_DIR";

fn flow_of_two() -> marram_flow_runtime::Deployment {
    let mut site = support::site();
    for action in &mut site.devices[0].actions {
        if let marram_flow::program::Operation::Publish { params, .. } = &mut action.operation {
            *params = vec![param("e", "${systemRuntime.executionId}")];
        }
    }
    let flow = flow()
        .step(S {
            name: "first",
            action: "ping",
            out: &["next"],
            retries: &[(&["TG.RuntimeRestarted"], 5, 1.0, 1)],
            catches: &[(&["States.ALL"], &["next"])],
            ..S::default()
        })
        .step(S { name: "second", when: "next", action: "dose", catches: &[(&["States.ALL"], &[])], ..S::default() });
    deployment_on(site, flow.flow, vec![])
}

async fn open(dir: &Path, history: Arc<dyn HistorySink>) -> RuntimeHandle {
    let broker = Arc::new(Broker::default());
    for topic in ["valve-1/ping", "valve-1/dose"] {
        let notes = OpenOptions::new().create(true).append(true).open(dir.join("notes")).unwrap();
        broker.on(topic, move |message| {
            let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            let line = format!("{} {}\n", message.topic, json["e"].as_str().unwrap());
            (&notes).write_all(line.as_bytes()).unwrap();
        });
    }
    let options = RuntimeOptions { segment_bytes: 40_000, ..RuntimeOptions::new(dir.join("flows")) };
    let ports = Ports { messages: broker, authority: Arc::new(Rights::default()), history: Some(history) };
    RuntimeHandle::open(options, ports, &marram_obs::Metrics::new()).await.unwrap()
}

fn history(dir: &Path) -> History {
    let store = marram_store::Store::open(dir.join("store"), marram_store::StoreOptions::default()).unwrap();
    store.migrate(marram_flow_runtime::history::MIGRATIONS).unwrap();
    History::new(store)
}

/// Not a test of its own: what the parent starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the crash test"]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let runtime = open(dir, Arc::new(history(dir))).await;
    runtime.deploy(flow_of_two()).await.unwrap();
    println!("ready");
    loop {
        // Together, so that they share the sync that each waits for: a slow disk must not keep the child idle.
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let runtime = runtime.clone();
            starts.spawn(async move { runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await });
        }
        while let Some(started) = starts.join_next().await {
            started.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What all children did so far.
fn acts(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("notes")).map_or(0, |notes| notes.lines().count())
}

fn met_a_restart(history: &History, execution: &str) -> bool {
    let messages = history.messages("100200300400", "eu-local-1", execution, 0, 1_000).unwrap().unwrap();
    messages.iter().any(|message| message.payload.contains("TG.RuntimeRestarted"))
}

/// All executions that history knows.
fn executions(history: &History) -> Vec<marram_flow_runtime::history::ExecutionSummary> {
    let search =
        marram_flow_runtime::history::Search { deployment: DEPLOYMENT, limit: 1_000_000, ..Default::default() };
    history.search("100200300400", "eu-local-1", &search).unwrap()
}

/// Whether the children got so little done that no kill can have hit what is looked for.
fn hardly_ran(dir: &Path) -> bool {
    let history = history(dir);
    acts(dir) < ACTS_MIN || !executions(&history).iter().any(|row| met_a_restart(&history, &row.execution))
}

/// TG 6.8, 6.10: 55 kills at random moments, more on a machine where the children get little done between two of them.
#[tokio::test]
async fn kills_neither_lose_nor_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let seed =
        std::env::var("MARRAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(marram_types::random_u64);
    println!("MARRAM_SEED={seed}");
    let mut state = seed | 1;
    let mut kills = 0;
    while kills < KILLS || (kills < 10 * KILLS && hardly_ran(dir.path())) {
        kills += 1;
        // xorshift64: any spread of moments will do, as long as the seed repeats it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Most kills hit a runtime at work, every third one may hit its start and recovery.
        if !state.is_multiple_of(3) {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut lines = lines.map_while(Result::ok);
            assert!(lines.any(|line| line.ends_with("ready")), "the child ended by itself");
        }
        std::thread::sleep(Duration::from_millis(state % 90));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let history = history(dir.path());
    let runtime = open(dir.path(), Arc::new(history.clone())).await;
    runtime.deploy(flow_of_two()).await.unwrap();
    let mut idle = 0;
    while idle < 20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        idle = if runtime.status(DEPLOYMENT).await.unwrap().running == 0 { idle + 1 } else { 0 };
    }
    runtime.shutdown().await;

    let rows = executions(&history);
    assert!(rows.len() > 100, "only {} executions: the children hardly ran", rows.len());
    let known: BTreeSet<&str> = rows.iter().map(|row| row.execution.as_str()).collect();
    let notes = std::fs::read_to_string(dir.path().join("notes")).unwrap();
    let mut acted: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in notes.lines() {
        let (topic, execution) = line.split_once(' ').unwrap();
        assert!(known.contains(execution), "acted on {execution}, which history does not know");
        *acted.entry((topic, execution)).or_default() += 1;
    }
    let mut restarted = 0;
    for row in &rows {
        assert_eq!(row.status, "SUCCEEDED", "{row:?}");
        let messages = history.messages("100200300400", "eu-local-1", &row.execution, 0, 1_000).unwrap().unwrap();
        let count = |event: &str| messages.iter().filter(|message| message.event_type == event).count() as u32;
        assert_eq!(
            messages.iter().map(|message| message.seq).collect::<Vec<_>>(),
            (1..=messages.len() as u64).collect::<Vec<_>>()
        );
        assert_eq!(count("EXECUTION_SUCCEEDED"), 1);
        assert!(messages.last().unwrap().event_type == "EXECUTION_SUCCEEDED");
        restarted += u32::from(met_a_restart(&history, &row.execution));
        // Every act was an attempt that history tells of, and no attempt acted twice.
        let attempts = |step: &str| {
            let of = |message: &&marram_flow_runtime::history::HistoryMessage| {
                message.event_type == "ACTIVITY_SCHEDULED"
                    && message.payload.contains(&format!("\"stepName\":\"{step}\""))
            };
            messages.iter().filter(of).count() as u32
        };
        for (topic, step) in [("valve-1/ping", "first"), ("valve-1/dose", "second")] {
            let done = acted.get(&(topic, row.execution.as_str())).copied().unwrap_or(0);
            assert!(
                done <= attempts(step),
                "{step} of {} acted {done} times in {} attempts",
                row.execution,
                attempts(step)
            );
        }
    }
    println!("{} executions, {restarted} of them met a restart", rows.len());
    assert!(restarted > 0, "no kill hit an attempt in flight");
}
