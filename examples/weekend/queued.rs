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
const SPAN: Duration = Duration::from_secs(10);

/// So many of them are measured. They wait for nobody; the others run when nothing else does.
const MEASURED: u64 = 8;

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
            .map(|sender| {
                let sending = send_until(proxy.address, sender, every, end);
                let is_measured = sender.is_multiple_of(SENDERS / MEASURED);
                let task =
                    if is_measured { tokio::spawn(sending) } else { elsewhere.spawn(sending) };
                (is_measured, task)
            })
            .collect();
        let (mut told, mut events) = (Vec::new(), 0);
        for (is_measured, sender) in senders {
            let times = sender.await.expect("all are queued");
            events += u64::try_from(times.len()).expect("a number");
            if is_measured {
                told.extend(times);
            }
        }
        let probe = probe.stop();
        while receiver.count.load(Ordering::Relaxed) - before < events {
            assert!(end.elapsed() < Duration::from_mins(1), "it is stuck");
            sleep(Duration::from_millis(20)).await;
        }
        let made = events as f64 / SPAN.as_secs_f64();
        println!(
            "a queued route, 64 connections, {made:.0} of {per_second}/s: {}",
            Times::of(told)
        );
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
