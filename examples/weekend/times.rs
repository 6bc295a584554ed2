//! How long things take, and a probe of the disk.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long something took, again and again.
pub(crate) struct Times {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let count = times.len();
        let at = |percent: usize| times[(count * percent / 100).min(count - 1)];
        Self { count, p50: at(50), p99: at(99), max: at(100) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, max } = self;
        write!(f, "{count}, p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}")
    }
}

/// The longest in a hundred of those that a moment falls into: a long one is met more often.
pub(crate) fn p99_met(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let mut left = times.iter().sum::<Duration>() / 100;
    while let Some(longest) = times.pop() {
        let Some(rest) = left.checked_sub(longest) else { return longest };
        left = rest;
    }
    Duration::ZERO
}

/// Writes and flushes what an event takes, on and on.
pub(crate) struct Probe(Arc<AtomicBool>, std::thread::JoinHandle<Vec<Duration>>);

impl Probe {
    pub(crate) fn start(folder: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut file = std::fs::File::create(folder.join("probe")).expect("a file");
        let until = Arc::clone(&stop);
        let flushing = std::thread::spawn(move || {
            let mut times = Vec::new();
            while !until.load(Ordering::Relaxed) {
                file.write_all(&[7; 1200]).expect("room");
                let start = std::time::Instant::now();
                file.sync_data().expect("a disk");
                times.push(start.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            times
        });
        Self(stop, flushing)
    }

    pub(crate) fn stop(self) -> Times {
        self.0.store(true, Ordering::Relaxed);
        Times::of(self.1.join().expect("it measured"))
    }
}
