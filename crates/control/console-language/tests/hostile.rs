//! Nothing a page sends can make the service panic: texts cut anywhere, offsets anywhere, edits of anything.

#[path = "support/corpus.rs"]
mod corpus;

use std::sync::LazyLock;

use corpus::{Sample, in_other_hands, list, samples, world};
use marram_console_language::{NamespaceWorld, VERBS, answer};
use proptest::prelude::*;
use serde_json::{Value, json};

static WORLD: LazyLock<(NamespaceWorld, Vec<Sample>)> = LazyLock::new(|| (world(), samples()));

/// A text of the corpus in some hand, cut somewhere, with something put in somewhere.
fn mangled() -> impl Strategy<Value = (String, usize)> {
    let bits = prop::sample::select(vec![
        "",
        "\"",
        "'",
        "{",
        "}",
        "(",
        ")",
        "[",
        "${",
        "@",
        "# ",
        "\\",
        "\u{1f4a7}",
        "step(name: \"x\", inEvent: \"",
        "\"\"\"",
        "setEvent(name: [",
        "$",
        ":",
        "query Q($",
        "tdm.lib.",
    ]);
    let any = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<[u16; 3]>(), bits);
    any.prop_map(|(which, hand, [from, at, to], bit)| {
        let sample = which.get(&WORLD.1);
        let (_, text) = hand.get(&in_other_hands(&sample.text)).clone();
        let cut = |number: u16| {
            let mut at = usize::from(number) % (text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let mut places = [cut(from), cut(at), cut(to)];
        places.sort_unstable();
        let [from, at, to] = places;
        let start = if from % 3 == 0 { from } else { 0 };
        let end = if to % 2 == 0 { to } else { text.len() };
        (format!("{}{bit}{}", &text[start..at.max(start)], &text[at.max(start).min(end)..end]), at - start + bit.len())
    })
}

/// Something like an edit.
fn any_edit() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec![
        "move",
        "add-node",
        "remove-node",
        "rename-node",
        "connect",
        "disconnect",
        "set-argument",
        "set-action",
        "set-condition",
        "set-on-error",
        "set-field",
        "add-variable",
        "remove-variable",
        "add-parameter",
        "bind",
        "replace",
    ]);
    let word = prop::sample::select(vec![
        json!("a"),
        json!("read"),
        json!("dry?"),
        json!("water"),
        json!("measure"),
        json!("show"),
        json!("x|y"),
        json!(""),
        json!(null),
        json!(-1),
        json!(1e300),
        json!([]),
        json!({"a": null}),
        json!("got"),
        json!("${"),
        json!("\u{1f4a7}\""),
        json!("read|success|got|dry?"),
        json!("dry?|rule:0|dry|water"),
        json!("urn:tdm:aws/examples:DeviceModel:Camera"),
        json!({"kind": "device", "urn": "urn:tdm:aws/examples:DeviceModel:Camera", "name": "n", "arguments": {"x": 1}}),
        json!({"kind": "choice", "position": {"x": 1, "y": 2}}),
        json!([{"errorEquals": ["a"]}]),
        json!(["e", "f"]),
        json!("device"),
        json!("inEvent"),
        json!("outEvent"),
        json!("error"),
        json!("any"),
        json!(7),
        json!(true),
    ]);
    let members = prop::sample::select(vec![
        "node",
        "x",
        "y",
        "to",
        "from",
        "text",
        "source",
        "target",
        "condition",
        "port",
        "event",
        "join",
        "edge",
        "name",
        "value",
        "action",
        "arguments",
        "retries",
        "catches",
        "field",
        "urn",
        "type",
        "role",
        "thing",
        "capability",
    ]);
    let holder = prop::sample::select(vec!["flow", "system", "deployment", "none"]);
    let named =
        prop::sample::select(vec![json!("Irrigate"), json!("F"), json!("Irrigation"), json!("Bed7"), json!(null)]);
    (op, proptest::collection::btree_map(members, word, 0..7), holder, named).prop_map(
        |(op, members, holder, named)| {
            let mut edit = json!({ "op": op, "x": 1, "y": 2, "from": 3, "to": 9, "text": "t" });
            for (member, value) in members {
                edit[member] = value;
            }
            edit[holder] = named;
            edit
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// API: a text with mistakes is answered, or refused with a field; offsets in answers lie in the text.
    #[test]
    fn mangled_texts_are_answered((text, at) in mangled(), unit in any::<u16>(), step in "[a-z?]{0,5}") {
        let units = text.encode_utf16().count();
        for verb in VERBS {
            for offset in [at, usize::from(unit)] {
                let request = json!({
                    "text": text, "offset": offset, "step": step, "expression": &text[..text.floor_char_boundary(200)],
                    "edits": [{"op": "replace", "from": offset, "to": offset + 2, "text": "{\u{1f4a7}"}],
                });
                if let Ok(answered) = answer(verb, &request, &WORLD.0) {
                    for found in list(&answered["diagnostics"]) {
                        let (from, to) = (found["from"].as_u64().unwrap(), found["to"].as_u64().unwrap());
                        let most = units + 3;
                        prop_assert!(from <= to && to <= most as u64, "{verb}: {found}");
                    }
                }
            }
        }
    }

    /// API: any edit of any text is done or refused; one that is done leaves a text that reads without errors when the
    /// text before did.
    #[test]
    fn any_edit_is_done_or_refused((text, _) in mangled(), edits in proptest::collection::vec(any_edit(), 1..4)) {
        let is_readable = |text: &str| {
            let (_, found) = marram_tdm::syntax::parse(text);
            !found.iter().any(marram_tdm::Diagnostic::is_error)
        };
        let has_replace = edits.iter().any(|edit| edit["op"] == json!("replace"));
        let request = json!({ "text": text, "edits": edits });
        if let Ok(answered) = answer("edit", &request, &WORLD.0) {
            let after = answered["text"].as_str().unwrap();
            prop_assert!(has_replace || is_readable(after), "{request}\n{after}");
        }
    }
}
