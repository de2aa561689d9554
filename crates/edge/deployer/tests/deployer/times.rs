//! Deployments of the cloud and of the device, by clocks that do not agree.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use marram_edge_ports::{DeploymentStatus, Deployments as _, LocalConfigurationUpdate, LocalDeploymentRequest};
use serde_json::{Value, json};

use super::world::{Crash, World};

/// CR 3.3 (3): a cloud deployment made before a local one loses only where that one changed the same key, and a clock that was ahead
/// for a while protects nothing, also when the core dies on the way.
#[tokio::test]
async fn a_local_deployment_does_not_undo_an_older_one_of_the_cloud() {
    // (what the local deployment sets, the core's clock then, creation of the cloud's, k in the end)
    let table = [
        ("another key", json!({"loc": "x"}), 5_000, 3_000, "cloud"),
        ("the same key", json!({"loc": "x", "k": "local"}), 5_000, 3_000, "local"),
        ("the same key, clock ahead", json!({"loc": "x", "k": "local"}), 9_000_000, 5_500, "cloud"),
    ];
    for (case, local, clock, created, expected) in table {
        for crash_at in [None, Some(4), Some(9), Some(14), Some(19)] {
            let world = World::new();
            for version in ["1.0.0", "2.0.0"] {
                world.publish("app", version, json!({"run": "fine"}), &[]);
            }
            let configured = |version: &str, k: &str, created: i64| {
                let app = json!({"version": version, "configurationUpdate": {"merge": {"k": k}}});
                json!({"components": {"app": app}, "creationTimestamp": created})
            };
            world.deploy("a", &[], configured("1.0.0", "first", 2_000));
            world.run(None).await;

            world.now.store(clock, Ordering::SeqCst);
            let life = world.start(Arc::new(Crash::default()));
            let update = LocalConfigurationUpdate { merge: Some(local.clone()), reset: vec![] };
            let request = LocalDeploymentRequest {
                configuration: [("app".into(), update)].into(),
                ..LocalDeploymentRequest::default()
            };
            let id = life.deployer.create_local(request).await.unwrap();
            let status = || life.deployer.local_status(&id).unwrap().status;
            life.until("the local end", || status() == DeploymentStatus::Succeeded).await;
            drop(life);
            let set = &world.services()["app"]["configuration"];
            assert_eq!(set["loc"], Value::from("x"), "{case}");

            world.now.store(6_000, Ordering::SeqCst);
            world.cloud.lock().unwrap().told.clear();
            world.deploy("bb", &[], configured("2.0.0", "cloud", created));
            world.run(crash_at).await;
            let told = world.told();
            assert_eq!(told, ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()), "{case}, crash {crash_at:?}");
            let app = &world.services()["app"];
            let configuration = &app["configuration"];
            assert_eq!(configuration["k"], Value::from(expected), "{case}, crash {crash_at:?}");
            assert_eq!(configuration["loc"], Value::from("x"), "{case}, crash {crash_at:?}");
            assert_eq!(app["version"], Value::from("2.0.0"), "{case}, crash {crash_at:?}");
            // What was wished otherwise and stays is told, and not more.
            let mut known = world.start(Arc::new(Crash::default())).deployer.all().into_iter();
            let notes = known.rfind(|one| one.job_id.is_some()).unwrap().record.notes;
            let told =
                notes.iter().any(|note| note.contains("app these stay as they were set") && note.contains(": k; "));
            assert_eq!(
                (told, notes.len()),
                (expected == "local", usize::from(told)),
                "{case}, crash {crash_at:?}: {notes:?}"
            );
        }
    }
}
