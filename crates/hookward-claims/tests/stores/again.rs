//! Runs a test of this binary again in a separate process.

use std::process::Command;

/// The command that runs the test `name` alone; with the variable `role` set, the test can tell
/// that it is the second process.
pub(crate) fn again(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]);
    command.env("HOOKWARD_TEST_ROLE", role);
    command
}

/// The role that this process was started for, if it is a second one.
pub(crate) fn role() -> Option<String> {
    std::env::var("HOOKWARD_TEST_ROLE").ok()
}
