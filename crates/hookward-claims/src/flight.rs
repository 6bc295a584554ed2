//! Claims in flight in this process, so that copies that arrive here find their winner.
//!
//! A delivery enters the [`Flights`] before the store is asked. The first one leads: only the
//! leader asks, and publishes the store's answer and, if it won, how it ended. The others follow.
//! So a follower never misses its winner's result, and copies cost the store nothing.

use super::shards::Shards;
use crate::{ClaimKey, Standing, StoreError};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

/// All flights of this process.
pub(super) struct Flights<T>(Shards<Shard<T>>);

type Shard<T> = HashMap<ClaimKey, Arc<Flight<T>>>;

/// One delivery's attempt on one key, as its copies see it.
pub(super) struct Flight<T> {
    /// A hash of the body that is being delivered.
    pub(super) fingerprint: u64,
    /// The first instant of monotonic time at which no one has to wait for it any more.
    until: Duration,
    sent: AtomicBool,
    standing: OnceLock<Result<Standing, StoreError>>,
    landing: OnceLock<Landing<T>>,
    /// Wakes those who wait for either.
    news: Notify,
}

/// How a flight ended: with what the winner made of it, or, if its task was cancelled or panicked,
/// with the state that it left.
pub(super) type Landing<T> = Result<Arc<T>, Standing>;

/// Who asks the store.
pub(super) enum Entered<T> {
    /// The caller does, and must call [`Flight::stands`] and [`Flights::leave`].
    Leads(Arc<Flight<T>>),
    /// Another delivery does, or did.
    Follows(Arc<Flight<T>>),
}

impl<T> Flights<T> {
    pub(super) fn new() -> Self {
        Self(Shards::new())
    }

    /// Joins the flight of `key`, or starts one that lasts for at most `lease` from `now`.
    pub(super) fn enter(
        &self,
        key: ClaimKey,
        fingerprint: u64,
        now: Duration,
        lease: Duration,
    ) -> Entered<T> {
        let start = || Arc::new(Flight::new(fingerprint, now.saturating_add(lease)));
        match self.0.of(key).lock().entry(key) {
            Entry::Occupied(flight) if flight.get().until > now => {
                Entered::Follows(Arc::clone(flight.get()))
            }
            Entry::Occupied(mut overdue) => {
                let flight = start();
                overdue.insert(Arc::clone(&flight));
                Entered::Leads(flight)
            }
            Entry::Vacant(vacant) => Entered::Leads(Arc::clone(vacant.insert(start()))),
        }
    }

    /// Removes a flight, unless another has replaced it.
    pub(super) fn leave(&self, key: ClaimKey, flight: &Arc<Flight<T>>) {
        if let Entry::Occupied(entry) = self.0.of(key).lock().entry(key)
            && Arc::ptr_eq(entry.get(), flight)
        {
            entry.remove();
        }
    }
}

impl<T> Flight<T> {
    fn new(fingerprint: u64, until: Duration) -> Self {
        Self {
            fingerprint,
            until,
            sent: AtomicBool::new(false),
            standing: OnceLock::new(),
            landing: OnceLock::new(),
            news: Notify::new(),
        }
    }

    /// Records that the destination may have the request.
    pub(super) fn note_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(super) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Publishes the store's answer to the leader.
    pub(super) fn stands(&self, standing: Result<Standing, StoreError>) {
        // It is set once: only the leader does.
        let _first = self.standing.set(standing);
        self.news.notify_waiters();
    }

    /// Publishes how it ended.
    pub(super) fn lands(&self, landing: Landing<T>) {
        let _first = self.landing.set(landing);
        self.news.notify_waiters();
    }

    /// Waits for the store's answer to the leader.
    pub(super) async fn standing(&self) -> &Result<Standing, StoreError> {
        self.wait_for(&self.standing).await
    }

    /// Waits for the end.
    pub(super) async fn landing(&self) -> &Landing<T> {
        self.wait_for(&self.landing).await
    }

    async fn wait_for<'a, V>(&'a self, cell: &'a OnceLock<V>) -> &'a V {
        loop {
            // It is notified from here on, so a change during the check is not missed.
            let news = self.news.notified();
            if let Some(value) = cell.get() {
                return value;
            }
            news.await;
        }
    }
}
