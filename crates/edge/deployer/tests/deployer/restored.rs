//! A control plane, or a core, that was put back to an earlier state: from a backup, or from an image of its disk.

use std::sync::Arc;
use std::time::Duration;

use marram_deployer::News;
use serde_json::{Value, json};

use crate::fakes::FakeMessages;
use crate::world::{Crash, World};

fn arn(revision: u32) -> String {
    format!("arn:aws:greengrass:r:1:configuration:thing/core:{revision}")
}

/// What the shadow wishes with this revision of the thing's deployment.
fn desired(id: &str, revision: u32, created: i64, version: &str) -> Value {
    let document = json!({"deploymentId": id, "configurationArn": arn(revision), "creationTimestamp": created,
        "components": {"app": {"version": version}}});
    json!({"fleetConfigurationArn": arn(revision), "fleetConfig": document.to_string()})
}

fn world() -> Arc<World> {
    let world = World::new();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        world.publish("app", version, json!({"run": "fine"}), &[]);
    }
    world
}

/// CR 4.4: of a line the newest version of the shadow counts, but a control plane that comes back with an older one is believed: what it
/// deploys from then on is done, also under an ARN that was there before, and it is told all.
#[tokio::test]
async fn a_control_plane_that_was_put_back_is_believed() {
    let world = world();
    let line = Arc::new(FakeMessages::new(world.clone()));
    let life = world.start_on(&line, Arc::new(Crash::default()));
    let mut news = life.deployer.news();
    let wish = |desired: Value, version: i64| {
        let mut cloud = world.cloud.lock().unwrap();
        (cloud.shadow["desired"], cloud.shadow_version) = (desired, version);
        cloud.told.clear();
    };
    let done = |version: &'static str| {
        move |world: &World| {
            world.told().0 == "SUCCEEDED" && world.versions().get("app").is_some_and(|now| now == version)
        }
    };
    wish(desired("one", 1, 1_000, "1.0.0"), 10);
    let story = async {
        until(&world, done("1.0.0")).await;
        let backup = world.cloud.lock().unwrap().shadow.clone();
        bounce(&line, || wish(desired("two", 2, 2_000, "2.0.0"), 40));
        until(&world, done("2.0.0")).await;
        while let Ok(one) = news.try_recv() {
            assert!(!matches!(one, News::WentBack), "the control plane only went on");
        }
        bounce(&line, || {
            let mut cloud = world.cloud.lock().unwrap();
            (cloud.shadow, cloud.shadow_version) = (backup, 12);
        });
        while !matches!(news.recv().await.unwrap(), News::WentBack) {}
        assert_eq!(world.versions()["app"], "2.0.0", "what is done already is not done again");
        wish(desired("three", 2, 3_000, "3.0.0"), 13);
        bounce(&line, || {});
        until(&world, done("3.0.0")).await;
    };
    life.through(story).await;
}

/// The line goes, something happens, and it comes back.
fn bounce(line: &FakeMessages, meanwhile: impl FnOnce()) {
    line.set_up(false);
    meanwhile();
    line.set_up(true);
}

async fn until(world: &World, done: impl Fn(&World) -> bool) {
    while !done(world) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// CR 4.4: a core of yesterday's image told once that it did what its thing is wished today; it is not so, and it does it. What failed
/// once, or was canceled, stays as it was told.
#[tokio::test]
async fn a_core_that_was_put_back_does_what_it_told_it_did() {
    for (told, is_done) in [("SUCCEEDED", true), ("FAILED", false), ("CANCELED", false), ("REJECTED", false)] {
        let world = world();
        world.cloud.lock().unwrap().shadow = json!({"desired": desired("one", 1, 1_000, "1.0.0")});
        world.run(None).await;
        let reported = json!({"fleetConfigurationArnForStatus": arn(3), "status": told});
        let shadow = json!({"desired": desired("three", 3, 3_000, "3.0.0"), "reported": reported});
        {
            let mut cloud = world.cloud.lock().unwrap();
            (cloud.shadow, cloud.shadow_version, cloud.shadow_asked) = (shadow, 50, 0);
            cloud.told.clear();
        }
        let line = Arc::new(FakeMessages::new(world.clone()));
        let life = world.start_on(&line, Arc::new(Crash::default()));
        let done = |version: &'static str| {
            move |world: &World| world.told().0 == "SUCCEEDED" && world.versions()["app"] == version
        };
        let story = async {
            if is_done {
                return until(&world, done("3.0.0")).await;
            }
            until(&world, |world| world.cloud.lock().unwrap().shadow_asked > 0).await;
            bounce(&line, || {
                let mut cloud = world.cloud.lock().unwrap();
                cloud.shadow["desired"] = desired("four", 4, 4_000, "2.0.0");
                cloud.shadow_version += 1;
            });
            until(&world, done("2.0.0")).await;
            assert!(life.deployer.deployments().iter().all(|one| one.record.id != "three"), "{told}");
        };
        life.through(story).await;
    }
}
