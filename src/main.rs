//! The `hookward` program: parse, run, exit code.

use std::process::ExitCode;

/// Small blocks from many threads, as a proxy asks for, cost less here than in the system's
/// allocator, and memory that a flood took is given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookward::cli::main(std::env::args_os())
}
