//! Deployments that are taken back: at every wait, whoever made them, and by nothing but the queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{DeploymentStatus, Deployments as _, KnownDeployment, LocalDeploymentRequest};
use serde_json::{Value, json};

use crate::fakes::FakeMessages;
use crate::world::{self, Crash, World};

/// A thing deployment `t1` in the shadow, with these members of its document.
fn wish(world: &World, members: Value) {
    let arn = "arn:aws:greengrass:r:1:configuration:thing/core:1";
    let mut document = json!({"deploymentId": "t1", "configurationArn": arn, "creationTimestamp": 1});
    let Value::Object(members) = members else { panic!("members of a document") };
    document.as_object_mut().unwrap().extend(members);
    let desired = json!({"fleetConfigurationArn": arn, "fleetConfig": document.to_string()});
    world.cloud.lock().unwrap().shadow = json!({"desired": desired});
}

/// The author of the wish thinks better of it; the next life hears of it.
fn take_back(world: &World) {
    let mut cloud = world.cloud.lock().unwrap();
    cloud.shadow["desired"]["desiredStatus"] = json!("CANCELED");
    cloud.shadow_version += 1;
}

/// CR 4.1: a removed job is honoured at every wait before activation, also while the network is away.
#[tokio::test]
async fn a_cancel_is_honoured_while_waiting() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    wish(&world, json!({"components": {"none": {"version": "1.0.0"}}}));
    world.cloud.lock().unwrap().unreachable = true;
    let life = world.start(Arc::new(Crash::default()));
    life.until("the wait for the control plane", || {
        life.deployer.waiting_for().is_some_and(|(id, what)| id == "t1" && what.contains("cannot be reached: cable"))
    })
    .await;
    drop(life);
    take_back(&world);
    // the next life hears of it when it asks for the shadow
    let life = world.start(Arc::new(Crash::default()));
    life.until("the cancel", || world.told().0 == "CANCELED").await;
    assert_eq!(world.versions(), BTreeMap::new());
}

/// CR 10.3 (1): also what waits for components in their activation is taken back, into the old state, and says so.
#[tokio::test]
async fn a_cancel_is_honoured_during_activation() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "hang"}), &[]);
    wish(&world, json!({"failureHandlingPolicy": "DO_NOTHING", "components": {"app": {"version": "1.0.0"}}}));
    let life = world.start(Arc::new(Crash::default()));
    let waits = || life.deployer.waiting_for().is_some_and(|(_, what)| what.contains("app (STARTING)"));
    life.until("the wait for app", waits).await;
    drop(life);
    take_back(&world);
    let life = world.start(Arc::new(Crash::default()));
    life.until("the cancel", || world.told().0 == "CANCELED").await;
    assert_eq!(world.versions(), BTreeMap::new());
    assert_eq!(life.deployer.deployments()[0].record.status, DeploymentStatus::Canceled);
}

/// CR 10.3 (1): a deployment whose components do not come up can be taken back, whoever made it and whatever its failure policy; it ends in
/// the old state, also when the core dies on the way.
#[tokio::test]
async fn a_cancel_is_honoured_while_components_come_up() {
    for (is_local, crash_at) in [(false, None), (true, None), (false, Some(3)), (true, Some(4)), (true, Some(9))] {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        world.deploy("a", &[("app", "1.0.0")], json!({}));
        world.run(None).await;
        let before = world.services();
        world.publish("extra", "1.0.0", json!({"run": "hang"}), &[]);
        world.cloud.lock().unwrap().told.clear();
        world.cloud.lock().unwrap().job = None;
        let life = world.start(Arc::new(Crash::default()));
        let id = if is_local {
            let add = [("extra".into(), "1.0.0".to_owned())].into();
            life.deployer.create_local(LocalDeploymentRequest { add, ..Default::default() }).await.unwrap()
        } else {
            let policy = json!({"failureHandlingPolicy": "DO_NOTHING"});
            world.deploy("bb", &[("app", "1.0.0"), ("extra", "1.0.0")], policy);
            "bb".to_owned()
        };
        let waits = || life.deployer.waiting_for().is_some_and(|(_, what)| what.contains("extra (STARTING)"));
        life.until("the wait for extra", waits).await;
        drop(life);
        world.cloud.lock().unwrap().job = None;
        let end = async |life: &world::Life| {
            if is_local {
                // After a crash it may be known already.
                let _ = life.deployer.cancel_local(&id).await;
            }
            let canceled =
                |one: &KnownDeployment| one.record.id == id && one.record.status == DeploymentStatus::Canceled;
            life.until("the cancel", || life.deployer.all().iter().any(canceled)).await;
        };
        let life = world.start(Arc::new(Crash { at: crash_at, ..Crash::default() }));
        tokio::select! {
            () = end(&life) => {}
            () = life.crash.fired.notified() => {}
        }
        drop(life);
        end(&world.start(Arc::new(Crash::default()))).await;
        assert_eq!(world.services(), before, "local {is_local}, crash {crash_at:?}");
    }
}

/// CR 4.3: while one job takes another's place the list is empty for a moment, and that may be told after the new one came. Only
/// the queue itself takes a deployment back: when it is empty, or a younger job is next; and what it offers again is begun anew.
#[tokio::test]
async fn only_what_left_the_queue_is_taken_back() {
    let world = World::new();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        world.publish("app", version, json!({"run": "fine"}), &[]);
    }
    let line = Arc::new(FakeMessages::new(world.clone()));
    let life = world.start_on(&line, Arc::new(Crash::default()));
    let working = life.deployer.clone();
    let work = tokio::spawn(async move { working.run().await });
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(tokio::time::Instant::now() < deadline, "{what} does not come: {:?}", life.deployer.deployments());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waits = |id: &str| life.deployer.waiting_for().is_some_and(|(one, what)| one == id && what.contains("cable"));
    let deploy = |id: &str, version: &str| {
        let mut cloud = world.cloud.lock().unwrap();
        cloud.told.clear();
        cloud.unreachable = true;
        drop(cloud);
        world.deploy(id, &[("app", version)], json!({}));
    };
    let of = |id: &str| {
        let all = life.deployer.deployments();
        all.into_iter().filter(|one| one.record.id == id).map(|one| one.record.status).collect::<Vec<_>>()
    };
    deploy("a", "1.0.0");
    until("the wait of a", &|| waits("a")).await;
    let before = world.cloud.lock().unwrap().asked;
    line.notify(&json!({}));
    until("a question", &|| world.cloud.lock().unwrap().asked > before).await;
    world.cloud.lock().unwrap().unreachable = false;
    until("the end of a", &|| world.told().0 == "SUCCEEDED").await;

    deploy("bb", "2.0.0");
    line.notify(&json!({"QUEUED": [{"jobId": "job-bb"}]}));
    until("the wait of bb", &|| waits("bb")).await;
    deploy("ccc", "3.0.0");
    line.notify(&json!({"QUEUED": [{"jobId": "job-ccc"}]}));
    until("the wait of ccc", &|| waits("ccc")).await;
    assert_eq!(of("bb"), [DeploymentStatus::Canceled]);
    let offered = world.cloud.lock().unwrap().job.take();
    line.notify(&json!({}));
    until("the cancel of ccc", &|| of("ccc") == [DeploymentStatus::Canceled]).await;
    world.cloud.lock().unwrap().job = offered;
    line.notify(&json!({"QUEUED": [{"jobId": "job-ccc"}]}));
    until("the wait of ccc again", &|| waits("ccc")).await;
    world.cloud.lock().unwrap().unreachable = false;
    until("the end of ccc", &|| world.told().0 == "SUCCEEDED").await;
    assert_eq!(of("ccc"), [DeploymentStatus::Canceled, DeploymentStatus::Succeeded]);
    assert_eq!((of("a"), of("bb")), (vec![DeploymentStatus::Succeeded], vec![DeploymentStatus::Canceled]));
    work.abort();
}
