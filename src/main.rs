//! The `hookward` program: parse, run, exit code.

fn main() {}
