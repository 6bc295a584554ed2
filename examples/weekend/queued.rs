//! What the sender of a `queued` event waits for.

use crate::elsewhere::Elsewhere;
use crate::proxy::Connection;
use crate::sides::{Receiver, event, free_port, signed, start};
use crate::times::{Probe, Times};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};

const SENDERS: u64 = 64;
const SPAN: Duration = Duration::from_secs(5);

/// At 64 connections, while what was accepted is delivered.
pub(crate) async fn queued(binary: &str) {
    let elsewhere = Elsewhere::new();
    let port = free_port().await;
    let receiver = elsewhere.spawn(Receiver::start(port)).await.expect("it listens");
    for per_second in [1_000_u32, 5_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = start(binary, directory.path(), port, port);
        let probe = Probe::start(directory.path());
        let before = receiver.count.load(Ordering::Relaxed);
        let end = Instant::now() + SPAN;
        let every = Duration::from_secs(SENDERS) / per_second;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(send_until(proxy.address, sender, every, end)))
            .collect();
        let mut told = Vec::new();
        for sender in senders {
            told.extend(sender.await.expect("all are queued"));
        }
        let probe = probe.stop();
        let events = u64::try_from(told.len()).expect("a number");
        while receiver.count.load(Ordering::Relaxed) - before < events {
            assert!(end.elapsed() < Duration::from_mins(1), "it is stuck");
            sleep(Duration::from_millis(20)).await;
        }
        println!("a queued route, 64 connections, {per_second}/s: {}", Times::of(told));
        println!("  the probe's flushes: {probe}");
    }
}

/// How long each answer takes.
async fn send_until(to: SocketAddr, sender: u64, every: Duration, end: Instant) -> Vec<Duration> {
    let mut connection = Connection::open(to).await;
    sleep(every * u32::try_from(sender).expect("few") / u32::try_from(SENDERS).expect("few")).await;
    let (mut ticks, mut times) = (interval(every), Vec::new());
    while Instant::now() < end {
        ticks.tick().await;
        let number = sender * 1_000_000 + u64::try_from(times.len()).expect("a number");
        let bytes = signed("/queued", &event(number, number, 0));
        let start = Instant::now();
        assert_eq!(connection.exchange(&bytes).await, 200);
        times.push(start.elapsed());
    }
    times
}
