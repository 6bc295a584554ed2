//! Reports how many lines were lost because no one read them.
//!
//! The lines wait in a bounded queue, and lines that do not fit are lost. The thread that empties
//! the queue writes through [`Telling`], which reports the loss as soon as someone reads again. The
//! report itself is never lost, because it does not go through the queue.

use super::lines::LogLines;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing_appender::non_blocking::ErrorCounter;

/// Lines are written together up to this size, which a pipe accepts in one piece even if others
/// write to it (`PIPE_BUF`).
const BATCH_BYTES: usize = 4096;

/// After a write the lines of this time are collected for the next one. A line that comes alone is
/// written at once; under load, a write for each would cost more than all else about a line.
const COLLECT: Duration = Duration::from_millis(5);

/// The counter of lost lines; known once the queue exists.
pub(super) type Counter = Arc<OnceLock<ErrorCounter>>;

/// Passes lines on, and in between reports how many were lost since the last report.
pub(super) struct Telling<W> {
    out: W,
    lines: LogLines,
    counter: Counter,
    told: usize,
    /// Complete lines that are not written yet.
    waiting: Vec<u8>,
}

impl<W: Write> Telling<W> {
    pub(super) fn new(out: W, lines: LogLines, counter: Counter) -> Self {
        Self { out, lines, counter, told: 0, waiting: Vec::with_capacity(BATCH_BYTES) }
    }

    fn tell(&mut self) -> io::Result<()> {
        let lost = self.counter.get().map_or(0, ErrorCounter::dropped_lines);
        let news = lost.saturating_sub(self.told);
        if news == 0 {
            return Ok(());
        }
        self.out.write_all(self.lines.lost(news).as_bytes())?;
        self.told = lost;
        Ok(())
    }
}

impl<W: Write> Telling<W> {
    fn pass_on(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(&self.waiting);
        // A failed write must not repeat a part.
        self.waiting.clear();
        written?;
        self.tell()
    }
}

impl<W: Write> Write for Telling<W> {
    /// One call is one line. It is written together with the lines that wait behind it: the thread
    /// that empties the queue calls `flush` as soon as the queue is empty.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + line.len() > BATCH_BYTES {
            self.pass_on()?;
        }
        self.waiting.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let has_lines = !self.waiting.is_empty();
        self.pass_on()?;
        self.tell()?;
        self.out.flush()?;
        if has_lines {
            std::thread::sleep(COLLECT);
        }
        Ok(())
    }
}
