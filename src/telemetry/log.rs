//! How log lines look: text for people, JSON for machines.
//!
//! Owns the subscriber and its JSON format. What a line says is decided where it is written; what
//! may never stand in one (bodies, secrets, computed signatures) is listed in `docs/LOGGING.md`.

mod limits;
mod line;
mod lines;
mod lost;

use crate::config::{LogFormat, LogSettings};
use arc_swap::ArcSwap;
use hookward_time::{Clock, SystemClock};
use limits::LineLimits;
use lines::LogLines;
use lost::{Counter, Telling};
use std::io::IsTerminal as _;
use std::sync::Arc;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The HTTP stack logs every broken connection as an error; a stranger sets that volume.
const QUIET: [&str; 4] = ["pingora=off", "pingora_core=off", "rustls=off", "h2=off"];

/// Lines that may wait for whoever reads standard error; when they are this many behind, further
/// ones are dropped. A reader that stopped must not stop the deliveries.
const LINES_AHEAD: usize = 16 * 1024;

/// The log of this process. Writes what is left when it is dropped.
#[must_use = "what is dropped at once writes nothing"]
pub struct Logging {
    /// Changes how it looks and what is in it.
    pub control: LogControl,
    _worker: WorkerGuard,
}

/// Sends log lines of this process to standard error from now on, from a thread of their own.
///
/// # Errors
/// A sentence if `level` is no filter, or if a subscriber is installed already.
pub fn install(settings: &LogSettings) -> Result<Logging, String> {
    let format = Arc::new(ArcSwap::from_pointee(settings.format));
    let clock = Arc::new(SystemClock::new());
    let limits = LineLimits::new(clock.clone());
    let is_terminal = std::io::stderr().is_terminal();
    let lines = LogLines { format: Arc::clone(&format), clock, limits, is_terminal };
    let counter = Counter::default();
    let (writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_AHEAD)
        .lossy(true)
        .finish(Telling::new(std::io::stderr(), lines.clone(), Arc::clone(&counter)));
    counter.get_or_init(|| writer.error_counter());
    let limits = lines.limits.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&settings.level)?)
        .with_writer(writer)
        .event_format(lines)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.finish().with(limits).try_init().map_err(|fault| fault.to_string())?;
    let set_filter = move |filter| handle.reload(filter).map_err(|fault| fault.to_string());
    let control = LogControl { format, set_filter: Box::new(set_filter) };
    Ok(Logging { control, _worker: worker })
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::try_new(level)
        .map_err(|fault| format!("log.level `{level}` is no filter: {fault}"))?;
    for directive in QUIET {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    Ok(filter)
}

/// Level and format of the log, which a reload may change.
pub struct LogControl {
    format: Arc<ArcSwap<LogFormat>>,
    set_filter: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl LogControl {
    /// Logs as `settings` say from now on.
    ///
    /// # Errors
    /// A sentence if `level` is no filter; nothing is changed then.
    pub fn apply(&self, settings: &LogSettings) -> Result<(), String> {
        (self.set_filter)(filter(&settings.level)?)?;
        self.format.store(Arc::new(settings.format));
        Ok(())
    }
}

/// A line of the JSON format, for what is said when there is no log yet, or none any more.
#[must_use]
pub fn json_line(level: &str, message: &str) -> String {
    let timestamp = SystemClock::new().wall().to_rfc3339();
    serde_json::json!({ "timestamp": timestamp, "level": level, "message": message }).to_string()
}

#[cfg(test)]
mod tests;
