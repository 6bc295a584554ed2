//! An entry that was taken for sending.

use crate::stored_event::StoredEvent;
use crate::tries::Tried;
use std::fmt;
use std::time::Duration;
use tokio::sync::oneshot;

/// The right to send an entry once. It must be ended.
///
/// If it is dropped without an end, because its task died, it counts as broken with an uncertain
/// result once it was begun. Before that nothing was sent, and it is due again in a second.
#[derive(Debug)]
#[must_use = "an attempt that was begun and is dropped counts as uncertain"]
pub struct Attempt(Box<dyn EntryAttempt>);

/// An attempt as the store of its entry makes it. What becomes of one that is dropped is its own
/// affair.
pub trait EntryAttempt: fmt::Debug + Send + Sync {
    /// The number of the entry.
    fn seq(&self) -> u64;

    /// The name of the source.
    fn source(&self) -> &str;

    /// The name of the destination.
    fn to(&self) -> &str;

    /// Reads the event, if that does not block; `None` if it might, or if there is anything wrong.
    fn read_at_hand(&mut self) -> Option<StoredEvent> {
        None
    }

    /// Reads the event. It may block.
    ///
    /// # Errors
    /// If it does not read; the attempt is then over.
    fn read(&mut self) -> Result<StoredEvent, Unreadable>;

    /// Hears that a request is about to be sent. What is given back resolves when that is noted.
    fn begin(&self) -> Option<oneshot::Receiver<()>>;

    /// Says how it ended. What is given back resolves when that is noted.
    fn end(self: Box<Self>, tried: Tried) -> oneshot::Receiver<()>;

    /// Gives it back: nothing was sent. The entry is due again after `wait`.
    fn give_back(self: Box<Self>, wait: Duration);
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
    /// One that this store makes.
    pub fn of(attempt: Box<dyn EntryAttempt>) -> Self {
        Self(attempt)
    }

    /// The number of the entry.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// The name of the source.
    #[must_use]
    pub fn source(&self) -> &str {
        self.0.source()
    }

    /// The name of the destination.
    #[must_use]
    pub fn to(&self) -> &str {
        self.0.to()
    }

    /// Reads the event, if it is in memory; otherwise [`read`](Self::read) it. Large ones are not read
    /// here, and none of a shared inbox.
    pub fn read_at_hand(&mut self) -> Option<StoredEvent> {
        self.0.read_at_hand()
    }

    /// Reads the event from where it is kept. This blocks for a disk that has to be asked; mostly the
    /// operating system still has it in memory. That of a shared inbox asks its database.
    ///
    /// # Errors
    /// If it does not read. This attempt is then over.
    pub fn read(&mut self) -> Result<StoredEvent, Unreadable> {
        self.0.read()
    }

    /// Notes that a request is about to be sent. After a crash the entry then waits for
    /// `uncertain_hold`; without this it is sent again at once. Wait before the first byte for what
    /// is given back, which resolves once that is noted. A shared inbox has noted it when it gave the
    /// attempt out.
    pub fn begin(&self) -> impl Future<Output = ()> + use<> {
        let noted = self.0.begin();
        async {
            if let Some(noted) = noted {
                // Closed, or a disk that refuses: the note is in memory then.
                _ = noted.await;
            }
        }
    }

    /// Says how it ended. The future resolves when that is noted.
    pub fn end(self, tried: Tried) -> AttemptEnding {
        AttemptEnding(self.0.end(tried))
    }

    /// Gives it back: nothing was sent. The entry is due again after `wait`.
    pub fn give_back(self, wait: Duration) {
        self.0.give_back(wait);
    }
}

/// Resolves when the end of an attempt has been recorded. Waiting for it is optional.
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
