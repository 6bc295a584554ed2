//! Idle connections to one address.
//!
//! With several threads, Pingora's pool closes good connections: the task that watches a connection
//! releases its lock a moment before it releases the connection, and a caller that takes it in
//! between finds it shared and drops it. Here the list owns the connections, and each is either in
//! it or taken. A separate task for each would cost every delivery two task switches.

use parking_lot::Mutex;
use pingora::protocols::Stream;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{self, Handle};
use tokio::time::{Instant, sleep_until};

/// How many connections are kept per address; beyond that the oldest is closed.
const MOST: usize = 128;

/// How soon a connection is closed after the other side has ended it. Nothing is sent on it
/// meanwhile, because [`Idle::take`] checks.
const LOOK: Duration = Duration::from_millis(250);

/// The idle connections of an address.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<IdleSet>);

#[derive(Debug, Default)]
struct IdleSet {
    /// The one that was used last at the back.
    waiting: VecDeque<IdleConnection>,
    /// Whether a task looks for those that are to be closed.
    watched: bool,
}

#[derive(Debug)]
struct IdleConnection {
    stream: Stream,
    until: Instant,
    /// The runtime that hears what comes on it. Another one would have to wait for that one's
    /// thread, which may be busy.
    runtime: runtime::Id,
}

/// The idle connections of all addresses, so that they stay in use when an upstream is
/// reconfigured.
#[derive(Clone, Debug, Default)]
pub(super) struct IdlePool(Arc<Mutex<HashMap<u64, Weak<Idle>>>>);

impl IdlePool {
    /// Those of the addresses that are connected to alike, as this hash says.
    pub(super) fn of(&self, reuse_hash: u64) -> Arc<Idle> {
        let mut pool = self.0.lock();
        if let Some(known) = pool.get(&reuse_hash).and_then(Weak::upgrade) {
            return known;
        }
        pool.retain(|_, idle| idle.strong_count() > 0);
        let idle = Arc::<Idle>::default();
        pool.insert(reuse_hash, Arc::downgrade(&idle));
        idle
    }
}

impl Idle {
    /// Keeps a connection that is through with its exchange, until the other side ends it or
    /// `for_at_most` is over. Must be called on a runtime.
    pub(super) fn keep(self: &Arc<Self>, stream: Stream, for_at_most: Duration) {
        let runtime = Handle::current().id();
        let waiting = IdleConnection { stream, until: Instant::now() + for_at_most, runtime };
        let (oldest, watched) = {
            let mut kept = self.0.lock();
            let is_full = kept.waiting.len() >= MOST;
            let oldest = if is_full { kept.waiting.pop_front() } else { None };
            kept.waiting.push_back(waiting);
            (oldest, std::mem::replace(&mut kept.watched, true))
        };
        // Closed while nobody waits for the lock.
        drop(oldest);
        if !watched {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// The connection that was used last on this runtime, which is the least likely to be about to end.
    /// Must be called on a runtime.
    pub(super) fn take(&self) -> Option<Stream> {
        let here = Handle::current().id();
        loop {
            let mut last = self.0.lock().last_of(here)?;
            if last.serves(Instant::now()) {
                return Some(last.stream);
            }
        }
    }

    /// Closes those whose time is up or that have ended; when to look again. `None` once none is
    /// left, and then nobody looks until one is kept again.
    fn tidy(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut closed = Vec::new();
        let mut kept = self.0.lock();
        for mut waiting in std::mem::take(&mut kept.waiting) {
            if waiting.serves(now) {
                kept.waiting.push_back(waiting);
            } else {
                closed.push(waiting);
            }
        }
        let next = kept.waiting.iter().map(|waiting| waiting.until).min();
        kept.watched = next.is_some();
        drop(kept);
        next.map(|until| until.min(now + LOOK))
    }
}

impl IdleSet {
    fn last_of(&mut self, runtime: runtime::Id) -> Option<IdleConnection> {
        let last = self.waiting.iter().rposition(|waiting| waiting.runtime == runtime)?;
        self.waiting.remove(last)
    }
}

impl IdleConnection {
    /// Whether it may be used: its time is not up, and nothing came on it, neither the end nor an
    /// answer to nothing.
    fn serves(&mut self, now: Instant) -> bool {
        let mut byte = [0; 1];
        let read = pin!(self.stream.read(&mut byte));
        now < self.until && read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

/// Closes what is to be closed, as long as there are idle connections.
async fn watch(idle: Weak<Idle>) {
    let mut next = Instant::now() + LOOK;
    loop {
        sleep_until(next).await;
        match idle.upgrade().and_then(|idle| idle.tidy()) {
            Some(again) => next = again,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::sleep;

    const LONG: Duration = Duration::from_mins(1);

    fn kept(idle: &Arc<Idle>, for_at_most: Duration) -> DuplexStream {
        let (ours, theirs) = duplex(16);
        idle.keep(Box::new(ours), for_at_most);
        theirs
    }

    #[tokio::test]
    async fn the_one_that_was_used_last_is_taken_first_and_each_once() {
        let idle = Arc::<Idle>::default();
        let (mut first, mut last) = (kept(&idle, LONG), kept(&idle, LONG));
        for theirs in [&mut last, &mut first] {
            idle.take().unwrap().write_all(b"x").await.unwrap();
            assert_eq!(theirs.read_u8().await.unwrap(), b'x');
        }
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn one_is_given_only_on_the_runtime_that_kept_it() {
        let idle = Arc::<Idle>::default();
        let theirs = kept(&idle, LONG);
        let elsewhere = Arc::clone(&idle);
        let on_another = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let taken = runtime.block_on(async { elsewhere.take() });
            let own = runtime.block_on(async {
                let own = kept(&elsewhere, LONG);
                (elsewhere.take(), own)
            });
            (taken.is_some(), own.0.is_some())
        });
        assert_eq!(on_another.join().unwrap(), (false, true));
        assert!(idle.take().is_some());
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_ended_spoken_or_waited_too_long_is_not_given() {
        let idle = Arc::<Idle>::default();
        drop(kept(&idle, LONG));
        let mut spoken = kept(&idle, LONG);
        spoken.write_all(b"HTTP/1.1 408").await.unwrap();
        let waited = kept(&idle, Duration::from_secs(1));
        sleep(Duration::from_secs(2)).await;
        assert!(idle.take().is_none());
        drop(waited);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ended_or_waited_too_long_is_closed_although_nobody_asks() {
        let idle = Arc::<Idle>::default();
        let mut waited = kept(&idle, Duration::from_millis(100));
        let ended = kept(&idle, LONG);
        let kept_since = Instant::now();
        assert_eq!(waited.read(&mut [0]).await.unwrap(), 0);
        let took = kept_since.elapsed();
        assert!(took <= LOOK + Duration::from_millis(5), "{took:?}");
        drop(ended);
        sleep(LOOK * 2).await;
        assert!(idle.0.lock().waiting.is_empty());
        sleep(LOOK * 2).await;
        assert!(!idle.0.lock().watched, "nobody looks at nothing");
        let mut again = kept(&idle, Duration::from_secs(1));
        assert_eq!(again.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn no_more_than_the_bound_are_kept() {
        let idle = Arc::<Idle>::default();
        let mut theirs: Vec<_> = (0..=MOST).map(|_| kept(&idle, LONG)).collect();
        assert_eq!(theirs.remove(0).read(&mut [0]).await.unwrap(), 0, "the oldest is closed");
        assert_eq!(idle.0.lock().waiting.len(), MOST);
    }

    /// With a pool that shares a connection with the task that watches it, some are lost here.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn none_is_lost_between_threads() {
        let idle = Arc::<Idle>::default();
        let theirs: Vec<_> = (0..4).map(|_| kept(&idle, LONG)).collect();
        let users: Vec<_> = (0..4)
            .map(|_| {
                let idle = Arc::clone(&idle);
                tokio::spawn(async move {
                    for _ in 0..5000 {
                        let stream = idle.take().expect("as many as there are users");
                        idle.keep(stream, LONG);
                    }
                })
            })
            .collect();
        for user in users {
            user.await.unwrap();
        }
        drop(theirs);
    }
}
