//! Every document of the repository opens as a drawing, and the drawing's places are right.

#[path = "support/corpus.rs"]
mod corpus;

use std::collections::BTreeSet;

use corpus::{draw, in_other_hands, list, samples, slice, world};
use marram_console_language::{PublicWorld, answer};
use marram_tdm::check::definition_directive;
use marram_tdm::model::Metatype;
use serde_json::{Value, json};

fn names(nodes: &Value) -> BTreeSet<&str> {
    list(nodes).iter().map(|node| node["name"].as_str().unwrap()).collect()
}

/// TG 3.11 to 3.13: every flow, system and deployment is drawn, with its nodes; edges join nodes; places are places.
#[test]
fn every_document_opens() {
    let world = world();
    let mut drawn = 0;
    for sample in samples() {
        for (hand, text) in in_other_hands(&sample.text) {
            let drawing = draw(&text, &world);
            let (document, _) = marram_tdm::syntax::parse(&text);
            for (member, metatype) in
                [("flows", Metatype::Workflow), ("systems", Metatype::System), ("deployments", Metatype::Deployment)]
            {
                let wanted = document.definitions.iter().filter_map(definition_directive);
                let wanted = wanted.filter(|(_, found)| *found == metatype).count();
                let found = list(&drawing[member]);
                assert_eq!(found.len(), wanted, "{} ({hand}): {member}", sample.name);
                drawn += wanted;
                for one in found {
                    let nodes = names(&one["nodes"]);
                    for edge in list(&one["edges"]) {
                        let ends = [&edge["source"], &edge["target"]];
                        let known = ends.iter().all(|end| nodes.contains(end.as_str().unwrap()));
                        assert!(known, "{} ({hand}): {edge}", sample.name);
                    }
                    for node in list(&one["nodes"]) {
                        let written = slice(&text, &node["from"], &node["to"]);
                        let is_trigger = node["kind"] == json!("clock") || node["kind"] == json!("event");
                        let is_step = one["edgesOmitted"] == json!(0) && !is_trigger;
                        assert!(!is_step || written.starts_with("step"), "{} ({hand}): {written}", sample.name);
                        let diagnostics = list(&drawing["diagnostics"]);
                        for problem in list(&node["problems"]) {
                            let index = usize::try_from(problem.as_u64().unwrap()).unwrap();
                            assert!(diagnostics[index]["from"].as_u64() >= node["from"].as_u64());
                        }
                    }
                }
            }
        }
    }
    assert!(drawn > 200, "{drawn} drawings");
}

fn shape(flow: &Value) -> (Vec<String>, Vec<String>) {
    let nodes = list(&flow["nodes"]).iter();
    let nodes = nodes.map(|node| format!("{} {}", node["kind"].as_str().unwrap(), node["name"].as_str().unwrap()));
    let edges = list(&flow["edges"]).iter().map(|edge| {
        let condition = edge["condition"].as_str().map_or(String::new(), |text| format!(" if {text}"));
        format!("{}: {}{condition}", edge["kind"].as_str().unwrap(), edge["id"].as_str().unwrap())
    });
    (nodes.collect(), edges.collect())
}

/// TG 3.11, 6.5, 6.6: each way a step leads to another is an edge of its kind; joins, merges and stored triggers too.
#[test]
fn each_way_to_the_next_step_is_an_edge() {
    let text = r#"
query F($c: string!) @workflowType(id: "urn:tdm:us-east-1/000000000000/default:Workflow:F")
  @triggers(definition: "{ triggers { Hourly(description: 'clock') { condition(expr: 'every 1 hour') action(expr: '') } Moved { condition(expr: \"devices[name == 'm'].events[name == 'StateChanged'].lastEvent\") action(expr: '') } } }")
  @annotation(type: "x", id: "a", x: 1, y: "2.5")
{
  steps {
    step(name: "a", outEvent: "done") {
      DeviceActivity(deviceModel: "urn:tdm:aws/examples:DeviceModel:Camera", deviceId: "${c}") { capture }
      OnError { Catches { Catch(errorEquals: ["TG.Timeout"], raiseEvent: ["late"]) Catch(condition: "Error == 'x'", expr: "$odd.IsTrue = true") } }
      OnSuccess { Check(name: "bright", condition: "1 < 2") { OnPass { stmt(expr: "$light.IsTrue = true") } OnFail { stmt(expr: "$dark.IsTrue = true") } } }
    }
    step(name: "b", inEvent: ["done", "light"]) @position(x: 10, y: -4) { ChoiceActivity { rule(expr: "true") { setEvent(name: "yes") } default { setEvent(name: "no") } } }
    step(name: "c|d", inEvent: "${yes || (no && late)}") { ChoiceActivity { default } }
    step(name: "e", inEvent: "dark") { ChoiceActivity { default } }
    step(name: "f", inEvent: ["odd"]) { ChoiceActivity { default } }
  }
}"#;
    let drawing = answer("flow", &json!({ "text": text }), &PublicWorld).unwrap();
    let flow = &drawing["flows"][0];
    let (nodes, edges) = shape(flow);
    assert_eq!(nodes, ["device a", "choice b", "choice c|d", "choice e", "choice f", "clock Hourly", "event Moved"]);
    assert_eq!(
        edges,
        [
            "success: a|success|done|b",
            "error: a|catch:0|late|c%7Cd",
            "error: a|catch:1|odd|f if Error == 'x'",
            "check: a|pass:0|light|b if 1 < 2",
            "check: a|fail:0|dark|e if 1 < 2",
            "choice: b|rule:0|yes|c%7Cd if true",
            "choice: b|default|no|c%7Cd",
            "triggers: trigger|Hourly|a if every 1 hour",
            "triggers: trigger|Moved|a if devices[name == 'm'].events[name == 'StateChanged'].lastEvent",
        ]
    );
    let at = |index: usize| &flow["nodes"][index];
    assert_eq!(at(0)["position"], json!({ "x": 1, "y": 2.5 }), "from the original console's annotation");
    assert_eq!(at(1)["position"], json!({ "x": 10, "y": -4 }));
    assert_eq!(at(2)["inEvent"]["expression"], json!("yes || (no && late)"));
    assert_eq!((&at(5)["title"], &at(5)["description"]), (&json!("every 1 hour"), &json!("clock")));
    assert_eq!(at(6)["listens"], json!([{ "role": "m", "event": "StateChanged" }]));
    assert_eq!(at(6)["title"], json!("m.StateChanged"));
}

/// TG 3.12, 3.13: roles are nodes and flows use devices; triggers join what fires to what is started.
#[test]
fn systems_and_deployments_are_drawn() {
    let world = world();
    let all = samples();
    let text = |name: &str| &all.iter().find(|sample| sample.name.contains(name)).unwrap().text;
    let system = draw(text("tests/world/system.tdm"), &world);
    let (nodes, edges) = shape(&system["systems"][0]);
    assert_eq!(nodes, ["device probe1", "device valve1", "flow Irrigate"]);
    assert_eq!(edges, ["uses: uses|Irrigate|probe1", "uses: uses|Irrigate|valve1"]);
    let deployment = draw(text("tests/world/deployment.tdm"), &world);
    let (nodes, edges) = shape(&deployment["deployments"][0]);
    assert_eq!(nodes, ["device probe1", "device valve1", "clock Hourly", "flow Irrigate", "event Dry"]);
    let dry = "devices[name == 'probe1'].events[name == 'reading'].lastEvent.moisture < 10";
    assert_eq!(
        edges,
        [
            "triggers: fires|Hourly|Irrigate if every 1 hour".to_owned(),
            format!("listens: listens|Dry|probe1|reading if {dry}"),
            format!("triggers: fires|Dry|Irrigate if {dry}"),
        ]
    );
    let parameters = list(&deployment["deployments"][0]["nodes"][3]["parameters"]).iter();
    let parameters: Vec<_> =
        parameters.map(|one| (one["name"].as_str().unwrap(), one["required"] == json!(true))).collect();
    assert_eq!(parameters, [("probe", true), ("valve", true), ("litres", false)]);
    assert_eq!(deployment["deployments"][0]["nodes"][0]["thing"], json!("probe-07"));
}
