//! Edits change what they say and nothing else.

#[path = "support/corpus.rs"]
mod corpus;

use std::sync::LazyLock;

use corpus::{Sample, draw, edit, edited, in_other_hands, list, readable, slice, world};
use marram_console_language::{NamespaceWorld, PublicWorld, answer};
use marram_tdm::syntax::parse;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The part of `new` that differs from `old`, and the part of `old` it replaced.
fn difference<'t>(old: &'t str, new: &'t str) -> (&'t str, &'t str) {
    let same = old.chars().zip(new.chars()).take_while(|(one, other)| one == other).map(|(c, _)| c.len_utf8()).sum();
    let (old, new): (&str, &str) = (&old[same..], &new[same..]);
    let tail = old.chars().rev().zip(new.chars().rev()).take_while(|(one, other)| one == other);
    let tail: usize = tail.map(|(c, _)| c.len_utf8()).sum();
    (&old[..old.len() - tail], &new[..new.len() - tail])
}

/// Where a change repeats what stands beside it, several cuts describe it.
fn is_turned(cut: &str, other: &str) -> bool {
    cut.len() == other.len() && other.repeat(2).contains(cut)
}

fn flows(drawing: &Value) -> Vec<&Value> {
    list(&drawing["flows"]).iter().filter(|flow| flow["urn"].is_string()).collect()
}

/// Steps that an edit can name: with a name no other step has.
fn nodes<'d>(flow: &'d Value) -> Vec<&'d Value> {
    let all = list(&flow["nodes"]);
    let lower = |node: &Value| node["name"].as_str().unwrap().to_lowercase();
    let is_alone = |node: &&&'d Value| {
        all.iter().filter(|other| lower(other) == lower(node)).count() == 1
            && ["device", "service", "choice", "unknown"].contains(&node["kind"].as_str().unwrap())
            && !node["name"].as_str().unwrap().trim().is_empty()
    };
    all.iter().collect::<Vec<_>>().iter().filter(is_alone).copied().collect()
}

/// API: `move` changes the step's own text only, whoever wrote the document, and means nothing to the checker.
#[test]
fn a_move_stays_within_its_step() {
    let world = world();
    let mut moved = 0;
    for sample in readable() {
        for (hand, text) in in_other_hands(&sample.text) {
            let drawing = draw(&text, &world);
            if list(&drawing["flows"]).len() != 1 {
                continue;
            }
            for flow in flows(&drawing) {
                for node in nodes(flow) {
                    let at = format!("{} ({hand}): {}", sample.name, node["name"]);
                    let name = &node["name"];
                    let go = json!([{"op": "move", "flow": flow["urn"], "node": name, "x": 120, "y": -40.25}]);
                    let after = edited(&text, go.clone(), &world);
                    let step = slice(&text, &node["from"], &node["to"]);
                    let (old, new) = difference(&text, &after);
                    assert_eq!((old, step.contains(new)), ("", false), "{at}");
                    let (head, tail) = text.split_once(step).expect("the step is in the text");
                    assert!(after.starts_with(head) && after.ends_with(tail), "{at}");
                    let drawn = draw(&after, &world);
                    let found = nodes(flows(&drawn)[0]).into_iter().find(|other| other["name"] == *name).cloned();
                    assert_eq!(found.unwrap()["position"], json!({"x": 120, "y": -40.25}), "{at}");
                    let count = |drawing: &Value| list(&drawing["diagnostics"]).len();
                    assert_eq!(count(&drawn), count(&drawing), "{at}");
                    // a second move changes two numbers
                    let again = json!([{"op": "move", "flow": flow["urn"], "node": name, "x": 7, "y": -40.25}]);
                    let twice = edited(&after, again, &world);
                    assert_eq!(difference(&after, &twice), ("120", "7"), "{at}");
                    moved += 1;
                }
            }
        }
    }
    assert!(moved > 150, "{moved} moves");
}

/// API: what one edit did the opposite edit takes back: the documents say the same.
#[test]
fn opposite_edits_restore_the_meaning() {
    let world = world();
    let mut tried = 0;
    for sample in readable() {
        for (hand, text) in in_other_hands(&sample.text) {
            let drawing = draw(&text, &world);
            if list(&drawing["flows"]).len() != 1 {
                continue;
            }
            let says_the_same = |after: &str, what: &str| {
                let (one, other) = (parse(&text).0, parse(after).0);
                assert!(one == other, "{} ({hand}): {what}\n{after}", sample.name);
            };
            for flow in flows(&drawing) {
                let urn = &flow["urn"];
                let all = nodes(flow);
                for node in &all {
                    let name = &node["name"];
                    let there = json!({"op": "rename-node", "flow": urn, "node": name, "to": "Umbenannt \u{1f4a7}"});
                    let back = json!({"op": "rename-node", "flow": urn, "node": "Umbenannt \u{1f4a7}", "to": name});
                    says_the_same(&edited(&text, json!([there, back]), &world), "rename");
                    for argument in list(&node["arguments"]) {
                        let set = |value: &Value| json!({"op": "set-argument", "flow": urn, "node": name, "name": argument["name"], "value": value});
                        let edits = json!([set(&json!("a \"b\" 'c' \\ \u{e9}")), set(&argument["value"])]);
                        says_the_same(&edited(&text, edits, &world), "set-argument");
                    }
                    let on_error = &node["onError"];
                    let set = |retries: &Value, catches: &Value| {
                        let lists =
                            [retries, catches].map(|list| if list.is_null() { json!([]) } else { list.clone() });
                        json!({"op": "set-on-error", "flow": urn, "node": name, "retries": lists[0], "catches": lists[1]})
                    };
                    let one = json!([{"errorEquals": ["States.ALL"], "interval": "1 sec"}]);
                    let back = set(&on_error["retries"], &on_error["catches"]);
                    let edits = json!([set(&one, &on_error["catches"]), back]);
                    let after = edit(&text, edits, &world);
                    if let (Ok(after), true) = (after, on_error.is_null()) {
                        says_the_same(after["text"].as_str().unwrap(), "set-on-error");
                    }
                    tried += 1;
                }
                for source in &all {
                    for target in all.iter().filter(|target| target["inEvent"]["kind"] == json!("all")) {
                        if source["kind"] == json!("choice") || source["kind"] == json!("unknown") {
                            continue;
                        }
                        connect_and_back(&text, urn, source, target, flow, &world, &says_the_same);
                    }
                }
            }
        }
    }
    assert!(tried > 150, "{tried} steps");
}

fn connect_and_back(
    text: &str,
    urn: &Value,
    source: &Value,
    target: &Value,
    flow: &Value,
    world: &NamespaceWorld,
    says_the_same: &dyn Fn(&str, &str),
) {
    let ids = |flow: &Value| -> Vec<String> {
        list(&flow["edges"]).iter().map(|edge| edge["id"].as_str().unwrap().to_owned()).collect()
    };
    // an event of that name may be waited for in vain: then connecting uses it up
    let emitted: Vec<&Value> = list(&flow["nodes"]).iter().flat_map(|node| list(&node["outputs"])).collect();
    let is_emitted = |event: &Value| emitted.iter().any(|port| list(&port["events"]).contains(event));
    if !list(&target["inEvent"]["events"]).iter().all(is_emitted) {
        return;
    }
    for join in ["all", "any"] {
        let connect =
            json!({"op": "connect", "flow": urn, "source": source["name"], "target": target["name"], "join": join});
        let after = edited(text, json!([connect]), world);
        let drawn = draw(&after, world);
        let before = ids(flow);
        let made: Vec<String> = ids(flows(&drawn)[0]).into_iter().filter(|id| !before.contains(id)).collect();
        if made.is_empty() {
            continue;
        }
        assert_eq!(made.len(), 1, "{connect} made {made:?}\n{after}");
        let lost = before.iter().find(|id| !ids(flows(&drawn)[0]).contains(id));
        assert_eq!(lost, None, "{connect}\n{after}");
        let back = edited(&after, json!([{"op": "disconnect", "flow": urn, "edge": made[0]}]), world);
        let is_list = |value: &Value| value["kind"] == json!("all");
        if join == "all" && is_list(&target["inEvent"]) && list(&target["inEvent"]["events"]).len() > 1 {
            says_the_same(&back, "connect");
        }
        let drawn = draw(&back, world);
        assert_eq!(ids(flows(&drawn)[0]), before, "{connect} and back\n{back}");
    }
}

/// API: removing an edge removes that edge, whoever shares its event.
#[test]
fn disconnecting_removes_one_edge() {
    let text = r#"query F @workflowType(id: "urn:tdm:us-east-1/000000000000/default:Workflow:F") {
  steps {
    step(name: "a") { ChoiceActivity { rule(expr: "true") { setEvent(name: "e") setEvent(name: "f") } default { setEvent(name: "e") } } }
    step(name: "b", inEvent: "e") { ChoiceActivity { default } } # first
    step(name: "c", inEvent: ["e", "f"]) { ChoiceActivity { default } }
    step(name: "d", inEvent: "${e || f}", outEvent: "e") { ChoiceActivity { default } }
  }
}
"#;
    let ids = |text: &str| -> Vec<String> {
        let drawing = answer("flow", &json!({ "text": text }), &PublicWorld).unwrap();
        let edges = list(&drawing["flows"][0]["edges"]).iter();
        edges.map(|edge| edge["id"].as_str().unwrap().to_owned()).collect()
    };
    // which event carries an edge may change for those that stay
    let ends = |ids: &[String]| -> Vec<(String, String, String)> {
        let mut ends: Vec<_> = ids
            .iter()
            .map(|id| {
                let parts: Vec<&str> = id.split('|').collect();
                (parts[0].to_owned(), parts[1].to_owned(), parts[3].to_owned())
            })
            .collect();
        ends.sort();
        ends
    };
    let all = ids(text);
    assert_eq!(all.len(), 11, "{all:?}");
    for (index, edge) in all.iter().enumerate() {
        let request = json!({ "text": text, "edits": [{ "op": "disconnect", "edge": edge }] });
        let answered = answer("edit", &request, &PublicWorld).unwrap_or_else(|error| panic!("{edge}: {error}"));
        let after = answered["text"].as_str().unwrap();
        let mut wanted = all.clone();
        wanted.remove(index);
        assert_eq!(ends(&ids(after)), ends(&wanted), "{edge}\n{after}");
        assert!(after.contains("# first"), "comments stay");
        let starts = list(&answered["drawing"]["flows"][0]["nodes"]).iter().filter(|node| node["start"] == json!(true));
        assert_eq!(starts.count(), 1, "no step starts by itself after {edge}");
    }
}

/// API: the author's hand is kept: each edit's whole effect, character by character.
#[test]
fn edits_follow_the_authors_hand() {
    let head = "query F($camera: string!) @workflowType(id: 'urn:tdm:us-east-1/000000000000/default:Workflow:F') {\r\n";
    let steps = "\tsteps { # what happens\r\n\t\tstep(name: 'a', outEvent: ['x']) {\r\n\t\t\tDeviceActivity(\r\n\t\t\t\tdeviceModel: 'urn:tdm:aws/examples:DeviceModel:Screen'\r\n\t\t\t\tdeviceId: '${camera}'\r\n\t\t\t) { display(imageUrl: 'u') }\r\n\t\t} # shown\r\n\t\tstep(name: 'b', inEvent: ['x']) { ChoiceActivity { default } }\r\n\t}\r\n}\r\n";
    let text = format!("{head}{steps}");
    let table: Vec<(Value, &str, &str)> = vec![
        (json!({"op": "move", "node": "b", "x": 1, "y": 2}), "", " @position(x: 1, y: 2)"),
        (json!({"op": "rename-node", "node": "a", "to": "it's"}), "'a'", "\"it's\""),
        (json!({"op": "set-argument", "node": "a", "name": "imageUrl", "value": "say \"hi\""}), "u", "say \"hi\""),
        (json!({"op": "set-argument", "node": "a", "name": "imageUrl", "value": null}), "(imageUrl: 'u')", ""),
        (json!({"op": "set-argument", "node": "a", "name": "size", "value": 2}), "", ", size: 2"),
        (json!({"op": "set-field", "node": "a", "field": "out", "value": "r"}), "", "\r\n\t\t\t\tout: 'r'"),
        (json!({"op": "set-field", "node": "a", "field": "outEvent", "value": null}), ", outEvent: ['x']", ""),
        (
            json!({"op": "set-field", "node": "a", "field": "device", "value": "urn:tdm:aws/examples:Device:RaspberryPiScreen"}),
            "",
            " @device(id: 'urn:tdm:aws/examples:Device:RaspberryPiScreen')",
        ),
        (
            json!({"op": "set-on-error", "node": "a", "retries": [{"errorEquals": ["TG.Timeout"], "maxAttempts": 3}], "catches": []}),
            "",
            "\r\n\t\t\tOnError {\r\n\t\t\t\tRetries {\r\n\t\t\t\t\tRetry(errorEquals: ['TG.Timeout'], maxAttempts: 3)\r\n\t\t\t\t}\r\n\t\t\t}",
        ),
        (json!({"op": "remove-node", "node": "b"}), ", outEvent: ['x']) {", ""),
        (
            json!({"op": "add-node", "node": {"kind": "choice", "name": "c", "position": {"x": 5, "y": 6}}}),
            "",
            "\r\n\t\tstep(name: 'c', inEvent: ['cReady']) @position(x: 5, y: 6) {\r\n\t\t\tChoiceActivity { default }\r\n\t\t}",
        ),
        (
            json!({"op": "add-variable", "name": "r", "urn": "urn:tdm:aws:Property:Json"}),
            "",
            "\r\n\tvariables {\r\n\t\tr @property(id: 'urn:tdm:aws:Property:Json')\r\n\t}",
        ),
        (json!({"op": "add-parameter", "name": "n", "type": "Int32", "default": 3}), "", ", $n: Int32 = 3"),
        (json!({"op": "connect", "source": "b", "target": "a"}), "", ""),
        (json!({"op": "connect", "source": "b", "target": "a", "condition": "1 < 2", "event": "again"}), "", ""),
    ];
    for (change, old, new) in table {
        let request = json!({ "text": text, "edits": [change] });
        let answered = answer("edit", &request, &PublicWorld).unwrap_or_else(|error| panic!("{change}: {error}"));
        let after = answered["text"].as_str().unwrap();
        assert!(!after.replace("\r\n", "").contains(['\r', '\n']), "line breaks: {after:?}");
        assert!(after.contains("# what happens\r\n") && after.contains("} # shown\r\n"), "comments: {after}");
        if change["op"] == json!("connect") {
            let edges = list(&answered["drawing"]["flows"][0]["edges"]);
            assert_eq!(edges.len(), 2, "{change}: {edges:?}");
        } else if change["op"] == json!("remove-node") {
            assert_eq!(list(&answered["drawing"]["flows"][0]["nodes"]).len(), 1);
            assert_eq!(after.matches("\r\n").count() + 1, text.matches("\r\n").count(), "{after}");
        } else {
            let (gone, made) = difference(&text, after);
            assert!(is_turned(gone, old) && is_turned(made, new), "{change}: {gone:?} {made:?}\n{after}");
        }
    }
}

/// API: an edit that makes no sense is refused, with the member at fault, and nothing is changed.
#[test]
fn senseless_edits_are_refused() {
    let text = "query F @workflowType(id: \"urn:tdm:us-east-1/000000000000/default:Workflow:F\") {\n  steps {\n    step(name: \"a\") { ChoiceActivity { default } }\n  }\n}\n";
    let good = json!({"op": "move", "node": "a", "x": 0, "y": 0});
    let table = [
        (json!([{"op": "fly"}]), "edits[0].op"),
        (json!([good, {"op": "move", "node": "b", "x": 0, "y": 0}]), "edits[1].node"),
        (json!([{"op": "move", "node": "a", "x": 1e9, "y": 0}]), "edits[0].x"),
        (json!([{"op": "move", "flow": "G", "node": "a", "x": 1, "y": 0}]), "edits[0].flow"),
        (json!([good, {"op": "disconnect", "edge": "a|success|x|a"}]), "edits[1].edge"),
        (json!([{"op": "set-argument", "node": "a", "name": "x", "value": "y"}]), "edits[0].node"),
        (
            json!([{"op": "add-node", "node": {"kind": "device", "urn": "urn:tdm:aws:DeviceModel:Nothing"}}]),
            "edits[0].node.urn",
        ),
        (json!([{"op": "replace", "from": 0, "to": 5, "text": "nonsense"}, good]), "edits[1].text"),
        (json!([{"op": "rename-node", "node": "a", "to": " "}]), "edits[0].to"),
        (json!(["x"]), "edits[0]"),
        (json!("x"), "edits"),
    ];
    for (edits, field) in table {
        let request = json!({ "text": text, "edits": edits });
        let error = answer("edit", &request, &PublicWorld).unwrap_err();
        assert_eq!((error.field.as_str(), error.code()), (field, "ValidationException"), "{edits}: {error}");
    }
    let many: Vec<Value> = (0..1_001).map(|_| good.clone()).collect();
    let error = answer("edit", &json!({ "text": text, "edits": many }), &PublicWorld).unwrap_err();
    assert_eq!(error.field, "edits");
    let long = format!("#{}\n{text}", "x".repeat(1_000_000));
    let error = answer("check", &json!({ "text": long }), &PublicWorld).unwrap_err();
    assert_eq!(error.field, "text");
}

/// API, systems and deployments: roles and bindings.
#[test]
fn systems_and_deployments_are_edited() {
    let world = world();
    let all = readable();
    let text = |name: &str| all.iter().find(|sample| sample.name.contains(name)).unwrap().text.clone();
    let system = text("tests/world/system.tdm");
    let after = edited(
        &system,
        json!([
            {"op": "move", "system": "Irrigation", "node": "valve1", "x": 3, "y": 4},
            {"op": "add-node", "system": "Irrigation", "node": {"kind": "device", "urn": "urn:tdm:aws/examples:DeviceModel:Camera"}},
            {"op": "rename-node", "system": "Irrigation", "node": "probe1", "to": "probe"},
        ]),
        &world,
    );
    assert!(after.contains("Device:AcmeValve\") @position(x: 3, y: 4)"), "{after}");
    assert!(after.contains("camera: Camera @thing(id: \"urn:tdm:aws/examples:DeviceModel:Camera\")"), "{after}");
    assert!(after.contains("  probe: Valve @thing"), "{after}");
    assert_eq!(list(&draw(&after, &world)["diagnostics"]), &[] as &[Value]);
    let removed = edited(&after, json!([{"op": "remove-node", "system": "Irrigation", "node": "camera"}]), &world);
    assert!(!removed.contains("Camera"), "{removed}");

    let deployment = text("tests/world/deployment.tdm");
    let after = edited(
        &deployment,
        json!([
            {"op": "bind", "deployment": "Bed7", "role": "valve1", "thing": "valve-08"},
            {"op": "set-condition", "deployment": "Bed7", "edge": "fires|Hourly|Hourly|Irrigate", "condition": "every 2 hours"},
        ]),
        &world,
    );
    assert_eq!(after, deployment.replace("valve-07", "valve-08").replace("every 1 hour", "every 2 hours"));
}

// ---- any sequence of edits

/// An edit made of numbers: of the kinds that are well-typed whatever the flow is.
fn any_edit(drawing: &Value, dice: [usize; 4]) -> Option<Value> {
    let flow = flows(drawing).into_iter().next()?;
    let urn = &flow["urn"];
    let all = nodes(flow);
    let pick = |number: usize| all.get(number % all.len().max(1)).map(|node| &node["name"]);
    let edges = list(&flow["edges"]);
    let edge = || edges.get(dice[1] % edges.len().max(1)).map(|edge| &edge["id"]);
    let camera = "urn:tdm:aws/examples:DeviceModel:Camera";
    let screen = "urn:tdm:aws/examples:DeviceModel:Screen";
    let ports = ["success", "error"];
    Some(match dice[0] % 14 {
        0 | 1 => json!({"op": "move", "flow": urn, "node": pick(dice[1])?, "x": dice[2] % 999, "y": dice[3] % 999}),
        2 => {
            json!({"op": "rename-node", "flow": urn, "node": pick(dice[1])?, "to": format!("Schritt {} \u{1f4a7}", dice[2])})
        }
        3 => json!({"op": "remove-node", "flow": urn, "node": pick(dice[1])?}),
        4 => json!({"op": "add-node", "flow": urn, "node": {"kind": "choice", "start": dice[1].is_multiple_of(2)}}),
        5 => {
            json!({"op": "add-node", "flow": urn, "node": {"kind": "device", "urn": camera, "position": {"x": 1, "y": 2}}})
        }
        6 => {
            json!({"op": "add-node", "flow": urn, "node": {"kind": "device", "urn": screen, "arguments": {"imageUrl": "u"}}})
        }
        7 => json!({"op": "connect", "flow": urn, "source": pick(dice[1])?, "target": pick(dice[2])?}),
        8 => {
            json!({"op": "connect", "flow": urn, "source": pick(dice[1])?, "target": pick(dice[2])?, "condition": "1 < 2", "join": if dice[3].is_multiple_of(2) { "all" } else { "any" }})
        }
        9 => {
            let source = all.get(dice[1] % all.len().max(1))?;
            let port = if source["kind"] == json!("choice") { "default" } else { ports[dice[3] % 2] };
            json!({"op": "connect", "flow": urn, "source": source["name"], "target": pick(dice[2])?, "port": port, "join": "any"})
        }
        10 => json!({"op": "disconnect", "flow": urn, "edge": edge()?}),
        11 => {
            json!({"op": "set-on-error", "flow": urn, "node": pick(dice[1])?, "retries": (0..dice[2] % 3).map(|n| json!({"errorEquals": ["TG.Timeout"], "maxAttempts": n})).collect::<Vec<_>>(), "catches": []})
        }
        12 => {
            json!({"op": "set-field", "flow": urn, "node": pick(dice[1])?, "field": "description", "value": if dice[2].is_multiple_of(3) { json!(null) } else { json!("was \"geschieht\" 'hier'") }})
        }
        _ => {
            json!({"op": "set-field", "flow": urn, "node": pick(dice[1])?, "field": "condition", "value": if dice[2].is_multiple_of(3) { json!(null) } else { json!("2 > 1") }})
        }
    })
}

/// The world and the documents of one flow without errors.
static GOOD: LazyLock<(NamespaceWorld, Vec<Sample>)> = LazyLock::new(|| {
    let world = world();
    let mut good = readable();
    good.retain(|sample| {
        let drawing = draw(&sample.text, &world);
        let is_good = list(&drawing["diagnostics"]).iter().all(|found| found["severity"] != json!("error"));
        is_good && list(&drawing["flows"]).len() == 1
    });
    (world, good)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// API: after any sequence of edits the text is read without errors, and a document without errors still has none
    /// (a loop without a choice apart: drawing one is drawing a mistake). Undo gives back every character.
    #[test]
    fn any_sequence_of_edits_leaves_a_good_document(
        which in any::<prop::sample::Index>(),
        hand in any::<prop::sample::Index>(),
        dice in proptest::collection::vec(any::<[u16; 4]>(), 1..10),
    ) {
        let (world, good) = &*GOOD;
        let sample = which.get(good);
        let hands = in_other_hands(&sample.text);
        let (hand, mut text) = hand.get(&hands).clone();
        let mut trail = Vec::new();
        for dice in dice {
            let Some(change) = any_edit(&draw(&text, world), dice.map(usize::from)) else { continue };
            trail.push(change.clone());
            let answered = match edit(&text, json!([change.clone()]), world) {
                Ok(answered) => answered,
                // names of events that are no words cannot be combined, and names may be taken
                Err(error) if ["edits[0].target", "edits[0].to"].contains(&error.field.as_str()) => continue,
                Err(error) => panic!("{change}: {error}\n{text}"),
            };
            let after = answered["text"].as_str().unwrap().to_owned();
            let errors: Vec<&Value> = list(&answered["diagnostics"])
                .iter()
                .filter(|found| found["severity"] == json!("error") && found["code"] != json!("TDM4004"))
                .collect();
            prop_assert!(errors.is_empty(), "{} ({hand}): {errors:#?}\nafter {trail:#?}\n{after}", sample.name);
            let back = edit(&after, answered["undo"].clone(), world).unwrap();
            prop_assert_eq!(&back["text"], &json!(text));
            text = after;
        }
    }
}

/// The text after one edit of a flow, deployment or system nobody has to look up.
fn after(text: &str, edit: Value) -> String {
    edited(text, json!([edit]), &world())
}

/// TG 3.11, 3.14: triggers stored with a flow are edited inside their string; what the edit does not name keeps its text.
#[test]
fn stored_triggers_are_edited_in_their_string() {
    let head = "query F($c: string!) @workflowType(id: \"urn:tdm:us-east-1/000000000000/default:Workflow:F\")";
    let text = |triggers: &str| format!("{head}{triggers} {{\n  steps {{}}\n}}\n");
    let none = text("");
    let clock = json!({"op": "add-trigger", "trigger": {"name": "Hourly", "description": "clock", "condition": "every 1 hour", "actions": ["ThingsGraph.startFlow('F', 'cam')"], "position": {"x": 4, "y": -2}}});
    let first = after(&none, clock);
    let wanted = " @triggers(definition: \"{ Hourly(description: 'clock') @position(x: 4, y: -2) { condition(expr: 'every 1 hour') action(expr: \\\"ThingsGraph.startFlow('F', 'cam')\\\") } }\")";
    assert_eq!(first, text(wanted));
    let drawn = draw(&first, &world());
    let node = &drawn["flows"][0]["nodes"][0];
    assert_eq!((&node["kind"], &node["name"]), (&json!("clock"), &json!("Hourly")));
    assert_eq!(node["position"], json!({"x": 4, "y": -2}));
    assert_eq!(
        node["starts"],
        json!([{"expr": "ThingsGraph.startFlow('F', 'cam')", "flow": "F", "values": ["'cam'"]}])
    );
    let codes: Vec<&Value> = list(&drawn["diagnostics"]).iter().map(|found| &found["code"]).collect();
    assert!(codes.iter().all(|code| **code == json!("TDM3001")), "only the account is another one: {codes:?}");
    let table = [
        (json!({"op": "move", "trigger": "hourly", "x": 10, "y": -2}), "4", "10"),
        (json!({"op": "set-trigger", "trigger": "Hourly", "condition": "every 2 hours"}), "1 hour", "2 hours"),
        (json!({"op": "set-trigger", "trigger": "Hourly", "name": "Daily"}), "Hour", "Dai"),
        (json!({"op": "set-trigger", "trigger": "Hourly", "description": null}), "(description: 'clock')", ""),
        (
            json!({"op": "set-trigger", "trigger": "Hourly", "actions": []}),
            " action(expr: \\\"ThingsGraph.startFlow('F', 'cam')\\\")",
            "",
        ),
        (
            json!({"op": "set-trigger", "trigger": "Hourly", "description": "it's \\ \u{1f4a7}"}),
            "'clock'",
            "\\\"it's \\\\\\\\ \u{1f4a7}\\\"",
        ),
        (json!({"op": "remove-trigger", "trigger": "Hourly"}), wanted, ""),
    ];
    for (edit, old, new) in table {
        let changed = after(&first, edit.clone());
        let (gone, come) = difference(&first, &changed);
        assert!((gone, come) == (old, new) || (come == new && is_turned(gone, old)), "{edit}: {gone:?} {come:?}");
    }
    let event = json!({"op": "add-trigger", "trigger": {"condition": "lastEvent.isMotionDetected == true"}});
    let second = after(&first, event);
    let wanted = " trigger { condition(expr: 'lastEvent.isMotionDetected == true') }";
    assert!(is_turned(difference(&first, &second).1, wanted), "{second}");
    let kinds: Vec<Value> =
        list(&draw(&second, &world())["flows"][0]["nodes"]).iter().map(|node| node["kind"].clone()).collect();
    assert_eq!(kinds, ["clock", "event"]);
    let both = json!({"op": "remove-trigger", "trigger": "hourly"});
    assert_eq!(list(&draw(&after(&second, both), &world())["flows"][0]["nodes"]).len(), 1);
    // comments and escapes of the author stay; a block `triggers` takes new ones
    let text = text(r#" @triggers(definition: "{ triggers { # kept \\ \/ so\n } }")"#);
    let filled = after(&text, json!({"op": "add-trigger", "trigger": {"name": "A", "condition": "every day"}}));
    assert!(filled.contains(r"# kept \\ \/ so\n"), "{filled}");
    assert!(draw(&filled, &world())["flows"][0]["nodes"][0]["name"] == json!("A"), "{filled}");
}

/// TG 3.13: a deployment's bindings and triggers are edited where they stand.
#[test]
fn deployments_are_edited() {
    let samples = corpus::samples();
    let text = &samples.iter().find(|sample| sample.name.contains("tests/world/deployment.tdm")).unwrap().text;
    let name = draw(text, &world())["deployments"][0]["urn"].clone();
    let run = |edit: Value| {
        let mut edit = edit;
        edit["deployment"] = name.clone();
        after(text, edit)
    };
    let bound = run(json!({"op": "bind", "role": "probe1", "thing": "probe-99"}));
    assert_eq!(difference(text, &bound), ("07", "99"));
    let unbound = run(json!({"op": "unbind", "role": "probe1"}));
    assert!(!unbound.contains("probe-07"));
    let drawn = draw(&unbound, &world());
    let nodes = list(&drawn["deployments"][0]["nodes"]);
    let probe = nodes.iter().find(|node| node["name"] == json!("probe1")).expect("unbound roles are drawn");
    assert_eq!(probe["thing"], Value::Null);
    let moved = run(json!({"op": "move", "node": "valve1", "x": 1, "y": 2}));
    assert_eq!(difference(text, &moved), ("", " @position(x: 1, y: 2)"));
    let moved = run(json!({"op": "move", "trigger": "Dry", "x": 1, "y": 2}));
    assert_eq!(draw(&moved, &world())["diagnostics"], json!([]), "a position means nothing to the checker");
    let action = "ThingsGraph.startFlow('Irrigate', 'a', 'b')";
    let added = run(
        json!({"op": "add-trigger", "trigger": {"name": "Night", "condition": "every 1 day", "actions": [action]}}),
    );
    let drawn = draw(&added, &world());
    let edges: Vec<&str> =
        list(&drawn["deployments"][0]["edges"]).iter().map(|edge| edge["id"].as_str().unwrap()).collect();
    assert!(edges.contains(&"fires|Night|Irrigate"), "{edges:?}");
    let removed = edited(&added, json!([{"op": "remove-trigger", "deployment": name, "trigger": "night"}]), &world());
    // a line break that the new trigger brought may stay
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&removed), words(text));
    let set = run(json!({"op": "set-trigger", "trigger": "Dry", "condition": "every 3 days"}));
    assert!(set.contains("every 3 days") && !set.contains("moisture < 10"), "{set}");
    let bare = "query D @deployment(id: \"urn:tdm:us-east-1/000000000000/default:Deployment:D\", systemId: \"urn:tdm:us-east-1/000000000000/default:System:S\") {\n  a(deviceId: \"x\")\n}\n";
    let first = after(
        bare,
        json!({"op": "add-trigger", "deployment": "D", "trigger": {"name": "T", "condition": "every day"}}),
    );
    assert_eq!(difference(bare, &first).1, "  triggers {\n    T {\n      condition(expr: \"every day\")\n    }\n  }\n");
    for (edit, field) in [
        (
            json!({"op": "add-trigger", "trigger": {"name": "Hourly", "condition": "every day"}}),
            "edits[0].trigger.name",
        ),
        (
            json!({"op": "add-trigger", "trigger": {"name": "X", "condition": "every fortnight"}}),
            "edits[0].trigger.condition",
        ),
        (json!({"op": "set-trigger", "trigger": "Nobody", "condition": "every day"}), "edits[0].trigger"),
        (json!({"op": "unbind", "role": "nobody"}), "edits[0].role"),
    ] {
        let mut edit = edit;
        edit["deployment"] = name.clone();
        let refused = corpus::edit(text, json!([edit]), &world()).unwrap_err();
        assert_eq!(refused.field, field);
    }
}

/// TG 3.12: a role gets another entity; its name and the rest of the line stay.
#[test]
fn a_role_of_a_system_gets_another_entity() {
    let text = "type S @systemType(id: 'urn:tdm:us-east-1/000000000000/default:System:S') {\n  cam: Camera @thing(id: 'urn:tdm:aws/examples:DeviceModel:Camera') # by the door\n}\n";
    let set = |urn: &str| json!([{"op": "set-role", "system": "S", "node": "cam", "urn": urn}]);
    let other = edited(text, set("urn:tdm:aws/examples:DeviceModel:Screen"), &world());
    assert_eq!(difference(text, &other), ("Camera", "Screen"));
    let refused = edit(text, set("urn:tdm:aws/examples:Capability:CameraCapability"), &world()).unwrap_err();
    assert_eq!(refused.field, "edits[0].urn");
}

/// TG 6.5, 6.6: of a clause or check, only the settings that differ are written anew.
#[test]
fn error_clauses_and_checks_keep_what_stays_the_same() {
    let text = "query F($c: string!) @workflowType(id: \"urn:tdm:us-east-1/000000000000/default:Workflow:F\") {\n  steps {\n    step(name: \"a\") {\n      DeviceActivity(deviceModel: \"urn:tdm:aws/examples:DeviceModel:Camera\", deviceId: \"${c}\") { capture }\n      OnError {\n        Retries {\n          Retry( # busy\n            name: \"r\"\n            errorEquals: [\"TG.Timeout\"]\n            interval: \"1 sec\"\n          )\n        }\n      }\n      OnSuccess {\n        Check(condition: \"1 < 2\") { # always\n          OnPass { stmt(expr: \"$x.IsTrue = true\") }\n        }\n      }\n    }\n  }\n}\n";
    let retry = json!({"name": "r", "errorEquals": ["TG.Timeout"], "interval": "5 sec", "maxAttempts": 2});
    let changed = after(text, json!({"op": "set-on-error", "node": "a", "retries": [retry], "catches": []}));
    assert_eq!(difference(text, &changed), ("1 sec\"", "5 sec\"\n            maxAttempts: 2"));
    let check = |condition: &str, pass: Value, fail: Value| json!({"op": "set-on-success", "node": "a", "checks": [{"name": null, "condition": condition, "pass": pass, "fail": fail}]});
    let raise = json!(["$x.IsTrue = true"]);
    for (edit, old, new) in [
        (check("1 < 2", raise.clone(), json!([])), "", ""),
        (check("2 < 3", raise.clone(), json!([])), "1 < 2", "2 < 3"),
        (check("1 < 2", json!(["$y.IsTrue = true"]), json!([])), "x", "y"),
        (
            check("1 < 2", raise.clone(), json!(["$z.IsTrue = true"])),
            "",
            "\n          OnFail { stmt(expr: \"$z.IsTrue = true\") }",
        ),
        (
            check("1 < 2", json!(["$x.IsTrue = true", "$y.IsTrue = true"]), json!([])),
            "",
            " stmt(expr: \"$y.IsTrue = true\")",
        ),
    ] {
        let (gone, come) = {
            let new = after(text, edit.clone());
            let (a, b) = difference(text, &new);
            (a.to_owned(), b.to_owned())
        };
        assert!((gone.as_str(), come.as_str()) == (old, new) || is_turned(&come, new), "{edit}: {gone:?} {come:?}");
    }
    let two = json!({"op": "set-on-success", "node": "a", "checks": [
        {"condition": "1 < 2", "pass": ["$x.IsTrue = true"], "fail": []},
        {"name": "n", "condition": "3 < 4", "pass": [], "fail": ["$w.IsTrue = true"]}]});
    let grown = after(text, two);
    let checks = &draw(&grown, &world())["flows"][0]["nodes"][0]["onSuccess"];
    assert_eq!((list(checks).len(), &checks[1]["fail"]), (2, &json!(["$w.IsTrue = true"])));
    assert!(grown.contains("# always"));
    let none = after(text, json!({"op": "set-on-success", "node": "a", "checks": []}));
    assert!(!none.contains("OnSuccess"));
    let wrong = check("1 < 2", json!(["no statement"]), json!([]));
    assert_eq!(edit(text, json!([wrong]), &world()).unwrap_err().field, "edits[0].checks[0].pass");
}
