//! Marram: control plane, CLI and demo in one binary.

fn main() {}
