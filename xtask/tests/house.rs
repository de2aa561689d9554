//! Rules of the house that hold for the workspace as a whole, read from its manifests and its lock file.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn table(path: &Path) -> Table {
    fs::read_to_string(path).unwrap().parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the members, the one `*` of a pattern standing for each folder there is.
fn members() -> Vec<PathBuf> {
    let manifest = table(&root().join("Cargo.toml"));
    let mut found = Vec::new();
    for pattern in manifest["workspace"]["members"].as_array().unwrap() {
        let mut folders = vec![root()];
        for part in pattern.as_str().unwrap().split('/') {
            folders = match part {
                "*" => {
                    folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|e| e.unwrap().path()).collect()
                }
                name => folders.iter().map(|folder| folder.join(name)).collect(),
            };
        }
        found.extend(folders.into_iter().filter(|folder| folder.join("Cargo.toml").exists()));
    }
    assert!(found.len() > 40, "the members were not found: {found:?}");
    found
}

/// SEC-170: every crate takes the workspace's lints, and they forbid unsafe code, which no crate can allow again.
#[test]
fn no_crate_holds_unsafe_code() {
    let manifest = table(&root().join("Cargo.toml"));
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in members() {
        let lints = table(&member.join("Cargo.toml"));
        let inherited = lints.get("lints").and_then(|lints| lints.get("workspace")).and_then(|value| value.as_bool());
        assert_eq!(inherited, Some(true), "{} does not take the workspace's lints", member.display());
    }
}

/// SEC-171: what is shipped stops at an overflow instead of going on with a wrong number, and the crates that verify and
/// decide are compiled only without the ways to panic.
#[test]
fn overflow_and_panics_are_refused_where_they_hurt() {
    let manifest = table(&root().join("Cargo.toml"));
    assert_eq!(manifest["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
    for strict in ["crates/domain/authz", "crates/wire/sigv4"] {
        let text = fs::read_to_string(root().join(strict).join("src/lib.rs")).unwrap();
        for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing", "arithmetic_side_effects"] {
            let denied = text.lines().any(|line| {
                line.starts_with("#![cfg_attr(not(test), deny(") && line.contains(&format!("clippy::{lint}"))
            });
            assert!(denied, "{strict} does not deny {lint}");
        }
    }
}

/// SEC-174: one implementation of TLS and of cryptography, and of RSA none that leaks by its timing: `cargo deny` refuses
/// the others wherever they come from, and they are not even in the lock file.
#[test]
fn no_second_cryptography_is_linked() {
    let deny = table(&root().join("deny.toml"));
    let banned: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().filter_map(|entry| entry["crate"].as_str()).collect();
    let lock = table(&root().join("Cargo.lock"));
    let locked: Vec<&str> = lock["package"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(locked.contains(&"aws-lc-rs") && locked.contains(&"rustls"), "the lock file was not read");
    for other in ["ring", "rsa", "openssl", "native-tls"] {
        assert!(banned.contains(&other), "cargo deny lets {other} in");
        // What no feature that is on can reach is locked all the same.
        assert!(!locked.contains(&other) || other == "ring", "{other} is in the lock file");
    }
}
