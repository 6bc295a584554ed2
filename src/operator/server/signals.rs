//! Signals and exit codes of the process.

use super::{Drained, Running};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// All current work finished.
pub const EXIT_FINISHED: u8 = 0;
/// `drain_timeout` cut deliveries off.
pub const EXIT_CUT_OFF: u8 = 1;
/// A second signal ended the drain; as after SIGINT in a shell.
pub const EXIT_SECOND_SIGNAL: u8 = 130;

/// Serves until SIGTERM or SIGINT, then drains; SIGHUP reloads. The exit code of the process.
///
/// # Errors
/// If signals cannot be handled, or a listener ends on its own.
pub async fn until_signalled(mut running: Running) -> io::Result<u8> {
    let mut signals = Signals::handle()?;
    loop {
        tokio::select! {
            received = signals.next() => match received {
                ReceivedSignal::Stop => break,
                // The log has the result.
                ReceivedSignal::Reload => drop(running.admin.reload().await),
            },
            fault = running.fails() => return Err(io::Error::other(fault)),
        }
    }
    tokio::select! {
        drained = running.leave() => Ok(match drained {
            Drained::Finished => EXIT_FINISHED,
            Drained::CutOff => EXIT_CUT_OFF,
        }),
        () = signals.stop() => {
            tracing::warn!("second signal; stopping at once");
            Ok(EXIT_SECOND_SIGNAL)
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum ReceivedSignal {
    Stop,
    Reload,
}

impl Signals {
    fn handle() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> ReceivedSignal {
        tokio::select! {
            _ = self.terminate.recv() => ReceivedSignal::Stop,
            _ = self.interrupt.recv() => ReceivedSignal::Stop,
            _ = self.hang_up.recv() => ReceivedSignal::Reload,
        }
    }

    /// Waits for another request to stop; a reload no longer makes sense.
    async fn stop(&mut self) {
        while !matches!(self.next().await, ReceivedSignal::Stop) {}
    }
}
