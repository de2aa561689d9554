//! Deploying through configuration, outages, crashes, limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use marram_edge_flows::LocalHistory;
use marram_expr::DataType;
use marram_flow::{EventType, Status, Time};
use marram_flow_runtime::package::{DeploymentKey, seal};
use marram_flow_runtime::replica::ReportedState;
use marram_flow_runtime::{Deployment, ExecutionRecord, HistoryBatch, HistorySink, MessageRecord};
use marram_mqtt::{QoS, TopicFilter};
use serde_json::{Value, json};

use crate::common::{DEPLOYMENT, READING, S, deployment, flow, on_reading, until};
use crate::core::{Cloud, Core, Tree, boot};

/// A dose for each dry reading.
fn irrigation(litres: &str) -> Deployment {
    let flow = flow().parameter("litres", DataType::Float32, true, None).step(S {
        name: "water",
        action: "dose",
        args: &[("litres", "${litres}")],
        ..S::default()
    });
    deployment(flow.flow, vec![on_reading(&format!("{READING}.moisture < 10"), &[litres])])
}

fn configuration(package: &Value) -> Option<Value> {
    Some(json!({"targets": {"thinggroup/beds": {"bed": package}}}))
}

async fn armed(core: &Core) {
    core.reported(|report| report.deployments.iter().any(|entry| entry.state == ReportedState::Deployed)).await;
}

/// TG 7.3, 7.5, 7.6: a package is armed, a damaged or unsigned one is refused while the old one runs, what is no longer
/// listed is gone; each is reported.
#[tokio::test]
async fn what_is_configured_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(true));
    let (key, _) = DeploymentKey::generate().unwrap();
    let (other, _) = DeploymentKey::generate().unwrap();
    let mut core = boot(dir.path(), &tree, &cloud, vec![key.public()]);
    core.device.subscribe(&TopicFilter::new("valve-1/dose").unwrap(), QoS::AtLeastOnce).unwrap();

    tree.set(configuration(&seal(&irrigation("2"), Some(&key)).unwrap()));
    core.flows.refresh();
    armed(&core).await;
    core.send("valve-1/reading", r#"{"moisture":8}"#).await;
    assert_eq!(&core.device.recv().await.message.payload[..], br#"{"l":2.0}"#);
    let topics = core.flows.topics().borrow().clone();
    let (says, hears) = (&topics["valve-1"].publishes, &topics["valve-1"].receives);
    assert!(says.contains("valve-1/reading") && says.contains("valve-1/sample/done"), "{says:?}");
    assert!(hears.contains("valve-1/dose") && !hears.contains("valve-1/reading"), "{hears:?}");

    let mut damaged = seal(&irrigation("3"), Some(&key)).unwrap();
    damaged["sha256"] = "00".repeat(32).into();
    let foreign = seal(&irrigation("3"), Some(&other)).unwrap();
    let unsigned = seal(&irrigation("3"), None).unwrap();
    for (package, reason) in
        [(damaged, "hash"), (foreign, "signed"), (unsigned, "signed"), (json!({"id": DEPLOYMENT}), "malformed")]
    {
        tree.set(configuration(&package));
        let says = |entry: &marram_flow_runtime::replica::Reported| {
            entry.state == ReportedState::Failed && entry.message.as_deref().is_some_and(|text| text.contains(reason))
        };
        core.reported(|report| report.deployments.iter().any(says)).await;
        core.send("valve-1/reading", r#"{"moisture":8}"#).await;
        assert_eq!(&core.device.recv().await.message.payload[..], br#"{"l":2.0}"#, "the old one runs: {reason}");
    }

    tree.set(configuration(&seal(&irrigation("3"), Some(&key)).unwrap()));
    armed(&core).await;
    core.send("valve-1/reading", r#"{"moisture":8}"#).await;
    assert_eq!(&core.device.recv().await.message.payload[..], br#"{"l":3.0}"#);

    tree.set(Some(json!({})));
    core.reported(|report| report.deployments.is_empty()).await;
    assert!(core.flows.runtime().unwrap().deployments().is_empty());
    until("the empty report", || {
        cloud.reports.lock().unwrap().last().filter(|report| report.deployments.is_empty()).map(drop)
    })
    .await;
    core.flows.stop().await;
}

/// CC 1.1: a flow ends with the component, although its deployment stands on the disk; a restart does not bring it back, the component
/// does.
#[tokio::test]
async fn flows_end_with_their_component() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(true));
    let package = configuration(&seal(&irrigation("2"), None).unwrap());
    tree.set(package.clone());
    let core = boot(dir.path(), &tree, &cloud, vec![]);
    armed(&core).await;
    tree.set(None);
    core.flows.refresh();
    core.reported(|report| report.deployments.is_empty()).await;
    assert!(core.flows.runtime().unwrap().deployments().is_empty() && core.flows.topics().borrow().is_empty());
    core.flows.stop().await;

    let mut core = boot(dir.path(), &tree, &cloud, vec![]);
    core.reported(|report| report.deployments.is_empty()).await;
    assert!(core.flows.runtime().unwrap().deployments().is_empty());
    core.device.subscribe(&TopicFilter::new("valve-1/dose").unwrap(), QoS::AtLeastOnce).unwrap();
    core.send("valve-1/reading", r#"{"moisture":8}"#).await;
    tree.set(package);
    core.flows.refresh();
    armed(&core).await;
    core.send("valve-1/reading", r#"{"moisture":7}"#).await;
    assert_eq!(&core.device.recv().await.message.payload[..], br#"{"l":2.0}"#);
    let status = core.flows.runtime().unwrap().status(DEPLOYMENT).await.unwrap();
    assert_eq!(status.started, 1, "the reading without the component started nothing");
    core.flows.stop().await;
}

/// CC 1.1, TG 6.8: a core that dies after a deployment took a flow away and before the flow was told does not take it up in its next life:
/// what ran ends as undeployed, without a word to its device, and goes up as history.
#[test]
fn a_flow_taken_away_before_a_crash_is_not_armed_again() {
    let life = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // (what the deployment left, whether the package that was accepted is gone already)
    for (left, accepted_is_gone) in [(None, false), (Some(json!({})), false), (Some(json!({})), true)] {
        let dir = tempfile::tempdir().unwrap();
        let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(true));
        let reading = flow().step(S { name: "read", action: "sample", ..S::default() });
        let reading = deployment(reading.flow, vec![on_reading(&format!("{READING}.moisture < 10"), &[])]);
        tree.set(configuration(&seal(&reading, None).unwrap()));
        let first = life();
        first.block_on(async {
            let mut core = boot(dir.path(), &tree, &cloud, vec![]);
            core.device.subscribe(&TopicFilter::new("valve-1/sample").unwrap(), QoS::AtLeastOnce).unwrap();
            armed(&core).await;
            core.send("valve-1/reading", r#"{"moisture":8}"#).await;
            core.device.recv().await;
        });
        first.shutdown_timeout(Duration::from_secs(5));

        tree.set(left.clone());
        if accepted_is_gone {
            std::fs::remove_dir_all(dir.path().join("marram.FlowRuntime/accepted")).unwrap();
        }
        let second = life();
        second.block_on(async {
            let core = boot(dir.path(), &tree, &cloud, vec![]);
            core.reported(|report| report.deployments.is_empty()).await;
            assert!(core.flows.runtime().unwrap().deployments().is_empty());
            let told = until("the end", || {
                let stored = cloud.stored.lock().unwrap();
                stored.last().filter(|(.., event)| *event == "EXECUTION_ABORTED")?;
                Some(stored.iter().map(|(.., event)| *event).collect::<Vec<_>>())
            })
            .await;
            assert!(!told.iter().any(|event| event.ends_with("_FAILED")), "nothing was taken up: {told:?}");
            cloud.assert_whole();
            core.flows.stop().await;
        });
        second.shutdown_timeout(Duration::from_secs(5));
    }
}

/// TG 7.3, SEC-154: what an earlier core accepted without a signature goes on under one that demands them, also with other
/// settings; what comes next needs one, and so does the same package once it is gone.
#[tokio::test]
async fn packages_from_before_signatures_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(true));
    let (key, _) = DeploymentKey::generate().unwrap();
    let unsigned = configuration(&seal(&irrigation("2"), None).unwrap());
    tree.set(unsigned.clone());
    let core = boot(dir.path(), &tree, &cloud, vec![]);
    armed(&core).await;
    core.flows.stop().await;

    let mut core = boot(dir.path(), &tree, &cloud, vec![key.public()]);
    core.device.subscribe(&TopicFilter::new("valve-1/dose").unwrap(), QoS::AtLeastOnce).unwrap();
    let mut other_settings = unsigned.clone().unwrap();
    other_settings["http"] = json!({"allow": ["a.local"]});
    tree.set(Some(other_settings));
    armed(&core).await;
    // The first report may be of the time before the other settings: what is read while it is set up anew can pass by.
    let mut dose = None;
    for _ in 0..20 {
        core.send("valve-1/reading", r#"{"moisture":8}"#).await;
        dose = tokio::time::timeout(Duration::from_millis(500), core.device.recv()).await.ok();
        if dose.is_some() {
            break;
        }
    }
    assert_eq!(&dose.expect("it goes on").message.payload[..], br#"{"l":2.0}"#);
    let refused = |report: &marram_flow_runtime::replica::Report| {
        let says = |text: &str| text.contains("not signed");
        report.deployments.iter().any(|entry| entry.message.as_deref().is_some_and(says))
    };
    tree.set(configuration(&seal(&irrigation("3"), None).unwrap()));
    core.reported(refused).await;
    tree.set(Some(json!({})));
    core.reported(|report| report.deployments.is_empty()).await;
    tree.set(unsigned);
    core.reported(refused).await;
    assert!(core.flows.runtime().unwrap().deployments().is_empty());
    core.flows.stop().await;
}

/// TG 6.10: runs while the line is cut; nothing is sent then. A core that dies while pages are under way sends on after
/// its restart: every message arrives in order, none is missing, and what came twice is told by its number.
#[test]
fn history_arrives_once_and_in_order_after_outages_and_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(false));
    tree.set(configuration(&seal(&irrigation("2"), None).unwrap()));
    let life = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runs = 400;

    let first = life();
    first.block_on(async {
        let core = boot(dir.path(), &tree, &cloud, vec![]);
        armed(&core).await;
        for _ in 0..runs {
            core.send("valve-1/reading", r#"{"moisture":8}"#).await;
        }
        // What is in the journal survives the process; a reading still on its way to it would not.
        let runtime = core.flows.runtime().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !runtime.status(DEPLOYMENT).await.is_some_and(|status| status.started == runs && status.running == 0) {
            assert!(Instant::now() < deadline, "not all readings started a run");
            tokio::task::yield_now().await;
        }
        let history = core.flows.history().unwrap();
        until("history", || (history.stats().unwrap().waiting > 2_000).then_some(())).await;
        assert_eq!(cloud.pages.load(Ordering::Relaxed), 0, "nothing leaves while the line is cut");
        // The control plane stores the first page and is cut off before it can say so.
        cloud.mute.store(true, Ordering::Relaxed);
        cloud.line.send_replace(true);
        until("a page", || (cloud.pages.load(Ordering::Relaxed) > 0).then_some(())).await;
    });
    first.shutdown_timeout(Duration::from_secs(5));

    cloud.mute.store(false, Ordering::Relaxed);
    cloud.line.send_replace(true);
    let second = life();
    second.block_on(async {
        let core = boot(dir.path(), &tree, &cloud, vec![]);
        armed(&core).await;
        until("some pages", || (cloud.finished() > 50).then_some(())).await;
    });
    second.shutdown_timeout(Duration::from_secs(5));

    let third = life();
    third.block_on(async {
        let core = boot(dir.path(), &tree, &cloud, vec![]);
        armed(&core).await;
        let by_hand = json!({"litres": 1.0}).as_object().unwrap().clone();
        core.flows.runtime().unwrap().start(DEPLOYMENT, "Irrigate", by_hand).await.unwrap();
        until("everything", || (cloud.finished() > runs as usize).then_some(())).await;
        cloud.assert_whole();
        let history = core.flows.history().unwrap();
        until("the last answer", || (history.stats().unwrap().waiting == 0).then_some(())).await;
        assert_eq!(history.stats().unwrap().dropped, 0);
        core.flows.stop().await;
    });
}

fn batch(execution: &str, seqs: std::ops::RangeInclusive<u64>) -> HistoryBatch {
    HistoryBatch {
        executions: vec![ExecutionRecord {
            account: "1".into(),
            region: "r".into(),
            execution: execution.into(),
            deployment: DEPLOYMENT.into(),
            flow: "f".into(),
            status: Status::Running,
            created: Time(1),
            updated: Time(2),
        }],
        messages: seqs
            .map(|seq| MessageRecord {
                execution: 0,
                seq,
                event_type: EventType::StepStarted,
                at: Time(2),
                payload: "x".repeat(1_000),
            })
            .collect(),
    }
}

/// TG 6.10: disk use is bounded, the oldest messages go first and are counted, and those that were dropped do not come
/// back when the journal is replayed.
#[tokio::test]
async fn a_full_history_drops_its_oldest_messages() {
    let dir = tempfile::tempdir().unwrap();
    let history = LocalHistory::open(dir.path(), 50_000).await.unwrap();
    for number in 0..20 {
        history.write(batch(&format!("run-{number}"), 1..=10)).await.unwrap();
    }
    let full = history.stats().unwrap();
    assert!(full.bytes <= 50_000 && full.dropped > 100 && full.waiting + full.dropped == 200, "{full:?}");
    assert!(history.events("run-0").unwrap().is_empty());
    assert_eq!(history.events("run-19").unwrap().len(), 10);
    history.write(batch("run-0", 1..=10)).await.unwrap();
    history.write(batch("run-19", 5..=10)).await.unwrap();
    assert_eq!(history.stats().unwrap(), full, "what was seen stays seen");
}
