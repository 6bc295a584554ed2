//! Order per key.

use crate::support::{World, accept, deliver_due, end, event, keyed, run, seq, take, take_one};
use hookward_inbox::{
    Accept, AcceptTarget, EntryState, Live, OnDead, Policy, Stored, Tried, TryOutcome,
};

fn strict() -> World {
    let mut world = World::new();
    world.policy = Policy { refused_after: 1, ..Policy::default() };
    world
}

#[test]
fn only_the_head_of_a_key_is_sent_and_other_keys_go_on() {
    let world = World::new();
    let inbox = world.open();
    for (id, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")] {
        accept(&inbox, keyed(id, key, OnDead::Skip));
    }
    accept(&inbox, event("free", &["erp"]));
    let mut taken = take(&inbox);
    let ids: Vec<String> = taken.iter_mut().map(|attempt| attempt.read().unwrap().id).collect();
    assert_eq!(ids, ["a1", "b1", "free"]);
    end(taken.remove(0), world.failed(500));
    end(taken.remove(0), world.failed(200));
    let (id, attempt) = take_one(&inbox);
    assert_eq!(id, "b2");
    end(attempt, world.failed(200));
    world.clock.pass(2_000);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["a1", "a2", "a3"]);
}

#[test]
fn order_is_the_same_after_a_restart() {
    let world = World::new();
    let inbox = world.open();
    for n in 0..9 {
        accept(&inbox, keyed(&format!("a{n}"), "a", OnDead::Hold));
    }
    end(take_one(&inbox).1, world.failed(500));
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert!(take(&inbox).is_empty());
    world.clock.pass(2_000);
    let expected: Vec<String> = (0..9).map(|n| format!("a{n}")).collect();
    assert_eq!(deliver_due(&inbox, world.clock.now()), expected);
}

#[test]
fn behind_a_dead_head_a_key_goes_on_or_waits_as_it_says() {
    let world = strict();
    let inbox = world.open();
    for (id, key, on_dead) in [
        ("s1", "s", OnDead::Skip),
        ("s2", "s", OnDead::Skip),
        ("h1", "h", OnDead::Hold),
        ("h2", "h", OnDead::Hold),
    ] {
        accept(&inbox, keyed(id, key, on_dead));
    }
    for attempt in take(&inbox) {
        end(attempt, world.failed(404));
    }
    let blocked = |inbox: &hookward_inbox::Inbox| {
        inbox.stats().destinations.iter().find(|d| d.to == "erp").unwrap().lanes_blocked
    };
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["s2"]);
    assert_eq!(blocked(&inbox), 1);
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert_eq!((take(&inbox).len(), blocked(&inbox)), (0, 1));
    let head =
        inbox.select(&hookward_inbox::Filter { id: Some("h1".to_owned()), ..Default::default() });
    assert_eq!(run(inbox.discard(head, "ana")).unwrap(), 1);
    assert_eq!(blocked(&inbox), 0);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["h2"]);
}

#[test]
fn a_dead_head_that_is_replayed_or_revived_has_its_old_place() {
    for revive in [false, true] {
        for on_dead in [OnDead::Hold, OnDead::Skip] {
            let world = strict();
            let inbox = world.open();
            let first = seq(&accept(&inbox, keyed("a1", "a", on_dead)));
            accept(&inbox, keyed("a2", "a", on_dead));
            end(take_one(&inbox).1, world.failed(404));
            // Behind a dead one that is skipped the next is due; it is not taken yet.
            if revive {
                accept(&inbox, keyed("a1", "a", on_dead));
            } else {
                run(inbox.replay(vec![first], false, "ana")).unwrap();
            }
            inbox.close();
            drop(inbox);
            let inbox = world.open();
            assert_eq!(
                deliver_due(&inbox, world.clock.now()),
                ["a1", "a2"],
                "{revive} {on_dead:?}"
            );
        }
    }
}

#[test]
fn a_live_attempt_never_overtakes_and_is_never_overtaken() {
    let world = World::new();
    let inbox = world.open();
    let hold = inbox.hold_lane("shop", "erp", "a").unwrap();
    // A copy of the key that comes meanwhile is stored behind the live one.
    assert!(inbox.hold_lane("shop", "erp", "a").is_none());
    assert!(inbox.hold_lane("shop", "erp", "b").is_some());
    assert!(inbox.hold_lane("bank", "erp", "a").is_some());
    accept(&inbox, keyed("a2", "a", OnDead::Skip));
    assert!(take(&inbox).is_empty());
    let target = AcceptTarget {
        live: Live::Failed(Tried::new(world.clock.now(), TryOutcome::Status(500))),
        hold: Some(hold),
        ..AcceptTarget::new("erp")
    };
    accept(&inbox, Accept { targets: vec![target], ..keyed("a1", "a", OnDead::Skip) });
    assert!(take(&inbox).is_empty());
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    world.clock.pass(2_000);
    assert_eq!(deliver_due(&inbox, world.clock.now()), ["a1", "a2"]);
    assert!(!inbox.is_lane_busy("shop", "erp", "a"));
}

#[test]
fn a_live_attempt_that_is_over_lets_the_next_go() {
    let world = World::new();
    let inbox = world.open();
    let hold = inbox.hold_lane("shop", "erp", "a").unwrap();
    accept(&inbox, keyed("a2", "a", OnDead::Skip));
    assert!(take(&inbox).is_empty());
    drop(hold);
    assert_eq!(take_one(&inbox).0, "a2");
}

#[test]
fn a_live_attempt_that_goes_on_is_the_head_of_its_key() {
    let world = World::new();
    let inbox = world.open();
    let hold = inbox.hold_lane("shop", "erp", "a").unwrap();
    accept(&inbox, keyed("a2", "a", OnDead::Skip));
    let target = AcceptTarget {
        live: Live::UnderWay(world.clock.now()),
        hold: Some(hold),
        ..AcceptTarget::new("erp")
    };
    let stored = accept(&inbox, Accept { targets: vec![target], ..keyed("a1", "a", OnDead::Skip) });
    let Some(Stored::UnderWay(attempt)) = stored.targets.into_iter().next() else { panic!() };
    assert!(take(&inbox).is_empty());
    assert_eq!(inbox.state("shop", "a2", "erp"), Some(EntryState::Waiting));
    end(attempt, world.failed(200));
    assert_eq!(take_one(&inbox).0, "a2");
}
