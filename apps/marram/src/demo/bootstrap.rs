//! First start of the demo: what a user would do by hand, through the same calls, once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use marram_aws_api::ServiceId::{Iam, Iot, ThingsGraph};
use serde_json::{Value, json};

use super::caller::Caller;
use super::policy;
use crate::data_dir::write_private;

/// With whose broker a device speaks, and where the flow that uses it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The control plane's.
    Cloud,
    /// The local core's.
    Core,
}

impl Place {
    /// As the view shows it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Core => "core",
        }
    }
}

/// A device of the demo that speaks MQTT. Topics are written without the leading thing name.
#[derive(Debug, Clone, Copy)]
pub(super) struct MqttDevice {
    /// Thing name and client id.
    pub(super) thing: &'static str,
    /// `--kind` of its process.
    pub(super) kind: &'static str,
    /// Device of the public library it implements.
    pub(super) entity: &'static str,
    /// What it publishes.
    pub(super) publishes: &'static [&'static str],
    /// What it listens to.
    pub(super) subscribes: &'static [&'static str],
    /// Where it connects.
    pub(super) place: Place,
}

/// The lobby (things-graph.md 7.9).
pub(super) const MQTT_DEVICES: &[MqttDevice] = &[
    MqttDevice {
        thing: "demo-motion",
        kind: "motion-sensor",
        entity: "urn:tdm:aws/examples:Device:HCSR501MotionSensor",
        publishes: &["motion"],
        subscribes: &[],
        place: Place::Cloud,
    },
    MqttDevice {
        thing: "demo-camera",
        kind: "camera",
        entity: "urn:tdm:aws/examples:Device:RaspberryPiCamera",
        publishes: &["capture/finished"],
        subscribes: &["capture"],
        place: Place::Cloud,
    },
    MqttDevice {
        thing: "demo-screen",
        kind: "screen",
        entity: "urn:tdm:aws/examples:Device:RaspberryPiScreen",
        publishes: &[],
        subscribes: &["display"],
        place: Place::Cloud,
    },
];

/// The same lobby around the local core.
pub(super) const CORE_DEVICES: &[MqttDevice] = &[
    MqttDevice { thing: "demo-core-motion", place: Place::Core, ..MQTT_DEVICES[0] },
    MqttDevice { thing: "demo-core-camera", place: Place::Core, ..MQTT_DEVICES[1] },
    MqttDevice { thing: "demo-core-screen", place: Place::Core, ..MQTT_DEVICES[2] },
];

/// The group of cores that the flow is deployed to.
const CORE_GROUP: &str = "demo-floor";

/// The bed's controller.
const SPRINKLER_THING: &str = "demo-sprinkler";

/// Thing attribute that tells the flow runtime where a Modbus TCP server listens.
const MODBUS_ENDPOINT: &str = "modbusTcp";

/// The role flows act with.
const FLOW_ROLE: &str = "MarramDemoFlows";

/// A flow with its system and its deployment, as TDM documents.
#[derive(Debug)]
pub(super) struct Example {
    /// Entities of its own, if it has any.
    pub(super) entities: Option<&'static str>,
    /// `@workflowType`
    pub(super) flow: &'static str,
    /// `@systemType`
    pub(super) system: &'static str,
    /// `@deployment`
    pub(super) deployment: &'static str,
    /// Name of the deployment: the last part of its id.
    pub(super) name: &'static str,
    /// Where it runs.
    pub(super) place: Place,
}

/// All examples; the one for the core uses flow and system of the first.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        entities: None,
        flow: include_str!("../../demo/motion/flow.tdm"),
        system: include_str!("../../demo/motion/system.tdm"),
        deployment: include_str!("../../demo/motion/deployment.tdm"),
        name: "Lobby",
        place: Place::Cloud,
    },
    Example {
        entities: Some(include_str!("../../demo/sprinkler/entities.tdm")),
        flow: include_str!("../../demo/sprinkler/flow.tdm"),
        system: include_str!("../../demo/sprinkler/system.tdm"),
        deployment: include_str!("../../demo/sprinkler/deployment.tdm"),
        name: "HerbBed",
        place: Place::Cloud,
    },
    Example {
        entities: None,
        flow: include_str!("../../demo/motion/flow.tdm"),
        system: include_str!("../../demo/motion/system.tdm"),
        deployment: include_str!("../../demo/motion/core-deployment.tdm"),
        name: "LobbyOnCore",
        place: Place::Core,
    },
];

/// What the documents write for the caller's namespace.
pub(super) const NAMESPACE_MARK: &str = "REGION/ACCOUNT/";

/// How long an upload may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Sets the demo up.
#[derive(Debug)]
pub(super) struct Bootstrap<'b> {
    caller: &'b Caller,
    folder: &'b Path,
}

impl<'b> Bootstrap<'b> {
    /// Keys and certificates are kept in `folder`.
    pub(super) fn new(caller: &'b Caller, folder: &'b Path) -> Self {
        Self { caller, folder }
    }

    /// Makes what is missing in the control plane. `modbus`: `host:port` of the sprinkler controller.
    pub(super) async fn run(&self, modbus: &str) -> anyhow::Result<()> {
        let examples = || EXAMPLES.iter().filter(|example| example.place == Place::Cloud);
        for device in MQTT_DEVICES {
            self.device(device).await.with_context(|| format!("device {}", device.thing))?;
        }
        let has_moved = self.sprinkler(modbus).await?;
        let role = self.flow_role().await?;
        for example in examples() {
            self.example(example).await.with_context(|| format!("example {}", example.name))?;
        }
        for device in MQTT_DEVICES {
            self.associate(device.thing, device.entity.to_owned()).await?;
        }
        self.associate(SPRINKLER_THING, self.id("Device", "BedController")).await?;
        for example in examples() {
            let again = has_moved && example.name == "HerbBed";
            let target = json!({ "target": "CLOUD", "flowActionsRoleArn": role });
            self.deployment(example, target, again).await.with_context(|| format!("deployment {}", example.name))?;
        }
        Ok(())
    }

    /// Makes what is missing around a core: its devices, its group, the flow on it. `bucket` must exist.
    pub(super) async fn run_on_core(&self, core: &str, bucket: &str) -> anyhow::Result<()> {
        for device in CORE_DEVICES {
            self.device(device).await.with_context(|| format!("device {}", device.thing))?;
            self.associate(device.thing, device.entity.to_owned()).await?;
        }
        self.caller.ensure(Iot, "CreateThingGroup", json!({ "thingGroupName": CORE_GROUP })).await?;
        let member = json!({ "thingGroupName": CORE_GROUP, "thingName": core });
        self.caller.must(Iot, "AddThingToThingGroup", member).await?;
        for example in EXAMPLES.iter().filter(|example| example.place == Place::Core) {
            self.example(example).await.with_context(|| format!("example {}", example.name))?;
            let target = json!({ "target": "GREENGRASS", "greengrassGroupName": CORE_GROUP, "s3BucketName": bucket });
            self.deployment(example, target, false).await.with_context(|| format!("deployment {}", example.name))?;
        }
        Ok(())
    }

    async fn device(&self, device: &MqttDevice) -> anyhow::Result<()> {
        self.caller.ensure(Iot, "CreateThing", json!({"thingName": device.thing})).await?;
        let folder = self.folder.join(device.thing);
        if folder.join("key.pem").exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let policy_name = format!("{}-only", device.thing);
        let document = policy::device(device, self.caller.region(), self.caller.account()).to_string();
        self.caller.ensure(Iot, "CreatePolicy", json!({"policyName": policy_name, "policyDocument": document})).await?;
        let made = self.caller.must(Iot, "CreateKeysAndCertificate", json!({"setAsActive": true})).await?;
        let arn = text(&made, "/certificateArn")?;
        self.caller.must(Iot, "AttachPolicy", json!({"policyName": policy_name, "target": arn})).await?;
        self.caller.must(Iot, "AttachThingPrincipal", json!({"thingName": device.thing, "principal": arn})).await?;
        write_private(&folder.join("certificate.pem"), text(&made, "/certificatePem")?.as_bytes())?;
        // The key is written last: a folder with a key is complete.
        write_private(&folder.join("key.pem"), text(&made, "/keyPair/PrivateKey")?.as_bytes())
    }

    /// Answers whether the controller is at another address than before.
    async fn sprinkler(&self, modbus: &str) -> anyhow::Result<bool> {
        let payload = json!({"attributes": {MODBUS_ENDPOINT: modbus}});
        let input = json!({"thingName": SPRINKLER_THING, "attributePayload": payload});
        if self.caller.ensure(Iot, "CreateThing", input.clone()).await?.is_some() {
            return Ok(false);
        }
        let thing = self.caller.must(Iot, "DescribeThing", json!({"thingName": SPRINKLER_THING})).await?;
        if thing["attributes"][MODBUS_ENDPOINT] == modbus {
            return Ok(false);
        }
        self.caller.must(Iot, "UpdateThing", input).await?;
        Ok(true)
    }

    async fn flow_role(&self) -> anyhow::Result<String> {
        let trust = policy::flow_trust(self.caller.account()).to_string();
        self.caller
            .ensure(Iam, "CreateRole", json!({"RoleName": FLOW_ROLE, "AssumeRolePolicyDocument": trust}))
            .await?;
        let document =
            policy::flows(MQTT_DEVICES, &[SPRINKLER_THING], self.caller.region(), self.caller.account()).to_string();
        let input = json!({"RoleName": FLOW_ROLE, "PolicyName": "devices", "PolicyDocument": document});
        self.caller.must(Iam, "PutRolePolicy", input).await?;
        let role = self.caller.must(Iam, "GetRole", json!({"RoleName": FLOW_ROLE})).await?;
        Ok(text(&role, "/Role/Arn")?.to_owned())
    }

    async fn example(&self, example: &Example) -> anyhow::Result<()> {
        if let Some(entities) = example.entities {
            self.upload(entities).await?;
        }
        for (operation, document) in [("CreateFlowTemplate", example.flow), ("CreateSystemTemplate", example.system)] {
            self.caller.ensure(ThingsGraph, operation, json!({"definition": self.definition(document)})).await?;
        }
        Ok(())
    }

    async fn upload(&self, entities: &str) -> anyhow::Result<()> {
        let upload = self
            .caller
            .must(ThingsGraph, "UploadEntityDefinitions", json!({"document": self.definition(entities)}))
            .await?;
        let id = text(&upload, "/uploadId")?;
        let deadline = Instant::now() + UPLOAD_TIMEOUT;
        loop {
            let status = self.caller.must(ThingsGraph, "GetUploadStatus", json!({"uploadId": id})).await?;
            match text(&status, "/uploadStatus")? {
                "SUCCEEDED" => return Ok(()),
                "FAILED" => bail!("the upload was refused: {}", status["failureReason"]),
                _ if Instant::now() > deadline => bail!("the upload did not end in time"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn associate(&self, thing: &str, entity: String) -> anyhow::Result<()> {
        let input = json!({"thingName": thing, "entityId": entity});
        self.caller.must(ThingsGraph, "AssociateEntityToThing", input).await?;
        Ok(())
    }

    async fn deployment(&self, example: &Example, mut target: Value, again: bool) -> anyhow::Result<()> {
        let id = self.id("Deployment", example.name);
        target["definition"] = self.definition(example.deployment);
        self.caller.ensure(ThingsGraph, "CreateSystemInstance", target).await?;
        let instance = self.caller.must(ThingsGraph, "GetSystemInstance", json!({"id": id})).await?;
        let status = text(&instance, "/description/summary/status")?;
        // A core that has not answered yet is on its way.
        if again || matches!(status, "NOT_DEPLOYED" | "FAILED" | "DELETED_IN_TARGET") {
            self.caller.must(ThingsGraph, "DeploySystemInstance", json!({"id": id})).await?;
        }
        Ok(())
    }

    fn definition(&self, document: &str) -> Value {
        json!({"language": "GRAPHQL", "text": document.replace(NAMESPACE_MARK, &self.namespace())})
    }

    fn id(&self, metatype: &str, name: &str) -> String {
        format!("urn:tdm:{}default:{metatype}:{name}", self.namespace())
    }

    fn namespace(&self) -> String {
        format!("{}/{}/", self.caller.region(), self.caller.account())
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> anyhow::Result<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the answer has no {pointer}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use marram_tdm::check::{self, CheckOptions, Layered, Outcome, Target, Template, Templates, ThingDevice, Things};
    use marram_tdm::model::{Flow, System, Urn};

    use super::*;

    const REALM: &str = "us-east-1/000000000000/";

    struct House {
        flow: Option<Arc<Flow>>,
        system: Option<Arc<System>>,
    }

    impl Templates for House {
        fn flow(&self, _: &Urn) -> Template<Flow> {
            self.flow.clone().map_or(Template::Missing, Template::Usable)
        }
        fn system(&self, _: &Urn) -> Template<System> {
            self.system.clone().map_or(Template::Missing, Template::Usable)
        }
    }

    impl Things for House {
        fn thing(&self, name: &str) -> ThingDevice {
            let mut devices = MQTT_DEVICES.iter().chain(CORE_DEVICES);
            let known = devices.find(|device| device.thing == name).map(|device| device.entity.to_owned());
            let sprinkler = (name == SPRINKLER_THING).then(|| format!("urn:tdm:{REALM}default:Device:BedController"));
            known.or(sprinkler).map_or(ThingDevice::Missing, |id| ThingDevice::Device(id.parse().unwrap()))
        }
    }

    fn sound<T>(name: &str, outcome: Outcome<T>) -> Arc<T> {
        assert!(outcome.diagnostics.is_empty(), "{name}: {:#?}", outcome.diagnostics);
        Arc::new(outcome.value.unwrap())
    }

    /// TG 3: the demo's documents have the layout that `marram tdm fmt` gives.
    #[test]
    fn the_documents_are_formatted() {
        for example in EXAMPLES {
            let documents = [Some(example.flow), Some(example.system), Some(example.deployment), example.entities];
            for document in documents.into_iter().flatten() {
                let formatted = marram_tdm::syntax::format(document, marram_tdm::syntax::FormatOptions::default());
                assert_eq!(formatted.unwrap(), document, "{}", example.name);
            }
        }
    }

    /// TG 3: the demo's documents pass every check, without a warning.
    #[test]
    fn the_documents_compile() {
        let options = CheckOptions::private("us-east-1", "000000000000");
        let public = &marram_tdm::library::public().model;
        for example in EXAMPLES {
            let text = |document: &str| document.replace(NAMESPACE_MARK, REALM);
            let entities: Vec<String> = example.entities.iter().map(|document| text(document)).collect();
            let documents: Vec<&str> = entities.iter().map(String::as_str).collect();
            let checked = check::check(&documents, public, &options);
            assert!(checked.diagnostics.is_empty(), "{}: {:#?}", example.name, checked.diagnostics);
            let source = Layered { own: &checked.model, public };
            let mut house = House { flow: None, system: None };
            house.flow = Some(sound(example.name, check::check_flow(&text(example.flow), &source, &options)));
            let system = check::check_system(&text(example.system), &source, &house, &options);
            house.system = Some(sound(example.name, system));
            let deployment = text(example.deployment);
            let target = Target::Greengrass;
            sound(example.name, check::check_deployment(&deployment, &source, &house, &house, target, &options));
        }
    }
}
