//! Documents to timelines: the checker, the lowering and the engine together, on virtual time (TG 7.9).

use std::sync::Arc;

use marram_flow::lower::{BoundFlow, BoundThing, place};
use marram_flow::simulate::{Script, Timeline, simulate, unknown_names};
use marram_flow::snapshot::Snapshot;
use marram_flow::{Site, Status};
use marram_tdm::check::{CheckOptions, EntitySource, check_flow};
use marram_tdm::library;
use marram_tdm::model::Urn;
use serde_json::{Value as Json, json};

const SECURITY: &str = r#"
query SecurityFlow($camera: string!, $screen: string!) @workflowType(id: "urn:tdm:eu-local-1/100200300400/default:Workflow:SecurityFlow") {
  variables { out @property(id: "urn:tdm:aws/examples:Property:CameraStateProperty") }
  steps {
    step(name: "take picture", outEvent: ["captured"]) {
      DeviceActivity(deviceModel: "urn:tdm:aws/examples:DeviceModel:Camera", deviceId: "${camera}", out: "out") { capture }
      OnError { Retries { Retry(name: "again", errorEquals: ["TG.Timeout"], interval: "2 sec", backoffRate: 2.0, maxAttempts: 1) }
                Catches { Catch(name: "dark", errorEquals: ["States.ALL"], raiseEvent: ["noPicture"]) } }
    }
    step(name: "show", inEvent: ["captured"]) {
      DeviceActivity(deviceModel: "urn:tdm:aws/examples:DeviceModel:Screen", deviceId: "${screen}") { display(imageUrl: "${out.lastClickedImage}") }
    }
    step(name: "say so", inEvent: ["noPicture"]) {
      DeviceActivity(deviceModel: "urn:tdm:aws/examples:DeviceModel:Screen", deviceId: "${screen}") { display(imageUrl: "about:blank") }
    }
  }
}
"#;

const THINGS: &str = r#"
{"thing": "motion-1", "role": "motionSensor", "device": "urn:tdm:aws/examples:Device:HCSR501MotionSensor"}
{"thing": "cam-1", "role": "camera", "device": "urn:tdm:aws/examples:Device:RaspberryPiCamera"}
{"thing": "screen-1", "role": "screen", "device": "urn:tdm:aws/examples:Device:RaspberryPiScreen"}
{"trigger": "Motion", "condition": "devices[name == 'motionSensor'].events[name == 'StateChanged'].lastEvent.value",
"#;

fn timeline(script: &str) -> Timeline {
    let (snapshot, script) = world(script);
    assert_eq!(unknown_names(&snapshot, &script), []);
    simulate(&snapshot, &script).unwrap()
}

/// The flow with its things, and the script; its first line follows four of ours.
fn world(script: &str) -> (Snapshot, Script) {
    let things = format!(
        "{}{}",
        THINGS.trim_end(),
        r#" "actions": ["ThingsGraph.startFlow('SecurityFlow', bindings[name == 'camera'].deviceId, bindings[name == 'screen'].deviceId)"]}"#
    );
    let script = Script::parse(&format!("{things}\n{script}")).unwrap();
    let public = library::public();
    let outcome = check_flow(SECURITY, public, &CheckOptions::private("eu-local-1", "100200300400"));
    let flow = outcome.value.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
    let things: Vec<BoundThing> = script
        .things
        .iter()
        .map(|thing| BoundThing {
            role: thing.role.clone(),
            thing: thing.thing.clone(),
            device: Urn::parse(&thing.device).unwrap(),
            modbus_endpoint: None,
        })
        .collect();
    let site = Site::new("eu-local-1", "100200300400", "urn:tdm:x:Deployment:D", "urn:tdm:x:System:S");
    let flow = BoundFlow { role: "SecurityFlow".into(), flow: Arc::new(flow), revision: 1 };
    let snapshot = place(&|id| public.entity(id), site, &[flow], &things).unwrap();
    (snapshot, script)
}

/// What left for devices: time, topic, payload.
fn sent(timeline: &Timeline) -> Vec<(u64, String, Json)> {
    let tasks = timeline.lines.iter().filter(|line| line.event_type == "THING_ACTION_TASK");
    tasks
        .map(|line| {
            let payload: Json = serde_json::from_str(line.payload.get()).unwrap();
            (line.at, payload["topic"].as_str().unwrap().to_owned(), payload["request"].clone())
        })
        .collect()
}

/// TG 7.9, 4.7: motion starts the flow, the camera answers (by either of its names), the screen gets the picture; no
/// motion starts nothing.
#[test]
fn the_getting_started_scenario_runs() {
    for name in ["lastClickedImage", "lastImage"] {
        let timeline = timeline(&format!(
            r#"
            {{"at": 0, "event": "StateChanged", "role": "motionSensor", "payload": {{"isMotionDetected": true}}}}
            {{"at": 10000, "event": "StateChanged", "role": "motionSensor", "payload": {{"isMotionDetected": false}}}}
            {{"at": 20000, "event": "StateChanged", "role": "motionSensor", "payload": "what?"}}
            {{"on": "capture", "after": 120, "reply": {{"{name}": "s3://b/1.jpg"}}}}"#
        ));
        assert_eq!(
            sent(&timeline),
            [
                (0, "cam-1/capture".to_owned(), json!({})),
                (120, "screen-1/display".to_owned(), json!({"imageUri": "s3://b/1.jpg"})),
            ]
        );
        assert_eq!(timeline.executions.len(), 1);
        assert_eq!(timeline.executions[0].status, Status::Succeeded);
        assert_eq!(timeline.problems.len(), 1, "{:?}", timeline.problems);
    }
}

/// TG 6.4, 6.5: a camera that does not answer times out after 60 s, is retried after 2 s, and is then given up on.
#[test]
fn a_silent_camera_is_retried_then_caught() {
    let start = r#"{"at": 5, "start": {"camera": "cam-1", "$screen": "screen-1"}}"#;
    let recovered = timeline(&format!(
        "{start}\n{}\n{}",
        r#"{"on": "capture", "silent": true}"#,
        r#"{"on": "capture", "thing": "cam-1", "reply": {"lastClickedImage": "u"}}"#
    ));
    let times: Vec<u64> = sent(&recovered).iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [5, 60_005 + 2_000, 62_005]);
    let lost = timeline(&format!("{start}\n{}", r#"{"on": "capture", "silent": true}"#));
    let last = sent(&lost).pop().unwrap();
    assert_eq!(last, (122_005, "screen-1/display".to_owned(), json!({"imageUri": "about:blank"})));
    let timeline_of_lost: Vec<&str> = lost.lines.iter().map(|line| line.event_type).collect();
    assert_eq!(timeline_of_lost.iter().filter(|event| **event == "STEP_FAILED").count(), 1);
    assert_eq!(lost.executions[0].status, Status::Succeeded, "the failure was caught");
}

/// TG 7.9: names that neither the flow nor its things have are told with their line and with what there is.
#[test]
fn unknown_names_are_told() {
    for (line, wanted) in [
        (r#"{"on": "captur", "reply": {}}"#, Some("there is no action `captur`: the flow calls `capture`, `display`")),
        (
            r#"{"on": "capture", "thing": "cam-2", "reply": {}}"#,
            Some("there is no thing or service `cam-2`: there is `cam-1`, `motion-1`, `screen-1`"),
        ),
        (r#"{"start": {"camera": "cam-1", "x": 1}}"#, Some("the flow has no parameter `x`: it has `camera`, `screen`")),
        (r#"{"start": {}, "flow": "Other"}"#, Some("no such flow: there is `SecurityFlow`")),
        (
            r#"{"event": "StateChanged", "role": "motion"}"#,
            Some("no thing has the role `motion`: there is `motionSensor`, `camera`, `screen`"),
        ),
        (
            r#"{"event": "Changed", "role": "motionSensor"}"#,
            Some("the device of `motionSensor` has no event `Changed`: it has `StateChanged`"),
        ),
        (
            r#"{"trigger": "T", "condition": "every 1 hour", "actions": ["ThingsGraph.startFlow('Other')"]}"#,
            Some("no such flow: there is `SecurityFlow`"),
        ),
        (
            r#"{"trigger": "T", "condition": "every 1 hour", "actions": ["ThingsGraph.startFlow('securityflow', 1, 2, 3)"]}"#,
            Some("the flow `securityflow` has 2 parameters, not 3"),
        ),
        (
            r#"{"trigger": "T", "condition": "devices[name == 'camera'].events[name == 'Moved'].lastEvent.x", "actions": ["ThingsGraph.startFlow('SecurityFlow')"]}"#,
            Some("the device of `camera` has no event `Moved`"),
        ),
        (r#"{"on": "CAPTURE", "thing": "Cam-1", "silent": true}"#, None),
        (r#"{"start": {"$Camera": "cam-1"}}"#, None),
    ] {
        let (snapshot, script) = world(&format!("# a remark\n{line}"));
        let found = unknown_names(&snapshot, &script);
        match wanted {
            None => assert_eq!(found, [], "{line}"),
            Some(wanted) => {
                assert_eq!(found.len(), 1, "{line}: {found:?}");
                assert!(found[0].message.starts_with(wanted), "{line}: {}", found[0].message);
                assert_eq!(found[0].line, THINGS.lines().count() + 2, "{line}");
            }
        }
    }
}

/// TG 7.9: answers that no call was given are listed.
#[test]
fn unused_answers_are_listed() {
    let at = THINGS.lines().count();
    let timeline = timeline(concat!(
        r#"{"start": {"camera": "cam-1", "screen": "screen-1"}}"#,
        "\n",
        r#"{"on": "capture", "reply": {"lastClickedImage": "u"}}"#,
        "\n",
        r#"{"on": "capture", "reply": {"lastClickedImage": "v"}}"#,
        "\n",
        r#"{"on": "display", "thing": "motion-1", "silent": true}"#,
    ));
    assert_eq!(timeline.unused, [at + 3, at + 4]);
}
