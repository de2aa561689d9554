//! Rollbacks owe the old state what it had, no more, and hold nothing up for ever.

use std::sync::Arc;

use marram_edge_ports::{DeploymentStatus, Deployments as _, LocalDeploymentRequest};
use serde_json::{Value, json};

use crate::world::{Crash, World};

const LEFT: [(&str, &str); 4] = [("app", "1.0.0"), ("brk", "1.0.0"), ("slow", "1.0.0"), ("top", "1.0.0")];

/// CR 4.9, 10.3 (1): what was broken, what depends on it and what was still on its way before a deployment does not hold its rollback up,
/// wherever the core dies; the deployment that mends it gets its turn.
#[tokio::test]
async fn a_rollback_waits_only_for_what_was_up() {
    let world = World::new();
    for (name, run, dependencies) in [
        ("app", "fine", &[][..]),
        ("brk", "break", &[]),
        ("slow", "hang", &[]),
        ("top", "fine", &[("brk", ">=1.0.0")]),
        ("bad", "break", &[]),
    ] {
        world.publish(name, "1.0.0", json!({"run": run}), dependencies);
    }
    world.publish("brk", "2.0.0", json!({"run": "fine"}), &[]);
    let told = |status: &str, detailed: &str| (status.to_owned(), detailed.to_owned());
    world.deploy("a", &LEFT, json!({"failureHandlingPolicy": "DO_NOTHING"}));
    world.run(None).await;
    assert_eq!(world.told(), told("FAILED", "FAILED_ROLLBACK_NOT_REQUESTED"));
    let before = world.services();
    world.cloud.lock().unwrap().told.clear();
    world.deploy("bb", &[&LEFT[..], &[("bad", "1.0.0")]].concat(), json!({}));
    let steps = world.fork().run(None).await;
    for crash_at in (0..steps).step_by(3).map(Some).chain([None]) {
        let world = world.fork();
        world.run(crash_at).await;
        assert_eq!(world.told(), told("FAILED", "FAILED_ROLLBACK_COMPLETE"), "crash {crash_at:?}");
        assert_eq!(world.services(), before, "crash {crash_at:?}");
        world.cloud.lock().unwrap().told.clear();
        world.deploy("ccc", &[("app", "1.0.0"), ("brk", "2.0.0"), ("top", "1.0.0")], json!({}));
        world.run(None).await;
        assert_eq!(world.told(), told("SUCCEEDED", "SUCCESSFUL"), "crash {crash_at:?}");
    }
}

/// CR 10.3 (1): a rollback whose components do not come up again is waited for no longer once it is taken back, also by a core that died
/// meanwhile; it says that the old state is not up, and the next deployment gets its turn.
#[tokio::test]
async fn a_cancel_is_honoured_during_a_rollback() {
    for dies in [false, true] {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        world.publish("extra", "1.0.0", json!({"run": "hang"}), &[]);
        world.publish("mend", "1.0.0", json!({"run": "fine"}), &[]);
        world.deploy("a", &[("app", "1.0.0")], json!({}));
        world.run(None).await;
        let before = world.services();
        let add = |name: &str| LocalDeploymentRequest {
            add: [(name.into(), "1.0.0".to_owned())].into(),
            ..LocalDeploymentRequest::default()
        };
        let mut life = world.start(Arc::new(Crash::default()));
        let id = life.deployer.create_local(add("extra")).await.unwrap();
        let waits = |what: &str| {
            let waiting = life.deployer.waiting_for();
            waiting.is_some_and(|(one, sentence)| one == id && sentence.contains(what))
        };
        life.until("the wait for extra", || waits("extra (STARTING)")).await;
        *world.hangs.lock().unwrap() = Some("app");
        life.deployer.cancel_local(&id).await.unwrap();
        life.until("the wait for app", || waits("app (STARTING)")).await;
        if dies {
            drop(life);
            life = world.start(Arc::new(Crash::default()));
        }
        life.deployer.cancel_local(&id).await.unwrap();
        let of = |id: &str| life.deployer.local_status(id).unwrap();
        life.until("the end of the rollback", || of(&id).status == DeploymentStatus::Failed).await;
        assert_eq!(of(&id).detailed_status, "FAILED_UNABLE_TO_ROLLBACK");
        let cause = of(&id).failure_cause.unwrap();
        assert!(cause.ends_with("it was canceled while these were not up: app (STARTING)"), "{cause}");
        assert_eq!(world.services(), before, "the old state is restored all the same");
        *world.hangs.lock().unwrap() = None;
        let next = life.deployer.create_local(add("mend")).await.unwrap();
        life.until("the end of the next", || of(&next).status == DeploymentStatus::Succeeded).await;
        assert_eq!(world.services()["mend"]["version"], Value::from("1.0.0"));
    }
}
