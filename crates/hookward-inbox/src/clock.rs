//! The caller passes the time, so that a test can choose it.

use std::time::{Duration, Instant};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// The inbox's clock. It may step back; the inbox then waits no longer than it would have waited.
pub trait TimeSource: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Millis;
}

impl<F: Fn() -> Millis + Send + Sync + 'static> TimeSource for F {
    fn now(&self) -> Millis {
        self()
    }
}

/// A span in whole milliseconds.
pub(crate) fn millis(span: Duration) -> Millis {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX >> 16)
}

#[expect(clippy::disallowed_methods, reason = "how long work takes decides nothing about an event")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
