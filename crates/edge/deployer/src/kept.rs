//! Values that a deployment wished otherwise and that stay, because they were set after it was made (CR 3.3): no failure, but told.

use std::collections::BTreeMap;

use marram_deploy::DeploymentDocument;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use crate::Inner;

/// Places that are named; of more, how many.
const NAMED: usize = 5;

/// What a deployment says of a component's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The configuration, had nothing been set since.
    whole: Value,
    /// Places that the deployment resets or sets.
    places: Vec<Vec<String>>,
}

/// What a deployment wishes of those components whose configuration it resets or merges.
pub(crate) fn wishes(
    inner: &Inner,
    document: &DeploymentDocument,
    defaults: impl Fn(&str) -> Option<Value>,
) -> BTreeMap<SmolStr, Wish> {
    let of = |name: &SmolStr| {
        let entry = document.components.get(name)?;
        let mut places: Vec<Vec<String>> = entry.reset.iter().map(|pointer| keys(pointer)).collect();
        if let Some(merge) = &entry.merge {
            leaves(merge, &mut Vec::new(), &mut |path, _| places.push(path.to_vec()));
        }
        if places.is_empty() {
            return None;
        }
        let defaults = defaults(name).unwrap_or_else(|| Value::Object(Default::default()));
        // Nothing that stands there now is newer than this.
        let whole = inner.ports.nucleus.preview(name, &entry.reset, &defaults, entry.merge.as_ref(), inner.now());
        Some((name.clone(), Wish { whole, places }))
    };
    document.components.keys().filter_map(of).collect()
}

/// A sentence about each component in whose configuration something stays that was wished otherwise.
pub(crate) fn notes(inner: &Inner, wishes: &BTreeMap<SmolStr, Wish>) -> Vec<String> {
    let about = |(name, wish): (&SmolStr, &Wish)| {
        let is = inner.ports.nucleus.get(&["services", name, "configuration"])?;
        let kept = survivors(wish, &is);
        let named = kept.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = kept.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!kept.is_empty()).then(|| {
            format!(
                "in the configuration of {name} these stay as they were set after the deployment was made: {named}{more}; \
                 `marram-core config explain {name}` tells who set them"
            )
        })
    };
    wishes.iter().filter_map(about).collect()
}

/// Values below the wish's places that are other ones than wished, by their keys with slashes between.
fn survivors(wish: &Wish, is: &Value) -> Vec<String> {
    let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let mut kept = Vec::new();
    leaves(is, &mut Vec::new(), &mut |path, value| {
        let is_below = |place: &Vec<String>| {
            place.len() <= path.len() && place.iter().zip(path).all(|(place, key)| is_same(place, key))
        };
        let wished = path.iter().try_fold(&wish.whole, |at, key| {
            at.as_object()?.iter().find_map(|(name, value)| is_same(name, key).then_some(value))
        });
        if wish.places.iter().any(is_below) && wished != Some(value) {
            kept.push(path.join("/"));
        }
    });
    kept
}

/// Keys of a JSON pointer.
fn keys(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

/// Calls `each` with everything that is no map, and with the keys that lead there.
fn leaves(value: &Value, path: &mut Vec<String>, each: &mut impl FnMut(&[String], &Value)) {
    let Value::Object(map) = value else { return each(path, value) };
    for (key, value) in map {
        path.push(key.clone());
        leaves(value, path, each);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 3.3: only what the deployment resets or sets, whatever the case of its keys, and only where it is another one.
    #[test]
    fn what_stays_is_named() {
        #[rustfmt::skip]
        let table = [
            (vec!["/a"], json!({"a": 1, "b": 2}), json!({"A": 1, "b": 9}), vec![]),
            (vec!["/a"], json!({"a": 1}), json!({"a": 2}), vec!["a"]),
            (vec![""], json!({}), json!({"a": {"b": 1}, "c": [1]}), vec!["a/b", "c"]),
            (vec!["/a/x~1y"], json!({"a": {"b": 1}}), json!({"a": {"b": 2, "x/y": {"z": 1}}}), vec!["a/x/y/z"]),
            (vec!["/a"], json!({"a": {"b": 1}}), json!({}), vec![]),
        ];
        for (places, whole, is, kept) in table {
            let places = places.into_iter().map(keys).collect();
            assert_eq!(survivors(&Wish { whole, places }, &is), kept, "{is}");
        }
    }
}
