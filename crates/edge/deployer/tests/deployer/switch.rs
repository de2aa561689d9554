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

/// CR 4.10, 7.5: another way to the same control plane is tried while the line is up, held afterwards, and nobody has to be told twice.
#[tokio::test]
async fn another_way_is_tried_before_it_is_taken() {
    let merge =
        |merge: Value| json!({"components": {NUCLEUS: {"version": "2.17.0", "configurationUpdate": {"merge": merge}}}});
    let refused = || Planes { refuses: Some(EndpointError::DataPlane("refused".to_owned())), ..Planes::default() };
    let unsettled = || Planes { unsettled: Some(EndpointError::Messages("no line".to_owned())), ..Planes::default() };
    for way in [
        json!({"mqtt": {"port": 1234}}),
        json!({"networkProxy": {"proxy": {"url": "http://p:1"}}}),
        json!({"greengrassDataPlanePort": "9"}),
    ] {
        for (planes, status, detailed) in [
            (refused(), "FAILED", "FAILED_NO_STATE_CHANGE"),
            (unsettled(), "FAILED", "FAILED_ROLLBACK_COMPLETE"),
            (Planes::default(), "SUCCEEDED", "SUCCESSFUL"),
        ] {
            let world = leaving(Planes::default(), "ROLLBACK").await;
            world.run(None).await;
            *world.planes.lock().unwrap() = planes;
            world.cloud.lock().unwrap().told.clear();
            world.deploy("ccc", &[("app", "1.0.0")], merge(way.clone()));
            world.run(None).await;
            assert_eq!(world.told(), (status.to_owned(), detailed.to_owned()), "{way}");
            let planes = world.planes.lock().unwrap();
            assert_eq!(planes.attempted, ["new:1"], "{way}");
            assert!(planes.told.is_empty(), "{way}");
        }
    }
}

/// CR 7.5, SEC-131: what would break the core or its components later fails the deployment before anything changes.
#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let no_policy =
        json!({"deviceGroups": {"definitions": {"g": {"selectionRule": "thingName: a", "policyName": "p"}}}});
    let own_shadow = json!({"synchronize": {"shadowDocuments": [
        {"thingName": "core", "namedShadows": ["AWSManagedGreengrassV2Deployment"]}]}});
    for (component, merge, named) in [
        (NUCLEUS, json!({"mqtt": {"port": "abc"}}), "mqtt.port"),
        (NUCLEUS, json!({"marram": {"sandbox": {"floor": "strickt"}}}), "marram.sandbox.floor"),
        (NUCLEUS, json!({"marram": {"sandbox": {"profile": "off", "floor": "strict"}}}), "the core's floor"),
        ("aws.greengrass.clientdevices.Auth", no_policy, "/deviceGroups/definitions/g/policyName"),
        ("aws.greengrass.ShadowManager", own_shadow, "/synchronize/shadowDocuments/0/namedShadows/0"),
        ("aws.greengrass.SecretManager", json!({"cloudSecrets": {}}), "/cloudSecrets"),
    ] {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        let version = marram_deploy::builtin(component).unwrap().version;
        let document =
            json!({"components": {component: {"version": version, "configurationUpdate": {"merge": merge}}}});
        world.deploy("a", &[("app", "1.0.0")], document);
        world.run(None).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{merge}");
        assert!(world.detail("deployment-failure-cause").contains(named), "{merge}");
        assert_eq!(world.detail("deployment-error-stack"), "[DEPLOYMENT_FAILURE, COMPONENT_CONFIGURATION_NOT_VALID]");
    }
}

/// CC 11: a token is tried with the settings it would have, where they change; one that cannot be used changes nothing.
#[tokio::test]
async fn a_token_that_cannot_be_used_is_not_taken() {
    const PROVIDER: &str = "aws.greengrass.crypto.Pkcs11Provider";
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    let mut right = json!({"name": "hsm", "library": "/lib/hsm.so", "slot": 1, "userPin": "4711"});
    let mut tried = Vec::new();
    for (id, merge, refusal) in [
        ("a", right.clone(), None),
        ("bb", json!({"name": "other"}), None),
        ("ccc", json!({"userPin": "0000"}), Some("it is locked".to_owned())),
        ("dddd", json!({"slot": "2"}), None),
    ] {
        world.planes.lock().unwrap().token_refuses = refusal.clone();
        world.cloud.lock().unwrap().told.clear();
        let document =
            json!({"components": {PROVIDER: {"version": "2.0.11", "configurationUpdate": {"merge": merge}}}});
        world.deploy(id, &[("app", "1.0.0")], document);
        world.run(None).await;
        let mut wished = right.clone();
        wished.as_object_mut().unwrap().extend(merge.as_object().unwrap().clone());
        if id != "bb" {
            tried.push(wished.clone());
        }
        assert_eq!(world.planes.lock().unwrap().tokens, tried, "{merge}");
        if refusal.is_some() {
            assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{merge}");
            assert!(world.detail("deployment-failure-cause").ends_with(&format!("of {PROVIDER}: it is locked")));
        } else {
            assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()), "{merge}");
            right = wished;
        }
        assert_eq!(world.services()[PROVIDER]["configuration"], right, "{merge}");
    }
}
