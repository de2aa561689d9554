//! Developer tasks: code generation, checks, distribution.

fn main() {}
