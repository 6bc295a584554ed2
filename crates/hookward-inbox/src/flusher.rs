//! Threads that flush the newest segment, so that the writer goes on meanwhile.

use crate::clock::instant;
use crate::command::Flushed;
use crate::disk::{Disk, FLUSHES_AT_ONCE};
use crate::shared::Shared;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A flush that takes longer does not hold up what arrived since: the next one begins beside it. On a
/// fast disk that is seldom, and groups stay large.
const ALONE_FOR: Duration = Duration::from_micros(200);

/// A flush to be made.
struct FlushJob {
    number: u64,
    file: Arc<File>,
}

/// A flush that has begun.
#[derive(Debug)]
struct Begun {
    number: u64,
    /// The length of the segment that is durable with it.
    covers: u32,
    has_returned: bool,
}

/// The threads, and what they are at.
pub(crate) struct Flushers {
    jobs: Vec<Sender<FlushJob>>,
    threads: Vec<JoinHandle<()>>,
    idle: Vec<usize>,
    /// In the order in which they began. Those of a segment that was abandoned are forgotten.
    begun: VecDeque<Begun>,
    next: u64,
    last_began: Option<Instant>,
}

impl Flushers {
    pub(crate) fn start(shared: &Arc<Shared>, disk: &Arc<dyn Disk>) -> io::Result<Self> {
        let mut flushers = Self {
            jobs: Vec::new(),
            threads: Vec::new(),
            idle: (0..FLUSHES_AT_ONCE).rev().collect(),
            begun: VecDeque::new(),
            next: 0,
            last_began: None,
        };
        for by in 0..FLUSHES_AT_ONCE {
            let (job, jobs) = channel::<FlushJob>();
            let (shared, disk) = (Arc::clone(shared), Arc::clone(disk));
            let work = move || {
                while let Ok(FlushJob { number, file }) = jobs.recv() {
                    let began = instant();
                    // Whoever waits has to hear of it, whatever happens.
                    let flushing = AssertUnwindSafe(|| disk.flush(&file));
                    let result = catch_unwind(flushing)
                        .unwrap_or_else(|_| Err(io::Error::other("the flush panicked")));
                    drop(file);
                    shared.flushed(Flushed { number, by, result, took: began.elapsed() });
                }
            };
            let thread = std::thread::Builder::new().name("inbox-flush".to_owned()).spawn(work)?;
            flushers.jobs.push(job);
            flushers.threads.push(thread);
        }
        Ok(flushers)
    }

    /// How long until another flush may begin; `None` if one has to end first.
    pub(crate) fn until_next(&self) -> Option<Duration> {
        if self.begun.is_empty() {
            return Some(Duration::ZERO);
        }
        let last = self.last_began.filter(|_| !self.idle.is_empty())?;
        Some(ALONE_FOR.saturating_sub(last.elapsed()))
    }

    /// Begins a flush on one of the handles of a segment, of which there is one for each thread;
    /// whether a thread was idle.
    pub(crate) fn begin(&mut self, handles: &[Arc<File>], covers: u32) -> bool {
        let Some(by) = self.idle.pop() else { return false };
        let number = self.next;
        let job = handles.get(by).map(|file| FlushJob { number, file: Arc::clone(file) });
        let sent = job.zip(self.jobs.get(by)).is_some_and(|(job, to)| to.send(job).is_ok());
        if !sent {
            self.idle.push(by);
            return false;
        }
        self.next += 1;
        self.last_began = Some(instant());
        self.begun.push_back(Begun { number, covers, has_returned: false });
        true
    }

    /// Takes note of one that returned. Gives how much of the segment is durable now, if that
    /// changed: all flushes that began earlier have to have returned as well.
    pub(crate) fn landed(&mut self, flushed: Flushed) -> Option<io::Result<u32>> {
        self.idle.push(flushed.by);
        let own = self.begun.iter_mut().find(|begun| begun.number == flushed.number)?;
        if let Err(error) = flushed.result {
            return Some(Err(error));
        }
        own.has_returned = true;
        let mut durable = None;
        while self.begun.front().is_some_and(|first| first.has_returned) {
            durable = self.begun.pop_front().map(|first| Ok(first.covers));
        }
        durable
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.begun.is_empty()
    }

    /// The segment is not used any more: what the flushes under way bring counts for nothing.
    pub(crate) fn forget(&mut self) {
        self.begun.clear();
    }
}

impl Drop for Flushers {
    fn drop(&mut self) {
        self.jobs.clear();
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}
