//! How an event becomes a line.

use super::limits::LineLimits;
use super::line::LineFields;
use crate::config::LogFormat;
use arc_swap::ArcSwap;
use hookward_time::Clock;
use std::fmt;
use std::sync::Arc;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Both formats: `timestamp`, `level`, `message`, then the event's fields side by side.
#[derive(Clone)]
pub(super) struct LogLines {
    pub(super) format: Arc<ArcSwap<LogFormat>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: LineLimits,
    pub(super) is_terminal: bool,
}

impl LogLines {
    /// The line that reports how many were lost.
    pub(super) fn lost(&self, lines: usize) -> String {
        let mut fields = self.fields();
        fields.say("log lines were lost, as nobody read them in time");
        fields.put("lost", lines as u64);
        let mut line = String::new();
        // Writing to a string does not fail.
        self.write(&mut line, tracing::Level::WARN, &fields).unwrap_or_default();
        line
    }

    /// The fields of a line in the current format.
    pub(super) fn fields(&self) -> LineFields {
        LineFields::new(**self.format.load() == LogFormat::Json)
    }

    pub(super) fn write(
        &self,
        line: &mut dyn fmt::Write,
        level: tracing::Level,
        fields: &LineFields,
    ) -> fmt::Result {
        fields.write(line, &self.clock.wall().to_rfc3339(), level, self.is_terminal)
    }
}

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = self.fields();
        event.record(&mut fields);
        let suppressed = self.limits.take_suppressed(event.metadata());
        if suppressed > 0 {
            fields.put("suppressed", suppressed);
        }
        self.write(&mut writer, *event.metadata().level(), &fields)
    }
}
