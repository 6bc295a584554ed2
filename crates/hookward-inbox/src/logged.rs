//! An attempt with an entry of the log.

use crate::attempt::{Attempt, EntryAttempt, Unreadable};
use crate::command::WriterCommand;
use crate::known::Known;
use crate::shared::Shared;
use crate::stored_event::StoredEvent;
use crate::tries::{Tried, TryOutcome};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// When an attempt that was dropped before it began is due again: the cause that killed its task
/// may kill the next one too.
const UNSENT: Duration = Duration::from_secs(1);

/// An attempt with an entry of the log.
#[derive(Debug)]
pub(crate) struct LoggedAttempt {
    shared: Arc<Shared>,
    seq: u64,
    source: Arc<str>,
    to: Arc<str>,
    began: u64,
    known: Mutex<Option<Known>>,
    is_begun: AtomicBool,
    is_over: bool,
}

impl LoggedAttempt {
    /// The attempt of an entry that was taken at `began`; `is_begun`: its request is on its way.
    pub(crate) fn of(
        shared: Arc<Shared>,
        seq: u64,
        (source, to): (Arc<str>, Arc<str>),
        began: u64,
        is_begun: bool,
    ) -> Attempt {
        let (known, is_begun) = (Mutex::new(None), AtomicBool::new(is_begun));
        Attempt::of(Box::new(Self {
            shared,
            seq,
            source,
            to,
            began,
            known,
            is_begun,
            is_over: false,
        }))
    }
}

impl EntryAttempt for LoggedAttempt {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn to(&self) -> &str {
        &self.to
    }

    fn read_at_hand(&mut self) -> Option<StoredEvent> {
        let (event, known) = self.shared.event_at_hand(self.seq)?;
        *self.known.lock() = Some(known);
        Some(event)
    }

    fn read(&mut self) -> Result<StoredEvent, Unreadable> {
        match self.shared.event(self.seq) {
            Ok((event, known)) => {
                *self.known.lock() = Some(known);
                Ok(event)
            }
            Err(error) => {
                self.is_over = true;
                self.shared.send(WriterCommand::SetAside { seq: self.seq });
                Err(Unreadable { seq: self.seq, is_dead: true, why: error.to_string() })
            }
        }
    }

    fn begin(&self) -> Option<oneshot::Receiver<()>> {
        self.is_begun.store(true, Ordering::Relaxed);
        let (done, noted) = oneshot::channel();
        self.shared.send(WriterCommand::Begin { seq: self.seq, at: self.began, done });
        Some(noted)
    }

    fn end(mut self: Box<Self>, tried: Tried) -> oneshot::Receiver<()> {
        self.is_over = true;
        let (done, over) = oneshot::channel();
        let known = self.known.lock().take();
        self.shared.send(WriterCommand::End { seq: self.seq, tried, known, done: Some(done) });
        over
    }

    fn give_back(mut self: Box<Self>, wait: Duration) {
        self.is_over = true;
        self.shared.give_back(self.seq, wait);
    }
}

impl Drop for LoggedAttempt {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.is_begun.load(Ordering::Relaxed) {
            let tried = Tried { uncertain: true, ..Tried::new(self.began, TryOutcome::Broken) };
            let known = self.known.lock().take();
            self.shared.send(WriterCommand::End { seq: self.seq, tried, known, done: None });
        } else {
            self.shared.give_back(self.seq, UNSENT);
        }
    }
}
