//! Replays the stored corpus through every fuzz target, with simple mutations of each seed.

use std::path::Path;
use std::time::{Duration, Instant};

use marram_fuzz::TARGETS;

/// Longest a single input may take before it counts as a hang (SEC section 11.3: 1 s per 64 KiB).
const HANG: Duration = Duration::from_secs(5);

/// Every target has seeds, and no seed nor any cut or bit-flipped form of it panics or hangs.
#[test]
fn corpus_replays_without_panic_or_hang() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    assert!(!TARGETS.is_empty(), "no fuzz target is registered");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        let mut seeds: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|_| panic!("no corpus folder for {}", target.name))
            .map(|entry| entry.unwrap().path())
            .collect();
        seeds.sort();
        assert!(seeds.len() >= 5, "{} has only {} seeds", target.name, seeds.len());
        for seed in seeds {
            let data = std::fs::read(&seed).unwrap();
            let started = Instant::now();
            (target.run)(&data);
            for cut in [data.len() / 2, data.len().saturating_sub(1)] {
                (target.run)(&data[..cut]);
            }
            for position in (0..data.len()).step_by((data.len() / 48).max(1)) {
                let mut flipped = data.clone();
                flipped[position] ^= 1 << (position % 8);
                (target.run)(&flipped);
            }
            assert!(started.elapsed() < HANG * 8, "{} hangs on {}", target.name, seed.display());
        }
    }
}

/// A corpus folder without a target is dead weight.
#[test]
fn every_corpus_folder_belongs_to_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with('.') {
            continue;
        }
        assert!(TARGETS.iter().any(|target| target.name == name), "corpus/{name} has no target");
    }
}
