//! Deployments at work in one process: triggers, connectors, permissions, redeployment, restart, history.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::*;
use marram_expr::DataType;
use marram_flow_runtime::history::{MIGRATIONS, Search};
use marram_flow_runtime::{
    DeployError, Durability, History, HistorySink, Incoming, Ports, RuntimeHandle, RuntimeOptions, StartError,
};
use serde_json::{Map, json};

fn options(dir: &tempfile::TempDir) -> RuntimeOptions {
    RuntimeOptions {
        events_per_second: 0,
        durability: Durability::ProcessDeath,
        ..RuntimeOptions::new(dir.path().join("flows"))
    }
}

/// TG 3.14, 10.1: an occurrence updates `lastEvent` and starts what its triggers say; retained messages do not.
#[tokio::test]
async fn event_starts_a_flow() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let flow = flow().parameter("litres", DataType::Float32, true, None).step(S {
        name: "water",
        action: "dose",
        args: &[("litres", "${litres}")],
        ..S::default()
    });
    let trigger = on_reading(&format!("{READING}.moisture < 10"), &[&format!("10 - {READING}.moisture")]);
    world.runtime.deploy(deployment(flow.flow, vec![trigger])).await.unwrap();
    world.broker.deliver(Incoming {
        topic: "valve-1/reading".into(),
        payload: r#"{"moisture":1}"#.into(),
        retained: true,
    });
    world.broker.send("valve-1/reading", r#"{"moisture":12}"#);
    world.broker.send("valve-1/reading", "no json");
    world.broker.send("valve-1/reading", r#"{"moisture":8}"#);
    let doses = until("a dose", || Some(world.broker.seen("valve-1/dose")).filter(|doses| !doses.is_empty())).await;
    assert_eq!(doses, [r#"{"l":2.0}"#]);
    let id = until("history", || {
        let batches = world.memory.batches.lock().unwrap();
        batches
            .iter()
            .flat_map(|batch| &batch.executions)
            .find(|run| run.status.as_str() == "SUCCEEDED")
            .map(|run| run.execution.clone())
    })
    .await;
    assert!(id.starts_with("urn:tdm:x:Workflow:Irrigate_20") && id.contains("Z_Dry_"), "{id}");
    assert_eq!(world.memory.events(&id).last(), Some(&"EXECUTION_SUCCEEDED"));
    let text = world.metrics.encode();
    for line in [
        "marram_flow_executions_total{flow=\"urn:tdm:x:Workflow:Irrigate\",system=\"urn:tdm:x:System:Irrigation\",status=\"succeeded\"} 1",
        "marram_flow_messages_dropped_total{reason=\"retained\"} 1",
        "marram_flow_messages_dropped_total{reason=\"undecodable\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    world.runtime.shutdown().await;
}

/// TG 11.6: a role gets 50 events a second; the rest is dropped and counted.
#[tokio::test]
async fn event_storm_is_throttled() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(RuntimeOptions { events_per_second: 50, ..options(&dir) }).await;
    let flow = flow().step(S { name: "water", action: "ping", ..S::default() });
    world.runtime.deploy(deployment(flow.flow, vec![on_reading(READING, &[])])).await.unwrap();
    for _ in 0..500 {
        world.broker.send("valve-1/reading", "1");
    }
    let status = loop {
        let status = world.runtime.status(DEPLOYMENT).await.unwrap();
        if status.started + status.events_dropped == 500 {
            break status;
        }
    };
    assert!((50..=100).contains(&status.started), "{status:?}");
    world.runtime.shutdown().await;
}

/// TG 10.2: one outstanding request per response topic, first come first served; what arrives with none outstanding,
/// and retained messages, are dropped.
#[tokio::test]
async fn responses_are_matched_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let flow =
        flow().variable("r", DataType::Int32).step(S { name: "read", action: "sample", result: "r", ..S::default() });
    world.runtime.deploy(deployment(flow.flow, vec![])).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.runtime.start(DEPLOYMENT, "irrigate", Map::new()).await.unwrap());
    }
    for (answer, id) in [10, 20, 30].into_iter().zip(&ids) {
        until("the request", || (world.broker.seen("valve-1/sample").len() == answer / 10).then_some(())).await;
        world.broker.deliver(Incoming { topic: "valve-1/sample/done".into(), payload: "99".into(), retained: true });
        world.broker.send("valve-1/sample/done", &answer.to_string());
        until("its end", || world.memory.events(id).contains(&"EXECUTION_SUCCEEDED").then_some(())).await;
    }
    world.broker.send("valve-1/sample/done", "77");
    assert!(world.metrics.encode().contains("marram_flow_messages_dropped_total{reason=\"unexpected\"} 1"));
    let values: Vec<i64> = {
        let batches = world.memory.batches.lock().unwrap();
        let messages = batches.iter().flat_map(|batch| &batch.messages);
        let answered = messages.filter(|message| message.event_type.as_str() == "ACTIVITY_SUCCEEDED");
        answered
            .map(|message| serde_json::from_str::<serde_json::Value>(&message.payload).unwrap())
            .map(|payload| payload["value"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(values, [10, 20, 30]);
    world.runtime.shutdown().await;
}

/// TG 11.3: the flow role decides, and a change of its policy counts at once.
#[tokio::test]
async fn denied_publish_is_a_permission_error() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let flow = flow().step(S { name: "water", action: "ping", ..S::default() });
    world.runtime.deploy(deployment(flow.flow, vec![])).await.unwrap();
    let first = world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap();
    until("success", || world.memory.events(&first).contains(&"EXECUTION_SUCCEEDED").then_some(())).await;
    *world.rights.denied.lock().unwrap() = Some("valve-1/ping".to_owned());
    world.rights.version.fetch_add(1, Ordering::Relaxed);
    let second = world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap();
    until("failure", || world.memory.events(&second).contains(&"EXECUTION_FAILED").then_some(())).await;
    assert_eq!(world.broker.seen("valve-1/ping").len(), 1);
    {
        let batches = world.memory.batches.lock().unwrap();
        assert!(batches.iter().flat_map(|b| &b.messages).any(|m| m.payload.contains("TG.Permission")));
    }
    world.runtime.shutdown().await;
}

/// TG 7.5, 7.6: undeploy aborts and disarms; redeploy lets running executions finish, within the grace.
#[tokio::test]
async fn redeploy_and_undeploy_end_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(RuntimeOptions { redeploy_grace: Duration::from_millis(200), ..options(&dir) }).await;
    let old = flow().step(S { name: "read", action: "sample", ..S::default() });
    let new = flow().step(S { name: "water", action: "ping", ..S::default() });
    world.runtime.deploy(deployment(old.flow.clone(), vec![on_reading(READING, &[])])).await.unwrap();
    world.runtime.deploy(deployment(old.flow.clone(), vec![on_reading(READING, &[])])).await.unwrap();
    assert_eq!(world.runtime.status(DEPLOYMENT).await.unwrap().generation, 1, "the same document changes nothing");
    let (kept, lost) = (
        world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap(),
        world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap(),
    );
    until("the request", || (!world.broker.seen("valve-1/sample").is_empty()).then_some(())).await;
    world.runtime.deploy(deployment(new.flow.clone(), vec![on_reading(READING, &[])])).await.unwrap();
    world.broker.send("valve-1/sample/done", "1");
    until("the old one's success", || world.memory.events(&kept).contains(&"EXECUTION_SUCCEEDED").then_some(())).await;
    until("the end of the grace", || world.memory.events(&lost).contains(&"EXECUTION_ABORTED").then_some(())).await;
    world.broker.send("valve-1/reading", "1");
    until("the new flow", || (!world.broker.seen("valve-1/ping").is_empty()).then_some(())).await;
    world.runtime.deploy(deployment(old.flow.clone(), vec![on_reading(READING, &[])])).await.unwrap();
    let last = world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap();
    assert!(world.runtime.undeploy(&DEPLOYMENT.to_uppercase()).await.unwrap());
    assert!(!world.runtime.undeploy(DEPLOYMENT).await.unwrap());
    assert!(!world.broker.is_subscribed("valve-1/reading"));
    until("the abort", || world.memory.events(&last).contains(&"EXECUTION_ABORTED").then_some(())).await;
    until("the journal's end", || (std::fs::read_dir(dir.path().join("flows")).unwrap().count() == 0).then_some(()))
        .await;
    assert!(matches!(world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await, Err(StartError::NoDeployment(_))));
    world.runtime.shutdown().await;
}

/// TG 6.8: after a restart attempts in flight go through OnError, waiting retries go on, triggers are armed again, and
/// history goes on where it was, each message once.
#[tokio::test]
async fn restart_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Arc::new(Broker::default());
    let first =
        world_with(RuntimeOptions { durability: Durability::PowerLoss, ..options(&dir) }, Arc::clone(&broker)).await;
    let flow = flow()
        .step(S { name: "read", action: "sample", catches: &[(&["TG.RuntimeRestarted"], &["lost"])], ..S::default() })
        .step(S { name: "again", when: "lost", action: "ping", ..S::default() });
    first.runtime.deploy(deployment(flow.flow, vec![on_reading(READING, &[])])).await.unwrap();
    let id = first.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap();
    until("the request", || (!broker.seen("valve-1/sample").is_empty()).then_some(())).await;
    until("history", || first.memory.events(&id).contains(&"ACKNOWLEDGE_TASK_MESSAGE").then_some(())).await;
    first.runtime.shutdown().await;
    assert!(!broker.is_subscribed("valve-1/reading"));

    let second = world_with(options(&dir), Arc::clone(&broker)).await;
    assert_eq!(second.runtime.deployments(), [DEPLOYMENT.to_lowercase()]);
    until("the second step", || (!broker.seen("valve-1/ping").is_empty()).then_some(())).await;
    assert_eq!(broker.seen("valve-1/sample").len(), 1, "an actuator is not moved twice");
    until("its end", || second.memory.events(&id).contains(&"EXECUTION_SUCCEEDED").then_some(())).await;
    until("the trigger", || broker.is_subscribed("valve-1/reading").then_some(())).await;
    let mut seqs: Vec<u64> = Vec::new();
    for batch in second.memory.batches.lock().unwrap().iter() {
        seqs.extend(batch.messages.iter().map(|message| message.seq));
    }
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "numbers are the same when told again");
    second.runtime.shutdown().await;
}

/// TG 6.10: history is written once, searched newest first in pages, and purged by age.
#[tokio::test]
async fn history_is_searched_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = marram_store::Store::open(dir.path().join("store"), marram_store::StoreOptions::default()).unwrap();
    store.migrate(MIGRATIONS).unwrap();
    let history = History::new(store);
    let ports = Ports {
        messages: Arc::new(Broker::default()),
        authority: Arc::new(Rights::default()),
        history: Some(Arc::new(history.clone())),
    };
    let runtime = RuntimeHandle::open(options(&dir), ports, &marram_obs::Metrics::new()).await.unwrap();
    let flow = flow().step(S { name: "water", action: "ping", ..S::default() });
    runtime.deploy(deployment(flow.flow, vec![])).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (account, region) = ("100200300400", "eu-local-1");
    let all =
        || history.search(account, region, &Search { deployment: DEPLOYMENT, limit: 10, ..Search::default() }).unwrap();
    let rows = until("five executions", || {
        Some(all()).filter(|rows| rows.len() == 5 && rows.iter().all(|row| row.status == "SUCCEEDED"))
    })
    .await;
    ids.reverse();
    assert_eq!(rows.iter().map(|row| row.execution.clone()).collect::<Vec<_>>(), ids);
    let mut paged = Vec::new();
    let mut after: Option<(marram_flow::Time, String)> = None;
    loop {
        let search = Search {
            deployment: DEPLOYMENT,
            limit: 2,
            after: after.as_ref().map(|(time, id)| (*time, id.as_str())),
            ..Search::default()
        };
        let page = history.search(account, region, &search).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created, last.execution.to_string()));
        paged.extend(page);
    }
    assert_eq!(paged, rows);
    let one = Search { deployment: DEPLOYMENT, execution: Some(&ids[0]), limit: 10, ..Search::default() };
    assert_eq!(history.search(account, region, &one).unwrap(), [rows[0].clone()]);
    assert!(history.search("000000000000", region, &one).unwrap().is_empty(), "no row crosses accounts");
    let messages = history.messages(account, region, &ids[0], 0, 100).unwrap().unwrap();
    assert_eq!(messages.first().unwrap().event_type, "START_FLOW_EXECUTION_TASK");
    assert_eq!(messages.last().unwrap().event_type, "EXECUTION_SUCCEEDED");
    assert_eq!(
        messages.iter().map(|message| message.seq).collect::<Vec<_>>(),
        (1..=messages.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!(history.messages(account, region, "none", 0, 10).unwrap(), None);

    let again = marram_flow_runtime::HistoryBatch {
        executions: vec![marram_flow_runtime::ExecutionRecord {
            account: account.into(),
            region: region.into(),
            execution: ids[0].clone(),
            deployment: DEPLOYMENT.into(),
            flow: "f".into(),
            status: marram_flow::Status::Running,
            created: rows[0].created,
            updated: rows[0].created,
        }],
        messages: vec![marram_flow_runtime::MessageRecord {
            execution: 0,
            seq: 1,
            event_type: marram_flow::EventType::StepStarted,
            at: rows[0].created,
            payload: "{}".into(),
        }],
    };
    history.write(again).await.unwrap();
    assert_eq!(history.messages(account, region, &ids[0], 0, 100).unwrap().unwrap(), messages, "each message once");
    assert_eq!(all()[0].status, "SUCCEEDED", "a terminal status is final");
    history.purge(rows[0].created.plus(31 * 86_400_000)).await.unwrap();
    assert!(all().is_empty());
    assert_eq!(history.messages(account, region, &ids[0], 0, 10).unwrap(), None);
    runtime.shutdown().await;
}

/// TG 7.1, 3.14: what cannot run here is refused with its code, and starts name what is wrong with them.
#[tokio::test]
async fn refusals_have_their_codes() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let step = S { name: "water", action: "ping", ..S::default() };
    let mut wrong = deployment(flow().step(step.clone()).flow, vec![]);
    let site = Arc::get_mut(&mut wrong.snapshot.site).unwrap();
    site.devices[0].actions[0].operation = marram_flow::program::Operation::Modbus {
        unit: 1,
        function: marram_flow::program::ModbusFunction::WriteSingleCoil { address: 1 },
        params: vec![],
    };
    let error = world.runtime.deploy(wrong).await.unwrap_err();
    assert!(
        matches!(&error, DeployError::NotAvailable { what: "Modbus", .. }) && error.to_string().starts_with("TDM5006"),
        "{error}"
    );
    *world.rights.denied.lock().unwrap() = Some("valve-1/reading".to_owned());
    let refused =
        world.runtime.deploy(deployment(flow().step(step.clone()).flow, vec![on_reading(READING, &[])])).await;
    assert!(matches!(refused, Err(DeployError::Subscribe { .. })));
    let flow = flow().parameter("n", DataType::Int32, true, None).step(step);
    world.runtime.deploy(deployment(flow.flow, vec![])).await.unwrap();
    let params = |json: serde_json::Value| json.as_object().unwrap().clone();
    let start = |role: &'static str, given: serde_json::Value| world.runtime.start(DEPLOYMENT, role, params(given));
    assert!(matches!(start("Nope", json!({})).await, Err(StartError::NoFlow(_))));
    assert!(matches!(start("Irrigate", json!({})).await, Err(StartError::MissingParameter(_))));
    assert!(matches!(start("Irrigate", json!({"n": 1, "m": 2})).await, Err(StartError::NoParameter(_))));
    assert!(start("Irrigate", json!({"N": 1})).await.is_ok());
    world.runtime.shutdown().await;
}
