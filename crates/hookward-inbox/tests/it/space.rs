//! Space is reclaimed, and nothing else is lost.

use crate::faults::{Faulty, snapshot};
use crate::support::{START, World, accept, all, deliver_due, end, event, run, take};
use hookward_inbox::{Disk, Inbox, System};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn contains(world: &World, text: &str) -> bool {
    world.bytes().windows(text.len()).any(|window| window == text.as_bytes())
}

fn ids(inbox: &Inbox) -> Vec<String> {
    all(inbox).into_iter().map(|listed| listed.id).collect()
}

/// Delivers all but the events with these numbers, which fail.
fn deliver_but(world: &World, inbox: &Inbox, kept: &[u32]) {
    for mut attempt in take(inbox) {
        let id = attempt.read().unwrap().id;
        let is_kept = kept.iter().any(|n| id == format!("e{n:03}"));
        end(attempt, world.failed(if is_kept { 404 } else { 200 }));
    }
}

fn filled(world: &World, count: u32) -> Inbox {
    let inbox = world.open();
    for n in 0..count {
        accept(&inbox, event(&format!("e{n:03}"), &["erp"]));
    }
    inbox
}

#[test]
fn delivered_events_leave_the_disk_within_a_minute() {
    let mut world = World::new();
    world.segment_bytes = 10_000;
    let inbox = filled(&world, 100);
    assert_eq!(deliver_due(&inbox, START).len(), 100);
    // The newest file is swept too.
    world.clock.pass(25_000);
    run(inbox.tidy());
    assert!(!contains(&world, "body of"));
    let left: u64 = world.segments().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(left < 1_000, "{left} bytes in {:?}", world.segments());
    assert_eq!(inbox.stats().disk_bytes, left);
}

#[test]
fn stragglers_are_copied_forward_with_all_that_is_known_of_them() {
    let mut world = World::new();
    world.segment_bytes = 4_000;
    let inbox = filled(&world, 100);
    deliver_but(&world, &inbox, &[3, 50, 99]);
    let before = all(&inbox);
    assert_eq!(before.len(), 3);
    for _ in 0..3 {
        world.clock.pass(25_000);
        run(inbox.tidy());
    }
    assert!(world.segments().len() <= 3, "{:?}", world.segments());
    assert!(!contains(&world, "body of e004") && contains(&world, "body of e003"));
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    let known = |listed: &[hookward_inbox::Listed]| -> Vec<_> {
        listed.iter().map(|l| (l.seq, l.id.clone(), l.attempts, l.tries.clone())).collect()
    };
    assert_eq!(known(&all(&inbox)), known(&before));
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["e003", "e050", "e099"]);
}

#[test]
fn a_file_of_which_most_is_needed_stays_and_the_rest_of_it_is_overwritten() {
    let world = World::new();
    let inbox = filled(&world, 20);
    deliver_but(&world, &inbox, &(2..20).collect::<Vec<_>>());
    let file = world.segments().pop().unwrap();
    world.clock.pass(25_000);
    run(inbox.tidy());
    assert!(file.exists());
    assert!(!contains(&world, "body of e000") && !contains(&world, "body of e001"));
    assert!(contains(&world, "body of e002"));
    for _ in 0..2 {
        inbox.close();
        assert_eq!(world.clock.now(), START + 25_000);
    }
    drop(inbox);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!((recovery.entries, recovery.torn), (18, None));
    assert_eq!(deliver_due(&inbox, world.clock.now()).len(), 18);
}

#[test]
fn an_old_file_that_stays_does_not_bring_back_what_ended_in_one_that_went() {
    let mut world = World::new();
    world.segment_bytes = 4_000;
    let inbox = filled(&world, 12);
    // The notes of these ends are in files that are swept again and again.
    for round in 0..6_u32 {
        deliver_but(&world, &inbox, &(round + 1..12).collect::<Vec<_>>());
        for n in 0..20 {
            accept(&inbox, event(&format!("r{round}-{n}"), &["crm"]));
        }
        for attempt in take(&inbox) {
            end(attempt, world.failed(200));
        }
        world.clock.pass(25_000);
        run(inbox.tidy());
        let copy = snapshot(&world);
        let (other, _) = world.try_open_in(copy.path()).unwrap();
        assert_eq!(ids(&other), ids(&inbox), "round {round}");
    }
}

#[test]
fn a_sweep_that_is_cut_off_anywhere_loses_nothing_and_brings_nothing_back() {
    let mut finished = false;
    for calls in 0..200 {
        let disk = Arc::new(Faulty::default());
        let mut world = World::new();
        world.segment_bytes = 2_500;
        world.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
        let inbox = filled(&world, 30);
        deliver_but(&world, &inbox, &[1, 7, 8, 20, 29]);
        run(inbox.tidy());
        let before = ids(&inbox);
        world.clock.pass(25_000);
        disk.calls_left.store(calls, Ordering::SeqCst);
        run(inbox.tidy());
        let was_cut_off = disk.calls_left.load(Ordering::SeqCst) == 0;
        let copy = snapshot(&world);
        disk.calls_left.store(u64::MAX, Ordering::SeqCst);
        // The first start ends it, the second one finds it so.
        for _ in 0..2 {
            let (other, recovery) = world.try_open_in(copy.path()).unwrap();
            assert_eq!((ids(&other), recovery.torn), (before.clone(), None), "call {calls}");
            run(other.tidy());
            world.clock.pass(25_000);
            run(other.tidy());
            assert_eq!(ids(&other), before, "call {calls}");
        }
        // The one that was not killed goes on too.
        run(inbox.tidy());
        world.clock.pass(25_000);
        run(inbox.tidy());
        assert_eq!(ids(&inbox), before);
        if !was_cut_off {
            finished = true;
            break;
        }
    }
    assert!(finished, "no run was long enough");
}

/// Takes what is due while a flush is under way, at the flush with this number.
#[derive(Default)]
struct Taking {
    inbox: Mutex<Option<Inbox>>,
    at: AtomicU64,
    taken: Mutex<Vec<hookward_inbox::Attempt>>,
}

impl Disk for Taking {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        System.append(file, bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        let inbox = self.inbox.lock().unwrap();
        if let Some(inbox) = inbox.as_ref()
            && self.at.fetch_sub(1, Ordering::SeqCst) == 0
        {
            self.taken.lock().unwrap().extend(take(inbox));
        }
        System.flush(file)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

#[test]
fn an_entry_that_is_taken_while_it_is_copied_is_not_taken_again() {
    for at in 0..6 {
        let disk = Arc::new(Taking::default());
        let mut world = World::new();
        world.segment_bytes = 1_000;
        world.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
        let inbox = filled(&world, 10);
        for attempt in inbox.take_due(|_| 8) {
            end(attempt, world.failed(200));
        }
        run(inbox.tidy());
        world.clock.pass(25_000);
        disk.at.store(at, Ordering::SeqCst);
        *disk.inbox.lock().unwrap() = Some(inbox.clone());
        run(inbox.tidy());
        *disk.inbox.lock().unwrap() = None;
        let mut taken = std::mem::take(&mut *disk.taken.lock().unwrap());
        taken.extend(take(&inbox));
        assert_eq!(taken.len(), 2, "flush {at}");
        for attempt in taken {
            end(attempt, world.failed(200));
        }
        assert_eq!(ids(&inbox), Vec::<String>::new());
    }
}
