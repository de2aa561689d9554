//! What is proposed where. In each text `|` stands for the cursor.

#[path = "support/corpus.rs"]
mod corpus;

use corpus::{list, world};
use marram_console_language::answer;
use serde_json::json;

const FLOW: &str = "query F($camera: string!, $n: Int32 = 1) @workflowType(id: \"urn:tdm:eu-local-1/100200300400/default:Workflow:F\") {\n  variables { p @property(id: \"urn:tdm:aws/examples:Property:CameraStateProperty\") }\n  steps {\n    step(name: \"first\", outEvent: [\"got\"]) { ChoiceActivity { default } }\n    ";

/// The labels proposed at the cursor, and what the first would replace.
fn proposed(text: &str) -> (Vec<String>, String) {
    let at = text.find('|').expect("a cursor");
    let text = text.replacen('|', "", 1);
    let offset = text[..at].encode_utf16().count();
    let answered = answer("complete", &json!({ "text": text, "offset": offset }), &world()).unwrap();
    let labels = list(&answered["items"]).iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect();
    (labels, corpus::slice(&text, &answered["from"], &answered["to"]).to_owned())
}

/// TG 2.2, 3 and 4.3: words, URNs of the fitting metatype, names and paths, whole or half typed, in whole or half
/// written documents.
#[test]
fn proposals_fit_the_place() {
    let flow = |tail: &str| format!("{FLOW}{tail}");
    let table = [
        ("|", vec!["type", "query", "enum"], ""),
        ("qu|", vec!["query"], "qu"),
        ("type X @cap|", vec!["capabilityType"], "cap"),
        (
            "query X @|",
            vec!["mapping", "device", "service", "workflowType", "deployment", "triggers", "annotation", "position"],
            "",
        ),
        ("type X @deviceModel(|", vec!["id", "capability", "description"], ""),
        ("type X @deviceModel(id: \"x\", |) {}", vec!["capability", "description"], ""),
        (
            "type X @deviceModel(capability: \"Valv|\")",
            vec!["urn:tdm:eu-local-1/100200300400/default:Capability:Valve"],
            "Valv",
        ),
        ("type X @deviceModel(id: \"|\")", vec!["urn:tdm:eu-local-1/100200300400/default:DeviceModel:X"], ""),
        ("type X @stateType(id: \"x\") { a: Float32 @|", vec!["property"], ""),
        ("type X @stateType(id: \"x\") { a: Float3|", vec!["Float32"], "Float3"),
        ("type X @propertyType(dataType: int1|)", vec!["Int16", "UInt16"], "int1"),
        ("query X @device(id: \"x\") { |", vec!["MQTT", "Modbus", "HTTP"], ""),
        (
            "query X @device(id: \"x\") { Modbus { C(id: \"x\") { Action(name: \"a\") { ReadC|",
            vec!["ReadCoils"],
            "ReadC",
        ),
    ];
    for (text, labels, replaced) in table {
        assert_eq!(
            proposed(text),
            (labels.into_iter().map(ToOwned::to_owned).collect(), replaced.to_owned()),
            "{text}"
        );
    }
    let table = [
        ("st|", vec!["step"], "st"),
        ("step(|", vec!["name", "description", "inEvent", "outEvent", "condition", "timeout"], ""),
        ("step(name: \"x\", inEvent: [\"|\"])", vec!["got"], ""),
        (
            "step(name: \"x\") { |",
            vec!["DeviceActivity", "WebServiceActivity", "ChoiceActivity", "OnError", "OnSuccess"],
            "",
        ),
        (
            "step(name: \"x\") { DeviceActivity(deviceModel: \"Screen|\")",
            vec!["urn:tdm:aws/examples:DeviceModel:Screen", "urn:tdm:aws/examples:Device:RaspberryPiScreen"],
            "Screen",
        ),
        (
            "step(name: \"x\") { DeviceActivity(deviceModel: \"urn:tdm:aws/examples:DeviceModel:Screen\", deviceId: \"${camera}\") { |",
            vec!["display"],
            "",
        ),
        (
            "step(name: \"x\") { DeviceActivity(deviceModel: \"urn:tdm:aws/examples:DeviceModel:Screen\", deviceId: \"${camera}\") { display(|",
            vec!["imageUrl"],
            "",
        ),
        (
            "step(name: \"x\") { DeviceActivity(deviceModel: \"urn:tdm:aws/examples:DeviceModel:Screen\", deviceId: \"${camera}\") { display(imageUrl: \"${p.last|\"",
            vec!["lastClickedImage"],
            "last",
        ),
        ("step(name: \"x\") { DeviceActivity(deviceModel: \"x\", deviceId: \"cam|\"", vec!["${camera}"], "cam"),
        (
            "step(name: \"x\") { ChoiceActivity { rule(expr: \"n > 1 && p.l|ast\") { } default } }",
            vec!["lastClickedImage"],
            "last",
        ),
        (
            "step(name: \"x\") { ChoiceActivity { rule(expr: \"tdm.lib.Math.flo|\")",
            vec!["floor", "floorDiv", "floorMod"],
            "flo",
        ),
        ("step(name: \"x\") { ChoiceActivity { rule(expr: \"ErrorM|\")", vec![], "ErrorM"),
        ("step(name: \"x\") { OnError { Retries { Retry(condition: \"ErrorM|\")", vec!["ErrorMessage"], "ErrorM"),
        (
            "step(name: \"x\") { OnError { Retries { Retry(errorEquals: [\"TG.Modbus|\"]",
            vec!["TG.ModbusException", "TG.ModbusIO"],
            "TG.Modbus",
        ),
        ("step(name: \"x\") { DeviceActivity(out: \"|\"", vec!["p"], ""),
        ("step(name: \"x\") { # ch|", vec![], ""),
    ];
    for (tail, labels, replaced) in table {
        let labels: Vec<String> = labels.into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(proposed(&flow(tail)), (labels, replaced.to_owned()), "{tail}");
    }
    let deployment = "query D @deployment(id: \"urn:tdm:eu-local-1/100200300400/default:Deployment:D\", systemId: \"urn:tdm:eu-local-1/100200300400/default:System:Irrigation\") { ";
    let (labels, _) = proposed(&format!("{deployment}|"));
    assert_eq!(labels, ["probe1", "valve1", "triggers"]);
    let (labels, _) = proposed(&format!("{deployment} triggers {{ T {{ condition(expr: \"dev|\")"));
    assert_eq!(labels[0], "devices[name == 'probe1'].events[name == 'reading'].lastEvent");
}
