//! Which manifest is for this device (CR 1.5): the first whose platform matches.

use std::collections::BTreeMap;

use regex::RegexBuilder;

use crate::model::{Manifest, Recipe};

/// A device's attributes: `os`, `architecture`, `runtime`, ...
pub type Attributes = BTreeMap<String, String>;

/// Largest compiled pattern of a platform, in bytes (our limit).
const MAX_PATTERN_SIZE: usize = 256 * 1024;

/// Whether the attribute `key` of a device fits what a recipe wants of it.
pub fn matches_attribute(key: &str, template: Option<&str>, label: Option<&str>) -> bool {
    let Some(template) = template.filter(|template| *template != "*") else { return true };
    let Some(label) = label else { return false };
    if let Some(pattern) = pattern_of(template) {
        return compile(pattern).is_some_and(|pattern| pattern.is_match(label));
    }
    if matches!(key, "os" | "architecture") && matches!(template, "any" | "all") {
        return true;
    }
    // other first characters are kept for operators to come
    template.starts_with(|c: char| c.is_ascii_alphanumeric()) && template == label
}

/// The inside of `/.../`.
pub(crate) fn pattern_of(template: &str) -> Option<&str> {
    template.strip_prefix('/')?.strip_suffix('/')
}

/// A whole-text pattern; none when it needs what a linear-time engine cannot do (look-around, back-references).
pub(crate) fn compile(pattern: &str) -> Option<regex::Regex> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_PATTERN_SIZE).build().ok()
}

impl Manifest {
    /// Whether it is for a device with these attributes.
    pub fn matches(&self, device: &Attributes) -> bool {
        self.platform
            .iter()
            .flatten()
            .all(|(key, template)| matches_attribute(key, Some(template), device.get(key.as_str()).map(String::as_str)))
    }
}

impl Recipe {
    /// The manifest for a device; none means `RECIPE_MISSING_MANIFEST`.
    pub fn manifest_for(&self, device: &Attributes) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.matches(device))
    }
}
