//! The exit codes of section 8 of the contract, which scripts rely on. `docs/commands.md` has a
//! table of them.

use std::process::ExitCode;

/// Success.
pub const DONE: u8 = 0;
/// The answer is no: the delivery would not be forwarded, no scheme was found, the demo failed, the
/// event was not accepted or is unknown.
pub const NO: u8 = 1;
/// The arguments or the configuration are wrong; nothing was done.
pub const USAGE: u8 = 2;
/// A dependency is unreachable: an address is taken, a store does not answer, no proxy listens.
pub const CANNOT_SERVE: u8 = 3;
/// A second signal ended the process at once: 128 + SIGINT, as in a shell.
pub const CUT_SHORT: u8 = 130;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// [`DONE`].
    Done = DONE,
    /// [`NO`].
    No = NO,
    /// [`USAGE`].
    Usage = USAGE,
    /// [`CANNOT_SERVE`].
    CannotServe = CANNOT_SERVE,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended without a result.
#[derive(Debug)]
pub struct CommandStop {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, as the rest of a line that starts with `hookward: `.
    pub problem: String,
}

impl CommandStop {
    /// Makes one.
    #[must_use]
    pub fn new(exit: Exit, problem: impl Into<String>) -> Self {
        Self { exit, problem: problem.into() }
    }
}
