//! The `stager` program.

fn main() {}
