//! All 35 operations: one success and one modelled error each (CR 6.8, 6.7).

use marram_memory_core::{ASKING_DEPLOYMENT, DEVICE_CERTIFICATE, SECRET_ARN, SECRET_NAME};
use serde_json::{Value, json};

use crate::client::Door;

const ONE: &str = "one-token";
const UUID_1: &str = "00000000-0000-4000-8000-000000000001";

/// CR 6.8: request, response; then a request that is refused and the error's shape. Run in order on one core.
#[tokio::test]
async fn every_unary_operation_succeeds_and_is_refused() {
    let door = Door::open();
    door.core.add_component("aws.greengrass.StreamManager", json!({}));
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("none");
    let one = |member: &str| json!({member: "one"});
    let no_such = json!({"componentName": "none"});
    let credential = |pem: &str| json!({"credential": {"mqttCredential": {"clientId": "d", "certificatePem": pem}}});
    let payload = |text: &str| {
        use base64::Engine;
        json!({"thingName": "t", "shadowName": "s", "payload": base64::engine::general_purpose::STANDARD.encode(text)})
    };
    let shadow = json!({"thingName": "t", "shadowName": "s"});
    #[rustfmt::skip]
    let cases: Vec<(&str, &str, Value, Value, Value, &str)> = vec![
        ("UpdateState", ONE, json!({"state": "RUNNING"}), json!({}), json!({"state": "BROKEN"}), "InvalidArgumentsError"),
        ("PauseComponent", ONE, one("componentName"), json!({}), no_such.clone(), "ResourceNotFoundError"),
        ("ResumeComponent", ONE, one("componentName"), json!({}), no_such.clone(), "ResourceNotFoundError"),
        ("RestartComponent", ONE, one("componentName"), json!({"restartStatus": "SUCCEEDED"}), no_such.clone(), "ResourceNotFoundError"),
        ("StopComponent", "operator", json!({"componentName": "two"}), json!({"stopStatus": "SUCCEEDED"}), no_such.clone(), "ResourceNotFoundError"),
        ("GetConfiguration", ONE, json!({"keyPath": ["deep", "a"]}), json!({"componentName": "one", "value": {"b": 1}}),
            json!({"keyPath": ["none"]}), "ResourceNotFoundError"),
        ("GetConfiguration", ONE, json!({"componentName": "two", "keyPath": ["rate"], "extra": null}), json!({"componentName": "two", "value": {"rate": 5}}),
            no_such.clone(), "ResourceNotFoundError"),
        ("UpdateConfiguration", ONE, json!({"keyPath": ["deep"], "timestamp": 1784000000.5, "valueToMerge": {"c": 2}}), json!({}),
            json!({"timestamp": 1783999999, "valueToMerge": {"c": 3}}), "FailedUpdateConditionCheckError"),
        ("UpdateConfiguration", ONE, json!({"timestamp": 1784000001, "valueToMerge": {"c": 2}}), json!({}),
            json!({"timestamp": 1784000002, "valueToMerge": {"accessControl": {}}}), "InvalidArgumentsError"),
        ("SendConfigurationValidityReport", ONE, json!({"configurationValidityReport": {"status": "ACCEPTED", "deploymentId": ASKING_DEPLOYMENT}}), json!({}),
            json!({"configurationValidityReport": {"status": "ACCEPTED", "deploymentId": "late"}}), "InvalidArgumentsError"),
        ("PublishToTopic", ONE, json!({"topic": "a/b", "publishMessage": {"binaryMessage": {"message": "AQID"}}}), json!({}),
            json!({"topic": "a/#", "publishMessage": {"binaryMessage": {"message": "AQID"}}}), "InvalidArgumentsError"),
        ("PublishToIoTCore", ONE, json!({"topicName": "a", "qos": "1", "payload": "AQID", "userProperties": [{"key": "k", "value": "v"}]}), json!({}),
            json!({"topicName": "a", "qos": "2"}), "InvalidArgumentsError"),
        ("GetSecretValue", ONE, json!({"secretId": SECRET_NAME}),
            json!({"secretId": SECRET_ARN, "versionId": "v1", "versionStage": ["AWSCURRENT"], "secretValue": {"secretString": "hunter2"}}),
            json!({"secretId": "none"}), "ResourceNotFoundError"),
        ("GetSecretValue", ONE, json!({"secretId": SECRET_ARN, "versionStage": "AWSCURRENT"}),
            json!({"secretId": SECRET_ARN, "versionId": "v1", "versionStage": ["AWSCURRENT"], "secretValue": {"secretString": "hunter2"}}),
            json!({"secretId": SECRET_NAME, "versionId": "a", "versionStage": "b"}), "InvalidArgumentsError"),
        ("UpdateThingShadow", ONE, payload("{\"state\":{}}"), json!({"payload": "eyJzdGF0ZSI6e319"}), payload("{\"version\":9}"), "ConflictError"),
        ("GetThingShadow", ONE, shadow.clone(), json!({"payload": "eyJzdGF0ZSI6e319"}), json!({"thingName": "t"}), "ResourceNotFoundError"),
        ("ListNamedShadowsForThing", ONE, json!({"thingName": "t", "pageSize": 5}), json!({"results": ["s"], "timestamp": 1784000000.5}),
            json!({"thingName": "t", "nextToken": "x"}), "InvalidArgumentsError"),
        ("DeleteThingShadow", ONE, shadow.clone(), json!({"payload": "e30="}), shadow, "ResourceNotFoundError"),
        ("CreateLocalDeployment", "operator", json!({"rootComponentVersionsToAdd": {"c": "1.0.0"}, "componentToConfiguration": {"c": {"MERGE": {"a": 1}, "RESET": ["/b"]}},
            "componentToRunWithInfo": {"c": {"posixUser": "u:g", "systemResourceLimits": {"memory": 1024, "cpus": 0.5}}}}), json!({"deploymentId": UUID_1}),
            json!({"recipeDirectoryPath": no_folder}), "InvalidRecipeDirectoryPathError"),
        ("CreateLocalDeployment", ONE, json!({"recipeDirectoryPath": folder.path(), "failureHandlingPolicy": "ROLLBACK"}), json!({"deploymentId": UUID_1.replace("01", "02")}),
            json!({"artifactsDirectoryPath": no_folder}), "InvalidArtifactsDirectoryPathError"),
        ("GetLocalDeploymentStatus", "operator", json!({"deploymentId": UUID_1}),
            json!({"deployment": {"deploymentId": UUID_1, "status": "QUEUED", "createdOn": "2026-07-14T03:33:20Z"}}),
            json!({"deploymentId": "none"}), "ResourceNotFoundError"),
        ("CancelLocalDeployment", ONE, json!({"deploymentId": UUID_1}), json!({"message": "the deployment is cancelled"}),
            json!({"deploymentId": "none"}), "ResourceNotFoundError"),
        ("CreateDebugPassword", "operator", json!({}), json!({"username": "debug", "password": "0123456789", "passwordExpiration": 1784000000}),
            json!([1]), "InvalidArgumentsError"),
        ("VerifyClientDeviceIdentity", ONE, json!({"credential": {"clientDeviceCertificate": DEVICE_CERTIFICATE}}), json!({"isValidClientDevice": true}),
            json!({"credential": {"clientDeviceCertificate": "x"}}), "InvalidArgumentsError"),
        ("GetClientDeviceAuthToken", ONE, credential(DEVICE_CERTIFICATE), json!({"clientDeviceAuthToken": "device-token"}),
            credential("other"), "InvalidCredentialError"),
        ("AuthorizeClientDeviceAction", ONE, json!({"clientDeviceAuthToken": "device-token", "operation": "mqtt:publish", "resource": "mqtt:topic:a"}), json!({"isAuthorized": true}),
            json!({"clientDeviceAuthToken": "x", "operation": "mqtt:publish", "resource": "mqtt:topic:a"}), "InvalidClientDeviceAuthTokenError"),
        ("ValidateAuthorizationToken", "aws.greengrass.StreamManager-token", json!({"token": ONE}), json!({"isValid": true}), json!({"token": "x"}), "InvalidTokenError"),
        ("PutComponentMetric", ONE, json!({"metrics": [{"name": "m", "unit": "COUNT", "value": 3}]}), json!({}),
            json!({"metrics": [{"name": "m", "unit": "MILES", "value": 3}]}), "InvalidArgumentsError"),
    ];
    for (operation, token, request, response, bad, shape) in cases {
        let mut client = door.client(token).await;
        assert_eq!(client.call(operation, request).await, Ok(response), "{operation}");
        assert_eq!(client.refusal(operation, bad).await, shape, "{operation}");
    }
    let metrics = door.core.metrics();
    assert_eq!((metrics.len(), metrics[0].0.as_str(), metrics[0].1.value), (1, "one", 3.0));

    let mut operator = door.client("operator").await;
    let details = operator.call("GetComponentDetails", one("componentName")).await.unwrap();
    assert_eq!(details["componentDetails"]["state"], "RUNNING");
    assert_eq!(operator.refusal("GetComponentDetails", no_such).await, "ResourceNotFoundError");
    let listed = operator.call("ListComponents", json!({})).await.unwrap();
    assert_eq!(listed["components"].as_array().unwrap().len(), 3);
    assert_eq!(listed["components"][2]["state"], "FINISHED");
    let deployments = operator.call("ListLocalDeployments", json!({})).await.unwrap();
    assert_eq!(deployments["localDeployments"].as_array().unwrap().len(), 2);
    for operation in ["ListComponents", "ListLocalDeployments"] {
        assert_eq!(operator.refusal(operation, json!("x")).await, "InvalidArgumentsError");
    }
}

/// CR 6.8: the subscribing operations: the response comes first, then events of the named shape; one refusal each.
#[tokio::test]
async fn every_subscription_brings_its_events() {
    let door = Door::open();
    let certificates = json!({"certificateOptions": {"certificateType": "SERVER"}});
    #[rustfmt::skip]
    let cases: Vec<(&str, Value, Value, &str, Value, Value, &str)> = vec![
        ("SubscribeToComponentUpdates", json!({}), json!({}), "ComponentUpdatePolicyEvents",
            json!({"preUpdateEvent": {"deploymentId": ASKING_DEPLOYMENT, "isGgcRestarting": false}}), json!(7), "InvalidArgumentsError"),
        ("SubscribeToValidateConfigurationUpdates", json!({}), json!({}), "ValidateConfigurationUpdateEvents",
            json!({"validateConfigurationUpdateEvent": {"configuration": {"rate": 7}, "deploymentId": ASKING_DEPLOYMENT}}), json!(7), "InvalidArgumentsError"),
        ("SubscribeToIoTCoreConnectionStatus", json!({}), json!({}), "IoTCoreConnectionStatusEvent",
            json!({"connectionStatusEvent": {"status": "CONNECTED"}}), json!(7), "InvalidArgumentsError"),
        ("SubscribeToCertificateUpdates", certificates, json!({}), "CertificateUpdateEvent",
            json!({"certificateUpdate": {"privateKey": "private", "publicKey": "public", "certificate": "certificate", "caCertificates": ["authority"]}}),
            json!({"certificateOptions": {"certificateType": "CLIENT"}}), "InvalidArgumentsError"),
    ];
    for (operation, request, response, shape, event, bad, error) in cases {
        let mut client = door.component("one").await;
        assert_eq!(client.call(operation, request).await, Ok(response), "{operation}");
        assert_eq!(client.event().await, (1, shape.to_owned(), event), "{operation}");
        assert_eq!(client.refusal(operation, bad).await, error, "{operation}");
    }

    let mut client = door.component("one").await;
    assert_eq!(client.call("SubscribeToTopic", json!({"topic": "a/+"})).await, Ok(json!({"topicName": "a/+"})));
    let mut other = door.component("two").await;
    let message = json!({"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {"x": [1, "ä"]}}}});
    other.call("PublishToTopic", message).await.unwrap();
    let event = json!({"jsonMessage": {"message": {"x": [1, "ä"]}, "context": {"topic": "a/b"}}});
    assert_eq!(client.event().await, (1, "SubscriptionResponseMessage".to_owned(), event));
    assert_eq!(client.refusal("SubscribeToTopic", json!({"topic": "a/#/b"})).await, "InvalidArgumentsError");

    let mut client = door.component("one").await;
    let filter = json!({"topicName": "c/#", "qos": "1"});
    assert_eq!(client.call("SubscribeToIoTCore", filter).await, Ok(json!({})));
    let publish = json!({"topicName": "c/d", "qos": "0", "payload": "AQID", "contentType": "x/y", "payloadFormat": "1",
        "userProperties": [{"key": "k", "value": "v"}], "messageExpiryIntervalSeconds": 9, "correlationData": "AA==", "responseTopic": "r"});
    other.call("PublishToIoTCore", publish).await.unwrap();
    let event = json!({"message": {"topicName": "c/d", "payload": "AQID", "contentType": "x/y", "payloadFormat": "1",
        "userProperties": [{"key": "k", "value": "v"}], "messageExpiryIntervalSeconds": 9, "correlationData": "AA==", "responseTopic": "r"}});
    assert_eq!(client.event().await, (1, "IoTCoreMessage".to_owned(), event));
    let bad = json!({"topicName": "a/#/b", "qos": "0"});
    assert_eq!(client.refusal("SubscribeToIoTCore", bad).await, "InvalidArgumentsError");

    let mut client = door.component("one").await;
    let place = json!({"componentName": "two", "keyPath": ["deep"]});
    assert_eq!(client.call("SubscribeToConfigurationUpdate", place).await, Ok(json!({})));
    let update = json!({"keyPath": ["deep", "a"], "timestamp": 1784000000, "valueToMerge": {"b": 2}});
    other.call("UpdateConfiguration", update).await.unwrap();
    let event = json!({"configurationUpdateEvent": {"componentName": "two", "keyPath": ["deep", "a"]}});
    assert_eq!(client.event().await, (1, "ConfigurationUpdateEvents".to_owned(), event));
    let bad = json!({"keyPath": ["none"]});
    assert_eq!(client.refusal("SubscribeToConfigurationUpdate", bad).await, "ResourceNotFoundError");

    // Deferring needs to have been asked, which only a subscriber is.
    let mut asked = door.component("one").await;
    asked.call("SubscribeToComponentUpdates", json!({})).await.unwrap();
    asked.event().await;
    let defer = |id: &str| json!({"deploymentId": id, "recheckAfterMs": 1000});
    assert_eq!(asked.call("DeferComponentUpdate", defer(ASKING_DEPLOYMENT)).await, Ok(json!({})));
    assert_eq!(asked.refusal("DeferComponentUpdate", defer("other")).await, "InvalidArgumentsError");
}

/// Our own questions are for operators; to a component they do not exist.
#[tokio::test]
async fn the_core_explains_itself_to_operators_only() {
    let door = Door::open();
    let mut operator = door.client("operator").await;
    operator.call("CreateLocalDeployment", json!({})).await.unwrap();
    let status = operator.call("marram#Status", json!({})).await.unwrap();
    assert_eq!((&status["connected"], &status["deploymentsUnderWay"]), (&json!(true), &json!(1)));
    assert_eq!(status["outage"], Value::Null);
    let why = operator.call("marram#WhyDeployment", json!({})).await.unwrap();
    assert_eq!((&why["deployment"]["deploymentId"], &why["waitingFor"]), (&json!(UUID_1), &json!("its turn")));
    let place = json!({"componentName": "one", "keyPath": ["deep"]});
    let explained = operator.call("marram#ExplainConfiguration", place).await.unwrap();
    assert_eq!(explained["value"], json!({"a": {"b": 1}}));
    door.core.set_connected(false);
    door.core.set_access_control("two", json!({"aws.greengrass.ipc.pubsub": {"p": {"operations": 7}}}));
    let findings = operator.call("marram#Diagnose", json!({})).await.unwrap();
    let told = |at: usize| findings["findings"][at]["finding"].as_str().unwrap();
    assert_eq!(
        told(0),
        "the line to the control plane is down since 1970-01-01T00:00:00Z: nobody listens at plane:8883 (Connection refused)"
    );
    assert!(findings["findings"][0]["advice"].as_str().unwrap().contains("`mqtt.port`"));
    assert_eq!(findings["findings"].as_array().unwrap().len(), 2);
    // Who asks how the core is, or why a deployment waits, hears the same.
    for question in ["marram#Status", "marram#WhyDeployment"] {
        let answer = operator.call(question, json!({})).await.unwrap();
        let outage = json!({
            "since": "1970-01-01T00:00:00Z", "wasConnected": true, "kind": "refused", "reason": "nobody listens at plane:8883",
            "detail": "Connection refused", "advice": findings["findings"][0]["advice"], "waitingMessages": 2, "waitingBytes": 96,
        });
        assert_eq!((&answer["connected"], &answer["outage"]), (&json!(false), &outage), "{question}");
    }
    let mut component = door.component("one").await;
    let (shape, body) = component.call("marram#Status", json!({})).await.unwrap_err();
    assert_eq!((shape.as_str(), &body["error"]), ("", &json!("Unsupported Operation")));
}
