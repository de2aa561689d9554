//! Every document the repository has, in several hands: as it is, with CR LF, with tabs, with other alphabets.
#![allow(dead_code)] // each test program uses a part

use std::path::{Path, PathBuf};

use marram_console_language::{LanguageError, NamespaceWorld, answer};
use serde_json::{Value, json};

const NAMESPACE: &str = "urn:tdm:eu-local-1/100200300400/default";

pub struct Sample {
    pub name: String,
    pub text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The account's urns in place of the placeholders documents are written with.
fn expand(text: &str) -> String {
    text.replace("\"NS:", &format!("\"{NAMESPACE}:"))
        .replace("urn:tdm:REGION/ACCOUNT/default", NAMESPACE)
        .replace("urn:tdm:us-east-1/000000000000/default", NAMESPACE)
}

/// The documents as they are written.
pub fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for folder in [
        "crates/domain/tdm/tests/world",
        "crates/domain/tdm/tests/diagnostics",
        "apps/marram/demo/motion",
        "apps/marram/demo/sprinkler",
        "docs/examples/irrigation",
    ] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "tdm"));
        paths.sort();
        for path in paths {
            let text = expand(&read(&path));
            let name = format!("{folder}/{}", path.file_name().unwrap().display());
            for (index, part) in text.split("==== ").enumerate() {
                let body = if index == 0 { part } else { part.split_once('\n').map_or("", |(_, body)| body) };
                if !body.trim().is_empty() {
                    samples.push(Sample { name: format!("{name}#{index}"), text: body.to_owned() });
                }
            }
        }
    }
    for path in ["crates/domain/flow/tests/suite/simulate.rs", "crates/domain/tdm/tests/hostile.rs"] {
        for (index, part) in read(&root().join(path)).split("r#\"").skip(1).enumerate() {
            let text = part.split("\"#").next().unwrap_or_default();
            if text.contains("@workflowType") {
                samples.push(Sample { name: format!("{path}#{index}"), text: expand(text) });
            }
        }
    }
    assert!(samples.len() > 60, "{} documents", samples.len());
    samples
}

/// Texts with syntax errors are drawn but not edited.
pub fn readable() -> Vec<Sample> {
    let mut samples = samples();
    samples.retain(|sample| {
        let (_, found) = marram_tdm::syntax::parse(&sample.text);
        !found.iter().any(marram_tdm::Diagnostic::is_error)
    });
    samples
}

/// The same document as other authors would have saved it.
pub fn in_other_hands(text: &str) -> Vec<(&'static str, String)> {
    let tabs: Vec<String> = text
        .lines()
        .map(|line| {
            let blank = line.len() - line.trim_start_matches(' ').len();
            format!("{}{}", "\t".repeat(blank / 2), &line[blank..])
        })
        .collect();
    let other = format!("# Bew\u{e4}sserung \u{1f4a7} \u{6c34}\u{3084}\u{308a}\n{text}\n# \u{1f331} fin");
    vec![
        ("as written", text.to_owned()),
        ("CR LF", text.replace('\n', "\r\n")),
        ("tabs", tabs.join("\n")),
        ("other alphabets", other),
        ("single quotes", if text.contains('\'') { text.to_owned() } else { text.replace('"', "'") }),
        ("one line", if text.contains('#') { text.to_owned() } else { text.replace('\n', " ") }),
        ("wrapped", format!("{{\n{text}\n}}\n")),
    ]
}

/// The account all samples live in, with the entities, flows and systems of the checker's own tests.
pub fn world() -> NamespaceWorld {
    let read = |path: &str| expand(&read(&root().join(path)));
    let texts = [
        read("crates/domain/tdm/tests/world/entities.tdm"),
        read("crates/domain/tdm/tests/world/flow.tdm"),
        read("crates/domain/tdm/tests/world/system.tdm"),
        read("apps/marram/demo/sprinkler/entities.tdm"),
        read("apps/marram/demo/motion/flow.tdm"),
        read("apps/marram/demo/motion/system.tdm"),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    NamespaceWorld::from_documents("eu-local-1", "100200300400", &texts)
}

pub fn draw(text: &str, world: &NamespaceWorld) -> Value {
    answer("flow", &json!({ "text": text }), world).unwrap_or_else(|error| panic!("{error}"))
}

pub fn edit(text: &str, edits: Value, world: &NamespaceWorld) -> Result<Value, LanguageError> {
    answer("edit", &json!({ "text": text, "edits": edits }), world)
}

/// The text an edit leaves, which its undo must turn back into the one before.
pub fn edited(text: &str, edits: Value, world: &NamespaceWorld) -> String {
    let answered = edit(text, edits.clone(), world).unwrap_or_else(|error| panic!("{edits}: {error}\n{text}"));
    let after = answered["text"].as_str().unwrap().to_owned();
    let back = edit(&after, answered["undo"].clone(), world).unwrap_or_else(|error| panic!("undo: {error}"));
    assert_eq!(back["text"], json!(text), "undo of {edits}");
    after
}

/// Byte offset of a UTF-16 offset, counted the slow way.
pub fn byte_at(text: &str, unit: usize) -> usize {
    let mut units = 0;
    for (at, c) in text.char_indices() {
        if units >= unit {
            return at;
        }
        units += c.len_utf16();
    }
    text.len()
}

pub fn slice<'t>(text: &'t str, from: &Value, to: &Value) -> &'t str {
    let at = |value: &Value| byte_at(text, usize::try_from(value.as_u64().unwrap()).unwrap());
    &text[at(from)..at(to)]
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
