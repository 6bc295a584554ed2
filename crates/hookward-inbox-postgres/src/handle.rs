//! The handle for the rest of a program.

use crate::commons::{Commons, Ingredients};
use crate::upkeep::SharedUpkeep;
use hookward_claims::PostgresDatabase;
use hookward_inbox::{
    Accept, AcceptError, Accepted, Attempt, ChangeError, Filter, LaneHold, Listed, Millis,
    OpenError, Page, Policy, Settings, Stats, TimeSource, TryOutcome, WaitingCount,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a process that ends waits for the database to hear what it did, in steps.
const CLOSING_STEPS: u32 = 500;
const CLOSING_STEP: Duration = Duration::from_millis(10);

/// Events that wait for their destinations, in a database that several processes share.
///
/// Clones are handles to the same inbox. Once the last one is dropped, this process neither listens
/// nor looks after the tables any more.
#[derive(Clone, Debug)]
pub struct SharedInbox {
    commons: Arc<Commons>,
    _upkeep: Arc<SharedUpkeep>,
}

impl SharedInbox {
    /// The inbox in this database, whose tables its store of claims has set up. Of the settings,
    /// those of a disk say nothing here. Called within the runtime in which it is to live.
    ///
    /// # Errors
    /// The database does not answer, or has events that are encrypted with a key that is not there.
    pub async fn open(
        database: PostgresDatabase,
        settings: Settings,
        clock: impl TimeSource,
    ) -> Result<Self, OpenError> {
        let ingredients = Ingredients { database, clock: Box::new(clock), settings };
        let commons = Arc::new(Commons::new(ingredients));
        commons.try_keys().await?;
        let upkeep = Arc::new(SharedUpkeep::start(&commons));
        Ok(Self { commons, _upkeep: upkeep })
    }

    /// Stores an event, and ends the claims that it was handed in under. Once this resolves to `Ok`,
    /// it is durable with all its destinations.
    ///
    /// # Errors
    /// If it is not stored, or nobody knows whether it is.
    pub async fn accept(&self, event: Accept) -> Result<Accepted, AcceptError> {
        self.commons.accept(event).await
    }

    /// The entry of (source, event id, destination), with its tries.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, source: &str, id: &str, to: &str) -> Result<Option<Listed>, String> {
        self.commons.find(source, id, to).await
    }

    /// Holds the order of a key for a live attempt, on all instances. `None` if an earlier event of
    /// that key waits or is being sent, or the database does not answer.
    pub async fn hold_lane(&self, source: &str, to: &str, key: &str) -> Option<LaneHold> {
        self.commons.hold_lane(source, to, key).await
    }

    /// How much of each destination may be taken now. `room` says what there is place for; it is not
    /// asked about a destination that is paused or not configured.
    pub fn rooms(&self, room: impl FnMut(&str) -> usize) -> Vec<(String, usize)> {
        self.commons.rooms(room)
    }

    /// Takes what is due, of each destination as much as there is room for.
    pub async fn take_due(&self, rooms: Vec<(String, usize)>) -> Vec<Attempt> {
        self.commons.take(rooms).await
    }

    /// When to look again: something is due then, or may have come from elsewhere.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.commons.local.lock().next_due
    }

    /// Resolves with the next change that can make something due.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.commons.wake.notified()
    }

    /// Learns of a live attempt at a destination, so that a backlog ramps up or holds back.
    pub fn learn(&self, to: &str, outcome: TryOutcome) {
        self.commons.learn(to, outcome);
    }

    /// Takes over another configuration.
    pub fn configure(&self, destinations: &[(String, Policy)], sources: Option<&[String]>) {
        self.commons.configure(destinations);
        self.commons.local.lock().sources = sources.map(<[String]>::to_vec);
        self.commons.wake.notify_waiters();
    }

    /// Entries that fit, by number, from `cursor` on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(
        &self,
        filter: &Filter,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Page, ChangeError> {
        self.commons.list(filter, limit, cursor).await.map_err(ChangeError::Unanswered)
    }

    /// The numbers of all entries that fit.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn select(&self, filter: &Filter) -> Result<Vec<u64>, ChangeError> {
        self.commons.select(filter).await.map_err(ChangeError::Unanswered)
    }

    /// One entry with its last tries.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn show(&self, seq: u64) -> Result<Option<Listed>, ChangeError> {
        self.commons.show(seq).await.map_err(ChangeError::Unanswered)
    }

    /// Makes entries due now, with a budget of their own. Gives how many were changed.
    ///
    /// # Errors
    /// If the change was not committed.
    pub async fn replay(
        &self,
        seqs: Vec<u64>,
        as_new: bool,
        by: &str,
    ) -> Result<usize, ChangeError> {
        self.commons.replay(seqs, as_new, by).await
    }

    /// Never sends these entries again. Gives how many were changed.
    ///
    /// # Errors
    /// If the change was not committed.
    pub async fn discard(&self, seqs: Vec<u64>, by: &str) -> Result<usize, ChangeError> {
        self.commons.discard(seqs, by).await
    }

    /// Moves entries that wait to another destination, where each is due now, with a budget of its
    /// own and a new number. The order of a key, the time of acceptance and the history stay. One that
    /// is not waiting, or whose event that destination has, stays as it is. For the destination that it
    /// was moved from, an event counts as delivered.
    ///
    /// Gives how many were moved.
    ///
    /// # Errors
    /// If the change was not committed. Some may have been moved then.
    pub async fn move_to(&self, seqs: Vec<u64>, to: &str, by: &str) -> Result<usize, ChangeError> {
        self.commons.move_to(seqs, to, by).await
    }

    /// Erases an event at all destinations: its entries, and the database's files that have its
    /// bytes. The server's log of changes, and backups, keep theirs for their own time.
    ///
    /// # Errors
    /// If not everything was erased.
    pub async fn erase(&self, source: &str, id: &str) -> Result<usize, ChangeError> {
        self.commons.erase(source, id).await
    }

    /// Sends nothing to a destination until `until`, or until it is resumed, from any instance.
    ///
    /// # Errors
    /// If the change was not committed.
    pub async fn pause(&self, to: &str, until: Option<Millis>) -> Result<(), ChangeError> {
        self.commons.pause(to, true, until).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// If the change was not committed.
    pub async fn resume(&self, to: &str) -> Result<(), ChangeError> {
        self.commons.pause(to, false, None).await
    }

    /// Whether a destination is paused, as of a second ago at most.
    #[must_use]
    pub fn is_paused(&self, to: &str) -> bool {
        self.commons.is_paused(to)
    }

    /// Counts anew, for [`stats`](Self::stats).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn refresh(&self) -> Result<(), String> {
        self.commons.learn_pauses().await?;
        self.commons.learn_figures().await
    }

    /// Counts what waits or is being sent, by any instance.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn waiting(&self) -> Result<Vec<WaitingCount>, ChangeError> {
        self.commons.waiting().await.map_err(ChangeError::Unanswered)
    }

    /// Counts, as of the last look.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.commons.stats()
    }

    /// Waits a few seconds at most until the database knows how attempts ended. Blocks.
    pub fn close(&self) {
        self.commons.is_closing.store(true, Ordering::SeqCst);
        let mut quiet = 0;
        for _ in 0..CLOSING_STEPS {
            std::thread::sleep(CLOSING_STEP);
            // What was taken a moment ago may be about to be given back.
            let is_quiet = self.commons.settling.load(Ordering::SeqCst) == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet > 2 {
                return;
            }
        }
    }
}
