//! Sends due events while the process serves.

use super::background;
use super::pace::{MOST, Pace};
use super::sending::{self, DueAttempt, Reserve, Sending};
use super::store::InboxStore;
use crate::delivery::gate::SharedState;
use crate::telemetry::metrics::Counted;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// When it is looked again after something due was left for want of room. Ends of attempts and new
/// events are heard at once; this is for places that others gave back.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// When it is looked again if only the pace leaves no room.
const PACED: Duration = Duration::from_millis(1);

/// The longest sleep: a clock that was set is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// After a worker broke.
const BEFORE_ANOTHER: Duration = Duration::from_secs(1);

/// Sends what is due.
pub struct Worker {
    sending: Arc<Sending>,
    /// Places of each upstream, whatever the configuration.
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Worker {
    /// Starts one on a thread of its own. It ends when `stop` says so, and then begins no attempt; the
    /// thread ends with the last attempt.
    pub fn start(
        inbox: Arc<InboxStore>,
        gate: Arc<SharedState>,
        reserve: Reserve,
        stop: watch::Receiver<bool>,
    ) {
        let (alive, ended) = mpsc::channel(1);
        let sending =
            Arc::new(Sending { inbox, gate, reserve, pace: Pace::default(), _alive: alive });
        let worker = Arc::new(Self { sending, places: Mutex::default() });
        background::spawn(worker.serve(stop, ended));
    }

    async fn serve(
        self: Arc<Self>,
        stop: watch::Receiver<bool>,
        mut ended: mpsc::Receiver<Infallible>,
    ) {
        // No worker may end: what is due is sent by somebody as long as the process serves.
        loop {
            let running = tokio::spawn(Arc::clone(&self).run(stop.clone()));
            if running.await.is_ok() {
                break;
            }
            tracing::error!("the inbox's worker failed; another one takes over");
            tokio::time::sleep(BEFORE_ANOTHER).await;
        }
        drop(self);
        // Until the last attempt has ended, and with it the last one that could say something.
        let _nothing = ended.recv().await;
    }

    async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            // Made before it is looked, so that no change is missed.
            let changed = self.sending.inbox.engine.changed();
            if *stop.borrow_and_update() {
                return;
            }
            let again = self.take(&stop).await;
            let sleep = tokio::time::sleep(self.until_next(again));
            tokio::select! {
                () = changed => {}
                () = sleep => {}
                stopped = stop.changed() => if stopped.is_err() { return },
            }
        }
    }

    /// Starts what is due and has room. When to look again for what had none.
    async fn take(&self, stop: &watch::Receiver<bool>) -> Option<Duration> {
        let Sending { inbox, gate, pace, .. } = &*self.sending;
        let snapshot = gate.snapshot();
        let (mut is_short, mut is_paced) = (false, false);
        let allowed = pace.allowed(gate.clock.monotonic());
        let taking = inbox.engine.take_due(|to| {
            let upstream = snapshot.upstream(to);
            let upstream = upstream.filter(|upstream| !upstream.credentials.is_incomplete);
            let spare = upstream.map_or(0, |upstream| upstream.forwarder.room());
            let used = MOST.saturating_sub(self.places_of(to).available_permits());
            let limit = pace.limit();
            let room = spare.min(limit.saturating_sub(used));
            is_short |= room < limit;
            is_paced |= room > allowed;
            room.min(allowed)
        });
        let taken = taking.await;
        is_paced &= taken.len() >= allowed;
        let mut due = Vec::with_capacity(taken.len());
        for attempt in taken {
            if *stop.borrow() {
                attempt.give_back(Duration::ZERO);
                continue;
            }
            let Ok(turn) = self.places_of(attempt.to()).try_acquire_owned() else {
                attempt.give_back(LOOK_AGAIN);
                continue;
            };
            pace.begins(gate.clock.monotonic());
            due.push(DueAttempt {
                attempt,
                turn,
                in_flight: Counted::on(&gate.metrics.in_flight, 1),
            });
        }
        sending::send(&self.sending, due).await;
        if is_paced { Some(PACED) } else { is_short.then_some(LOOK_AGAIN) }
    }

    fn places_of(&self, to: &str) -> Arc<Semaphore> {
        let mut places = self.places.lock();
        if let Some(known) = places.get(to) {
            return Arc::clone(known);
        }
        let new = Arc::new(Semaphore::new(MOST));
        places.insert(to.to_owned(), Arc::clone(&new));
        new
    }

    fn until_next(&self, again: Option<Duration>) -> Duration {
        let Some(due) = self.sending.inbox.engine.next_due() else { return LONGEST_SLEEP };
        let now = self.sending.gate.clock.wall().unsigned();
        let wait = Duration::from_millis(due.saturating_sub(now)).min(LONGEST_SLEEP);
        // What is due and was not taken is held back by a limit, and its end is heard.
        match again {
            None if wait.is_zero() => LOOK_AGAIN,
            None => wait,
            Some(again) => wait.max(again),
        }
    }
}
