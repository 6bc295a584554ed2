//! What the inbox costs: an acceptance beside a flush, a healthy `spill` route beside a `sync` one, and a
//! weekend of events against a closed port beside live ones.
//!
//! Starts the binary that it is given, and receivers of its own. Every figure of the disk has that of
//! a probe beside it: a file in the same folder that is written and flushed at the same time.
//!
//! ```console
//! $ make weekend
//! ```
//!
//! A third argument (`accepting`, `healthy`, `queued`, `weekend`) measures only that part.

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool that cannot measure says why and ends"
)]

mod accepting;
mod elsewhere;
#[path = "../measuring/proxy.rs"]
mod proxy;
mod queued;
mod sides;
mod times;

use elsewhere::{Elsewhere, Turns};
use proxy::Connection;
use sides::{Receiver, event, free_port, memory, signed, start};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use times::{Probe, Times};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Senders of the weekend; each has orders of its own, so that what it sends of one comes in order.
const SENDERS: u64 = 40;
/// Of any part; it keeps the ids of their events apart.
const MOST_SENDERS: u64 = 1_000;
const LIVE_PER_SECOND: u64 = 500;
const LIVE_CONNECTIONS: u64 = 20;
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next().expect("the path of the binary");
    let events = arguments.next().map_or(50_000, |text| text.parse().expect("how many events"));
    let only = arguments.next();
    let is_asked = |part: &str| only.as_ref().is_none_or(|only| only == part);
    if is_asked("accepting") {
        accepting::accepting().await;
    }
    if is_asked("healthy") {
        healthy(&binary).await;
    }
    if is_asked("queued") {
        queued::queued(&binary).await;
    }
    if is_asked("weekend") {
        weekend(&binary, events).await;
    }
}

// === a healthy route

async fn healthy(binary: &str) {
    const EVENTS: u64 = 5_000;
    const ROUNDS: usize = 9;
    let receiver = Receiver::start(free_port().await).await;
    let directory = tempfile::tempdir().expect("a directory");
    let proxy = start(binary, directory.path(), receiver.address, receiver.address);
    let numbers = AtomicU64::new(0);
    let cost = async |path: &str| {
        let before = proxy.cpu_time();
        let first = numbers.fetch_add(EVENTS, Ordering::Relaxed);
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let (to, path) = (proxy.address, path.to_owned());
                tokio::spawn(async move {
                    let mut connection = Connection::open(to).await;
                    for number in (first + sender..first + EVENTS).step_by(8) {
                        let status =
                            connection.exchange(&signed(&path, &event(number, 0, 0))).await;
                        assert_eq!(status, 200);
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.expect("all are delivered");
        }
        proxy.cpu_time().saturating_sub(before).as_secs_f64() * 1e6 / EVENTS as f64
    };
    _ = (cost("/live").await, cost("/spill").await);
    let (mut ratios, mut all) = (Vec::new(), [0.0, 0.0]);
    for _ in 0..ROUNDS {
        let (sync, spill) = (cost("/live").await, cost("/spill").await);
        ratios.push(spill / sync);
        all = [all[0] + sync, all[1] + spill];
    }
    ratios.sort_unstable_by(f64::total_cmp);
    println!(
        "a healthy route: sync {:.0} µs, spill {:.0} µs of the processor a delivery; ratio {:.3} over \
         all, {:.3} in the middle of {ROUNDS} rounds",
        all[0] / ROUNDS as f64,
        all[1] / ROUNDS as f64,
        all[1] / all[0],
        ratios[ROUNDS / 2]
    );
}

// === a weekend

async fn weekend(binary: &str, events: u64) {
    let (live, closed) = (Receiver::start(free_port().await).await, free_port().await);
    // Both processors serve the live deliveries first, as if everything else ran on another machine.
    let elsewhere = Elsewhere::new();
    let directory = tempfile::tempdir().expect("a directory");
    let proxy = start(binary, directory.path(), live.address, closed);
    let alone = deliver_live(proxy.address, 0, within()).await;
    println!("live deliveries alone: {}", Times::of(alone));

    let send_all = |path| -> Vec<_> {
        (0..)
            .zip(elsewhere.turns(SENDERS, events, WITHIN))
            .map(|(sender, turns)| elsewhere.spawn(send(proxy.address, path, sender, turns)))
            .collect()
    };
    // What the machine takes for as many events that nobody stores.
    let sending = send_all("/spill");
    let beside = deliver_live(proxy.address, 3, within()).await;
    for sender in sending {
        sender.await.expect("all are delivered");
    }
    println!("live deliveries beside {events} that are delivered at once: {}", Times::of(beside));

    let (probe, start) = (Probe::start(directory.path()), Instant::now());
    let before = memory(&proxy);
    let sending = send_all("/weekend");
    let beside = deliver_live(proxy.address, 1, within()).await;
    let mut told = Vec::new();
    for sender in sending {
        told.extend(sender.await.expect("all are queued"));
    }
    let took = start.elapsed();
    println!("live deliveries beside the weekend: {}", Times::of(beside));
    println!("{events} events queued in {took:.1?}: {}", Times::of(told));
    println!("  the probe's flushes: {}", probe.stop());
    println!("memory: {} MiB before, {} MiB with all of them waiting", before, memory(&proxy));

    let cpu_before = proxy.cpu_time();
    let receiver = elsewhere.spawn(Receiver::start(closed)).await.expect("it listens");
    let (start, seen) = (Instant::now(), Arc::clone(&receiver));
    let draining = tokio::spawn(deliver_live(proxy.address, 2, move || {
        seen.count.load(Ordering::Relaxed) < events
    }));
    let mut highest = 0;
    while receiver.count.load(Ordering::Relaxed) < events {
        highest = highest.max(memory(&proxy));
        assert!(start.elapsed() < Duration::from_mins(5), "it is stuck");
        sleep(Duration::from_millis(20)).await;
    }
    let (took, cpu) = (start.elapsed(), proxy.cpu_time().saturating_sub(cpu_before));
    let draining = draining.await.expect("every delivery is accepted");
    sleep(Duration::from_secs(2)).await;
    println!("live deliveries beside the drain: {}, which takes {took:.1?}", Times::of(draining));
    println!(
        "drained in {took:.1?}, {:.0}/s; {:.0} µs of the processor each, with the live ones; at most {} MiB of \
         memory",
        events as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / events as f64,
        highest.max(memory(&proxy))
    );
    assert_eq!(receiver.count.load(Ordering::Relaxed), events, "each once");
    let seen = receiver.seen.lock().expect("nobody panics");
    let ids: HashSet<(u64, u64)> = seen.iter().copied().collect();
    assert_eq!(ids.len() as u64, events, "and none but once");
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (order, step) in seen.iter() {
        let before = last.insert(*order, *step);
        assert!(before.is_none_or(|before| before < *step), "order {order}");
    }
    println!("each arrived once, in the order of its key");
}

/// Sends an event on each of its turns.
async fn send(to: SocketAddr, path: &str, sender: u64, mut turns: Turns) -> Vec<Duration> {
    let mut connection = Connection::open(to).await;
    let mut times = Vec::new();
    while turns.recv().await.is_some() {
        let nth = times.len() as u64;
        // Five orders a sender.
        let (order, step) = (sender * 5 + nth % 5, nth / 5);
        let bytes = signed(path, &event(sender + MOST_SENDERS * nth, order, step));
        let start = Instant::now();
        assert_eq!(connection.exchange(&bytes).await, 200);
        times.push(start.elapsed());
    }
    times
}

/// For as long as the events of the weekend are sent.
fn within() -> impl Fn() -> bool + Clone {
    let end = Instant::now() + WITHIN;
    move || Instant::now() < end
}

/// Live deliveries at a steady pace.
async fn deliver_live(
    to: SocketAddr,
    phase: u64,
    goes_on: impl Fn() -> bool + Clone + Send + 'static,
) -> Vec<Duration> {
    let tasks: Vec<_> = (0..LIVE_CONNECTIONS)
        .map(|index| {
            let goes_on = goes_on.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(to).await;
                let every = Duration::from_millis(1000 * LIVE_CONNECTIONS / LIVE_PER_SECOND);
                sleep(every * u32::try_from(index).expect("few") / 20).await;
                let mut ticks = interval(every);
                // A stall must not make all of them send at the same moment from then on.
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                let mut times = Vec::new();
                while goes_on() {
                    ticks.tick().await;
                    let number =
                        1_000_000_000 * (phase + 1) + index * 1_000_000 + times.len() as u64;
                    let bytes = signed("/live", &event(number, 0, 0));
                    let start = Instant::now();
                    assert_eq!(connection.exchange(&bytes).await, 200);
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("every delivery is accepted"));
    }
    all
}
