//! Operators' queries and changes.

use crate::support::{START, World, accept, deliver_due, end, event, run, seq, take, take_one};
use hookward_inbox::{
    AcceptTarget, DeedKind, EntryState, Filter, Live, Policy, Stored, Tried, TryOutcome,
};
use std::time::Duration;

fn dead(world: &World, inbox: &hookward_inbox::Inbox, id: &str) -> u64 {
    let number = seq(&accept(inbox, event(id, &["erp"])));
    end(take_one(inbox).1, world.failed(410));
    number
}

#[test]
fn a_replay_has_a_budget_of_its_own_and_appends_to_the_history() {
    let mut world = World::new();
    world.policy =
        Policy { refused_after: 2, give_up_after: Duration::from_mins(1), ..Policy::default() };
    let inbox = world.open();
    let number = dead(&world, &inbox, "e1");
    world.clock.pass(3_600_000);
    assert_eq!(run(inbox.replay(vec![number, 999], false, "ana")).unwrap(), 1);
    let (_, mut attempt) = take_one(&inbox);
    let stored = attempt.read().unwrap();
    assert_eq!((stored.seq, stored.sent, stored.replays, stored.as_new), (number, 1, 1, None));
    // The time and the refusals of before count no more.
    end(attempt, world.failed(404));
    let shown = inbox.show(number).unwrap();
    assert_eq!((shown.state, shown.attempts, shown.tries.len()), (EntryState::Waiting, 2, 2));
    let [deed] = &shown.deeds[..] else { panic!("{:?}", shown.deeds) };
    assert_eq!((&deed.what, deed.by.as_str()), (&DeedKind::Replayed, "ana"));
    run(inbox.replay(vec![number], true, "bo")).unwrap();
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    let (_, mut attempt) = take_one(&inbox);
    assert_eq!(attempt.read().unwrap().as_new, Some(2));
    let by: Vec<String> =
        inbox.show(number).unwrap().deeds.into_iter().map(|deed| deed.by).collect();
    assert_eq!(by, ["ana", "bo"], "the history says who it was, also after a restart");
}

#[test]
fn what_is_being_sent_is_not_replayed() {
    let world = World::new();
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    let (_, attempt) = take_one(&inbox);
    assert_eq!(run(inbox.replay(vec![number], false, "ana")).unwrap(), 0);
    assert!(take(&inbox).is_empty());
    end(attempt, world.failed(200));
}

#[test]
fn a_delivered_event_can_be_replayed_while_its_bytes_are_kept() {
    let mut world = World::new();
    world.keep_delivered = Duration::from_hours(1);
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    assert_eq!(deliver_due(&inbox, START), ["e1"]);
    run(inbox.replay(vec![number], false, "ana")).unwrap();
    assert_eq!(deliver_due(&inbox, START), ["e1"]);
    assert_eq!(inbox.show(number).unwrap().attempts, 2);
}

#[test]
fn a_discarded_event_is_remembered_without_its_bytes_for_its_ttl() {
    let world = World::new();
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    accept(&inbox, event("e2", &["erp"]));
    assert_eq!(run(inbox.discard(vec![number], "ana")).unwrap(), 1);
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::Discarded));
    let again = accept(&inbox, event("e1", &["erp"]));
    assert!(matches!(again.targets[..], [Stored::Already(EntryState::Discarded)]));
    assert_eq!(run(inbox.replay(vec![number], false, "ana")).unwrap(), 0);
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::Discarded));
    assert_eq!(deliver_due(&inbox, START), ["e2"]);
    world.clock.pass(30_000);
    run(inbox.tidy());
    assert!(!contains(&world, "body of e1"));
    world.clock.pass(96 * 3_600_000);
    run(inbox.tidy());
    assert_eq!(inbox.state("shop", "e1", "erp"), None);
    inbox.close();
    drop(inbox);
    assert_eq!(world.try_open().unwrap().1.entries, 0);
}

#[test]
fn an_event_that_is_discarded_while_it_is_sent_is_sent_no_more() {
    let world = World::new();
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    let (_, attempt) = take_one(&inbox);
    run(inbox.discard(vec![number], "ana")).unwrap();
    end(attempt, world.failed(500));
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::Discarded));
    world.clock.pass(3_600_000);
    assert!(take(&inbox).is_empty());
}

fn contains(world: &World, text: &str) -> bool {
    world.bytes().windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn an_erased_event_is_on_no_disk_and_does_not_come_back() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp", "crm"]));
    accept(&inbox, event("e2", &["erp"]));
    // One destination had it already; its bytes would have left within a minute.
    for mut attempt in take(&inbox) {
        if attempt.read().unwrap().id == "e1" && attempt.to() == "crm" {
            end(attempt, world.failed(200));
        } else {
            end(attempt, world.failed(500));
        }
    }
    assert!(contains(&world, "body of e1"));
    assert_eq!(run(inbox.erase("shop", "e1")).unwrap(), 1);
    assert!(!contains(&world, "body of e1") && !contains(&world, "head of e1"));
    assert!(contains(&world, "body of e2"));
    inbox.close();
    drop(inbox);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!((recovery.entries, recovery.torn), (1, None));
    // It is absent: it is stored as new.
    accept(&inbox, event("e1", &["erp"]));
    assert_eq!(run(inbox.erase("shop", "no such")).unwrap(), 0);
}

#[test]
fn an_event_that_was_delivered_a_moment_ago_is_erased_too() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    deliver_due(&inbox, START);
    assert!(contains(&world, "body of e1"));
    run(inbox.erase("shop", "e1")).unwrap();
    assert!(!contains(&world, "body of e1"));
}

#[test]
fn nothing_is_sent_to_a_paused_destination_also_after_a_restart() {
    let world = World::new();
    let inbox = world.open();
    run(inbox.pause("erp", None)).unwrap();
    run(inbox.pause("crm", Some(START + 60_000))).unwrap();
    accept(&inbox, event("e1", &["erp", "crm"]));
    assert!(take(&inbox).is_empty());
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert!(inbox.is_paused("erp") && inbox.is_paused("crm"));
    assert!(take(&inbox).is_empty());
    assert_eq!(inbox.next_due(), Some(START + 60_000));
    world.clock.pass(60_000);
    assert_eq!(take_one(&inbox).1.to(), "crm");
    run(inbox.resume("erp")).unwrap();
    assert_eq!(take_one(&inbox).1.to(), "erp");
    inbox.close();
    drop(inbox);
    assert!(!world.open().is_paused("erp"));
}

#[test]
fn paused_time_uses_up_no_budget_also_after_a_restart() {
    let mut world = World::new();
    world.policy = Policy { give_up_after: Duration::from_mins(10), ..Policy::default() };
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    run(inbox.pause("erp", None)).unwrap();
    world.clock.pass(3_600_000);
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    run(inbox.resume("erp")).unwrap();
    end(take_one(&inbox).1, world.failed(500));
    assert_eq!(inbox.show(number).unwrap().state, EntryState::Waiting);
    world.clock.pass(600_000);
    end(take_one(&inbox).1, world.failed(500));
    assert_eq!(inbox.show(number).unwrap().state, EntryState::Dead);
}

#[test]
fn lists_filter_and_go_on_where_they_ended() {
    let world = World::new();
    let inbox = world.open();
    for n in 0..30 {
        accept(&inbox, event(&format!("e{n}"), &["erp", "crm"]));
        world.clock.pass(1_000);
    }
    dead(&world, &World::open(&other()), "unrelated");
    let filter = Filter { to: Some("crm".to_owned()), ..Filter::default() };
    let first = inbox.list(&filter, 20, None);
    let second = inbox.list(&filter, 20, first.next);
    assert_eq!((first.events.len(), second.events.len(), second.next), (20, 10, None));
    assert!(first.events.iter().chain(&second.events).all(|listed| listed.to == "crm"));
    let count = |filter: Filter| {
        assert_eq!(inbox.select(&filter).len(), inbox.list(&filter, 1_000, None).events.len());
        inbox.select(&filter).len()
    };
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(count(Filter { id: id("e7"), ..Filter::default() }), 2);
    assert_eq!(count(Filter { id: id("e7"), to: id("erp"), ..Filter::default() }), 1);
    assert_eq!(count(Filter { source: id("bank"), ..Filter::default() }), 0);
    assert_eq!(count(Filter { kind: id("order.paid"), ..Filter::default() }), 60);
    assert_eq!(count(Filter { kind: id("other"), ..Filter::default() }), 0);
    // `since` is inclusive, `until` is not.
    let (since, until) = (Some(START + 5_000), Some(START + 7_000));
    assert_eq!(count(Filter { since, until, ..Filter::default() }), 4);
    assert_eq!(count(Filter::in_state(EntryState::Ready)), 60);
    assert_eq!(count(Filter::in_state(EntryState::Dead)), 0);
}

fn other() -> World {
    World::new()
}

#[test]
fn counts_tell_what_is_due_and_not_taken_and_who_waits_longest() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    world.clock.pass(4_000);
    let target = AcceptTarget {
        live: Live::Failed(Tried::new(world.clock.now(), TryOutcome::Status(500))),
        ..AcceptTarget::new("erp")
    };
    accept(&inbox, hookward_inbox::Accept { targets: vec![target], ..event("e2", &[]) });
    let erp = || inbox.stats().destinations.into_iter().find(|d| d.to == "erp").unwrap();
    let counts = erp();
    assert_eq!((counts.ready, counts.waiting, counts.in_flight), (1, 1, 0));
    assert_eq!((counts.due_since, counts.oldest_accepted_at), (Some(START), Some(START)));
    let (_, attempt) = take_one(&inbox);
    assert_eq!((erp().ready, erp().in_flight, erp().due_since), (0, 1, None));
    end(attempt, world.failed(200));
    assert_eq!(erp().oldest_accepted_at, Some(START + 4_000));
}
