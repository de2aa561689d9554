//! The rules of CR 3 as tables.

#![allow(clippy::type_complexity)] // tables of cases

use marram_configuration::{
    Behavior, ChangeKind, ConfigurationUpdate, Event, Mode, Origin, TlogError, Tree, UpdateError, Write, read_tlog,
};
use serde_json::{Value, json};

const ROOT: &[&str] = &[];

fn tree(value: Value, time: i64) -> Tree {
    let mut tree = Tree::new();
    tree.merge(ROOT, &value, &Write::new(time, Origin::Runtime));
    tree
}

fn kinds(changes: &[marram_configuration::Change]) -> Vec<(String, ChangeKind)> {
    changes.iter().map(|change| (change.path.join("/"), change.kind)).collect()
}

/// CR 3.1: older writes and equal values change nothing; an equal value with a newer time moves the time; case of keys
/// does not matter and the first spelling stays.
#[test]
fn a_leaf_obeys_the_write_rule() {
    let mut tree = tree(json!({"A": {"Key": 1}}), 100);
    let mut write =
        |path: &[&str], value: Value, time| kinds(&tree.merge(path, &value, &Write::new(time, Origin::Runtime)));
    assert_eq!(write(&["a", "KEY"], json!(2), 99), []);
    assert_eq!(write(&["a", "KEY"], json!(1), 100), []);
    assert_eq!(write(&["a", "KEY"], json!(1), 101), [("A/Key".to_owned(), ChangeKind::TimestampUpdated)]);
    assert_eq!(write(&["a", "key"], json!(2), 101), [("A/Key".to_owned(), ChangeKind::Changed)]);
    assert_eq!(write(&["A", "new"], json!([1, {"x": 2}]), 5), [("A/new".to_owned(), ChangeKind::Initialized)]);
    assert_eq!(tree.read(ROOT), Some(json!({"A": {"Key": 2, "new": [1, {"x": 2}]}})));
    assert_eq!(tree.leaf(&["a", "key"]).map(|leaf| leaf.modified), Some(101));
}

/// CR 3.1: a leaf may become a map and the reverse, unless it is newer.
#[test]
fn shapes_may_change() {
    let mut tree = tree(json!({"a": 1, "m": {"x": 1}}), 10);
    let write = Write::new(11, Origin::Runtime);
    let became_map = tree.merge(&["a"], &json!({"b": 2}), &write);
    assert_eq!(
        kinds(&became_map),
        [
            ("a".to_owned(), ChangeKind::Removed),
            ("a".to_owned(), ChangeKind::InteriorAdded),
            ("a/b".to_owned(), ChangeKind::Initialized)
        ]
    );
    assert_eq!(kinds(&tree.merge(&["m"], &json!("text"), &Write::new(9, Origin::Runtime))), []);
    tree.merge(&["m"], &json!("text"), &write);
    assert_eq!(tree.read(ROOT), Some(json!({"a": {"b": 2}, "m": "text"})));
}

/// CR 3.3: reset, then defaults (gaps only), then merge; the order is fixed and newer leaves survive the merge.
#[test]
fn a_deployment_resets_fills_and_merges() {
    #[rustfmt::skip]
    let table: &[(&str, Value, &[&str], Value, Value, Value)] = &[
        ("defaults fill gaps only", json!({"a": 1}), &[], json!({"a": 9, "b": {"c": 2}}), json!(null), json!({"a": 1, "b": {"c": 2}})),
        ("a reset lets the default through", json!({"a": 1}), &["/a"], json!({"a": 9}), json!(null), json!({"a": 9})),
        ("the merge wins over a reset", json!({"a": 1}), &["/a"], json!({"a": 9}), json!({"a": 3}), json!({"a": 3})),
        ("everything goes and the rest is not read", json!({"a": 1, "b": 2}), &["", "/x"], json!({"d": 1}), json!(null), json!({"d": 1})),
        ("maps merge, lists are replaced", json!({"m": {"x": 1}, "l": [1, 2]}), &[], json!({}), json!({"m": {"y": 2}, "l": [3]}), json!({"m": {"x": 1, "y": 2}, "l": [3]})),
        ("escapes of pointers", json!({"a/b": {"c~d": 1, "e": 2}}), &["/a~1b/c~0d"], json!({}), json!(null), json!({"a/b": {"e": 2}})),
        ("case does not matter", json!({"Limit": {"Max": 1}}), &["/limit/MAX"], json!({}), json!({"LIMIT": {"min": 0}}), json!({"Limit": {"min": 0}})),
        ("a default map does not replace a leaf", json!({"a": 1}), &[], json!({"a": {"b": 2}}), json!(null), json!({"a": 1})),
    ];
    for (name, now, reset, defaults, merge, wanted) in table {
        let reset: Vec<String> = reset.iter().map(|text| (*text).to_owned()).collect();
        let update = ConfigurationUpdate {
            reset: &reset,
            defaults,
            merge: Some(merge),
            time: 2_000,
            origin: Origin::Deployment("d1".into()),
        };
        let before = tree(now.clone(), 1_000);
        assert_eq!(before.updated(&update).tree.read(ROOT).as_ref(), Some(wanted), "{name}");
        assert_eq!(before.read(ROOT).as_ref(), Some(now), "{name}: the running one stays");
    }

    let reset = ["/l/0".to_owned(), "/none".to_owned(), "no slash".to_owned()];
    let defaults = json!({});
    let update = ConfigurationUpdate {
        reset: &reset,
        defaults: &defaults,
        merge: Some(&json!({"ipc": 1, "l": 2})),
        time: 2_000,
        origin: Origin::Deployment("d1".into()),
    };
    let mut now = tree(json!({"l": [1]}), 1_000);
    now.merge(&["ipc"], &json!(7), &Write::new(3_000, Origin::Ipc("X".into())));
    let done = now.updated(&update);
    assert_eq!(done.ignored, reset, "pointers into lists and to nowhere are told");
    assert_eq!(done.tree.read(ROOT), Some(json!({"l": 2, "ipc": 7})), "what IPC wrote since survives");
    let origins: Vec<String> = done.tree.explain(ROOT).iter().map(|leaf| leaf.origin.to_string()).collect();
    assert_eq!(origins, ["deployment d1", "ipc X"]);
}

/// CR 3.4: components are replaced, `runtime` and `_private` merged, absent components and builtins stay.
#[test]
fn a_deployment_replaces_components() {
    let mut running = tree(
        json!({"services": {
            "A": {"version": "1.0.0", "lifecycle": {"run": "old", "setenv": {}}, "runtime": {"port": 1}, "_private": {"x": 1}},
            "B": {"version": "1.0.0"},
            "DeploymentService": {"GroupMembership": {"g": true}, "runtime": {}},
        }}),
        10,
    );
    let new = json!({"A": {"version": "2.0.0", "lifecycle": {"run": "new"}}, "DeploymentService": {"x": 1}});
    running.apply(&["services"], &new, &Behavior::services(["DeploymentService"]), &Write::new(20, Origin::Runtime));
    assert_eq!(
        running.read(&["services"]),
        Some(json!({
            "A": {"version": "2.0.0", "lifecycle": {"run": "new"}, "runtime": {"port": 1}, "_private": {"x": 1}},
            "B": {"version": "1.0.0"},
            "DeploymentService": {"GroupMembership": {"g": true}, "runtime": {}, "x": 1},
        }))
    );
    running.apply(&["services", "B"], &json!({}), &Behavior::all(Mode::Replace), &Write::new(21, Origin::Runtime));
    assert_eq!(running.read(&["services", "B"]), Some(json!({})));
}

/// CR 3.4: only configuration carries the deployment's time, so a newer leaf survives and a version never does.
#[test]
fn configuration_carries_the_time_of_the_deployment() {
    let mut running = tree(json!({"services": {"A": {"version": "1", "configuration": {"k": 1, "ipc": 1}}}}), 100);
    let path = ["services", "A", "configuration", "ipc"];
    running.merge(&path, &json!(7), &Write::new(180, Origin::Ipc("A".into())));
    let new = json!({"A": {"version": "2", "configuration": {"k": 2, "ipc": 2}}});
    running.apply(&["services"], &new, &Behavior::deployment([], 150), &Write::new(200, Origin::Runtime));
    assert_eq!(running.read(&["services", "A"]), Some(json!({"version": "2", "configuration": {"k": 2, "ipc": 7}})));
    let time = |path: &[&str]| running.leaf(path).map(|leaf| leaf.modified);
    assert_eq!(time(&["services", "A", "configuration", "k"]), Some(150));
    assert_eq!(time(&["services", "A", "version"]), Some(200));
}

/// CR 3.3 (3): a deployment loses only where somebody changed the same key since, by a clock that may be believed.
#[test]
fn an_older_deployment_loses_only_what_was_changed_since() {
    // (time and k of the local deployment, its clock; time and clock of the cloud's; k then)
    let cases = [
        ("another key was changed since", 300, 1, 300, 200, 400, 2),
        ("the same key was changed since", 300, 5, 300, 200, 400, 5),
        ("the same key, by a clock that was ahead", 9_000, 5, 9_000, 200, 400, 2),
        ("the clock went back before it was applied", 9_000, 5, 150, 200, 400, 2),
        ("the cloud's clock is ahead of the core's", 300, 5, 300, 900, 400, 2),
    ];
    for (case, local, k, then, cloud, now, expected) in cases {
        let mut running = tree(json!({"services": {"A": {"version": "1", "configuration": {"k": 1}}}}), 100);
        let base = ["services", "A", "configuration"];
        let deploy = |running: &mut Tree, version: &str, merge: Value, time: i64, now: i64| {
            let update = ConfigurationUpdate {
                reset: &[],
                defaults: &json!({}),
                merge: Some(&merge),
                time,
                origin: Origin::Runtime,
            };
            let configuration = running.subtree(&base).updated_at(&update, now).tree.root().to_value();
            let services =
                json!({"A": {"version": version, "configuration": configuration}, "main": {"dependencies": [version]}});
            let write = Write::new(now, Origin::Runtime);
            running.apply(&["services"], &services, &Behavior::deployment_at(["main"], time, now), &write);
            let once = running.read(&["services"]);
            // a core that was killed applies the same again, later
            let write = Write::new(now + 7, Origin::Runtime);
            let again =
                running.apply(&["services"], &services, &Behavior::deployment_at(["main"], time, now + 7), &write);
            assert!(again.iter().all(|change| change.kind == ChangeKind::TimestampUpdated), "{case}: {again:?}");
            assert_eq!(running.read(&["services"]), once, "{case}");
        };
        deploy(&mut running, "2", json!({"k": k, "loc": "x"}), local, then);
        deploy(&mut running, "3", json!({"k": 2}), cloud, now);
        assert_eq!(running.read(&base), Some(json!({"k": expected, "loc": "x"})), "{case}");
        assert_eq!(running.read(&["services", "A", "version"]), Some(json!("3")), "{case}");
        assert_eq!(running.read(&["services", "main"]), Some(json!({"dependencies": ["3"]})), "{case}");
        let time = running.leaf(&["services", "A", "configuration", "k"]).unwrap().modified;
        assert!(time <= now, "{case}: {time}");
    }
}

/// CR 10.3 (11): each leaf says who set it: the recipe's defaults, a deployment, the component itself.
#[test]
fn leaves_say_where_they_came_from() {
    let mut running = Tree::new();
    let base = ["services", "A", "configuration"];
    let deploy = |running: &mut Tree, id: &str, configuration: Value, time| {
        let write = Write::new(time, Origin::Deployment(id.into()));
        let services = json!({"A": {"configuration": configuration}});
        let changes = running.apply(&["services"], &services, &Behavior::deployment([], time), &write);
        running.credit_defaults(&base, &json!({"kept": 1, "Deep": {"own": 2, "set": 3}}), &changes);
    };
    deploy(&mut running, "d1", json!({"kept": 1, "deep": {"own": 2, "set": 4}}), 10);
    running.merge(
        &["services", "A", "configuration", "deep", "own"],
        &json!(9),
        &Write::new(20, Origin::Ipc("A".into())),
    );
    deploy(&mut running, "d2", json!({"kept": 1, "deep": {"own": 9, "set": 5}}), 30);
    let origins: Vec<String> =
        running.explain(&base).iter().map(|leaf| format!("{} {}", leaf.path[3..].join("/"), leaf.origin)).collect();
    assert_eq!(origins, ["deep/own ipc A", "deep/set deployment d2", "kept default"]);
}

/// CR 3.4: a rollback restores older values, forgets newer places and keeps what it is told to keep.
#[test]
fn a_rollback_restores_times_and_values() {
    let before = tree(json!({"services": {"A": {"v": 1, "gone": true}, "D": {"g": 1}}}), 10);
    let mut after = before.clone();
    let write = Write::new(50, Origin::Deployment("d".into()));
    after.apply(&["services", "A"], &json!({"v": 2, "new": 1}), &Behavior::all(Mode::Replace), &write);
    after.merge(&["services", "B"], &json!({"v": 1}), &write);
    after.merge(&["services", "D", "g"], &json!(2), &write);
    after.merge(&["services", "A", "_private"], &json!({"x": 1}), &write);
    let changes = after.restore(&["services"], &before, 60, |path| path.last().is_some_and(|key| key == "D"));
    assert_eq!(
        after.read(ROOT),
        Some(json!({"services": {"A": {"v": 1, "gone": true, "_private": {"x": 1}}, "D": {"g": 2}}}))
    );
    assert_eq!(after.leaf(&["services", "A", "v"]), before.leaf(&["services", "A", "v"]));
    assert!(kinds(&changes).contains(&("services/B".to_owned(), ChangeKind::Removed)));
}

/// CR 3.5: what a component may change of itself, and how it is refused; a refusal changes nothing.
#[test]
fn own_updates_are_checked() {
    let base = ["services", "X", "configuration"];
    #[rustfmt::skip]
    let table: &[(&[&str], Value, i64, Result<Value, UpdateError>)] = &[
        (&[], json!({"accessControl": {}}), 200, Err(UpdateError::AccessControl)),
        (&[], json!({"Marram": {"sandbox": {"profile": "off"}}}), 200, Err(UpdateError::Bounds)),
        (&["ACCESSCONTROL", "p"], json!({}), 200, Err(UpdateError::AccessControl)),
        (&["leaf"], json!({"a": 1}), 200, Err(UpdateError::IntoLeaf("/leaf".to_owned()))),
        (&["leaf", "deeper"], json!({"a": 1}), 200, Err(UpdateError::IntoLeaf("/leaf".to_owned()))),
        (&[], json!({"map": {"in": 2}, "new": 5}), 99, Err(UpdateError::Stale("/map/in".to_owned()))),
        (&["leaf"], json!(5), 99, Err(UpdateError::Stale("/leaf".to_owned()))),
        (&["map"], json!({"in": 2}), 200, Ok(json!({"leaf": 1, "map": {"in": 2}}))),
        (&["fresh", "path"], json!({"k": null}), 5, Ok(json!({"leaf": 1, "map": {"in": 1}, "fresh": {"path": {"k": null}}}))),
    ];
    for (path, value, time, wanted) in table {
        let mut now = tree(json!({"services": {"X": {"configuration": {"leaf": 1, "map": {"in": 1}}}}}), 100);
        let before = now.clone();
        let write = Write::new(*time, Origin::Ipc("X".into()));
        match (now.update_configuration(&base, path, value, &write), wanted) {
            (Ok(_), Ok(wanted)) => assert_eq!(now.read(&base).as_ref(), Some(wanted), "{path:?} {value}"),
            (Err(error), Err(wanted)) => {
                assert_eq!(error, *wanted);
                assert_eq!(now, before);
            }
            (got, wanted) => panic!("{path:?} {value}: {got:?}, wanted {wanted:?}"),
        }
    }
}

/// CR 3.1: what a watcher of one place hears of changes at, above and below it.
#[test]
fn watchers_hear_what_concerns_them() {
    let mut tree = tree(json!({"a": {"b": {"c": 1}}}), 1);
    let changed = tree.merge(&["a", "b", "c"], &json!(2), &Write::new(2, Origin::Runtime)).remove(0);
    let removed = tree.remove(&["a", "b"], &Write::new(3, Origin::Runtime)).remove(0);
    for (change, watched, event) in [
        (&changed, vec!["A", "B", "C"], Some(Event::Changed)),
        (&changed, vec!["a"], Some(Event::ChildChanged)),
        (&changed, vec![], Some(Event::ChildChanged)),
        (&changed, vec!["a", "b", "c", "d"], None),
        (&changed, vec!["x"], None),
        (&removed, vec!["a"], Some(Event::ChildRemoved)),
        (&removed, vec!["a", "b"], Some(Event::Removed)),
        (&removed, vec!["a", "b", "c"], Some(Event::Removed)),
        (&removed, vec!["a", "x"], None),
    ] {
        assert_eq!(change.seen_from(&watched), event, "{watched:?} {change:?}");
    }
}

/// CR 3.7: the original's log is read; a torn or zero-filled tail is cut; damage in the middle is refused.
#[test]
fn a_log_of_the_original_is_imported() {
    let log = br#"{"TS":5,"TP":["services","X","configuration","k"],"W":"changed","V":1}
{"TS":6,"TP":["services","X","configuration","list"],"W":"changed","V":["a"]}
{"TS":7,"TP":["services","X","configuration","k"],"W":"timestampUpdated"}
{"TS":7,"TP":["services","Y"],"W":"interiorAdded"}
{"TS":8,"TP":["services","X","configuration","list"],"W":"removed"}
{"TS":4,"TP":["services","X","configuration","k"],"W":"changed","V":"too old"}
{"TS":9,"TP":["services","X"],"W":"childChanged"}
"#;
    let read = read_tlog(log).unwrap();
    assert_eq!((read.entries, read.cut_bytes), (7, 0));
    assert_eq!(read.tree.read(ROOT), Some(json!({"services": {"X": {"configuration": {"k": 1}}, "Y": {}}})));
    assert_eq!(read.tree.leaf(&["services", "X", "configuration", "k"]).map(|leaf| leaf.modified), Some(7));

    for tail in [&b"{\"TS\":10,\"TP\":[\"a\"],\"W\":\"cha"[..], &[0; 512], b"\0\0\n\0\n", b"garbage\nmore garbage\n"] {
        let torn = read_tlog(&[&log[..], tail].concat()).unwrap();
        assert_eq!((torn.entries, torn.cut_bytes), (7, tail.len()));
        assert_eq!(torn.tree, read.tree);
    }
    let damaged = [&b"{\"TS\":1,\n"[..], log].concat();
    assert!(matches!(read_tlog(&damaged), Err(TlogError::Damaged { line: 1, .. })));
}

/// CR 3.5, our limits: a component's own updates fill its configuration so far and no further; what takes the place of something
/// else is counted without it, and what a deployment brought beyond the limits can be changed as long as it does not grow.
#[test]
fn updates_end_where_the_configuration_is_full() {
    use marram_configuration::{MAX_UPDATED_BYTES, MAX_UPDATED_LEAVES};

    let base = ["services", "a", "configuration"];
    let map = |from: usize, to: usize| Value::Object((from..to).map(|n| (format!("k{n}"), json!(n))).collect());
    let text = |bytes: usize| json!("x".repeat(bytes));
    let half = MAX_UPDATED_BYTES / 2;
    for (deployed, updates) in [
        (json!({}), vec![(map(0, MAX_UPDATED_LEAVES - 10), true), (map(0, MAX_UPDATED_LEAVES - 20), true)]),
        (
            json!({}),
            vec![(map(0, MAX_UPDATED_LEAVES - 10), true), (map(20_000, 20_020), false), (map(20_000, 20_003), true)],
        ),
        (json!({}), vec![(map(0, MAX_UPDATED_LEAVES + 1), false), (map(0, 1), true)]),
        (json!({}), vec![(json!({"list": vec![0; MAX_UPDATED_LEAVES + 1]}), false)]),
        (
            json!({}),
            vec![
                (json!({"a": text(half)}), true),
                (json!({"a": text(half + 9)}), true),
                (json!({"b": text(half)}), false),
            ],
        ),
        (json!({}), vec![(json!({"a": text(2 * half)}), false), (json!({"x".repeat(2 * half): 1}), false)]),
        (
            json!({"a": text(3 * half), "b": 1}),
            vec![(json!({"b": 2}), true), (json!({"a": "short"}), true), (json!({"c": text(half)}), true)],
        ),
        (json!({"a": text(3 * half), "b": 1}), vec![(json!({"c": 1}), false)]),
    ] {
        let mut tree = Tree::new();
        tree.merge(&base, &deployed, &Write::new(1, Origin::Runtime));
        for (number, (value, fits)) in updates.iter().enumerate() {
            let before = tree.clone();
            let write = Write::new(10 + number as i64, Origin::Ipc("a".into()));
            let done = tree.update_configuration(&base, &[] as &[&str], value, &write);
            assert_eq!(done.err(), (!fits).then_some(UpdateError::TooLarge), "update {number}");
            assert!(*fits || tree == before);
        }
    }
}
