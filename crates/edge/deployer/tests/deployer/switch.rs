//! Another control plane: tried first, settled afterwards, the old one told (CR 4.10, endpoint switch).

use std::sync::Arc;

use marram_deployer::EndpointError;
use serde_json::{Value, json};

use crate::world::{Planes, World};

const NUCLEUS: &str = "aws.greengrass.Nucleus";

fn nucleus(host: &str) -> Value {
    json!({"components": {NUCLEUS: {"version": "2.17.0", "configurationUpdate": {"merge": {"iotDataEndpoint": host}}}}})
}

/// A core at `old:1`, and a waiting deployment that leads it to `new:1`.
async fn leaving(planes: Planes, policy: &str) -> Arc<World> {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], nucleus("old:1"));
    world.run(None).await;
    assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()));
    world.cloud.lock().unwrap().told.clear();
    *world.planes.lock().unwrap() = planes;
    let mut document = nucleus("new:1");
    document["failureHandlingPolicy"] = json!(policy);
    world.deploy("bb", &[("app", "1.0.0")], document);
    world
}

fn endpoint(world: &World) -> Value {
    world.services()[NUCLEUS]["configuration"]["iotDataEndpoint"].clone()
}

/// CR 4.10: what cannot be connected to changes nothing, whatever the reason.
#[tokio::test]
async fn a_control_plane_that_does_not_answer_is_not_taken() {
    for (error, code) in [
        (EndpointError::Settings("no host".to_owned()), "IOT_DATA_ENDPOINT_FORMAT_NOT_VALID"),
        (EndpointError::Messages("refused".to_owned()), "MQTT_CONNECTION_FAILED"),
        (EndpointError::Credentials("403".to_owned()), "CREDENTIAL_ENDPOINT_AUTH_FAILURE"),
    ] {
        let world = leaving(Planes { refuses: Some(error), ..Planes::default() }, "ROLLBACK").await;
        world.run(None).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()));
        assert_eq!(world.detail("deployment-error-stack"), format!("[DEPLOYMENT_FAILURE, {code}]"));
        assert_eq!(endpoint(&world), "old:1");
        let switching = world.start(Arc::default()).deployer.switching().unwrap();
        assert_eq!((&*switching.deployment, &*switching.from, &*switching.to), ("bb", "old:1", "new:1"));
        assert!(switching.failure.unwrap().contains("the new control plane cannot be used"));
        let planes = world.planes.lock().unwrap();
        assert_eq!(planes.attempted, ["new:1"], "once, with the settings it would have");
        assert!(planes.told.is_empty());
    }
}

/// CR 4.10: a line that does not come up takes the core back, also when the document asks for no rollback, and wherever the
/// core was killed meanwhile.
#[tokio::test]
async fn a_line_that_does_not_come_up_takes_the_core_back() {
    let planes = || Planes { unsettled: Some(EndpointError::Messages("no line".to_owned())), ..Planes::default() };
    let steps = leaving(planes(), "DO_NOTHING").await.run(None).await;
    for crash in (0..steps).map(Some).chain([None]) {
        let world = leaving(planes(), "DO_NOTHING").await;
        world.run(crash).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_ROLLBACK_COMPLETE".to_owned()), "{crash:?}");
        assert_eq!(endpoint(&world), "old:1", "{crash:?}");
        let switching = world.start(Arc::default()).deployer.switching().unwrap();
        assert!(switching.failure.unwrap().contains("no line"), "{crash:?}");
        assert!(world.planes.lock().unwrap().told.is_empty(), "the line is that of the old one again, {crash:?}");
    }
}

/// CR 4.10: the old control plane, which asked for it, is told the end; wherever the core was killed meanwhile.
#[tokio::test]
async fn the_old_control_plane_is_told() {
    let steps = leaving(Planes::default(), "ROLLBACK").await.run(None).await;
    for crash in (0..steps).map(Some).chain([None]) {
        let world = leaving(Planes::default(), "ROLLBACK").await;
        world.run(crash).await;
        assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()), "{crash:?}");
        assert_eq!(endpoint(&world), "new:1", "{crash:?}");
        assert_eq!(world.start(Arc::default()).deployer.switching(), None, "{crash:?}");
        let planes = world.planes.lock().unwrap();
        let (whom, message) = planes.told.last().unwrap();
        assert_eq!(whom, "old:1", "{crash:?}");
        assert_eq!(message.topic, "$aws/things/core/jobs/job-bb/namespace-aws-gg-deployment/update", "{crash:?}");
    }
}
