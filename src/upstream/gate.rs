//! The concurrency limit of an upstream, with a bounded waiting room: a burst is spread out instead
//! of crushing a slow receiver, and what would wait too long is refused while the sender can still
//! be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The gate of one upstream.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// The waiting room is full, or the time ran out in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Gate {
    pub(super) fn new(places: usize, max_waiting: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0), max_waiting }
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

    fn wait(&self) -> Result<Waiting<'_>, Full> {
        let claimed = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.max_waiting).then_some(waiting + 1)
        });
        claimed.map(|_| Waiting(&self.waiting)).map_err(|_| Full)
    }
}

/// One in the waiting room.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_may_and_the_next_is_refused_at_once() {
        let gate = Arc::new(Gate::new(1, 2));
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
