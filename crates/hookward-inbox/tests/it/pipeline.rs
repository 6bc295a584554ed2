//! Flushes that overlap: what is answered when, and what is there after one of them failed.

use crate::support::{START, World, accept, all, deliver_due, end, event, take_one, try_accept};
use hookward_inbox::{AcceptError, Accepted, Disk, Inbox, System, Tried, TryOutcome};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A disk whose flushes end when, and as, the test says.
#[derive(Default)]
struct Slow {
    state: Mutex<Flushing>,
    changed: Condvar,
}

#[derive(Default)]
struct Flushing {
    is_slow: bool,
    begun: usize,
    /// By the order in which they began: whether they succeed.
    ends: BTreeMap<usize, bool>,
}

impl Slow {
    fn change(&self, change: impl FnOnce(&mut Flushing)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    /// Waits until this holds.
    #[track_caller]
    fn until(&self, holds: impl Fn(&Flushing) -> bool) -> MutexGuard<'_, Flushing> {
        let state = self.state.lock().unwrap();
        let (state, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| !holds(state)).unwrap();
        assert!(!timeout.timed_out(), "{} flushes began", state.begun);
        state
    }

    #[track_caller]
    fn began(&self, count: usize) {
        drop(self.until(|state| state.begun >= count));
    }

    fn ends(&self, nth: usize, well: bool) {
        self.change(|state| _ = state.ends.insert(nth, well));
    }

    fn is_slow(&self, is_slow: bool) {
        self.change(|state| state.is_slow = is_slow);
    }
}

impl Disk for Slow {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        System.append(file, bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.is_slow {
            let own = state.begun;
            state.begun += 1;
            drop(state);
            self.changed.notify_all();
            state = self.until(|state| state.ends.contains_key(&own));
            if !state.ends[&own] {
                return Err(io::Error::other("the disk is broken"));
            }
        }
        drop(state);
        System.flush(file)
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        System.free(folder)
    }
}

/// An inbox with one event, whose flushes are slow from then on.
fn slow() -> (World, Arc<Slow>, Inbox) {
    let disk = Arc::new(Slow::default());
    let mut world = World::new();
    world.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
    let inbox = world.open();
    accept(&inbox, event("before", &["erp"]));
    disk.is_slow(true);
    (world, disk, inbox)
}

fn accepting(inbox: &Inbox, id: &'static str) -> JoinHandle<Result<Accepted, AcceptError>> {
    let inbox = inbox.clone();
    std::thread::spawn(move || try_accept(&inbox, event(id, &["erp"])))
}

/// What is there after a restart, in order.
fn after_a_restart(world: &World, inbox: Inbox) -> Vec<String> {
    inbox.close();
    drop(inbox);
    deliver_due(&world.open(), START)
}

#[test]
fn an_event_does_not_wait_for_a_flush_that_began_before_it_but_is_answered_after_that() {
    let (world, disk, inbox) = slow();
    let first = accepting(&inbox, "a");
    disk.began(1);
    let second = accepting(&inbox, "b");
    disk.began(2);
    disk.ends(1, true);
    assert_eq!(all(&inbox).len(), 1, "neither is durable");
    assert!(!second.is_finished());
    disk.ends(0, true);
    first.join().unwrap().unwrap();
    second.join().unwrap().unwrap();
    disk.is_slow(false);
    assert_eq!(after_a_restart(&world, inbox), ["before", "a", "b"]);
}

#[test]
fn a_flush_that_fails_refuses_everything_after_it_however_its_own_flush_ends() {
    for (earlier, later) in [(false, true), (true, false)] {
        let (world, disk, inbox) = slow();
        let first = accepting(&inbox, "a");
        disk.began(1);
        let second = accepting(&inbox, "b");
        disk.began(2);
        let third = accepting(&inbox, "c");
        disk.began(3);
        disk.ends(2, true);
        disk.ends(1, later);
        disk.ends(0, earlier);
        let told = [first, second, third].map(|one| one.join().unwrap().is_ok());
        // The error may be heard of before the first flush is.
        assert!(!told[1] && !told[2] && (earlier || !told[0]), "{told:?}");
        disk.is_slow(false);
        accept(&inbox, event("after", &["erp"]));
        assert!(world.segments().len() >= 2, "another file was begun");
        let there: Vec<String> = after_a_restart(&world, inbox);
        let expected: &[&str] =
            if told[0] { &["before", "a", "after"] } else { &["before", "after"] };
        assert_eq!(there, expected);
    }
}

#[test]
fn an_event_that_another_sender_delivers_during_its_flush_is_stored_once() {
    let (world, disk, inbox) = slow();
    let first = accepting(&inbox, "a");
    disk.began(1);
    let copy = accepting(&inbox, "a");
    let other = accepting(&inbox, "b");
    disk.ends(0, true);
    first.join().unwrap().unwrap();
    disk.change(|state| {
        state.ends.extend((1..9).map(|nth| (nth, true)));
    });
    let copy = copy.join().unwrap().unwrap();
    assert!(matches!(copy.targets[..], [hookward_inbox::Stored::Already(_)]), "{copy:?}");
    other.join().unwrap().unwrap();
    disk.is_slow(false);
    assert_eq!(after_a_restart(&world, inbox).len(), 3);
}

/// The end of an attempt is written while a flush is under way that does not cover it. Should a later
/// flush fail, it is written anew.
#[test]
fn an_end_that_is_written_during_a_flush_survives_the_failure_of_the_next_one() {
    for first_ends_well in [true, false] {
        let (world, disk, inbox) = slow();
        let (id, attempt) = take_one(&inbox);
        assert_eq!(id, "before");
        let first = accepting(&inbox, "a");
        disk.began(1);
        // It waits for no flush.
        end(attempt, Tried::new(START, TryOutcome::Status(200)));
        disk.ends(0, first_ends_well);
        assert_eq!(first.join().unwrap().is_ok(), first_ends_well);
        if first_ends_well {
            let second = accepting(&inbox, "b");
            disk.began(2);
            disk.ends(1, false);
            assert!(second.join().unwrap().is_err());
        }
        disk.is_slow(false);
        accept(&inbox, event("after", &["erp"]));
        let expected: &[&str] = if first_ends_well { &["a", "after"] } else { &["after"] };
        assert_eq!(after_a_restart(&world, inbox), expected);
    }
}
