//! Saying how many lines were lost because nobody read them.
//!
//! The lines wait in a queue of bounded length, and what does not fit is lost. The thread that empties
//! the queue writes through [`Telling`], which says so as soon as somebody reads again. It is never
//! lost itself, as it does not go through the queue.

use super::Lines;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tracing_appender::non_blocking::ErrorCounter;

/// The counter of lost lines; known once the queue is there.
pub(super) type Counter = Arc<OnceLock<ErrorCounter>>;

/// Writes lines on, and between them how many were lost since it said so last.
pub(super) struct Telling<W> {
    out: W,
    lines: Lines,
    counter: Counter,
    told: usize,
}

impl<W: Write> Telling<W> {
    pub(super) const fn new(out: W, lines: Lines, counter: Counter) -> Self {
        Self { out, lines, counter, told: 0 }
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

impl<W: Write> Write for Telling<W> {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.out.write_all(line)?;
        self.tell()?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tell()?;
        self.out.flush()
    }
}
