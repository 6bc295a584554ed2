//! Connections that end while a request is on its way: `docs/decisions/0002-stale-connections.md`.

use super::raw::{Connection, RawUpstream};
use super::{Bench, OK, kernel_counts, pattern};
use crate::upstream::Forwarded;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::Notify;

/// How a destination ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Fin,
    Reset,
}

impl Close {
    fn end(self, connection: Connection) {
        match self {
            Self::Fin => drop(connection),
            Self::Reset => connection.reset(),
        }
    }
}

/// A connection that was closed before the request was written, which the kernel knows and the
/// pool does not. The pool hears of it when its runtime looks at its sockets; this runtime's only
/// thread is blocked while the connection is closed, and then has a busy task to run first.
#[test]
fn a_pooled_connection_that_was_closed_meanwhile_costs_nothing() {
    if !kernel_counts() {
        return;
    }
    for (how, size) in [Close::Fin, Close::Reset].into_iter().flat_map(|h| [(h, 2), (h, 1 << 20)]) {
        let close = Arc::new(Notify::new());
        let (closed, is_closed) = mpsc::channel();
        let elsewhere = tokio::runtime::Runtime::new().unwrap();
        let told = Arc::clone(&close);
        let raw = elsewhere.block_on(RawUpstream::serving(move |mut connection| {
            let (told, closed) = (Arc::clone(&told), closed.clone());
            async move {
                if connection.number > 0 {
                    return connection.answer_all(OK).await;
                }
                connection.request().await;
                connection.say(OK).await;
                told.notified().await;
                how.end(connection);
                closed.send(()).unwrap();
            }
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(1_000_000)
            .enable_all()
            .build()
            .unwrap();
        let settings = raw.settings("erp");
        // As a task, because the outermost future is polled right after the sockets.
        let sending = runtime.spawn(async move {
            let bench = Bench::of(&[settings]);
            assert_eq!(bench.answer("first").await.status, 200);
            // Lets the pool take a first look at the connection it was given.
            tokio::time::sleep(Duration::from_millis(20)).await;
            close.notify_one();
            is_closed.recv().unwrap();
            tokio::spawn(busy(2000));
            assert_eq!(bench.answer(pattern(size)).await.status, 200, "{how:?} {size}");
            assert_eq!(bench.counted("2xx"), 2);
            // The kernel is asked before anything is sent.
            let stale = bench.upstreams.destination_named("erp").stale_connections();
            assert_eq!(stale, 0, "{how:?} {size}");
        });
        runtime.block_on(sending).unwrap();
        assert_eq!(raw.requests().len(), 2, "{how:?} {size}: each request was read once");
        assert_eq!(raw.connections(), 2, "{how:?} {size}");
    }
}

/// Is ready again at once, this many times.
async fn busy(mut turns: usize) {
    std::future::poll_fn(|context| {
        turns -= 1;
        context.waker().wake_by_ref();
        if turns == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_read_on_a_reused_connection_is_never_sent_again() {
    // Written apart, a little longer than a segment of most paths, and than one of this.
    let sizes = [2, 1400, 64 * 1024, 1 << 20];
    for (how, size) in [Close::Fin, Close::Reset].into_iter().flat_map(|h| sizes.map(|s| (h, s))) {
        let raw = RawUpstream::serving(move |mut connection| async move {
            connection.request().await;
            connection.say(OK).await;
            connection.request().await;
            how.end(connection);
        })
        .await;
        let bench = Bench::of(&[raw.settings("erp")]);
        assert_eq!(bench.answer("first").await.status, 200);
        let forwarded = bench.send(pattern(size)).await;
        assert!(
            matches!(forwarded, Forwarded::Broken { sent_whole: true, .. }),
            "{how:?} {size}: {forwarded:?}"
        );
        assert_eq!(raw.requests().len(), 2, "{how:?} {size}");
        assert_eq!(raw.connections(), 1, "{how:?} {size}: nothing was tried again");
    }
}

/// It reached the other kernel and no further: closing with unread bytes resets the connection.
/// When the kernel acknowledged them before that, nobody can tell, and it is not sent again; on a
/// connection that carried some exchanges the kernel takes its time with that.
#[tokio::test]
async fn a_request_that_was_never_read_is_sent_again_unless_it_was_acknowledged() {
    const BEFORE: usize = 20;
    if !kernel_counts() {
        return;
    }
    let mut sent_again = 0;
    for _ in 0..20 {
        let raw = RawUpstream::serving(|mut connection| async move {
            for _ in 0..BEFORE {
                connection.request().await;
                connection.say(OK).await;
            }
            while !connection.has_unread() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let bench = Bench::of(&[raw.settings("erp")]);
        for _ in 0..BEFORE {
            assert_eq!(bench.answer(pattern(300)).await.status, 200);
        }
        match bench.send(pattern(300)).await {
            Forwarded::Answered(_) => {
                assert_eq!((raw.requests().len(), raw.connections()), (BEFORE + 1, 2));
                sent_again += 1;
            }
            Forwarded::Broken { .. } => {
                assert_eq!((raw.requests().len(), raw.connections()), (BEFORE, 1));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(sent_again > 0);
}

#[tokio::test]
async fn a_request_that_was_read_in_part_on_a_reused_connection_is_never_sent_again() {
    for how in [Close::Fin, Close::Reset] {
        let raw = RawUpstream::serving(move |mut connection| async move {
            connection.request().await;
            connection.say(OK).await;
            connection.head().await;
            how.end(connection);
        })
        .await;
        let bench = Bench::of(&[raw.settings("erp")]);
        assert_eq!(bench.answer("first").await.status, 200);
        let forwarded = bench.send(vec![0; 64 << 20]).await;
        assert!(
            matches!(forwarded, Forwarded::Broken { sent_whole: false, .. }),
            "{how:?}: {forwarded:?}"
        );
        assert_eq!(raw.connections(), 1, "{how:?}: nothing was tried again");
    }
}

/// A destination under way to its end says so before it closes; no request may be lost over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_close_right_after_an_answer_never_lose_or_double_a_request() {
    let raw = RawUpstream::serving(|mut connection| async move {
        // One more request may already be on its way when this closes.
        connection.request().await;
        connection.say(OK).await;
    })
    .await;
    let bench = Bench::of(&[raw.settings("erp")]);
    let mut lost = 0;
    for number in 0..500_u32 {
        match bench.send(number.to_string()).await {
            Forwarded::Answered(answer) => assert_eq!(answer.status, 200),
            // The bytes were acknowledged by a kernel whose process had not closed yet: nobody can
            // tell, so it is not sent again.
            Forwarded::Broken { sent_whole: true, .. } => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    let mut bodies: Vec<Vec<u8>> = raw
        .requests()
        .iter()
        .map(|request| request.rsplit(|byte| *byte == b'\n').next().unwrap().to_vec())
        .collect();
    let read = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), read, "no request was read twice");
    assert_eq!(read + lost, 500, "every request that was not answered is told");
    assert!(lost < 50 || !kernel_counts(), "{lost} of 500 could not be told apart");
}
