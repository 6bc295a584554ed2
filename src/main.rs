//! The `hookward` program: parse, run, exit code.

use std::process::ExitCode;

/// A proxy allocates many small blocks from many threads. They cost less here than in the system's
/// allocator, and the memory of a flood is returned.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookward::cli::main(std::env::args_os())
}
