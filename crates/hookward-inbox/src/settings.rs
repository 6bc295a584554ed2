//! The settings of an inbox.

use crate::cipher::CipherKeys;
use crate::disk::{Disk, System};
use crate::policy::Policy;
use crate::record::End;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Returns a number from zero to its argument, inclusive.
pub type Random = Box<dyn FnMut(u64) -> u64 + Send>;

/// Receives notifications. The writing thread calls it, so it must not wait.
pub trait Observer: Send + Sync + 'static {
    /// A flush took so long.
    fn flushed(&self, took: Duration) {
        _ = took;
    }

    /// An entry for this destination was removed.
    fn ended(&self, to: &str, end: End) {
        _ = (to, end);
    }

    /// Something went wrong that nobody waits for; said once a minute at most of each kind.
    fn trouble(&self, what: &str) {
        _ = what;
    }
}

/// Ignores all notifications.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Observer for Deaf {}

/// How an inbox keeps its events.
pub struct Settings {
    /// Bytes of events that wait or are dead; above it nothing is taken in.
    pub max_bytes: u64,
    /// Bytes that stay free on the file system.
    pub min_free: u64,
    /// How long dead events are kept.
    pub keep_dead: Duration,
    /// How long the bytes of a delivered event stay, for replay.
    pub keep_delivered: Duration,
    /// A segment file is closed once it is so long.
    pub segment_bytes: u32,
    /// What the log is encrypted with; `None`: it is not.
    pub keys: Option<CipherKeys>,
    /// The destinations that are configured. Entries for others wait.
    pub destinations: Vec<(String, Policy)>,
    /// The sources that are configured; entries of others wait. `None`: all are.
    pub sources: Option<Vec<String>>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Where jitter comes from.
    pub random: Random,
    /// Who hears what happens.
    pub observer: Arc<dyn Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 10 << 30,
            min_free: 1 << 30,
            keep_dead: Duration::from_hours(24 * 30),
            keep_delivered: Duration::ZERO,
            segment_bytes: 64 << 20,
            keys: None,
            destinations: Vec::new(),
            sources: None,
            disk: Arc::new(System),
            random: Box::new(|most| fastrand::u64(..=most)),
            observer: Arc::new(Deaf),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("max_bytes", &self.max_bytes)
            .field("min_free", &self.min_free)
            .field("keep_dead", &self.keep_dead)
            .field("keep_delivered", &self.keep_delivered)
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}
