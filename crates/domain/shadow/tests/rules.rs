//! The rules of CP 5.7, each by its number, and the error table, each by its message.

use marram_shadow::{Applied, Limits, Shadow, ShadowError, Update};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn update(body: &Value) -> Result<Update, ShadowError> {
    Update::parse(body.to_string().as_bytes(), &Limits::default())
}

/// Applies updates to nothing, one after the other.
fn after(bodies: &[Value]) -> Shadow {
    bodies.iter().fold(None, |shadow: Option<Shadow>, body| Some(apply(shadow.as_ref(), body).shadow)).unwrap()
}

fn apply(shadow: Option<&Shadow>, body: &Value) -> Applied {
    Shadow::apply(shadow, 0, &update(body).unwrap(), &Limits::default(), NOW).unwrap()
}

fn state(bodies: &[Value]) -> Value {
    after(bodies).document(NOW)["state"].clone()
}

/// CP 5.7 error table: every message, by a request that earns it.
#[test]
fn refusals_use_the_known_texts() {
    let seven = json!({"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}});
    let table = [
        (json!([]), 400, "Invalid JSON"),
        (json!({}), 400, "Missing required node: state"),
        (json!({"state": 1}), 400, "State node must be an object"),
        (json!({"state": {"desired": 1}}), 400, "Desired node must be an object"),
        (json!({"state": {"reported": []}}), 400, "Reported node must be an object"),
        (json!({"state": {}, "version": "1"}), 400, "Invalid version"),
        (json!({"state": {}, "version": 0}), 400, "Invalid version"),
        (json!({"state": {}, "clientToken": 1}), 400, "Invalid clientToken"),
        (json!({"state": {}, "clientToken": "x".repeat(65)}), 400, "Invalid clientToken"),
        (json!({"state": {"desired": seven}}), 400, "JSON contains too many levels of nesting; maximum is 6"),
        (json!({"state": {"other": {}}}), 400, "State contains an invalid node"),
        (json!({"state": {"desired": {"a": [1, null]}}}), 400, "State contains an invalid node"),
    ];
    for (body, code, message) in table {
        let error = update(&body).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{body}");
    }
    let error = Update::parse(b"\xff", &Limits::default()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (415, "Unsupported documented encoding; supported encoding is UTF-8")
    );
    assert!(
        update(&json!({"state": null})).is_ok() && update(&json!({"state": {}, "clientToken": "x".repeat(64)})).is_ok()
    );
}

/// CP 5.7 rules 2 and 3: deep merge, whole arrays, `null` removes, empty sections vanish, empty objects inside stay.
#[test]
fn updates_merge() {
    let first = json!({"state": {"desired": {"a": {"x": 1, "y": 2}, "list": [1, 2]}}});
    let cases = [
        (json!({"state": {"desired": {"a": {"y": 3}}}}), json!({"a": {"x": 1, "y": 3}, "list": [1, 2]})),
        (json!({"state": {"desired": {"list": [3]}}}), json!({"a": {"x": 1, "y": 2}, "list": [3]})),
        (json!({"state": {"desired": {"a": {"x": null}}}}), json!({"a": {"y": 2}, "list": [1, 2]})),
        (json!({"state": {"desired": {"a": {"x": null, "y": null}}}}), json!({"a": {}, "list": [1, 2]})),
        (json!({"state": {"desired": {"a": 5}}}), json!({"a": 5, "list": [1, 2]})),
        (json!({"state": {"desired": {"list": {"k": null}}}}), json!({"a": {"x": 1, "y": 2}, "list": {}})),
        (json!({"state": {"reported": {}}}), json!({"a": {"x": 1, "y": 2}, "list": [1, 2]})),
    ];
    for (second, wanted) in cases {
        let got = state(&[first.clone(), second.clone()]);
        assert_eq!(got, json!({"desired": wanted, "delta": wanted}), "{second}");
    }
    for clearing in [
        json!({"state": null}),
        json!({"state": {"desired": null}}),
        json!({"state": {"desired": {"a": null, "list": null}}}),
    ] {
        let shadow = after(&[first.clone(), clearing]);
        assert_eq!((shadow.document(NOW)["state"].clone(), shadow.version), (json!({}), 2));
    }
}

/// CP 5.7 rule 4: versions count from 1, must match when asked, and go on after a deletion.
#[test]
fn versions_count() {
    let body = json!({"state": {"desired": {"a": 1}}});
    assert_eq!(after(std::slice::from_ref(&body)).version, 1);
    let shadow = after(&[body.clone(), body.clone()]);
    assert_eq!(shadow.version, 2);
    let try_with = |previous: Option<&Shadow>, last: u64, version: u64| {
        let update = update(&json!({"state": {}, "version": version})).unwrap();
        Shadow::apply(previous, last, &update, &Limits::default(), NOW).map(|applied| applied.shadow.version)
    };
    assert_eq!(try_with(Some(&shadow), 0, 2), Ok(3));
    assert_eq!(try_with(Some(&shadow), 0, 1), Err(ShadowError::VersionConflict));
    assert_eq!(try_with(None, 0, 1), Err(ShadowError::VersionConflict));
    assert_eq!(ShadowError::VersionConflict.code(), 409);
    let again = Shadow::apply(None, 7, &update(&body).unwrap(), &Limits::default(), NOW).unwrap();
    assert_eq!(again.shadow.version, 8);
}

/// CP 5.7 rule 5: metadata mirrors the state; arrays get an array of leaves.
#[test]
fn metadata_mirrors_the_state() {
    let shadow = after(&[json!({"state": {"reported": {"a": {"b": 1}, "l": [1, {"c": 2}]}}})]);
    let leaf = json!({"timestamp": NOW});
    assert_eq!(shadow.document(NOW)["metadata"], json!({"reported": {"a": {"b": leaf}, "l": [leaf, {"c": leaf}]}}));
    let old = Shadow::apply(
        None,
        0,
        &update(&json!({"state": {"reported": {"a": 1, "b": 1}}})).unwrap(),
        &Limits::default(),
        1,
    )
    .unwrap()
    .shadow;
    let new = apply(Some(&old), &json!({"state": {"reported": {"b": 2}}})).shadow;
    assert_eq!(
        new.document(NOW)["metadata"]["reported"],
        json!({"a": {"timestamp": 1}, "b": {"timestamp": NOW}}),
        "only what a request names is stamped"
    );
}

/// CP 5.7 rule 6: the delta is what is desired and not reported, always whole, published while it is not empty.
#[test]
fn delta_is_what_is_left_to_do() {
    let cases = [
        (json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"a": 1, "b": {"c": 9, "d": 3}}), Some(json!({"b": {"c": 2}}))),
        (json!({"a": 1}), json!({"a": 1, "z": 9}), None),
        (json!({"a": {}}), json!({}), Some(json!({"a": {}}))),
        (json!({"l": [1, 2]}), json!({"l": [2, 1]}), Some(json!({"l": [1, 2]}))),
        (json!({"a": 1}), json!({"a": "1"}), Some(json!({"a": 1}))),
    ];
    for (desired, reported, wanted) in cases {
        let applied = apply(None, &json!({"state": {"desired": desired, "reported": reported}, "clientToken": "t"}));
        let delta = applied.delta.as_ref().map(|delta| delta["state"].clone());
        assert_eq!(delta, wanted, "{desired} / {reported}");
        assert_eq!(applied.shadow.document(NOW)["state"].get("delta").cloned(), wanted);
        if let Some(delta) = applied.delta {
            assert_eq!((delta["version"].clone(), delta["clientToken"].clone()), (json!(1), json!("t")));
            assert!(delta["metadata"].is_object());
        }
    }
    let shadow = after(&[json!({"state": {"desired": {"a": 1, "b": 2}}})]);
    let applied = apply(Some(&shadow), &json!({"state": {"reported": {"a": 1}}}));
    assert_eq!(applied.delta.unwrap()["state"], json!({"b": 2}), "not only fields of the request");
}

/// CP 5.7 rule 7: `accepted` echoes the request; `documents` shows before and after.
#[test]
fn answers_tell_what_was_asked_and_what_became_of_it() {
    let shadow = after(&[json!({"state": {"desired": {"a": 1}}})]);
    let applied = apply(Some(&shadow), &json!({"state": {"desired": {"b": 2}, "reported": null}, "clientToken": "t"}));
    assert_eq!(
        applied.accepted,
        json!({
            "state": {"desired": {"b": 2}, "reported": null},
            "metadata": {"desired": {"b": {"timestamp": NOW}}},
            "version": 2, "timestamp": NOW, "clientToken": "t",
        })
    );
    assert_eq!(applied.documents["previous"]["version"], 1);
    assert_eq!(applied.documents["current"]["state"], json!({"desired": {"a": 1, "b": 2}}));
    assert_eq!(applied.documents["clientToken"], "t");
}

/// CP 5.7 rule 10: 8,192 bytes of state, metadata not counted; a token and long metadata do not count against it.
#[test]
fn documents_have_a_size() {
    let of = |length: usize| json!({"state": {"desired": {"a": "x".repeat(length)}}});
    let frame = json!({"desired": {"a": ""}}).to_string().len();
    assert!(Shadow::apply(None, 0, &update(&of(8192 - frame)).unwrap(), &Limits::default(), NOW).is_ok());
    let error = Shadow::apply(None, 0, &update(&of(8193 - frame)).unwrap(), &Limits::default(), NOW).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (413, "The payload exceeds the maximum size allowed"));
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<u8>().prop_map(Value::from), Just(Value::Null), "[a-c]{0,2}".prop_map(Value::from)];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
            proptest::collection::vec(any::<u8>(), 0..3).prop_map(Value::from),
        ]
    })
}

/// The tree of a section's metadata has exactly the members of its state.
fn mirrors(state: &Value, metadata: &Value) -> bool {
    match (state, metadata) {
        (Value::Object(state), Value::Object(metadata)) => {
            state.len() == metadata.len()
                && state.iter().all(|(key, value)| metadata.get(key).is_some_and(|below| mirrors(value, below)))
        }
        (Value::Array(items), Value::Array(stamps)) => items.len() == stamps.len(),
        (Value::Object(_) | Value::Array(_), _) => false,
        (_, stamp) => stamp["timestamp"].is_i64(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is applied: metadata mirrors state, no `null` is stored, and reporting the delta leaves none.
    #[test]
    fn documents_stay_consistent(
        bodies in proptest::collection::vec(
            proptest::collection::btree_map(prop_oneof![Just("desired"), Just("reported")], tree(), 0..3), 1..6)
    ) {
        let mut shadow: Option<Shadow> = None;
        for sections in bodies {
            let body = json!({"state": sections});
            let Ok(update) = update(&body) else { continue };
            shadow = Some(Shadow::apply(shadow.as_ref(), 0, &update, &Limits::default(), NOW).unwrap().shadow);
        }
        let Some(shadow) = shadow else { return Ok(()) };
        let document = shadow.document(NOW);
        for section in ["desired", "reported", "delta"] {
            let (state, metadata) = (&document["state"][section], &document["metadata"][section]);
            prop_assert!(state.is_null() || mirrors(state, metadata), "{document}");
            prop_assert!(!state.is_object() || !state.to_string().contains("null"), "{document}");
        }
        if let Some(delta) = shadow.delta() {
            let done = apply(Some(&shadow), &json!({"state": {"reported": delta.state}})).shadow;
            prop_assert_eq!(done.delta(), None, "{}", done.document(NOW));
        }
    }
}
