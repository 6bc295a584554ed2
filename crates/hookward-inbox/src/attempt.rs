//! An entry that was taken for sending.

use crate::event::Event;
use crate::log::ReadError;
use crate::record::{Location, Progress, Record};
use crate::shared::Shared;
use crate::tries::{Outcome, Tried};
use crate::writer::Command;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// When an attempt that was dropped before it began is due again: the cause that killed its task
/// may kill the next one too.
const UNSENT: Duration = Duration::from_secs(1);

/// The right to send an entry once. It must be ended.
///
/// If it is dropped without an end, because its task died, it counts as broken with an uncertain
/// result once it was begun. Before that nothing was sent, and it is due again in a second.
#[derive(Debug)]
#[must_use = "an attempt that was begun and is dropped counts as uncertain"]
pub struct Attempt {
    shared: Arc<Shared>,
    seq: u64,
    source: Arc<str>,
    to: Arc<str>,
    began: u64,
    known: Mutex<Option<Known>>,
    is_begun: AtomicBool,
    is_over: bool,
}

/// What is known about an entry after reading it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The record that was read.
    pub(crate) at: Location,
    /// Its accept record.
    pub(crate) home: Location,
    pub(crate) progress: Progress,
}

/// An entry that cannot be sent because its record is unreadable. It is now dead.
#[derive(Debug, thiserror::Error)]
#[error("entry {seq} cannot be read back: {why}")]
pub struct Unreadable {
    /// The number of the entry.
    pub seq: u64,
    /// Why.
    pub why: String,
}

impl Attempt {
    pub(crate) fn new(
        shared: Arc<Shared>,
        seq: u64,
        source: Arc<str>,
        to: Arc<str>,
        began: u64,
    ) -> Self {
        let known = Mutex::new(None);
        let is_begun = AtomicBool::new(false);
        Self { shared, seq, source, to, began, known, is_begun, is_over: false }
    }

    /// One whose request is on its way already.
    pub(crate) fn under_way(self) -> Self {
        self.is_begun.store(true, Ordering::Relaxed);
        self
    }

    /// The number of the entry.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The name of the source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The name of the destination.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Reads the event from the log. This blocks for a disk that has to be asked; mostly the
    /// operating system still has it in memory.
    ///
    /// # Errors
    /// If it does not read: the entry is then dead, and this attempt over.
    pub fn read(&mut self) -> Result<Event, Unreadable> {
        match self.shared.event(self.seq) {
            Ok((event, known)) => {
                *self.known.lock() = Some(known);
                Ok(event)
            }
            Err(error) => {
                self.is_over = true;
                self.shared.send(Command::SetAside { seq: self.seq });
                Err(Unreadable { seq: self.seq, why: error.to_string() })
            }
        }
    }

    /// Notes in the log that a request is about to be sent. After a crash the entry then waits for
    /// `uncertain_hold`; without this it is sent again at once. Wait for it before the first byte.
    pub async fn begin(&self) {
        self.is_begun.store(true, Ordering::Relaxed);
        let (done, noted) = oneshot::channel();
        self.shared.send(Command::Begin { seq: self.seq, at: self.began, done });
        // Closed, or a disk that refuses: the note is in memory then.
        _ = noted.await;
    }

    /// Says how it ended. The future resolves when the log knows.
    pub fn end(mut self, tried: Tried) -> Ending {
        self.is_over = true;
        let (done, over) = oneshot::channel();
        let known = self.known.lock().take();
        self.shared.send(Command::End { seq: self.seq, tried, known, done: Some(done) });
        Ending(over)
    }

    /// Gives it back: nothing was sent. The entry is due again after `wait`.
    pub fn give_back(mut self, wait: Duration) {
        self.is_over = true;
        self.shared.give_back(self.seq, wait);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.is_begun.load(Ordering::Relaxed) {
            let tried = Tried { uncertain: true, ..Tried::new(self.began, Outcome::Broken) };
            let known = self.known.lock().take();
            self.shared.send(Command::End { seq: self.seq, tried, known, done: None });
        } else {
            self.shared.give_back(self.seq, UNSENT);
        }
    }
}

/// Resolves when the end of an attempt has been recorded. Waiting for it is optional.
#[derive(Debug)]
pub struct Ending(oneshot::Receiver<()>);

impl Future for Ending {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}

impl Shared {
    /// Reads an entry. It may be copied forward meanwhile, so its place is asked for again.
    fn event(&self, seq: u64) -> Result<(Event, Known), ReadError> {
        let mut result = self.event_once(seq);
        for _ in 0..3 {
            if result.is_ok() {
                break;
            }
            result = self.event_once(seq);
        }
        result
    }

    fn event_once(&self, seq: u64) -> Result<(Event, Known), ReadError> {
        let known = self.known(seq)?;
        let payload = self.shelf.read(known.home)?;
        let Record::Accept(record) = payload.record()? else { return Err(ReadError::Damaged) };
        let part = record.parts.iter().find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
        let keys = record.keys.as_chunks().0.to_vec();
        let to = part.to.to_owned();
        let (source, id, kind) =
            (record.source.to_owned(), record.id.to_owned(), record.kind.to_owned());
        let (accepted_at, fingerprint, ttl) = (record.accepted_at, record.fingerprint, record.ttl);
        let (head, body) = (record.head.len(), record.body.len());
        // Both are at the end of the payload, each with its length before it.
        let bytes = bytes::Bytes::from(payload.bytes);
        let body = bytes.slice(bytes.len() - body..);
        let head_end = bytes.len() - body.len() - 4;
        let head = bytes.slice(head_end - head..head_end);
        let event = Event {
            seq,
            source,
            id,
            kind,
            to,
            accepted_at,
            fingerprint,
            ttl: Duration::from_millis(ttl),
            keys,
            sent: known.progress.sent,
            replays: known.progress.replays,
            as_new: (known.progress.as_new != 0).then_some(known.progress.as_new),
            head,
            body,
        };
        Ok((event, known))
    }

    /// Where the log has an entry, and what is known of its attempts.
    pub(crate) fn known(&self, seq: u64) -> Result<Known, ReadError> {
        let at = self.core.lock().index.get(seq).map(|entry| entry.at);
        let at = at.ok_or(ReadError::NoSegment)?;
        self.known_at(seq, at)
    }

    pub(crate) fn known_at(&self, seq: u64, at: Location) -> Result<Known, ReadError> {
        let payload = self.shelf.read(at)?;
        match payload.record()? {
            Record::Accept(record) => {
                let mut parts = record.parts.into_iter();
                let part = parts.find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
                Ok(Known { at, home: at, progress: part.progress })
            }
            Record::Note(crate::record::Note::State { seq: found, home, progress, .. })
                if found == seq =>
            {
                Ok(Known { at, home, progress })
            }
            Record::Note(_) => Err(ReadError::Damaged),
        }
    }
}
