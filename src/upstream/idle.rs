//! Connections to one address that wait for their next request.
//!
//! Pingora's pool closes good connections where several threads serve: the task that watches one lets
//! go of its lock a moment before it lets go of the connection, and whoever takes it in between finds
//! it shared and drops it. Here the task that watches a connection owns it, and hands it over.

use parking_lot::Mutex;
use pingora::protocols::Stream;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Connections that are kept to one address; beyond it the oldest is closed.
const MOST: usize = 128;

/// Asks the task that owns a connection to send it there.
type Ask = oneshot::Sender<oneshot::Sender<Stream>>;

/// The idle connections of an address, the one that was used last at the back.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<VecDeque<Ask>>);

/// The idle connections of all addresses, so that those of an upstream that is configured anew serve on.
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
    pub(super) fn keep(&self, stream: Stream, for_at_most: Duration) {
        let (ask, asked) = oneshot::channel();
        tokio::spawn(watch(stream, for_at_most, asked));
        let mut kept = self.0.lock();
        kept.retain(|ask| !ask.is_closed());
        if kept.len() >= MOST {
            // Its task ends with what could ask for it.
            kept.pop_front();
        }
        kept.push_back(ask);
    }

    /// The connection that was used last, which is the least likely to be about to end.
    pub(super) async fn take(&self) -> Option<Stream> {
        loop {
            let ask = self.0.lock().pop_back()?;
            let (give, given) = oneshot::channel();
            if ask.send(give).is_ok()
                && let Ok(stream) = given.await
            {
                return Some(stream);
            }
        }
    }
}

/// Owns an idle connection until it is asked for. Ends it when its time is up or anything comes: the
/// end, or an answer to nothing.
async fn watch(
    mut stream: Stream,
    for_at_most: Duration,
    asked: oneshot::Receiver<oneshot::Sender<Stream>>,
) {
    let mut byte = [0; 1];
    let asked = tokio::select! {
        biased;
        asked = asked => asked,
        _ = stream.read(&mut byte) => return,
        () = sleep(for_at_most) => return,
    };
    let Ok(give) = asked else { return };
    // One last look, as the question may have come together with the end.
    let nothing_came = {
        let read = pin!(stream.read(&mut byte));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    };
    if nothing_came {
        // Whoever asked may have given up; then the connection is closed.
        drop(give.send(stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    const LONG: Duration = Duration::from_mins(1);

    fn kept(idle: &Idle, for_at_most: Duration) -> DuplexStream {
        let (ours, theirs) = duplex(16);
        idle.keep(Box::new(ours), for_at_most);
        theirs
    }

    #[tokio::test]
    async fn the_one_that_was_used_last_is_taken_first_and_each_once() {
        let idle = Idle::default();
        let (mut first, mut last) = (kept(&idle, LONG), kept(&idle, LONG));
        for theirs in [&mut last, &mut first] {
            idle.take().await.unwrap().write_all(b"x").await.unwrap();
            assert_eq!(theirs.read_u8().await.unwrap(), b'x');
        }
        assert!(idle.take().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_ended_spoken_or_waited_too_long_is_not_given() {
        let idle = Idle::default();
        drop(kept(&idle, LONG));
        let mut spoken = kept(&idle, LONG);
        spoken.write_all(b"HTTP/1.1 408").await.unwrap();
        let waited = kept(&idle, Duration::from_secs(1));
        sleep(Duration::from_secs(2)).await;
        assert!(idle.take().await.is_none());
        drop(waited);
    }

    #[tokio::test]
    async fn no_more_than_the_bound_are_kept() {
        let idle = Idle::default();
        let mut theirs: Vec<_> = (0..=MOST).map(|_| kept(&idle, LONG)).collect();
        assert_eq!(theirs.remove(0).read(&mut [0]).await.unwrap(), 0, "the oldest is closed");
        assert_eq!(idle.0.lock().len(), MOST);
    }

    /// With a pool that shares a connection with the task that watches it, some are lost here.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn none_is_lost_between_threads() {
        let idle = Arc::new(Idle::default());
        let theirs: Vec<_> = (0..4).map(|_| kept(&idle, LONG)).collect();
        let users: Vec<_> = (0..4)
            .map(|_| {
                let idle = Arc::clone(&idle);
                tokio::spawn(async move {
                    for _ in 0..5000 {
                        let stream = idle.take().await.expect("as many as there are users");
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
