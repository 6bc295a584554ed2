//! An inbox in its own folder, with a manual clock.

use hookward_inbox::{
    Accept, AcceptError, AcceptTarget, Accepted, Attempt, Disk, Filter, Inbox, Listed, OnDead,
    OpenError, Policy, Recovery, Settings, Stored, Tried, TryOutcome,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const START: u64 = 1_700_000_000_000;

#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

/// A folder in memory where there is such a place: these tests flush tens of thousands of times.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A folder and what is set for the inbox in it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: Clock,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) policy: Policy,
    pub(crate) max_bytes: u64,
    pub(crate) min_free: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) keep_delivered: Duration,
    pub(crate) keys: Vec<[u8; 32]>,
    pub(crate) destinations: Vec<&'static str>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: folder(),
            clock: Clock(Arc::new(AtomicU64::new(START))),
            disk: None,
            policy: Policy::default(),
            max_bytes: 1 << 30,
            min_free: 0,
            segment_bytes: 64 << 20,
            keep_delivered: Duration::ZERO,
            keys: Vec::new(),
            destinations: vec!["erp", "crm"],
        }
    }

    pub(crate) fn try_open(&self) -> Result<(Inbox, Recovery), OpenError> {
        self.try_open_in(self.folder.path())
    }

    pub(crate) fn try_open_in(&self, folder: &Path) -> Result<(Inbox, Recovery), OpenError> {
        let mut settings = Settings {
            max_bytes: self.max_bytes,
            min_free: self.min_free,
            segment_bytes: self.segment_bytes,
            keep_delivered: self.keep_delivered,
            keys: hookward_inbox::CipherKeys::new(&self.keys),
            destinations: self
                .destinations
                .iter()
                .map(|name| ((*name).to_owned(), self.policy.clone()))
                .collect(),
            random: Box::new(|most| most),
            ..Settings::default()
        };
        if let Some(disk) = &self.disk {
            settings.disk = Arc::clone(disk);
        }
        let clock = self.clock.clone();
        Inbox::open(folder, settings, move || clock.now())
    }

    pub(crate) fn open(&self) -> Inbox {
        self.try_open().unwrap().0
    }

    /// All files of the log, one after the other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.segments().iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
    }

    pub(crate) fn segments(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        paths.sort();
        paths
    }

    pub(crate) fn failed(&self, status: u16) -> Tried {
        Tried::new(self.clock.now(), TryOutcome::Status(status))
    }
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn event(id: &str, to: &[&str]) -> Accept {
    Accept {
        source: "shop".to_owned(),
        id: id.to_owned(),
        kind: "order.paid".to_owned(),
        fingerprint: 7,
        ttl: Duration::from_hours(96),
        keys: vec![[1; 16], [2; 16]],
        head: format!("head of {id}").into(),
        body: format!("body of {id}").into(),
        targets: to.iter().map(|to| AcceptTarget::new(*to)).collect(),
        ..Accept::default()
    }
}

pub(crate) fn keyed(id: &str, key: &str, on_dead: OnDead) -> Accept {
    Accept { order_key: Some(key.to_owned()), on_dead, ..event(id, &["erp"]) }
}

pub(crate) fn accept(inbox: &Inbox, event: Accept) -> Accepted {
    run(inbox.accept(event)).unwrap()
}

pub(crate) fn try_accept(inbox: &Inbox, event: Accept) -> Result<Accepted, AcceptError> {
    run(inbox.accept(event))
}

/// The number of the only target.
pub(crate) fn seq(accepted: &Accepted) -> u64 {
    match accepted.targets.as_slice() {
        [Stored::Queued { seq, .. }] => *seq,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn take(inbox: &Inbox) -> Vec<Attempt> {
    inbox.take_due(|_| usize::MAX)
}

/// Takes the only entry that is due, and gives its id too.
#[track_caller]
pub(crate) fn take_one(inbox: &Inbox) -> (String, Attempt) {
    let mut taken = take(inbox);
    assert_eq!(taken.len(), 1, "due: {taken:?}");
    let mut attempt = taken.remove(0);
    let id = attempt.read().unwrap().id;
    (id, attempt)
}

pub(crate) fn end(attempt: Attempt, tried: Tried) {
    run(attempt.end(tried));
}

pub(crate) fn all(inbox: &Inbox) -> Vec<Listed> {
    inbox.list(&Filter::default(), usize::MAX, None).events
}

/// Delivers all that is due now, and gives the ids in order.
pub(crate) fn deliver_due(inbox: &Inbox, now: u64) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let taken = take(inbox);
        if taken.is_empty() {
            return ids;
        }
        for mut attempt in taken {
            ids.push(attempt.read().unwrap().id);
            end(attempt, Tried::new(now, TryOutcome::Status(200)));
        }
    }
}
