//! A disk that fails, is full, or must not become full.

use crate::support::{
    START, World, accept, all, deliver_due, end, event, folder, run, take, take_one, try_accept,
};
use hookward_inbox::{AcceptError, Disk, EntryState, Limit, Stored, System};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A disk that fails on demand.
pub(crate) struct Faulty {
    pub(crate) is_full: AtomicBool,
    pub(crate) flush_fails: AtomicBool,
    pub(crate) free: AtomicU64,
    /// Files whose flush failed; none of them may be flushed again.
    failed: Mutex<BTreeSet<u64>>,
    /// From this call on everything fails.
    pub(crate) calls_left: AtomicU64,
}

impl Default for Faulty {
    fn default() -> Self {
        Self {
            is_full: AtomicBool::new(false),
            flush_fails: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            failed: Mutex::default(),
            calls_left: AtomicU64::new(u64::MAX),
        }
    }
}

impl Faulty {
    fn count(&self) -> io::Result<()> {
        let left = self.calls_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(io::Error::other("a fault"));
        }
        self.calls_left.store(left - 1, Ordering::SeqCst);
        Ok(())
    }
}

impl Disk for Faulty {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.count()?;
        if self.is_full.load(Ordering::SeqCst) {
            System.append(file, &bytes[..bytes.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        System.append(file, bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.count()?;
        let number = file.metadata()?.ino();
        let mut failed = self.failed.lock().unwrap();
        if self.flush_fails.load(Ordering::SeqCst) {
            failed.insert(number);
            return Err(io::Error::other("the disk is broken"));
        }
        // Cutting off what was never flushed is the one thing that is flushed afterwards.
        System.flush(file)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

fn faulty() -> (World, Arc<Faulty>) {
    let disk = Arc::new(Faulty::default());
    let mut world = World::new();
    world.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
    (world, disk)
}

#[test]
fn a_flush_that_fails_is_told_and_the_event_is_not_there() {
    let (world, disk) = faulty();
    let inbox = world.open();
    accept(&inbox, event("before", &["erp"]));
    disk.flush_fails.store(true, Ordering::SeqCst);
    let refused = try_accept(&inbox, event("lost", &["erp"])).unwrap_err();
    assert!(matches!(refused, AcceptError::Failed(_)), "{refused}");
    assert_eq!(inbox.state("shop", "lost", "erp"), None);
    assert!(try_accept(&inbox, event("lost", &["erp"])).is_err());
    disk.flush_fails.store(false, Ordering::SeqCst);
    accept(&inbox, event("after", &["erp"]));
    // Another file was begun.
    assert!(world.segments().len() >= 2);
    inbox.close();
    drop(inbox);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!((recovery.entries, recovery.torn), (2, None));
    assert_eq!(deliver_due(&inbox, START), ["before", "after"]);
}

#[test]
fn what_nobody_waited_for_is_written_anew_after_a_flush_that_failed() {
    let (world, disk) = faulty();
    let inbox = world.open();
    for id in ["delivered", "failed", "dead"] {
        accept(&inbox, event(id, &["erp"]));
    }
    disk.flush_fails.store(true, Ordering::SeqCst);
    for mut attempt in take(&inbox) {
        let status = match attempt.read().unwrap().id.as_str() {
            "delivered" => 200,
            "failed" => 500,
            _ => 410,
        };
        end(attempt, world.failed(status));
    }
    // It is in force at once.
    assert_eq!(inbox.state("shop", "delivered", "erp"), None);
    assert_eq!(inbox.state("shop", "dead", "erp"), Some(EntryState::Dead));
    assert!(try_accept(&inbox, event("lost", &["erp"])).is_err());
    disk.flush_fails.store(false, Ordering::SeqCst);
    run(inbox.tidy());
    let copy = snapshot(&world);
    let (other, recovery) = world.try_open_in(copy.path()).unwrap();
    assert_eq!((recovery.entries, recovery.interrupted), (2, 0));
    assert_eq!(other.state("shop", "dead", "erp"), Some(EntryState::Dead));
    assert_eq!(other.state("shop", "failed", "erp"), Some(EntryState::Waiting));
    assert_eq!(all(&other), all(&inbox));
}

/// What a crash would leave.
pub(crate) fn snapshot(world: &World) -> tempfile::TempDir {
    let copy = folder();
    for path in world.segments() {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn a_full_disk_refuses_events_and_loses_no_end_of_an_attempt() {
    let (world, disk) = faulty();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    accept(&inbox, event("e2", &["erp"]));
    disk.is_full.store(true, Ordering::SeqCst);
    let refused = try_accept(&inbox, event("e3", &["erp"])).unwrap_err();
    assert!(matches!(refused, AcceptError::Full(Limit::Disk)), "{refused}");
    let mut taken = take(&inbox);
    run(taken[0].begin());
    end(taken.remove(0), world.failed(200));
    end(taken.remove(0), world.failed(500));
    assert_eq!(all(&inbox).len(), 1);
    world.clock.pass(2_000);
    end(take_one(&inbox).1, world.failed(500));
    disk.is_full.store(false, Ordering::SeqCst);
    accept(&inbox, event("e3", &["erp"]));
    inbox.close();
    drop(inbox);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!((recovery.entries, recovery.torn, recovery.interrupted), (2, None, 0));
    let attempts: Vec<u32> = all(&inbox).iter().map(|listed| listed.attempts).collect();
    assert_eq!(attempts, [2, 0]);
}

#[test]
fn max_bytes_is_an_answer_and_there_is_room_again_after_deliveries() {
    let mut world = World::new();
    world.max_bytes = 10_000;
    let inbox = world.open();
    let big =
        |id: &str| hookward_inbox::Accept { body: vec![7; 3_000].into(), ..event(id, &["erp"]) };
    for id in ["e1", "e2", "e3"] {
        accept(&inbox, big(id));
    }
    let refused = try_accept(&inbox, big("e4")).unwrap_err();
    assert!(matches!(refused, AcceptError::Full(Limit::MaxBytes)), "{refused}");
    // A copy of what waits needs no room.
    assert!(matches!(accept(&inbox, big("e1")).targets[..], [Stored::Already(_)]));
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert!(try_accept(&inbox, big("e4")).is_err());
    end(take(&inbox).remove(0), world.failed(200));
    accept(&inbox, big("e4"));
}

#[test]
fn below_min_free_nothing_is_taken_in() {
    let (mut world, disk) = faulty();
    world.min_free = 1_000_000;
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    disk.free.store(1_000_100, Ordering::SeqCst);
    let refused = try_accept(&inbox, event("e2", &["erp"])).unwrap_err();
    assert!(matches!(refused, AcceptError::Full(Limit::MinFree)), "{refused}");
    assert_eq!(deliver_due(&inbox, START), ["e1"]);
}

#[test]
fn whatever_fails_when_what_was_acknowledged_is_there_and_what_was_delivered_is_not() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut world, disk) = faulty();
        world.segment_bytes = 4_000;
        let inbox = world.open();
        let mut waiting = BTreeSet::new();
        for n in 0..60 {
            disk.flush_fails.store(random.u8(..4) == 0, Ordering::SeqCst);
            disk.is_full.store(random.u8(..4) == 0, Ordering::SeqCst);
            let id = format!("e{n}");
            if try_accept(&inbox, event(&id, &["erp"])).is_ok() {
                waiting.insert(id);
            }
            if random.bool() {
                for mut attempt in inbox.take_due(|_| 2) {
                    let id = attempt.read().unwrap().id;
                    let delivered = random.bool();
                    end(attempt, world.failed(if delivered { 200 } else { 404 }));
                    if delivered {
                        waiting.remove(&id);
                    }
                }
            }
            world.clock.pass(random.u64(..3_000));
        }
        disk.flush_fails.store(false, Ordering::SeqCst);
        disk.is_full.store(false, Ordering::SeqCst);
        run(inbox.tidy());
        let before = all(&inbox);
        inbox.close();
        drop(inbox);
        let inbox = world.open();
        let ids: BTreeSet<String> = all(&inbox).into_iter().map(|listed| listed.id).collect();
        assert_eq!(ids, waiting, "seed {seed}");
        let plain = |listed: Vec<hookward_inbox::Listed>| -> Vec<(u64, u32, usize)> {
            listed.into_iter().map(|l| (l.seq, l.attempts, l.tries.len())).collect()
        };
        assert_eq!(plain(all(&inbox)), plain(before), "seed {seed}");
    }
}

#[test]
fn a_start_that_is_cut_off_anywhere_can_be_made_again() {
    for calls in 0..12 {
        let (world, disk) = faulty();
        let inbox = world.open();
        for id in ["e1", "e2", "e3"] {
            accept(&inbox, event(id, &["erp"]));
        }
        let attempt = take(&inbox).remove(0);
        run(attempt.begin());
        inbox.close();
        drop((attempt, inbox));
        // A torn end besides.
        let newest = world.segments().pop().unwrap();
        let mut bytes = std::fs::read(&newest).unwrap();
        bytes.extend_from_slice(&[0; 600]);
        std::fs::write(&newest, bytes).unwrap();
        disk.calls_left.store(calls, Ordering::SeqCst);
        // Whether it fails or works on with what it has, nothing is lost.
        drop(world.try_open());
        disk.calls_left.store(u64::MAX, Ordering::SeqCst);
        let inbox = world.open();
        let waiting: Vec<u32> = all(&inbox).iter().map(|listed| listed.attempts).collect();
        assert_eq!(waiting, [1, 0, 0], "call {calls}");
    }
}
