//! Full disks: what is deployed on one, and what fills one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::world::{Crash, World};

/// CR 4.1, 4.8: a deployment is taken in and carried out on a full disk with the room kept for it.
#[tokio::test]
async fn the_reserve_carries_a_deployment_on_a_full_disk() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    *world.disk_full.lock().unwrap() = true;
    *world.tree_full.lock().unwrap() = Some(0);
    *world.reserve.lock().unwrap() = true;
    assert!(world.start(Arc::new(Crash::default())).until_over().await);
    assert_eq!(world.told().0, "SUCCEEDED");
    let opened = *world.opened.lock().unwrap();
    assert!(opened.0 == 0 && opened.1 > 3, "opened for each write and closed again: {opened:?}");
    assert!(world.halted.lock().unwrap().is_empty(), "it may be the remedy");
}

/// CR 4.1, 4.8: a disk so full that not even the end of a deployment can be written down holds it up; with room it goes on.
#[tokio::test]
async fn a_disk_full_for_everything_holds_a_deployment_up() {
    for name in ["rollback_snapshot.json", "activation.json"] {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        world.deploy("a", &[("app", "1.0.0")], json!({}));
        *world.fills_at.lock().unwrap() = Some(name);
        let life = world.start(Arc::new(Crash::default()));
        let room = async {
            while world.tree_full.lock().unwrap().is_none_or(|refused| refused < 3) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            *world.fills_at.lock().unwrap() = None;
            *world.disk_full.lock().unwrap() = false;
            *world.tree_full.lock().unwrap() = None;
            std::future::pending::<()>().await
        };
        tokio::select! {
            over = life.until_over() => assert!(over),
            () = room => {}
        }
        assert_eq!(world.told().0, "SUCCEEDED", "{name}");
        assert_eq!(world.versions()["app"], "1.0.0", "{name}");
    }
}

/// CR 4.8, 4.9: a deployment that fills the disk ends with `DISK_SPACE_CRITICAL` in the old state, wherever the core dies, and whether or
/// not it keeps room for itself; what its components wrote goes with them before the first byte of the rollback is written.
#[tokio::test]
async fn a_deployment_that_fills_the_disk_is_taken_back() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.publish("hog", "1.0.0", json!({"run": "fill"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    world.run(None).await;
    let before = world.services();
    world.cloud.lock().unwrap().told.clear();
    world.deploy("bb", &[("app", "1.0.0"), ("hog", "1.0.0")], json!({}));
    let steps = world.fork().run(None).await;
    for keeps_room in [false, true] {
        for crash_at in (0..steps).map(Some).chain([None]) {
            let case = format!("crash {crash_at:?}, keeps room: {keeps_room}");
            let world = world.fork();
            *world.reserve.lock().unwrap() = keeps_room;
            world.run(crash_at).await;
            assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_ROLLBACK_COMPLETE".to_owned()), "{case}");
            let stack = world.detail("deployment-error-stack");
            assert_eq!(stack, "[DEPLOYMENT_FAILURE, COMPONENT_UPDATE_ERROR, IO_ERROR, DISK_SPACE_CRITICAL]", "{case}");
            assert!(world.detail("deployment-failure-cause").contains("the disk is full: "), "{case}");
            assert_eq!(world.services(), before, "{case}");
            assert!(!world.work("hog").exists(), "{case}");
            assert!(world.halted.lock().unwrap().iter().all(|name| name == "hog"), "{case}");
            assert!(!world.halted.lock().unwrap().is_empty(), "{case}");
        }
    }
}

/// CR 9.1: what a component left in its work folder before is not deleted with what it wrote now; the rollback ends with the room that the
/// core keeps, and the next deployment is taken in although the disk stays full.
#[tokio::test]
async fn a_work_folder_with_something_in_it_stays() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.publish("hog", "1.0.0", json!({"run": "fill"}), &[]);
    *world.reserve.lock().unwrap() = true;
    std::fs::create_dir_all(world.work("hog")).unwrap();
    std::fs::write(world.work("hog").join("data"), "of last year").unwrap();
    world.deploy("a", &[("hog", "1.0.0")], json!({}));
    world.run(None).await;
    assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_ROLLBACK_COMPLETE".to_owned()));
    assert_eq!(std::fs::read_to_string(world.work("hog").join("data")).unwrap(), "of last year");
    assert!(world.work("hog").join("fill").exists());
    world.cloud.lock().unwrap().told.clear();
    world.deploy("bb", &[("app", "1.0.0")], json!({}));
    world.run(None).await;
    assert_eq!(world.told().0, "SUCCEEDED");
}
