//! Every diagnostic code has documents that earn it and documents that do not (TG 12.2 f).
//!
//! `diagnostics/<code>.tdm` holds sections that start with `==== bad|good <kind>: <what>`; a kind is one of
//! [`World::check`]. A bad section earns the code of its file, a good one earns it not and is accepted.
//! `diagnostics/<code>.out` is what all sections say; `UPDATE_GOLDEN=1` writes it anew.

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use world::{World, expand, lines};

struct Section {
    title: String,
    is_bad: bool,
    kind: String,
    text: String,
}

fn sections(file: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in file.lines() {
        if let Some(title) = line.strip_prefix("==== ") {
            let (verdict, rest) = title.split_once(' ').expect("a verdict and a kind");
            let (kind, _) = rest.split_once(':').expect("a kind and a colon");
            assert!(["bad", "good"].contains(&verdict), "{title}");
            let (title, is_bad) = (title.to_owned(), verdict == "bad");
            sections.push(Section { title, is_bad, kind: kind.to_owned(), text: String::new() });
        } else {
            let section = sections.last_mut().expect("a section before the first line");
            section.text.push_str(line);
            section.text.push('\n');
        }
    }
    sections
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

/// TG 2.5, 12.2 f: a positive and a negative document for every code, with the exact findings.
#[test]
fn every_code_is_earned_and_spared() {
    let world = World::new();
    let mut problems = String::new();
    for (code, _) in marram_tdm::codes::ALL {
        let path = directory().join(format!("{code}.tdm"));
        let Ok(file) = std::fs::read_to_string(&path) else {
            writeln!(problems, "{code}: no documents").unwrap();
            continue;
        };
        let (mut bad, mut good, mut said) = (0, 0, String::new());
        for section in sections(&file) {
            let text = expand(&section.text);
            let findings = world.check(&section.kind, &text);
            let earned = findings.iter().any(|found| found.code == *code);
            let has_errors = findings.iter().any(marram_tdm::Diagnostic::is_error);
            *(if section.is_bad { &mut bad } else { &mut good }) += 1;
            if section.is_bad != earned || (!section.is_bad && has_errors) {
                writeln!(problems, "{code}: {}: {:#?}", section.title, lines(&findings, &text)).unwrap();
            }
            writeln!(said, "==== {}", section.title).unwrap();
            for line in lines(&findings, &text) {
                writeln!(said, "{}", line.replace("urn:tdm:eu-local-1/100200300400/default:", "NS:")).unwrap();
            }
        }
        if bad == 0 || good == 0 {
            writeln!(problems, "{code}: {bad} bad and {good} good documents").unwrap();
        }
        let golden = path.with_extension("out");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if wanted != said {
            writeln!(problems, "{code}: findings changed\nwanted:\n{wanted}\nfound:\n{said}").unwrap();
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

/// The directory and the table of codes name each other.
#[test]
fn no_documents_are_left_over() {
    let known: BTreeSet<String> = marram_tdm::codes::ALL.iter().map(|(code, _)| (*code).to_owned()).collect();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(known.contains(&stem), "{}", path.display());
    }
    assert_eq!(known.len(), 41);
}
