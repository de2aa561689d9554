//! `marram-core`: the edge runtime.

fn main() {}
