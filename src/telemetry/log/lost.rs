//! Saying how many lines were lost because nobody read them.
//!
//! The lines wait in a queue of bounded length, and what does not fit is lost. The thread that empties
//! the queue writes through [`Telling`], which says so as soon as somebody reads again. It is never
//! lost itself, as it does not go through the queue.

use super::lines::LogLines;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tracing_appender::non_blocking::ErrorCounter;

/// Lines are written together up to this: as much as a pipe takes in one piece, whoever else writes into it
/// (`PIPE_BUF`).
const BATCH_BYTES: usize = 4096;

/// The counter of lost lines; known once the queue is there.
pub(super) type Counter = Arc<OnceLock<ErrorCounter>>;

/// Writes lines on, and between them how many were lost since it said so last.
pub(super) struct Telling<W> {
    out: W,
    lines: LogLines,
    counter: Counter,
    told: usize,
    /// Whole lines that are not written yet.
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
        // What could not be written is not written twice in part.
        self.waiting.clear();
        written?;
        self.tell()
    }
}

impl<W: Write> Write for Telling<W> {
    /// One call is one line. It is written with those that wait behind it: the thread that empties the
    /// queue calls `flush` as soon as the queue is empty.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + line.len() > BATCH_BYTES {
            self.pass_on()?;
        }
        self.waiting.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.tell()?;
        self.out.flush()
    }
}
