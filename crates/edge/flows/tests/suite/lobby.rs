//! The lobby: a sensor, a camera and a screen speak with the local broker over mutual TLS while the cloud is cut off.

use std::sync::Arc;
use std::time::Duration;

use marram_client_devices::{Devices, DevicesOptions, LocalBroker, LocalBrokerOptions};
use marram_expr::{DataType, PropertyType, classify, parse_expr, parse_template};
use marram_flow::program::{
    Action, ActionInput, Device, EventSource, Operation, ParamValue, PublishResponse, RequestParam, Thing,
};
use marram_flow::snapshot::{Binding, Condition, FlowRole, StartFlow, Trigger};
use marram_flow_runtime::Deployment;
use marram_flow_runtime::package::seal;
use marram_mqtt::{Connect, Publish, QoS, Topic, TopicFilter, Version};
use marram_mqtt_net::{Client, ClientError, ClientOptions};
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_tls::{ClientIdentity, Connector};
use marram_types::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::common::support::{property, site};
use crate::common::{S, deployment, flow, until};
use crate::core::{Cloud, Tree, boot_on};

const MOTION: &str = "devices[name == 'motionSensor'].events[name == 'motion'].lastEvent";

/// Motion, then a picture, then the picture on the screen (TG 7.9).
fn lobby() -> Deployment {
    let run = flow()
        .variable("image", DataType::String)
        .step(S {
            name: "shoot",
            action: "capture",
            thing: "camera-1",
            result: "image",
            out: &["shot"],
            ..S::default()
        })
        .step(S {
            name: "show",
            when: "shot",
            action: "display",
            thing: "screen-1",
            args: &[("imageUrl", "${image}")],
            ..S::default()
        });
    let mut deployment = deployment(run.flow, vec![]);
    let topic = |text: &str| parse_template(&format!("${{systemRuntime.deviceId}}/{text}")).unwrap();
    let device = |id: &str, actions: Vec<Action>, events: Vec<EventSource>| Device {
        id: format!("urn:tdm:x:Device:{id}").into(),
        models: vec!["urn:tdm:x:DeviceModel:Valve".into()],
        actions,
        events,
    };
    let action = |name: &str, inputs, params, returns: Option<DataType>| Action {
        name: name.into(),
        inputs,
        returns: returns.clone().map(property),
        operation: Operation::Publish {
            topic: topic(name),
            params,
            response: returns.map(|data_type| PublishResponse {
                topic: topic("capture/finished"),
                property: Some(property(data_type)),
            }),
        },
    };
    let image = ActionInput {
        name: "imageUrl".into(),
        property: property(DataType::String),
        is_required: true,
        default: None,
        is_secret: false,
    };
    let uri = RequestParam {
        name: "imageUri".into(),
        property: None,
        value: ParamValue::Expr(classify("${imageUrl.value}").unwrap()),
    };
    let motion = EventSource {
        name: "motion".into(),
        topic: topic("motion"),
        payload: Some(Arc::new(PropertyType::built_in(DataType::Json))),
    };
    let mut site = site();
    site.devices = vec![
        device("Camera", vec![action("capture", vec![], vec![], Some(DataType::String))], vec![]),
        device("Screen", vec![action("display", vec![image], vec![uri], None)], vec![]),
        device("Sensor", vec![], vec![motion]),
    ];
    site.things.clear();
    let snapshot = &mut deployment.snapshot;
    snapshot.bindings.clear();
    for (index, (role, thing)) in
        [("camera", "camera-1"), ("screen", "screen-1"), ("motionSensor", "sensor-1")].into_iter().enumerate()
    {
        let bound = Thing { device: index as u16, roles: vec![role.into()], modbus_endpoint: None };
        site.things.insert(thing.into(), bound);
        snapshot.bindings.push(Binding { role: role.into(), thing: thing.into() });
    }
    snapshot.site = Arc::new(site);
    snapshot.flows = vec![FlowRole { role: "Lobby".into(), flow: Arc::clone(&snapshot.flows[0].flow) }];
    snapshot.triggers = vec![Trigger {
        name: "Motion".into(),
        condition: Condition::Event {
            expr: parse_expr(&format!("{MOTION}.isMotionDetected")).unwrap(),
            events: vec![("motionSensor".into(), "motion".into())],
        },
        actions: vec![StartFlow { role: "Lobby".into(), arguments: vec![] }],
    }];
    deployment
}

struct Fleet {
    devices: Devices,
    cloud_ca: CertificateAuthority,
    port: u16,
}

impl Fleet {
    /// A client with a certificate of the cloud's, known to the core when `is_associated`.
    async fn connect(&self, thing: &str, is_associated: bool) -> Result<Client, ClientError> {
        let key = DeviceKeyPair::generate().unwrap();
        let now = SystemClock.now().as_millis() / 1_000;
        let certificate = self.cloud_ca.issue_device(key.public_key(), Validity::starting(now, 86_400)).unwrap();
        if is_associated {
            self.devices.known().learn(thing, &certificate.id().to_string()).unwrap();
        }
        let identity = ClientIdentity {
            chain_pem: pem::encode_certificate(certificate.der()),
            key_pem: key.private_pem().to_owned(),
        };
        let tls = Connector::new(marram_tls::ClientOptions {
            roots_pem: self.devices.authority_pem(),
            identity: Some(identity),
            alpn: vec![],
        });
        let connect = Connect::new(Version::V5, thing);
        let options = ClientOptions { host: "localhost".to_owned(), port: self.port, tls: Some(tls.unwrap()), connect };
        Client::connect(options).await
    }
}

fn said(topic: &str, body: Value) -> Publish {
    Publish::new(Topic::new(topic).unwrap(), body.to_string())
}

/// TG 7.9, 7.1, 10.2, 6.10; CC 2.5.4, 2.6: three devices known to the core drive the flow through the local broker with
/// the line cut; strangers are refused and neighbours cannot touch the flow's topics; afterwards the history arrives once
/// and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lobby_works_without_the_cloud() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(false));
    let devices = Devices::open(DevicesOptions {
        dir: dir.path().join("auth"),
        clock: Arc::new(SystemClock),
        cloud: None,
        trusted_authorities_pem: String::new(),
    })
    .unwrap();
    let broker = LocalBroker::broker(&devices).unwrap();
    let listen = LocalBrokerOptions { listen: ([127, 0, 0, 1], 0).into() };
    let listening = LocalBroker::listen(broker.clone(), devices.clone(), &listen).await.unwrap();
    tree.set(Some(json!({"targets": {"thinggroup/lobby": {"k": seal(&lobby(), None).unwrap()}}})));
    let core = boot_on(dir.path(), &tree, &cloud, vec![], broker);
    core.reported(|report| !report.deployments.is_empty()).await;
    devices.set_flow_topics(core.flows.topics().borrow().clone());

    let now = SystemClock.now().as_millis() / 1_000;
    let cloud_ca = CertificateAuthority::create("cloud", Validity::starting(now, 86_400)).unwrap();
    let fleet = Fleet { devices: devices.clone(), cloud_ca, port: listening.address().port() };
    assert!(matches!(fleet.connect("sensor-1", false).await, Err(ClientError::Refused(_))), "not associated");
    assert!(matches!(fleet.connect("lathe-1", true).await, Err(ClientError::Refused(_))), "no group, no flow");
    let sensor = fleet.connect("sensor-1", true).await.unwrap();
    let mut camera = fleet.connect("camera-1", true).await.unwrap();
    let mut screen = fleet.connect("screen-1", true).await.unwrap();
    let filter = |text: &str| TopicFilter::new(text).unwrap();
    camera.subscribe(filter("camera-1/capture"), QoS::AtMostOnce).await.unwrap();
    screen.subscribe(filter("screen-1/display"), QoS::AtMostOnce).await.unwrap();
    for foreign in ["camera-1/capture", "#", "screen-1/+", "$aws/things/sensor-1/shadow/update"] {
        assert!(screen.subscribe(filter(foreign), QoS::AtMostOnce).await.is_err(), "{foreign}");
    }

    let shooting = tokio::spawn(async move {
        let mut number = 0;
        while let Some(request) = camera.recv().await {
            assert_eq!(&request.payload[..], b"{}");
            number += 1;
            let body = json!({"lastClickedImage": format!("https://images.example/{number}")});
            camera.publish(said("camera-1/capture/finished", body)).await.unwrap();
        }
    });
    let rounds = 20;
    for number in 1..=rounds {
        sensor.publish(said("sensor-1/motion", json!({"isMotionDetected": true}))).await.unwrap();
        let shown = tokio::time::timeout(Duration::from_secs(10), screen.recv()).await.expect("a picture").unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&shown.payload).unwrap(),
            json!({"imageUri": format!("https://images.example/{number}")})
        );
    }
    assert_eq!(cloud.finished(), 0);
    cloud.line.send_replace(true);
    until("the history", || (cloud.finished() == rounds).then_some(())).await;
    cloud.assert_whole();

    // The flow goes, and with it the right to its topics.
    tree.set(Some(json!({})));
    core.reported(|report| report.deployments.is_empty()).await;
    devices.set_flow_topics(core.flows.topics().borrow().clone());
    assert!(fleet.connect("screen-1", true).await.is_err());
    shooting.abort();
    core.flows.stop().await;
    listening.stop().await;
}
