//! Three-way merge of states and the patch between two of them (core-components.md section 3.5).

use serde_json::{Map, Value};

/// A shadow's state: `desired` and `reported`, each left out when empty.
pub(crate) type State = Map<String, Value>;

/// The sections, and whose word counts where both sides changed the same member: what is reported comes from the device, what
/// is desired from the cloud.
const SECTIONS: [(&str, Owner); 2] = [("desired", Owner::Cloud), ("reported", Owner::Local)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Local,
    Cloud,
}

/// What both sides should hold, given what both held when they last agreed.
pub(crate) fn merge(base: &State, local: &State, cloud: &State) -> State {
    let mut merged = State::new();
    for (name, owner) in SECTIONS {
        let section = three_way(base.get(name), local.get(name), cloud.get(name), owner);
        if let Some(section) = section.filter(|section| section.as_object().is_some_and(|tree| !tree.is_empty())) {
            merged.insert(name.to_owned(), section);
        }
    }
    merged
}

/// What was changed here from `before` to `now`, upon `target`.
pub(crate) fn rebase(before: &State, now: &State, target: &State) -> State {
    let sections = SECTIONS.into_iter().filter_map(|(name, _)| {
        let section = three_way(before.get(name), now.get(name), target.get(name), Owner::Local)?;
        section.as_object().is_some_and(|tree| !tree.is_empty()).then(|| (name.to_owned(), section))
    });
    sections.collect()
}

/// Whether something of `patch` is as it says in `state`; a member that it takes away is not there.
pub(crate) fn shares(patch: &Value, state: &Value) -> bool {
    match patch {
        Value::Object(members) => members.iter().any(|(name, wanted)| match (wanted, state.get(name)) {
            (Value::Null, found) => found.is_none(),
            (wanted, Some(found)) => shares(wanted, found),
            (_, None) => false,
        }),
        leaf => leaf == state,
    }
}

fn three_way(base: Option<&Value>, local: Option<&Value>, cloud: Option<&Value>, owner: Owner) -> Option<Value> {
    if local == cloud || base == cloud {
        return local.cloned();
    }
    if base == local {
        return cloud.cloned();
    }
    let nothing = Map::new();
    if let (Some(base), Some(local), Some(cloud)) = (tree(base, &nothing), tree(local, &nothing), tree(cloud, &nothing))
    {
        let names = local.keys().chain(cloud.keys().filter(|name| !local.contains_key(*name)));
        let members = names.filter_map(|name| {
            Some((name.clone(), three_way(base.get(name), local.get(name), cloud.get(name), owner)?))
        });
        let members: Map<String, Value> = members.collect();
        return (!members.is_empty()).then_some(Value::Object(members));
    }
    match owner {
        Owner::Local => local.cloned(),
        Owner::Cloud => cloud.cloned(),
    }
}

/// An object that is not there is one without members: what one side put into it stays when the other side removed the rest,
/// or put in something else. None: it is no object.
fn tree<'a>(value: Option<&'a Value>, nothing: &'a Map<String, Value>) -> Option<&'a Map<String, Value>> {
    match value {
        None => Some(nothing),
        Some(Value::Object(tree)) => Some(tree),
        Some(_) => None,
    }
}

/// The `state` of an update that makes `to` of `from`; none when they are equal.
pub(crate) fn patch(from: &State, to: &State) -> Option<State> {
    let mut all = State::new();
    for (name, _) in SECTIONS {
        match (from.get(name), to.get(name)) {
            (from, to) if from == to => {}
            (_, None) => drop(all.insert(name.to_owned(), Value::Null)),
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                all.insert(name.to_owned(), Value::Object(difference(from, to)));
            }
            (_, Some(to)) => drop(all.insert(name.to_owned(), to.clone())),
        }
    }
    (!all.is_empty()).then_some(all)
}

fn difference(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
    let gone = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let mut all: Map<String, Value> = gone.collect();
    for (name, wanted) in to {
        match (from.get(name), wanted) {
            (Some(had), wanted) if had == wanted => {}
            // An empty object would remove the member, or leave what is in it: its members go one by one.
            (Some(Value::Object(had)), Value::Object(wanted)) => {
                all.insert(name.clone(), Value::Object(difference(had, wanted)));
            }
            (_, wanted) => drop(all.insert(name.clone(), wanted.clone())),
        }
    }
    all
}

/// The two sections of a document as the control plane or an application wrote it; without objects that are empty, unless
/// they count as values here.
pub(crate) fn state_of(document: &Value, keep_empty: bool) -> State {
    let mut state = State::new();
    for (name, _) in SECTIONS {
        if let Some(Value::Object(tree)) = document.pointer(&format!("/state/{name}")) {
            let tree = if keep_empty { tree.clone() } else { without_empty(tree) };
            if !tree.is_empty() {
                state.insert(name.to_owned(), Value::Object(tree));
            }
        }
    }
    state
}

fn without_empty(tree: &Map<String, Value>) -> Map<String, Value> {
    let keep = |(name, value): (&String, &Value)| match value {
        Value::Object(tree) => {
            let tree = without_empty(tree);
            (!tree.is_empty()).then(|| (name.clone(), Value::Object(tree)))
        }
        value => Some((name.clone(), value.clone())),
    };
    tree.iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn state(value: Value) -> State {
        value.as_object().unwrap().clone()
    }

    /// CC 3.5, member by member: base, local, cloud, merged.
    #[test]
    fn the_rules_of_conflicts() {
        #[rustfmt::skip]
        let table = [
            ("one side each", json!({"reported": {"a": 1, "b": 1}}), json!({"reported": {"a": 2, "b": 1}}), json!({"reported": {"a": 1, "b": 2}}), json!({"reported": {"a": 2, "b": 2}})),
            ("reported: local wins", json!({"reported": {"a": 1}}), json!({"reported": {"a": 2}}), json!({"reported": {"a": 3}}), json!({"reported": {"a": 2}})),
            ("desired: cloud wins", json!({"desired": {"a": 1}}), json!({"desired": {"a": 2}}), json!({"desired": {"a": 3}}), json!({"desired": {"a": 3}})),
            ("deep", json!({"desired": {"o": {"x": 1, "y": 1}}}), json!({"desired": {"o": {"x": 2, "y": 1}}}), json!({"desired": {"o": {"x": 1, "y": 2}}}), json!({"desired": {"o": {"x": 2, "y": 2}}})),
            ("both added an object", json!({"reported": {"z": 0}}), json!({"reported": {"z": 0, "o": {"x": 1, "w": 1}}}), json!({"reported": {"z": 0, "o": {"y": 2, "w": 2}}}), json!({"reported": {"z": 0, "o": {"w": 1, "x": 1, "y": 2}}})),
            ("removed there, added to here", json!({"desired": {"o": {"x": 1}}}), json!({"desired": {"o": {"x": 1, "y": 1}}}), json!({}), json!({"desired": {"o": {"y": 1}}})),
            ("one side makes an object of it", json!({"desired": {"o": 1}}), json!({"desired": {"o": {"x": 1}}}), json!({"desired": {"o": 2}}), json!({"desired": {"o": 2}})),
            ("removed here, untouched there", json!({"reported": {"a": 1, "b": 1}}), json!({"reported": {"b": 1}}), json!({"reported": {"a": 1, "b": 1}}), json!({"reported": {"b": 1}})),
            ("removed here, changed there: reported", json!({"reported": {"a": 1, "b": 1}}), json!({"reported": {"b": 1}}), json!({"reported": {"a": 2, "b": 1}}), json!({"reported": {"b": 1}})),
            ("removed here, changed there: desired", json!({"desired": {"a": 1, "b": 1}}), json!({"desired": {"b": 1}}), json!({"desired": {"a": 2, "b": 1}}), json!({"desired": {"a": 2, "b": 1}})),
            ("never agreed", json!({}), json!({"desired": {"a": 1}, "reported": {"a": 1}}), json!({"desired": {"a": 2}}), json!({"desired": {"a": 2}, "reported": {"a": 1}})),
            ("the last member goes", json!({"desired": {"a": 1}}), json!({}), json!({"desired": {"a": 1}}), json!({})),
        ];
        for (case, base, local, cloud, wanted) in table {
            let merged = merge(&state(base), &state(local), &state(cloud));
            assert_eq!(Value::Object(merged), wanted, "{case}");
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![(0..3_i64).prop_map(Value::from), Just(json!([1])), Just(json!("t"))];
        leaf.prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 1..3).prop_map(|map| json!(map))
        })
    }

    fn any_state() -> impl Strategy<Value = State> {
        proptest::collection::btree_map(
            "desired|reported",
            proptest::collection::btree_map("[abc]", tree(), 1..3),
            0..3,
        )
        .prop_map(|map| state(json!(map)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// A patch makes of one state the other under the rules of shadows, and merging is at rest afterwards.
        #[test]
        fn a_patch_leads_from_one_to_the_other(base in any_state(), local in any_state(), cloud in any_state()) {
            let merged = merge(&base, &local, &cloud);
            for from in [&local, &cloud] {
                let mut body = Map::new();
                let Some(patch) = patch(from, &merged) else {
                    prop_assert_eq!(from, &merged);
                    continue;
                };
                body.insert("state".to_owned(), Value::Object(patch));
                let whole = json!({"state": from});
                let limits = marram_shadow::Limits { document_bytes: 1 << 20, depth: 20 };
                let start = marram_shadow::Update::from_object(whole.as_object().unwrap().clone(), &limits).unwrap();
                let start = marram_shadow::Shadow::apply(None, 0, &start, &limits, 1).unwrap().shadow;
                let update = marram_shadow::Update::from_object(body, &limits).unwrap().with_empty_as_missing();
                let after = marram_shadow::Shadow::apply(Some(&start), 0, &update, &limits, 2).unwrap().shadow;
                prop_assert_eq!(&state_of(&after.document(0), false), &merged);
            }
            prop_assert_eq!(merge(&merged, &merged, &merged), merged);
        }
    }
}
