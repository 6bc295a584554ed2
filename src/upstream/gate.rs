//! The concurrency limit of an upstream, with a bounded waiting room: a burst is spread out instead
//! of overloading a slow receiver, and requests that would wait too long are refused while the
//! sender still waits for an answer.

use super::Spare;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The gate of one upstream.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    places: Arc<Semaphore>,
    /// Of the places, those that attempts may take that no sender waits for.
    background: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// The waiting room is full, or the time ran out in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl ConcurrencyLimit {
    pub(super) fn new(places: usize, max_waiting: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        // A quarter stays for events that a sender waits for.
        let background = (places - places / 4).min(places.saturating_sub(1)).max(1);
        Self {
            places: Arc::new(Semaphore::new(places)),
            background: Arc::new(Semaphore::new(background)),
            waiting: AtomicUsize::new(0),
            max_waiting,
        }
    }

    /// How many spare places there are. While senders wait for one there is none.
    pub(super) fn room(&self) -> usize {
        self.places.available_permits().min(self.background.available_permits())
    }

    /// Takes a spare place, if there is one.
    pub(super) fn spare(&self) -> Option<Spare> {
        let background = Arc::clone(&self.background).try_acquire_owned().ok()?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Spare { place: Some(place), share: Some(background) })
    }

    /// Takes a place, after those who wait already, until the permit is dropped.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.wait()?;
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    fn wait(&self) -> Result<WaitingRequest<'_>, Full> {
        let claimed = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.max_waiting).then_some(waiting + 1)
        });
        claimed.map(|_| WaitingRequest(&self.waiting)).map_err(|_| Full)
    }
}

/// A waiting request.
struct WaitingRequest<'a>(&'a AtomicUsize);

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_quarter_stays_for_those_who_are_waited_for_and_they_go_first() {
        let gate = ConcurrencyLimit::new(8, 2);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut spare: Vec<_> = std::iter::from_fn(|| gate.spare()).collect();
        assert_eq!((spare.len(), gate.room()), (6, 0));
        let live = [gate.enter(deadline).await.unwrap(), gate.enter(deadline).await.unwrap()];
        spare.truncate(2);
        let more: Vec<_> = (0..4).map(|_| gate.enter(deadline)).collect();
        for entering in more {
            assert!(entering.await.is_ok());
        }
        drop((live, spare));
        assert_eq!(gate.room(), 6);
        let only = ConcurrencyLimit::new(1, 2);
        assert!(only.spare().is_some(), "a single place is shared");
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_may_and_the_next_is_refused_at_once() {
        let gate = Arc::new(ConcurrencyLimit::new(1, 2));
        let deadline = Instant::now() + Duration::from_secs(5);
        let inside = gate.enter(deadline).await.unwrap();
        let [one, two] = [(); 2].map(|()| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.enter(deadline).await })
        });
        tokio::task::yield_now().await;
        assert_eq!(gate.enter(deadline).await.unwrap_err(), Full);
        assert!(Instant::now() < deadline, "without waiting");
        drop(inside);
        let next = one.await.unwrap().unwrap();
        assert_eq!(two.await.unwrap().unwrap_err(), Full, "its time ran out");
        assert_eq!(Instant::now(), deadline);
        drop(next);
        assert!(gate.enter(deadline).await.is_ok());
    }
}
