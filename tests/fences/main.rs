//! Guards against slowdowns: compares a delivery's instructions, allocations and system calls, and the
//! memory of what it leaves behind, with `recorded.toml`. The test fails if a number has risen by more than its tolerance.
//!
//! To record new numbers, for a change that is worth its cost or saves something, run
//! `HOOKWARD_RECORD=1 cargo test --features otlp --test fences`, and say why in the commit.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails with a message"
)]
#![expect(clippy::disallowed_methods, reason = "what other processes take is real time")]
#![expect(clippy::cast_precision_loss, reason = "counts of a few hundred requests")]
#![expect(unreachable_pub, reason = "one crate that nobody else uses")]

mod allocations;
mod instructions;
mod memory;
mod record;
mod requests;
mod spill;
mod stage;
mod system_calls;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs an ignored test in a process of its own, because the other tests of this program allocate too.
fn alone(test: &str) {
    let myself = std::env::current_exe().unwrap();
    let arguments = ["--exact", test, "--ignored", "--nocapture"];
    assert!(std::process::Command::new(myself).args(arguments).status().unwrap().success());
}
