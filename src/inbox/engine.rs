//! Where the events are kept: in a log on this process's disk, or in a database that several
//! instances share.

use hookward_inbox::{
    Accept, AcceptError, Accepted, Attempt, ChangeError, EntryState, Filter, LaneHold, Listed,
    Page, Policy, Stats, TryOutcome, WaitingCount,
};
use hookward_inbox_postgres::SharedInbox;
use std::pin::Pin;
use std::time::Duration;

/// What keeps the events, and says when which of them is due.
pub(super) enum Engine {
    Log(hookward_inbox::Inbox),
    Shared(SharedInbox),
}

/// Nobody waits longer for figures than this.
const FIGURES_WITHIN: Duration = Duration::from_secs(2);

impl Engine {
    pub(super) async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError> {
        match self {
            Self::Log(log) => log.accept(accept).await,
            Self::Shared(shared) => shared.accept(accept).await,
        }
    }

    /// Whether it is asked without waiting.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Log(_))
    }

    /// Whether the claims that it shares a database with know of its events: a claim on one that it
    /// has is refused, and it notes itself what was delivered.
    pub(super) fn knows_claims(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    pub(super) async fn find(&self, source: &str, id: &str, to: &str) -> Option<Listed> {
        match self {
            Self::Log(log) => log.find(source, id, to),
            Self::Shared(shared) => match Box::pin(shared.find(source, id, to)).await {
                Ok(found) => found,
                Err(why) => {
                    tracing::warn!("inbox: {why}");
                    None
                }
            },
        }
    }

    pub(super) async fn state(&self, source: &str, id: &str, to: &str) -> Option<EntryState> {
        match self {
            Self::Log(log) => log.state(source, id, to),
            Self::Shared(_) => self.find(source, id, to).await.map(|listed| listed.state),
        }
    }

    pub(super) async fn hold_lane(&self, source: &str, to: &str, key: &str) -> Option<LaneHold> {
        match self {
            Self::Log(log) => log.hold_lane(source, to, key),
            // Boxed, so that a delivery that asks a log does not hold the room for it.
            Self::Shared(shared) => Box::pin(shared.hold_lane(source, to, key)).await,
        }
    }

    pub(super) async fn take_due(&self, room: impl FnMut(&str) -> usize + Send) -> Vec<Attempt> {
        match self {
            Self::Log(log) => log.take_due(room),
            Self::Shared(shared) => {
                let rooms = shared.rooms(room);
                shared.take_due(rooms).await
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        match self {
            Self::Log(log) => log.next_due(),
            Self::Shared(shared) => shared.next_due(),
        }
    }

    /// Resolves with the next change after this call that can make something due.
    pub(super) fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        match self {
            Self::Log(log) => Box::pin(log.changed()),
            Self::Shared(shared) => Box::pin(shared.changed()),
        }
    }

    pub(super) fn is_paused(&self, to: &str) -> bool {
        match self {
            Self::Log(log) => log.is_paused(to),
            Self::Shared(shared) => shared.is_paused(to),
        }
    }

    pub(super) fn learn(&self, to: &str, outcome: TryOutcome) {
        match self {
            Self::Log(log) => log.learn(to, outcome),
            Self::Shared(shared) => shared.learn(to, outcome),
        }
    }

    pub(super) fn configure(&self, policies: &[(String, Policy)], sources: &[String]) {
        match self {
            Self::Log(log) => log.configure(policies, Some(sources)),
            Self::Shared(shared) => shared.configure(policies, Some(sources)),
        }
    }

    pub(super) async fn waiting(&self) -> Result<Vec<WaitingCount>, ChangeError> {
        match self {
            Self::Log(log) => {
                let log = log.clone();
                Ok(looking(move || log.waiting()).await.unwrap_or_default())
            }
            Self::Shared(shared) => shared.waiting().await,
        }
    }

    pub(super) async fn list(
        &self,
        filter: Filter,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Page, ChangeError> {
        match self {
            Self::Log(log) => {
                let log = log.clone();
                Ok(looking(move || log.list(&filter, limit, cursor)).await.unwrap_or_default())
            }
            Self::Shared(shared) => shared.list(&filter, limit, cursor).await,
        }
    }

    pub(super) async fn select(&self, filter: Filter) -> Result<Vec<u64>, ChangeError> {
        match self {
            Self::Log(log) => {
                let log = log.clone();
                Ok(looking(move || log.select(&filter)).await.unwrap_or_default())
            }
            Self::Shared(shared) => shared.select(&filter).await,
        }
    }

    pub(super) async fn show(&self, seq: u64) -> Result<Option<Listed>, ChangeError> {
        match self {
            Self::Log(log) => {
                let log = log.clone();
                Ok(looking(move || log.show(seq)).await.flatten())
            }
            Self::Shared(shared) => shared.show(seq).await,
        }
    }

    /// The entry of an event that came with this other name. A database knows the names itself, with
    /// the claims.
    pub(super) fn find_by_key(&self, key: &[u8; 16], to: &str) -> Option<Listed> {
        match self {
            Self::Log(log) => log.find_by_key(key, to),
            Self::Shared(_) => None,
        }
    }

    pub(super) async fn replay(
        &self,
        seqs: Vec<u64>,
        as_new: bool,
        by: &str,
    ) -> Result<usize, ChangeError> {
        match self {
            Self::Log(log) => log.replay(seqs, as_new, by).await,
            Self::Shared(shared) => shared.replay(seqs, as_new, by).await,
        }
    }

    pub(super) async fn discard(&self, seqs: Vec<u64>, by: &str) -> Result<usize, ChangeError> {
        match self {
            Self::Log(log) => log.discard(seqs, by).await,
            Self::Shared(shared) => shared.discard(seqs, by).await,
        }
    }

    pub(super) async fn move_to(
        &self,
        seqs: Vec<u64>,
        to: &str,
        by: &str,
    ) -> Result<usize, ChangeError> {
        match self {
            Self::Log(log) => log.move_to(seqs, to, by).await,
            Self::Shared(shared) => shared.move_to(seqs, to, by).await,
        }
    }

    pub(super) async fn erase(&self, source: &str, id: &str) -> Result<usize, ChangeError> {
        match self {
            Self::Log(log) => log.erase(source, id).await,
            Self::Shared(shared) => shared.erase(source, id).await,
        }
    }

    pub(super) async fn pause(&self, to: &str, until: Option<u64>) -> Result<(), ChangeError> {
        match self {
            Self::Log(log) => log.pause(to, until).await,
            Self::Shared(shared) => shared.pause(to, until).await,
        }
    }

    pub(super) async fn resume(&self, to: &str) -> Result<(), ChangeError> {
        match self {
            Self::Log(log) => log.resume(to).await,
            Self::Shared(shared) => shared.resume(to).await,
        }
    }

    /// Counts anew what several instances change; of a log every count is known at any time.
    pub(super) async fn refresh(&self) {
        if let Self::Shared(shared) = self {
            let refreshing = tokio::time::timeout(FIGURES_WITHIN, shared.refresh());
            if let Ok(Err(why)) = refreshing.await {
                tracing::debug!("inbox: {why}");
            }
        }
    }

    pub(super) fn stats(&self) -> Stats {
        match self {
            Self::Log(log) => log.stats(),
            Self::Shared(shared) => shared.stats(),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::Log(log) => log.close(),
            Self::Shared(shared) => shared.close(),
        }
    }
}

/// Reads of the log block, so they are made where that holds nobody up.
async fn looking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(look).await.ok()
}
