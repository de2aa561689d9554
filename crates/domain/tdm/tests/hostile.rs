//! Hostile documents: never a panic, never a stall, never a model of them (TG 2.5, 11.6).

#[path = "support/world.rs"]
mod world;

use std::time::{Duration, Instant};

use marram_tdm::check::check;
use marram_tdm::codes::{self, MAX_DIAGNOSTICS};
use marram_tdm::library;
use marram_tdm::syntax::{self, FormatOptions, MAX_CHARS};
use proptest::prelude::*;
use world::{World, expand, options};

/// Far above what any of these documents takes in a development build, far below what a quadratic step would take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A document of one mebibyte: `head`, then `unit` again and again, then `tail`.
fn fill(head: &str, unit: &str, tail: &str) -> String {
    let room = MAX_CHARS - head.chars().count() - tail.chars().count();
    format!("{head}{}{tail}", unit.repeat(room / unit.chars().count()))
}

/// Every stage over `text`, within [`PATIENCE`]; answers the codes of the entity check.
fn survive(name: &str, text: &str) -> Vec<&'static str> {
    let start = Instant::now();
    let (_, found) = syntax::parse(text);
    assert!(found.len() <= MAX_DIAGNOSTICS, "{name}");
    let _ = syntax::format(text, FormatOptions { repair_quotes: true });
    let _ = syntax::parse_fragment(text);
    let checked = check(&[text], library::public(), &options());
    assert!(checked.diagnostics.len() <= MAX_DIAGNOSTICS, "{name}");
    assert!(start.elapsed() < PATIENCE, "{name} took {:?}", start.elapsed());
    checked.diagnostics.iter().map(|found| found.code).collect()
}

/// TG 2.5: text of one character, quotes, braces, brackets, at the size limit and far over it.
#[test]
fn floods_of_one_thing_are_refused_in_time() {
    let over = "{".repeat(20 << 20);
    assert_eq!(survive("20 MiB of braces", &over), [codes::TDM1005]);
    let id = |n: usize| {
        format!(
            "type A{n} @propertyType(id: \"urn:tdm:eu-local-1/100200300400/default:Property:A{n}\", dataType: string) {{}}\n"
        )
    };
    let definitions: String = (0..5_001).map(id).collect();
    assert!(survive("5001 definitions", &definitions).contains(&codes::TDM1005));
    for (name, head, unit, tail) in [
        ("braces", "", "{", ""),
        ("closing braces", "", "}", ""),
        ("anonymous braces", "", "{a", ""),
        ("brackets", "type A @x(a:", "[", ""),
        ("parentheses", "type A @x", "(", ""),
        ("double quotes", "", "\"", ""),
        ("odd quotes", "", "\"\"\"\"", "\""),
        ("single quotes", "'", "'", ""),
        ("typographic quotes", "", "\u{201C}", ""),
        ("mixed typographic quotes", "", "\u{201C}\u{2018}", ""),
        ("mistaken ends on one line", "type A @x(", "a: \"b\u{201D} ", ""),
        ("unterminated lines", "", "\"\u{201D}\n'\u{2019}\n", ""),
        ("escapes", "type A @x(a: \"", "\\q", "\") {}"),
        ("illegal characters", "", "<a", ""),
        ("numbers", "", "-", ""),
        ("commas", "", ",", ""),
        ("comments", "", "#\n", ""),
        ("byte order marks", "", "\u{FEFF}", ""),
        ("tokens", "type A @x(a: [", "1 ", "]) {}"),
        ("directives on one line", "type A", " @a(b: 1)", " {}"),
        ("directives and far comments", "type A", " @a()", " { a: b } #"),
        ("selections on one line", "query A {", "a ", "} # far"),
        ("definition starts on one line", "", "type a @ ", ""),
        ("definition starts on many lines", "", "type a @\n", ""),
        ("broken items on one line", "query A {", "a: ) b ", "}"),
        ("keywords", "", "type ", ""),
        ("nested selections", "query A ", "{a", ""),
        ("deep types", "type A { a: ", "[", ""),
        ("implements", "type A implements", " B", " {}"),
        ("one long name", "", "a", ""),
    ] {
        survive(name, &fill(head, unit, tail));
    }
}

/// Documents whose meaning unfolds to far more than their text.
#[test]
fn documents_that_unfold_are_refused_in_time() {
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let string = "@property(id: \"urn:tdm:aws:Property:String\")";
    let wide = many(1_900, &|n| format!("f{n}: S {string} "));
    let lines = |text: String| expand(&text);
    // each level holds the one below twice: 2^60 fields
    let doubling = many(60, &|n| {
        let below = n.saturating_sub(1);
        let field = if n == 0 {
            format!("a: S {string}")
        } else {
            format!("a: P @property(id: \"NS:Property:P{below}\") b: P @property(id: \"NS:Property:P{below}\")")
        };
        format!(
            "type S{n} @stateType(id: \"NS:State:S{n}\") {{ {field} }}\n\
                 type P{n} @propertyType(id: \"NS:Property:P{n}\", instanceOf: \"NS:State:S{n}\") {{}}\n"
        )
    });
    assert!(survive("states inside states", &lines(doubling)).contains(&codes::TDM1005));
    // one long parent, many short children
    let heirs = format!("type T @stateType(id: \"NS:State:T\") {{ {wide} }}\n")
        + &many(2_000, &|n| {
            format!("type C{n} @stateType(id: \"NS:State:C{n}\") implements T @stateType(id: \"NS:State:T\") {{}}\n")
        });
    assert!(survive("heirs", &lines(heirs)).contains(&codes::TDM1005));
    let chain = many(2_000, &|n| {
        format!(
            "type C{n} @stateType(id: \"NS:State:C{n}\") implements T @stateType(id: \"NS:State:C{}\") {{}}\n",
            n + 1
        )
    });
    survive("a long chain of parents", &lines(chain));
    // every rule against every other
    let rules =
        "type P @propertyType(id: \"NS:Property:P\", dataType: int32) {}\nquery M @mapping(id: \"NS:Mapping:M\", \
                 from: \"NS:Property:P\", to: \"urn:tdm:aws:Property:Int32\") { forward {"
            .to_owned()
            + &many(40_000, &|n| format!("map(expr:\"s=={n}=>1\")"))
            + "} }";
    assert!(survive("rules", &lines(rules)).contains(&codes::TDM1005));
    let fields =
        format!("type T @stateType(id: \"NS:State:T\") {{ {} }}", many(15_000, &|n| format!("f{n}: S {string} ")));
    assert!(survive("fields", &lines(fields)).contains(&codes::TDM1005));
    // devices that implement nothing of a large capability
    let devices = "type A @actionType(id: \"NS:Action:A\") {}\ntype C @capabilityType(id: \"NS:Capability:C\") {"
        .to_owned()
        + &many(1_900, &|n| format!("a{n}: A @action(id: \"NS:Action:A\") "))
        + "}\ntype M @deviceModel(id: \"NS:DeviceModel:M\", capability: \"NS:Capability:C\") {}\n"
        + &many(2_000, &|n| {
            format!(
                "query D{n} @device(id: \"NS:Device:D{n}\", deviceModel: \"NS:DeviceModel:M\") {{ MQTT {{ C(id: \"NS:Capability:C\") }} }}\n"
            )
        });
    survive("devices", &lines(devices));
}

/// A flow in which every step waits for what every step emits.
#[test]
fn a_flow_of_one_event_is_judged_in_time() {
    let world = World::new();
    for (count, wanted) in [(1_000, codes::TDM4004), (15_000, codes::TDM1005)] {
        let steps: String = (0..count)
            .map(|n| {
                format!("step(name: \"s{n}\", inEvent: \"e\", outEvent: \"e\") {{ DeviceActivity(deviceModel: \"NS:DeviceModel:Valve\", deviceId: \"v\") {{ sample }} }}\n")
            })
            .collect();
        let text = expand(&format!("query F @workflowType(id: \"NS:Workflow:F\") {{ steps {{ {steps} }} }}"));
        let text = if text.len() > MAX_CHARS {
            text.replace("urn:tdm:eu-local-1/100200300400/default:DeviceModel", "urn:tdm:aws/examples:DeviceModel")
                .replace(" deviceId: \"v\"", "")
        } else {
            text
        };
        let start = Instant::now();
        let found = world.check("flow", &text);
        assert!(found.iter().any(|found| found.code == wanted), "{count}: {found:?}");
        assert!(start.elapsed() < PATIENCE, "{count} steps took {:?}", start.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    /// Good documents with pieces cut out, doubled or swapped are judged without a panic, as every kind of document;
    /// what is accepted can be formatted.
    #[test]
    fn mutilated_documents_are_judged(
        which in 0usize..4, cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0usize..4), 1..6)
    ) {
        thread_local!(static WORLD: World = World::new());
        let mut text = expand([
            include_str!("world/entities.tdm"), include_str!("world/flow.tdm"),
            include_str!("world/system.tdm"), include_str!("world/deployment.tdm"),
        ][which]);
        for (at, length, kind) in cuts {
            let tokens: Vec<(usize, usize)> =
                syntax::parse(&text).0.tokens().iter().map(|token| (token.span.start as usize, token.span.end as usize)).collect();
            if tokens.is_empty() {
                break;
            }
            let from = at.index(tokens.len());
            let to = (from + length).min(tokens.len() - 1);
            let piece = text[tokens[from].0..tokens[to].1].to_owned();
            match kind {
                0 => text.replace_range(tokens[from].0..tokens[to].1, ""),
                1 => text.insert_str(tokens[to].1, &piece),
                2 => text.replace_range(tokens[from].0..tokens[from].1, "{"),
                _ => text.replace_range(tokens[from].0..tokens[from].1, "\"NS ${\u{201D}"),
            }
        }
        WORLD.with(|world| {
            for kind in ["entities", "flow", "system", "deployment"] {
                world.check(kind, &text);
            }
        });
        if !marram_tdm::has_errors(&syntax::parse(&text).1) {
            let once = syntax::format(&text, FormatOptions::default()).unwrap();
            prop_assert_eq!(syntax::parse(&once).0, syntax::parse(&text).0);
        }
    }
}
