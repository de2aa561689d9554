//! Recipes: whatever is understood reads back the same from its canonical JSON.

use std::collections::BTreeMap;

/// One recipe per input.
pub fn run(data: &[u8]) {
    let reading = marram_recipe::read(data);
    let Some(recipe) = reading.recipe else { return };
    let again = marram_recipe::read(recipe.to_json().to_string().as_bytes());
    if let Some(again) = again.recipe {
        assert_eq!(again.to_json(), recipe.to_json());
    }
    if let Some(manifest) = recipe.manifest_for(&BTreeMap::from([("os".to_owned(), "linux".to_owned())])) {
        let lifecycle = serde_json::Value::Object(recipe.lifecycle_for(manifest));
        let mut unresolved = Vec::new();
        let _ = marram_recipe::interpolate_value(&lifecycle, &mut |_| Some("x".into()), &mut unresolved);
    }
}
