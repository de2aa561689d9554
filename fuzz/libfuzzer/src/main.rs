//! Runs the target named by `MARRAM_FUZZ_TARGET` under libFuzzer.
#![no_main]

use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("MARRAM_FUZZ_TARGET").expect("MARRAM_FUZZ_TARGET names the target");
    marram_fuzz::TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}")).run
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (*RUN)(data));
