//! What a command says, on stdout and stderr.

use super::exit::{CommandStop, Exit};
use std::io::{self, Write as _};

/// Writes problems to stderr. A failure to write is ignored, because there is nowhere left to
/// report it.
pub(crate) fn complain(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a result to stdout. A reader that closes the pipe early, like `head`, is not an error.
///
/// # Errors
/// When stdout cannot be written to.
pub(crate) fn print(text: &str) -> Result<(), CommandStop> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandStop::new(Exit::No, format!("cannot write to stdout: {fault}")))
        }
        _ => Ok(()),
    }
}
