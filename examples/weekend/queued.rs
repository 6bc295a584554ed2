//! What the sender of a `queued` event waits for.

use crate::elsewhere::Elsewhere;
use crate::send;
use crate::sides::{Receiver, free_port, start};
use crate::times::{Probe, Times};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

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
        let count = u64::from(per_second) * SPAN.as_secs();
        let senders: Vec<_> = (0..)
            .zip(elsewhere.turns(SENDERS, count, SPAN))
            .map(|(sender, turns)| {
                let sending = send(proxy.address, "/queued", sender, turns);
                let is_measured = sender.is_multiple_of(SENDERS / MEASURED);
                let task =
                    if is_measured { tokio::spawn(sending) } else { elsewhere.spawn(sending) };
                (is_measured, task)
            })
            .collect();
        let mut told = Vec::new();
        for (is_measured, sender) in senders {
            let times = sender.await.expect("all are queued");
            if is_measured {
                told.extend(times);
            }
        }
        let probe = probe.stop();
        let end = Instant::now();
        while receiver.count.load(Ordering::Relaxed) - before < count {
            assert!(end.elapsed() < Duration::from_mins(1), "it is stuck");
            sleep(Duration::from_millis(20)).await;
        }
        println!("a queued route, 64 connections, {per_second}/s: {}", Times::of(told));
        println!("  the probe's flushes: {probe}");
    }
}
