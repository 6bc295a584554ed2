//! Places for connections; when all are in use, the oldest connection is closed.
//!
//! For the admin listener: a probe must get an answer however many connections are idle, or slow to
//! write or read. It is unknown which of them are harmful, but a probe takes milliseconds, so it is
//! never the oldest of hundreds.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// A bounded number of places.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: Mutex<TakenPlace>,
}

/// The connections with a place, oldest first.
#[derive(Debug, Default)]
struct TakenPlace {
    next: u64,
    by_age: BTreeMap<u64, Arc<Notify>>,
}

/// A place, until it is dropped or given to another.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    places: Arc<Places>,
    number: u64,
    given_away: Arc<Notify>,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// Takes a place, of the oldest if all are taken.
    pub(super) fn take(self: &Arc<Self>) -> ConnectionPlace {
        let given_away = Arc::new(Notify::new());
        let mut taken = self.taken.lock();
        while taken.by_age.len() >= self.max
            && let Some((_, oldest)) = taken.by_age.pop_first()
        {
            oldest.notify_one();
        }
        let number = taken.next;
        taken.next += 1;
        taken.by_age.insert(number, Arc::clone(&given_away));
        ConnectionPlace { places: Arc::clone(self), number, given_away }
    }
}

impl ConnectionPlace {
    /// Waits until another has the place.
    pub(super) async fn is_given_away(&self) {
        self.given_away.notified().await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.taken.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn gives_way(place: &ConnectionPlace) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(place.is_given_away()).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn the_oldest_gives_way_and_no_other() {
        let places = Places::new(3);
        let held: Vec<_> = (0..3).map(|_| places.take()).collect();
        assert!(!held.iter().any(gives_way));
        let newest = places.take();
        assert_eq!(held.iter().map(gives_way).collect::<Vec<_>>(), [true, false, false]);
        assert!(!gives_way(&newest));
        assert_eq!(places.taken.lock().by_age.len(), 3);
    }

    #[test]
    fn a_place_that_is_given_back_is_taken_first() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        drop(second);
        let third = places.take();
        assert!(!gives_way(&first) && !gives_way(&third));
        drop((first, third));
        assert!(places.taken.lock().by_age.is_empty());
    }
}
