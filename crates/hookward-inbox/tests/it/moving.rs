//! Events that wait for a destination that is gone are moved to another.

use crate::faults::Faulty;
use crate::support::{
    World, accept, all, deliver_due, end, event, folder, keyed, run, seq, take, take_one,
};
use hookward_inbox::{DeedKind, EntryState, Filter, Inbox, OnDead, Policy};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn everything(inbox: &Inbox) -> Vec<u64> {
    inbox.select(&Filter::default())
}

fn moved(inbox: &Inbox, to: &str) -> usize {
    run(inbox.move_to(everything(inbox), to, "ana")).unwrap()
}

#[test]
fn what_waits_for_a_name_that_vanished_is_delivered_under_another() {
    let mut world = World::new();
    world.destinations = vec!["crm"];
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    let before = inbox.show(number).unwrap();
    world.clock.pass(80 * 3_600_000);
    assert!(take(&inbox).is_empty(), "nobody is called erp");
    assert_eq!(moved(&inbox, "crm"), 1);
    let after = all(&inbox).remove(0);
    assert_eq!((after.to.as_str(), after.state), ("crm", EntryState::Ready));
    assert_eq!((after.id.as_str(), after.accepted_at), ("e1", before.accepted_at));
    assert!(after.seq > number && inbox.show(number).is_none());
    assert_eq!(after.deeds.len(), 1);
    assert_eq!(after.deeds[0].what, DeedKind::Moved { from: "erp".to_owned() });
    assert_eq!((after.deeds[0].by.as_str(), after.deeds[0].at), ("ana", world.clock.now()));
    // It was not tried for longer than `give_up_after`, and has a budget of its own all the same.
    let (_, mut attempt) = take_one(&inbox);
    let stored = attempt.read().unwrap();
    assert_eq!((&*stored.body, &*stored.head), (&b"body of e1"[..], &b"head of e1"[..]));
    assert_eq!(
        (stored.to.as_str(), stored.sent, stored.replays, stored.as_new),
        ("crm", 0, 0, None)
    );
    end(attempt, world.failed(500));
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    let again = all(&inbox).remove(0);
    assert_eq!((again.state, again.attempts, again.deeds.len()), (EntryState::Waiting, 1, 1));
    world.clock.pass(10_000);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["e1"]);
    assert_eq!(inbox.stats().entries, 0);
}

#[test]
fn what_is_sent_dead_or_there_already_stays_where_it_is() {
    let mut world = World::new();
    world.policy = Policy { refused_after: 1, ..Policy::default() };
    let inbox = world.open();
    accept(&inbox, event("dead", &["erp"]));
    end(take_one(&inbox).1, world.failed(404));
    accept(&inbox, event("both", &["erp", "crm"]));
    run(inbox.pause("crm", None)).unwrap();
    let sending = take_one(&inbox).1;
    accept(&inbox, event("waits", &["erp"]));
    assert_eq!(moved(&inbox, "crm"), 1);
    end(sending, world.failed(503));
    assert_eq!(moved(&inbox, "crm"), 0, "crm has it already");
    let mut stands: Vec<(String, String, EntryState)> =
        all(&inbox).into_iter().map(|entry| (entry.id, entry.to, entry.state)).collect();
    stands.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let expected = [
        ("both", "crm", EntryState::Ready),
        ("both", "erp", EntryState::Waiting),
        ("dead", "erp", EntryState::Dead),
        ("waits", "crm", EntryState::Ready),
    ];
    let expected = expected.map(|(id, to, state)| (id.to_owned(), to.to_owned(), state));
    assert_eq!(stands, expected);
    assert_eq!(moved(&inbox, "erp"), 1, "and back; of both the other one is at erp");
}

#[test]
fn two_destinations_of_an_event_that_move_to_the_same_are_one() {
    let mut world = World::new();
    world.destinations = vec!["new"];
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp", "crm"]));
    assert_eq!(moved(&inbox, "new"), 1);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["e1"]);
    assert_eq!(all(&inbox).len(), 1, "the other one waits for somebody to decide");
}

#[test]
fn the_order_of_a_key_is_that_of_the_acceptance_whoever_was_there_before() {
    let world = World::new();
    let inbox = world.open();
    run(inbox.pause("erp", None)).unwrap();
    run(inbox.pause("crm", None)).unwrap();
    for n in 0..6 {
        let to = if n % 2 == 0 { "erp" } else { "crm" };
        let mut event = keyed(&format!("a{n}"), "a", OnDead::Hold);
        event.targets = vec![hookward_inbox::AcceptTarget::new(to)];
        accept(&inbox, event);
    }
    assert_eq!(moved(&inbox, "crm"), 3);
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    run(inbox.resume("crm")).unwrap();
    let expected: Vec<String> = (0..6).map(|n| format!("a{n}")).collect();
    assert_eq!(deliver_due(&inbox, world.clock.now()), expected);
}

#[test]
fn a_revived_event_keeps_its_place_when_it_is_moved() {
    let mut world = World::new();
    world.policy = Policy { refused_after: 1, ..Policy::default() };
    let inbox = world.open();
    for id in ["a1", "a2", "a3"] {
        accept(&inbox, keyed(id, "a", OnDead::Hold));
    }
    end(take_one(&inbox).1, world.failed(404));
    // Its number is now the highest, its place still the first.
    accept(&inbox, keyed("a1", "a", OnDead::Hold));
    assert_eq!(moved(&inbox, "crm"), 3);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["a1", "a2", "a3"]);
}

#[test]
fn a_crash_at_any_byte_leaves_the_event_at_one_of_the_two() {
    let world = World::new();
    let inbox = world.open();
    for id in ["e1", "e2"] {
        accept(&inbox, keyed(id, "a", OnDead::Skip));
    }
    let file = world.segments().pop().unwrap();
    let name = file.file_name().unwrap();
    let before = std::fs::read(&file).unwrap().len();
    assert_eq!(moved(&inbox, "crm"), 2);
    let whole = std::fs::read(&file).unwrap();
    inbox.close();
    let mut at_both = [0, 0];
    for length in before..=whole.len() {
        let copy = folder();
        std::fs::write(copy.path().join(name), &whole[..length]).unwrap();
        let (inbox, _) = world.try_open_in(copy.path()).unwrap();
        let mut found: Vec<(String, String)> =
            all(&inbox).into_iter().map(|entry| (entry.id, entry.to)).collect();
        found.sort();
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["e1", "e2"], "cut at {length}: {found:?}");
        let there = found.iter().filter(|(_, to)| to == "crm").count();
        at_both[0] += usize::from(there == 0);
        at_both[1] += usize::from(there == 2);
        assert_eq!(deliver_due(&inbox, world.clock.now()).len(), 2, "cut at {length}");
    }
    assert!(at_both[0] > 0 && at_both[1] > 0, "{at_both:?}");
}

#[test]
fn a_move_that_the_disk_refuses_leaves_all_as_it_was() {
    let disk = Arc::new(Faulty::default());
    let mut world = World::new();
    world.disk = Some(Arc::clone(&disk) as _);
    let inbox = world.open();
    for id in ["a1", "a2"] {
        accept(&inbox, keyed(id, "a", OnDead::Skip));
    }
    disk.is_full.store(true, Ordering::SeqCst);
    assert!(run(inbox.move_to(everything(&inbox), "crm", "ana")).is_err());
    disk.is_full.store(false, Ordering::SeqCst);
    assert!(all(&inbox).iter().all(|entry| entry.to == "erp"));
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["a1", "a2"]);
}

#[test]
fn what_was_moved_does_not_come_back_when_its_space_is_swept() {
    let mut world = World::new();
    world.segment_bytes = 2_000;
    let mut inbox = world.open();
    run(inbox.pause("crm", None)).unwrap();
    run(inbox.pause("erp", None)).unwrap();
    for n in 0..40 {
        accept(&inbox, event(&format!("e{n}"), &["erp"]));
    }
    assert_eq!(moved(&inbox, "crm"), 40);
    for _ in 0..3 {
        world.clock.pass(30_000);
        run(inbox.tidy());
        inbox.close();
        drop(inbox);
        inbox = world.open();
        assert_eq!(all(&inbox).iter().filter(|entry| entry.to == "crm").count(), 40);
        assert_eq!(all(&inbox).len(), 40);
    }
    run(inbox.resume("crm")).unwrap();
    assert_eq!(deliver_due(&inbox, world.clock.now()).len(), 40);
    world.clock.pass(30_000);
    run(inbox.tidy());
    inbox.close();
    drop(inbox);
    assert_eq!(world.try_open().unwrap().1.entries, 0);
}
