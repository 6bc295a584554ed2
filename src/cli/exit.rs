//! How a command ends: the exit codes of contract section 8, which scripts rely on. The README has
//! them in a table.

use std::process::ExitCode;

/// What was asked for is done.
pub const DONE: u8 = 0;
/// The answer is no: it would not be forwarded, none was found, not all went as it must, it was
/// not accepted, nothing is known of it.
pub const NO: u8 = 1;
/// The arguments or the configuration are wrong; nothing was done.
pub const USAGE: u8 = 2;
/// Somebody is not there: an address is taken, a store does not answer, no proxy listens.
pub const CANNOT_SERVE: u8 = 3;
/// A second signal ended the process at once: 128 + SIGINT, as a shell would say.
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

/// Why a command ended before it had a result.
#[derive(Debug)]
pub struct CommandStop {
    /// How.
    pub exit: Exit,
    /// What went wrong, as the rest of a line that starts with `hookward: `.
    pub problem: String,
}

impl CommandStop {
    /// An early end.
    #[must_use]
    pub fn new(exit: Exit, problem: impl Into<String>) -> Self {
        Self { exit, problem: problem.into() }
    }
}
