//! The formatter and the normalised text: what they keep, what they drop.

#[path = "support/world.rs"]
mod world;

use marram_tdm::check::{check_upload, says_the_same};
use marram_tdm::library;
use marram_tdm::model::Model;
use marram_tdm::syntax::{FormatOptions, format, normalise, parse};
use proptest::prelude::*;
use world::{World, expand, options, urn};

/// Formats, and holds the promises of TG 12.2 e on the way: same tree, second time the same text, comments kept.
fn check_format(source: &str) -> String {
    let (before, found) = parse(source);
    assert!(found.is_empty(), "{found:?}\n{source}");
    let once = format(source, FormatOptions::default()).unwrap();
    let (after, found) = parse(&once);
    assert!(found.is_empty(), "{found:?}\n{once}");
    assert_eq!(before, after, "\n{source}\n----\n{once}");
    let twice = format(&once, FormatOptions::default()).unwrap();
    assert_eq!(once, twice, "\n{source}");
    let comments = |text: &str| {
        let (document, _) = parse(text);
        let all = document.tokens().iter().filter(|t| t.kind == marram_tdm::syntax::TokenKind::Comment);
        all.map(|token| token.span.text(text).trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(comments(source), comments(&once), "\n{source}\n----\n{once}");
    once
}

/// TG 12.2 e: parse, print, parse is the identity; the library is written in the one layout.
#[test]
fn formatting_keeps_what_a_document_says() {
    for text in [
        expand(include_str!("world/entities.tdm")),
        expand(include_str!("world/flow.tdm")),
        expand(include_str!("world/system.tdm")),
        expand(include_str!("world/deployment.tdm")),
    ] {
        check_format(&text);
    }
    for (path, text) in library::DOCUMENTS {
        check_format(text);
        assert!(parse(text).1.is_empty(), "{path}");
    }
    let layout = check_format(
        "# head\n\n# about a\n{ # wrapped\ntype A @x(a:1,,b : 'it', c:\"don't\" d: '\"') implements B @y & C {ignore:void} # end\n\
         query Q($a:[T!]!=[1 2],$b:T) @z() { a b{} c(){d # why\n\n e:f(x:{y:$z})} # last\n } # closing\n} # tail\n# eof",
    );
    insta::assert_snapshot!(layout);
}

/// TG 2.1: `--repair-quotes` rewrites typographic quotes; without it they stay errors.
#[test]
fn typographic_quotes_are_repaired_on_request() {
    let source = "type A @x(a: “one”, b: ‘two’, c: \"three”, d: \"so “quoted” it is\") { ignore: void }\n";
    let found = format(source, FormatOptions::default()).unwrap_err();
    assert!(found.iter().all(|found| found.code == "TDM1004"), "{found:?}");
    let repaired = format(source, FormatOptions { repair_quotes: true }).unwrap();
    assert_eq!(
        repaired,
        "type A @x(a: \"one\", b: \"two\", c: \"three\", d: \"so “quoted” it is\") { ignore: void }\n"
    );
}

/// TG section 8: comments, white space, commas, quotes and the case of keywords are no change; names and values are.
#[test]
fn a_change_is_what_the_normalised_text_shows() {
    let base = r#"type A @propertyType(id: "urn:tdm:aws:Property:A", isAbstract: true) { ignore: void }"#;
    for same in [
        "TYPE A @PROPERTYTYPE(ID:'urn:tdm:aws:Property:A',,isabstract:TRUE){}",
        "# new comment\ntype A\n@propertyType(id: \"urn:tdm:aws:Property:A\" isAbstract: true) { ignore : VOID } # more",
    ] {
        assert!(says_the_same(base, same), "{same}");
    }
    for other in [
        r#"type B @propertyType(id: "urn:tdm:aws:Property:A", isAbstract: true) { ignore: void }"#,
        r#"type A @propertyType(id: "urn:tdm:aws:Property:A", isAbstract: false) { ignore: void }"#,
        r#"type A @propertyType(id: "urn:tdm:aws:property:A", isAbstract: true) { ignore: void }"#,
        r#"type A @propertyType(id: "urn:tdm:aws:Property:A") { ignore: void }"#,
    ] {
        assert!(!says_the_same(base, other), "{other}");
    }
}

/// TG 2.4: a definition's slice starts at the comment block right above it and ends at its closing brace.
#[test]
fn slices_keep_the_comments_above() {
    let source = "{ # wrapper\n# far\n\n## one\n# two\ntype A @x { ignore: void } # behind\n# three\ntype B @x {}\n}";
    let (document, _) = parse(source);
    let slices: Vec<&str> = document.definitions.iter().map(|d| d.slice.0.text(source)).collect();
    assert_eq!(slices, ["## one\n# two\ntype A @x { ignore: void }", "# three\ntype B @x {}"]);
}

/// TG section 8: an upload extends or replaces, and is refused when it breaks an entity it does not touch.
#[test]
fn an_upload_is_checked_with_everything_it_may_break() {
    let world = World::new();
    let public = library::public();
    let first = check_upload(&world.entity_text, &Model::default(), public, &options());
    assert_eq!((first.reasons.len(), first.changed.len(), first.unchanged.len()), (0, 0, 0));
    assert!(first.added.contains(&urn("Device:AcmeValve")));

    let again =
        check_upload(&world.entity_text.replace("type Valve", "# note\ntype  Valve"), &first.model, public, &options());
    assert_eq!((again.added.len(), again.changed.len()), (0, 0));
    assert_eq!(again.unchanged.len(), first.added.len());

    let renamed = expand(
        "type Probe @stateType(id: \"NS:State:Probe\") { wetness: X @property(id: \"NS:Property:moisture/percent\") }\n\
         type New @deviceModel(id: \"NS:DeviceModel:New\", capability: \"NS:Capability:Valve\") {}",
    );
    let refused = check_upload(&renamed, &first.model, public, &options());
    assert_eq!((refused.added, refused.changed), (vec![urn("DeviceModel:New")], vec![urn("State:Probe")]));
    assert_eq!(
        refused.reasons,
        [format!("TDM3009 3:13 {}: the capability's state has no field `moisture`", urn("Device:AcmeValve"))]
    );
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,6}",
        "-?[1-9][0-9]{0,5}(\\.[0-9]{1,3})?",
        "\"[^\"\\\\\r\n“”]{0,12}\"",
        "'[^'\\\\\r\n‘’]{0,12}'",
        Just("\"\"\"a\n   b \"c\"\n\"\"\"".to_owned()),
        Just(r#""\"\u00e9\n""#.to_owned()),
        "\\$[a-z]{1,4}",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" "))),
            prop::collection::vec(("[a-z]{1,4}", inner), 0..3).prop_map(|items| format!(
                "{{{}}}",
                items.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

fn arguments() -> impl Strategy<Value = String> {
    prop::option::of(prop::collection::vec(("[A-Za-z_]{1,8}", value()), 0..4)).prop_map(|items| {
        items.map_or(String::new(), |items| {
            format!("({})", items.iter().map(|(k, v)| format!("{k} : {v}")).collect::<Vec<_>>().join(" , "))
        })
    })
}

fn directives() -> impl Strategy<Value = String> {
    prop::collection::vec(("[a-z]{1,8}", arguments()), 0..3)
        .prop_map(|all| all.iter().map(|(name, arguments)| format!(" @{name}{arguments}")).collect())
}

fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(" "),
        Just("\n"),
        Just("\n\n\n"),
        Just(" # note\n"),
        Just("\n  # own line\n"),
        Just(" ,\n# a\n\n# b\n")
    ]
}

fn selections() -> impl Strategy<Value = String> {
    let leaf = ("[a-z]{1,6}", arguments(), directives()).prop_map(|(n, a, d)| format!("f{n}{a}{d}"));
    leaf.prop_recursive(4, 24, 4, |inner| {
        ("[a-z]{1,6}", arguments(), prop::collection::vec((gap(), inner), 0..4), gap()).prop_map(
            |(name, args, items, end)| {
                let items: String = items.iter().map(|(gap, item)| format!("{gap}{item}")).collect();
                format!("b{name}{args} {{{items}{end}}}")
            },
        )
    })
}

fn definition() -> impl Strategy<Value = String> {
    let name = "[A-Z][a-zA-Z0-9]{0,8}";
    prop_oneof![
        (name, directives(), prop::collection::vec((gap(), "[a-z]{1,6}", directives()), 0..4), gap()).prop_map(
            |(name, head, fields, end)| {
                let fields: String = fields.iter().map(|(gap, n, d)| format!("{gap}f{n}: [T!]{d}")).collect();
                format!("type {name}{head} implements I @i & J {{{fields}{end}}}")
            }
        ),
        (name, directives(), prop::collection::vec((gap(), selections()), 0..4), gap()).prop_map(
            |(name, head, items, end)| {
                let items: String = items.iter().map(|(gap, item)| format!("{gap}{item}")).collect();
                format!("query {name}($a: T = 1 $b: [T]!){head} {{{items}{end}}}")
            }
        ),
        (name, directives(), prop::collection::vec((gap(), "[A-Z]{1,6}", directives()), 0..4), gap()).prop_map(
            |(name, head, members, end)| {
                let members: String = members.iter().map(|(gap, n, d)| format!("{gap}{n}{d}")).collect();
                format!("enum {name}{head} {{{members}{end}}}")
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// TG 12.2 e over generated documents; the normalised text survives formatting too.
    #[test]
    fn formatting_any_document_keeps_what_it_says(
        definitions in prop::collection::vec((gap(), definition()), 0..4), is_wrapped in any::<bool>(), end in gap()
    ) {
        let mut text: String = definitions.iter().map(|(gap, definition)| format!("{gap}{definition}")).collect();
        text = if is_wrapped { format!("{{{text}{end}}}{end}") } else { format!("{text}{end}") };
        let formatted = check_format(&text);
        let normal = |text: &str| parse(text).0.definitions.iter().map(normalise).collect::<Vec<_>>();
        prop_assert_eq!(normal(&text), normal(&formatted));
    }
}
