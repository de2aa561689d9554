//! Laws of the tree over random trees and writes.

use marram_configuration::{Origin, Tree, Write};
use proptest::prelude::*;
use serde_json::Value;

const ROOT: &[&str] = &[];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        prop::collection::vec(0..3i64, 0..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop::collection::btree_map("[aBc_]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    prop::collection::vec((value(), 1..9i64), 0..5).prop_map(|writes| {
        let mut tree = Tree::new();
        for (value, time) in writes {
            tree.merge(ROOT, &value, &Write::new(time, Origin::Deployment(format!("d{time}").into())));
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// CR 3.7: what is stored comes back, but for private keys, which are never stored.
    #[test]
    fn stored_trees_come_back(tree in trees()) {
        let stored = tree.to_timed_value();
        let back = Tree::from_timed_value(&stored).unwrap();
        prop_assert_eq!(back.to_timed_value(), stored);
        prop_assert_eq!(back.read(ROOT), Some(tree.to_public_value()));
    }

    /// CR 3.4: whatever was written since, a rollback ends in the snapshot.
    #[test]
    fn a_rollback_ends_in_the_snapshot(before in trees(), value in value(), time in 1..20i64) {
        let mut after = before.clone();
        after.merge(ROOT, &value, &Write::new(time, Origin::Runtime));
        after.restore(ROOT, &before, 30, |_| false);
        prop_assert_eq!(after.to_public_value(), before.to_public_value());
        let mut stories = [after.explain(ROOT), before.explain(ROOT)];
        stories.iter_mut().for_each(|story| story.retain(|leaf| !leaf.path.iter().any(|key| key.starts_with('_'))));
        stories.iter_mut().for_each(|story| story.sort_by(|a, b| a.path.cmp(&b.path)));
        prop_assert_eq!(&stories[0], &stories[1]);
    }

    /// CR 3.1: writing the same again at the same time changes nothing.
    #[test]
    fn a_repeated_write_is_silent(tree in trees(), value in value(), time in 1..20i64) {
        let mut tree = tree;
        let write = Write::new(time, Origin::Runtime);
        tree.merge(ROOT, &value, &write);
        let once = tree.clone();
        let again = tree.merge(ROOT, &value, &write);
        prop_assert_eq!(again, vec![]);
        prop_assert_eq!(tree, once);
    }
}
