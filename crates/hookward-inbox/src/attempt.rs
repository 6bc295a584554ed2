//! An entry that was handed out to be sent.

use crate::event::StoredEvent;
use crate::log::ReadError;
use crate::progress::EntryProgress;
use crate::record::{Location, LogRecord};
use crate::shared::Shared;
use crate::tries::{Tried, TryOutcome};
use crate::writer::WriterCommand;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// An attempt that was dropped before it began is due again after this: what kills a task may kill
/// the next one too.
const UNSENT: Duration = Duration::from_secs(1);

/// The right to send an entry once. It has to be ended.
///
/// One that is dropped without an end, because the task that had it died, counts as broken with an
/// uncertain result once it was begun. Before that nothing was sent, and it is due again in a second.
#[derive(Debug)]
#[must_use = "an attempt that was begun and is dropped counts as uncertain"]
pub struct Attempt(AttemptKind);

#[derive(Debug)]
enum AttemptKind {
    Logged(LoggedAttempt),
    Remote(Box<dyn RemoteAttempt>),
}

/// An attempt with an entry that a store of another kind keeps. What becomes of one that is dropped
/// is its own affair.
pub trait RemoteAttempt: fmt::Debug + Send + Sync {
    /// The number of the entry.
    fn seq(&self) -> u64;

    /// The name of the source.
    fn source(&self) -> &str;

    /// The name of the destination.
    fn to(&self) -> &str;

    /// Reads the event. It may block.
    ///
    /// # Errors
    /// If it does not read; the attempt is then over.
    fn read(&mut self) -> Result<StoredEvent, Unreadable>;

    /// Hears that a request is about to be sent.
    fn begin(&self);

    /// Says how it ended. What is given back resolves when that is noted.
    fn end(self: Box<Self>, tried: Tried) -> oneshot::Receiver<()>;

    /// Gives it back: nothing was sent. The entry is due again after `wait`.
    fn give_back(self: Box<Self>, wait: Duration);
}

/// An attempt with an entry of the log.
#[derive(Debug)]
struct LoggedAttempt {
    shared: Arc<Shared>,
    seq: u64,
    source: Arc<str>,
    to: Arc<str>,
    began: u64,
    known: Mutex<Option<Known>>,
    is_begun: AtomicBool,
    is_over: bool,
}

/// What reading an entry told of it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The record that was read.
    pub(crate) at: Location,
    /// Its accept record.
    pub(crate) home: Location,
    pub(crate) progress: EntryProgress,
}

/// An entry that cannot be sent because its record does not read.
#[derive(Debug, thiserror::Error)]
#[error("entry {seq} cannot be read back: {why}")]
pub struct Unreadable {
    /// The number of the entry.
    pub seq: u64,
    /// It was set aside as dead; otherwise it is tried again.
    pub is_dead: bool,
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
        let logged =
            LoggedAttempt { shared, seq, source, to, began, known, is_begun, is_over: false };
        Self(AttemptKind::Logged(logged))
    }

    /// One with an entry that is kept elsewhere.
    pub fn remote(attempt: Box<dyn RemoteAttempt>) -> Self {
        Self(AttemptKind::Remote(attempt))
    }

    /// One whose request is on its way already.
    pub(crate) fn under_way(self) -> Self {
        if let AttemptKind::Logged(logged) = &self.0 {
            logged.is_begun.store(true, Ordering::Relaxed);
        }
        self
    }

    /// The number of the entry.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match &self.0 {
            AttemptKind::Logged(logged) => logged.seq,
            AttemptKind::Remote(remote) => remote.seq(),
        }
    }

    /// The name of the source.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.0 {
            AttemptKind::Logged(logged) => &logged.source,
            AttemptKind::Remote(remote) => remote.source(),
        }
    }

    /// The name of the destination.
    #[must_use]
    pub fn to(&self) -> &str {
        match &self.0 {
            AttemptKind::Logged(logged) => &logged.to,
            AttemptKind::Remote(remote) => remote.to(),
        }
    }

    /// Reads the event from where it is kept. This blocks for a disk that has to be asked; mostly the
    /// operating system still has it in memory. That of a shared inbox asks its database.
    ///
    /// # Errors
    /// If it does not read. This attempt is then over.
    pub fn read(&mut self) -> Result<StoredEvent, Unreadable> {
        match &mut self.0 {
            AttemptKind::Logged(logged) => logged.read(),
            AttemptKind::Remote(remote) => remote.read(),
        }
    }

    /// Notes that a request is about to be sent. After a crash the entry then waits for
    /// `uncertain_hold`; without this it is sent again at once. Wait for it before the first byte. A
    /// shared inbox has noted that when it gave the attempt out.
    pub async fn begin(&self) {
        match &self.0 {
            AttemptKind::Logged(logged) => logged.begin().await,
            AttemptKind::Remote(remote) => remote.begin(),
        }
    }

    /// Says how it ended. The future resolves when that is noted.
    pub fn end(self, tried: Tried) -> AttemptEnding {
        match self.0 {
            AttemptKind::Logged(logged) => logged.end(tried),
            AttemptKind::Remote(remote) => AttemptEnding(remote.end(tried)),
        }
    }

    /// Gives it back: nothing was sent. The entry is due again after `wait`.
    pub fn give_back(self, wait: Duration) {
        match self.0 {
            AttemptKind::Logged(logged) => logged.give_back(wait),
            AttemptKind::Remote(remote) => remote.give_back(wait),
        }
    }
}

impl LoggedAttempt {
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

    async fn begin(&self) {
        self.is_begun.store(true, Ordering::Relaxed);
        let (done, noted) = oneshot::channel();
        self.shared.send(WriterCommand::Begin { seq: self.seq, at: self.began, done });
        // Closed, or a disk that refuses: the note is in memory then.
        _ = noted.await;
    }

    fn end(mut self, tried: Tried) -> AttemptEnding {
        self.is_over = true;
        let (done, over) = oneshot::channel();
        let known = self.known.lock().take();
        self.shared.send(WriterCommand::End { seq: self.seq, tried, known, done: Some(done) });
        AttemptEnding(over)
    }

    fn give_back(mut self, wait: Duration) {
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

/// Resolves when the end of an attempt has been noted. It need not be waited for.
#[derive(Debug)]
pub struct AttemptEnding(oneshot::Receiver<()>);

impl Future for AttemptEnding {
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
    fn event(&self, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let mut result = self.event_once(seq);
        for _ in 0..3 {
            if result.is_ok() {
                break;
            }
            result = self.event_once(seq);
        }
        result
    }

    fn event_once(&self, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let known = self.known(seq)?;
        let payload = self.shelf.read(known.home)?;
        let LogRecord::Accept(record) = payload.record()? else { return Err(ReadError::Damaged) };
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
        let event = StoredEvent {
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
            LogRecord::Accept(record) => {
                let mut parts = record.parts.into_iter();
                let part = parts.find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
                Ok(Known { at, home: at, progress: part.progress })
            }
            LogRecord::Note(crate::record::Note::State { seq: found, home, progress, .. })
                if found == seq =>
            {
                Ok(Known { at, home, progress })
            }
            LogRecord::Note(_) => Err(ReadError::Damaged),
        }
    }
}
