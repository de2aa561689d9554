//! Checking in a namespace, simulating, and what expressions may name.

#[path = "support/corpus.rs"]
mod corpus;

use corpus::{list, readable, samples, world};
use marram_console_language::{PublicWorld, answer};
use serde_json::{Value, json};

/// TG 3.11, 6: every good flow of the repository runs with the script the service makes up, to an end.
#[test]
fn a_made_up_script_runs_every_good_flow() {
    let world = world();
    let mut ran = 0;
    for sample in readable() {
        let request = json!({ "text": sample.text });
        let drawing = answer("flow", &request, &world).unwrap();
        if list(&drawing["flows"]).len() != 1 {
            continue;
        }
        let answered = answer("simulate", &request, &world).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        let has_errors = list(&drawing["diagnostics"]).iter().any(|found| found["severity"] == json!("error"));
        let status = answered["outcome"]["status"].as_str().unwrap();
        assert_eq!(status == "INVALID", has_errors, "{}: {status}", sample.name);
        if has_errors {
            continue;
        }
        assert_eq!(list(&answered["outcome"]["executions"]).len(), 1, "{}", sample.name);
        assert!(!list(&answered["timeline"]).is_empty(), "{}", sample.name);
        // what was made up can be sent back
        let again = json!({ "text": sample.text, "events": answered["script"] });
        let again = answer("simulate", &again, &world).unwrap();
        assert_eq!(again["timeline"], answered["timeline"], "{}", sample.name);
        ran += 1;
    }
    assert!(ran > 10, "{ran} flows");
    let all = samples();
    for (name, steps) in [("demo/motion/flow", 2), ("demo/sprinkler/flow", 4), ("tests/world/flow", 3)] {
        let sample = all.iter().find(|sample| sample.name.contains(name)).unwrap();
        let answered = answer("simulate", &json!({ "text": sample.text }), &world).unwrap();
        assert_eq!(answered["outcome"]["status"], json!("SUCCEEDED"), "{name}: {answered}");
        let ended = list(&answered["timeline"]).iter().filter(|line| line["kind"] == json!("STEP_SUCCEEDED")).count();
        assert!((2..=steps).contains(&ended), "{name}: {ended}");
    }
}

/// API, simulate: scripts as lines, as a list; scripts and flows that make no sense; a script without end.
#[test]
fn scripts_are_read_and_bounded() {
    let all = samples();
    let text = &all.iter().find(|sample| sample.name.contains("demo/motion/flow")).unwrap().text;
    let things = [
        json!({"thing": "cam", "device": "urn:tdm:aws/examples:Device:RaspberryPiCamera"}),
        json!({"thing": "scr", "device": "urn:tdm:aws/examples:Device:RaspberryPiScreen"}),
        json!({"at": 5, "start": {"camera": "cam", "screen": "scr"}}),
        json!({"on": "capture", "fail": "TG.ModbusIO"}),
    ];
    let run = |events: Value| answer("simulate", &json!({ "text": text, "events": events }), &world());
    let listed = run(json!(things)).unwrap();
    let lines = things.iter().map(Value::to_string).collect::<Vec<_>>().join("\n# a comment\n\n");
    assert_eq!(run(json!(lines)).unwrap(), listed);
    assert_eq!(listed["outcome"]["status"], json!("FAILED"));
    let failed =
        list(&listed["timeline"]).iter().find(|line| line["kind"] == json!("THING_ACTION_TASK_FAILED")).unwrap();
    assert_eq!((&failed["at_ms"], &failed["step"]), (&json!(5), &json!("take a picture")));
    for events in [json!([{"nonsense": 1}]), json!("not json"), json!(7), json!("x".repeat(300_000))] {
        assert_eq!(run(events).unwrap_err().field, "events");
    }
    let none = run(json!([])).unwrap();
    assert_eq!(none["outcome"]["status"], json!("NOT_STARTED"));
    let endless = json!([
        things[0], things[1],
        {"trigger": "T", "condition": "every 1 second", "actions": ["ThingsGraph.startFlow('MotionAlert', 'cam', 'scr')"]},
        {"until": 4_000_000_000_000_u64},
    ]);
    let endless = run(endless).unwrap();
    assert_eq!(endless["outcome"]["truncated"], json!(true));
    assert!(list(&endless["timeline"]).len() <= 21_000);
    let error = answer("simulate", &json!({ "text": text, "flow": "Other" }), &world()).unwrap_err();
    assert_eq!(error.field, "flow");
}

/// TG 2.5, 3.1: a text of several kinds is checked together, over the namespace, and must lie in it.
#[test]
fn texts_are_checked_in_their_namespace() {
    let world = world();
    let all = samples();
    let text = |name: &str| all.iter().find(|sample| sample.name.contains(name)).unwrap().text.as_str();
    let check = |text: &str| {
        let answered = answer("check", &json!({ "text": text }), &world).unwrap();
        let codes = list(&answered["diagnostics"]).iter();
        codes.map(|found| format!("{} {}", found["code"].as_str().unwrap(), found["line"])).collect::<Vec<_>>()
    };
    let parts =
        ["demo/sprinkler/system", "demo/sprinkler/deployment", "demo/sprinkler/flow", "demo/sprinkler/entities"];
    let whole = parts.map(text).join("\n");
    assert_eq!(check(&whole), [] as [&str; 0], "all kinds in one text, in any order");
    let (_, alone) = whole.split_at(0);
    assert_eq!(
        check(&alone.replace("System:Irrigation", "System:Bed")),
        [] as [&str; 0],
        "references follow within the text"
    );
    assert_eq!(check(&text("demo/motion/flow").replace("/100200300400/", "/999/")).first().unwrap()[..7], *"TDM3001");
    let public =
        answer("check", &json!({ "text": text("demo/motion/flow").replace("/100200300400/", "/999/") }), &PublicWorld);
    assert_eq!(public.unwrap()["diagnostics"], json!([]), "without a namespace ids may lie anywhere");
}

/// TG 4.3 to 4.6: names of a step with their types; what is wrong with an expression and where.
#[test]
fn expressions_are_judged_in_their_scope() {
    let all = samples();
    let text = &all.iter().find(|sample| sample.name.contains("tests/world/flow")).unwrap().text;
    let scope = |place: &str, expression: &str| {
        let request = json!({ "text": text, "step": "dry?", "place": place, "expression": expression });
        answer("scope", &request, &world()).unwrap()
    };
    let paths = scope("condition", "1");
    let paths: Vec<&str> = list(&paths["names"]).iter().map(|name| name["path"].as_str().unwrap()).collect();
    assert_eq!(paths[..5], ["probe", "valve", "litres", "r", "r.moisture"]);
    let table = [
        ("condition", "r.moisture < 20", json!("Boolean"), json!(null)),
        ("condition", "\u{1f4a7}", json!(null), json!([0, 2])),
        ("argument", "${litres * 2}", json!("Float64"), json!(null)),
        ("argument", "l: ${litres}", json!("String"), json!(null)),
        ("argument", "plain", json!("String"), json!(null)),
        ("argument", "${valve * 2}", json!(null), json!([2, 11])),
        ("condition", "ErrorMessage == ''", json!("Boolean"), json!([0, 12])),
        ("error", "ErrorMessage == ''", json!("Boolean"), json!(null)),
        ("statement", "r = null", json!("null"), json!(null)),
        ("condition", "1 +", json!(null), json!([3, 3])),
    ];
    for (place, expression, ty, problem) in table {
        let answered = scope(place, expression);
        let found = &answered["error"];
        let at = if found.is_null() { json!(null) } else { json!([found["from"], found["to"]]) };
        assert_eq!((&answered["type"], at), (&ty, problem), "{place} `{expression}`: {answered}");
    }
    let refused = answer("scope", &json!({ "text": text, "step": "nobody" }), &world()).unwrap_err();
    assert_eq!(refused.field, "step");
}
