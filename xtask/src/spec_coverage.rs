//! `cargo xtask spec-coverage`: every numbered requirement is cited by a test, and no test cites one that is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// Where requirements are listed, one table row each.
const LIST: &str = "docs/spec/README.md";
/// Where tests live.
const TEST_ROOTS: &[&str] = &["apps", "crates", "conformance", "fuzz", "xtask"];

/// Compares the list with what the sources cite.
pub fn run() -> anyhow::Result<()> {
    let listed: BTreeSet<String> = fs::read_to_string(LIST)
        .with_context(|| format!("cannot read {LIST}"))?
        .lines()
        .filter_map(|line| line.strip_prefix("| SEC-"))
        .filter_map(|rest| rest.split_whitespace().next().map(|number| format!("SEC-{number}")))
        .collect();
    let mut cited: BTreeMap<String, String> = BTreeMap::new();
    for root in TEST_ROOTS {
        walk(Path::new(root), &mut cited)?;
    }
    let missing: Vec<&String> = listed.iter().filter(|id| !cited.contains_key(*id)).collect();
    println!("{} requirements listed, {} of them cited by tests", listed.len(), listed.len() - missing.len());
    if !missing.is_empty() {
        bail!("no test cites {missing:?}");
    }
    let unknown: Vec<String> = cited
        .iter()
        .filter(|(id, _)| !listed.contains(*id))
        .map(|(id, place)| format!("{id}, cited in {place}"))
        .collect();
    if !unknown.is_empty() {
        bail!("{LIST} does not list {}", unknown.join("; "));
    }
    Ok(())
}

/// Collects the ids cited in test code: `tests/` folders, `tests.rs` files, Python tests, and what follows
/// `#[cfg(test)]` in a source file.
fn walk(path: &Path, cited: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?.path();
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if name != "target" && name != "generated" && !name.starts_with('.') {
                walk(&entry, cited)?;
            }
        }
        return Ok(());
    }
    let name = path.to_string_lossy().into_owned();
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("py") => fs::read_to_string(path)?,
        Some("rs") => {
            let text = fs::read_to_string(path)?;
            let is_test_file = name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/tests_");
            match text.find("#[cfg(test)]") {
                _ if is_test_file => text,
                Some(start) => text.get(start..).unwrap_or_default().to_owned(),
                None => return Ok(()),
            }
        }
        _ => return Ok(()),
    };
    for (position, _) in text.match_indices("SEC-") {
        let digits: String = text[position + 4..].chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            cited.entry(format!("SEC-{digits}")).or_insert_with(|| name.clone());
        }
    }
    Ok(())
}
