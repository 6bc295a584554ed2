//! What an acceptance costs beside a flush.

use crate::times::{Probe, Times, p99_met};
use hookward_inbox::{Accept, AcceptTarget, Disk, Inbox, Settings, System};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, interval, sleep};

const SENDERS: u64 = 64;
const SPAN: Duration = Duration::from_secs(5);

/// Flushes of an even disk: none is longer than another one.
const EVEN: Duration = Duration::from_micros(500);

/// A disk that notes how long flushes take.
struct Noted {
    even: Option<Duration>,
    flushes: Mutex<Vec<Duration>>,
}

impl Disk for Noted {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        System.append(file, bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        let start = Instant::now();
        match self.even {
            Some(even) => std::thread::sleep(even),
            None => System.flush(file)?,
        }
        self.flushes.lock().expect("nobody panics").push(start.elapsed());
        Ok(())
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        System.free(folder)
    }
}

/// At 64 connections, at 2,000 a second, where no acceptance waits for the machine, and with a disk whose
/// flushes are even.
pub(crate) async fn accepting() {
    for (what, every, even) in [
        ("as fast as it goes", None, None),
        ("16,000/s", Some(4_u64), None),
        ("2,000/s", Some(32), None),
        ("2,000/s, each flush 0.5 ms", Some(32), Some(EVEN)),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(Noted { even, flushes: Mutex::default() });
        let settings =
            Settings { min_free: 0, disk: Arc::clone(&disk) as _, ..Settings::default() };
        let (inbox, _) =
            Inbox::open(&folder.path().join("inbox"), settings, now).expect("an inbox");
        let probe = Probe::start(folder.path());
        let (start, end) = (Instant::now(), Instant::now() + SPAN);
        let tasks: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(accept_until(inbox.clone(), sender, every, end)))
            .collect();
        let mut accepted = Vec::new();
        for task in tasks {
            accepted.extend(task.await.expect("all are taken"));
        }
        let (took, probe) = (start.elapsed(), probe.stop());
        let flushes = std::mem::take(&mut *disk.flushes.lock().expect("nobody panics"));
        let (met, flushes) = (p99_met(flushes.clone()), Times::of(flushes));
        println!("accepting, 64 at once, {what}:");
        println!("  {:.0} events/s", accepted.len() as f64 / took.as_secs_f64());
        println!("  acceptances: {}", Times::of(accepted));
        println!("  its flushes: {flushes}; of those that an event arrives in, p99 {met:.2?}");
        println!("  the probe's: {probe}");
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// How long each acceptance takes.
async fn accept_until(
    inbox: Inbox,
    sender: u64,
    every: Option<u64>,
    end: Instant,
) -> Vec<Duration> {
    sleep(Duration::from_micros(500 * sender)).await;
    // Made after that pause: the ticks of all senders would fall on the same moment otherwise.
    let mut ticks = every.map(|every| interval(Duration::from_millis(every)));
    let (mut times, mut number) = (Vec::new(), 0_u64);
    while Instant::now() < end {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        number += 1;
        let event = Accept {
            source: "shop".to_owned(),
            id: format!("{sender}-{number}"),
            kind: "order.paid".to_owned(),
            ttl: Duration::from_hours(96),
            head: vec![b'h'; 200].into(),
            body: vec![b'b'; 1000].into(),
            targets: vec![AcceptTarget::new("erp")],
            ..Accept::default()
        };
        let start = Instant::now();
        drop(inbox.accept(event).await.expect("room"));
        times.push(start.elapsed());
    }
    times
}
