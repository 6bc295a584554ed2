//! A backlog does not overload a receiver that has just recovered, or flood one that is down.

use crate::support::{World, accept, end, event, run, take};
use hookward_inbox::{Inbox, TryOutcome};
use std::pin::pin;
use std::task::{Context, Waker};

fn backlog(world: &World) -> Inbox {
    let inbox = world.open();
    for n in 0..200 {
        accept(&inbox, event(&format!("e{n}"), &["erp"]));
    }
    accept(&inbox, event("other", &["crm"]));
    inbox
}

/// Three failures in a row, which are an outage.
fn outage(world: &World, inbox: &Inbox) {
    for attempt in inbox.take_due(|to| if to == "erp" { 3 } else { 0 }) {
        end(attempt, world.failed(503));
    }
}

#[test]
fn during_an_outage_one_attempt_is_made_after_each_gap_and_others_go_on() {
    let world = World::new();
    let inbox = backlog(&world);
    outage(&world, &inbox);
    let others = take(&inbox);
    assert_eq!(others.iter().map(hookward_inbox::Attempt::to).collect::<Vec<_>>(), ["crm"]);
    assert_eq!(inbox.next_due(), Some(world.clock.now() + 1_000));
    world.clock.pass(1_000);
    let probe = take(&inbox);
    assert_eq!(probe.len(), 1);
    assert!(take(&inbox).is_empty());
    end(probe.into_iter().next().unwrap(), world.failed(503));
    assert!(take(&inbox).is_empty());
}

#[test]
fn after_an_outage_each_success_doubles_what_is_sent_at_once() {
    let world = World::new();
    let inbox = backlog(&world);
    outage(&world, &inbox);
    world.clock.pass(1_000);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let mut taken = inbox.take_due(|to| if to == "erp" { usize::MAX } else { 0 });
        sizes.push(taken.len());
        end(taken.remove(0), world.failed(200));
        for attempt in taken {
            attempt.give_back(std::time::Duration::ZERO);
        }
    }
    assert_eq!(sizes, [1, 2, 4, 8]);
}

#[test]
fn a_live_success_counts_and_a_refusal_is_no_outage() {
    let world = World::new();
    let inbox = backlog(&world);
    for attempt in inbox.take_due(|to| if to == "erp" { 5 } else { 0 }) {
        end(attempt, world.failed(404));
    }
    let taken = inbox.take_due(|to| if to == "erp" { 5 } else { 0 });
    assert_eq!(taken.len(), 5);
    for attempt in taken {
        end(attempt, world.failed(503));
    }
    assert!(inbox.take_due(|to| if to == "erp" { 5 } else { 0 }).is_empty());
    inbox.learn("erp", TryOutcome::Status(200));
    let taken = inbox.take_due(|to| if to == "erp" { 5 } else { 0 });
    assert_eq!(taken.len(), 2);
    for attempt in taken {
        attempt.give_back(std::time::Duration::ZERO);
    }
}

#[test]
fn room_is_asked_for_only_where_something_is_due() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    let mut asked = Vec::new();
    let taken = inbox.take_due(|to| {
        asked.push(to.to_owned());
        0
    });
    assert!(taken.is_empty());
    assert_eq!(asked, ["erp"]);
    assert_eq!(take(&inbox).len(), 1);
}

#[test]
fn an_event_for_a_destination_that_is_down_wakes_nobody_and_one_for_another_does() {
    let world = World::new();
    let inbox = backlog(&world);
    outage(&world, &inbox);
    for attempt in take(&inbox) {
        end(attempt, world.failed(200));
    }
    // What was changed before has been told once this returns.
    run(inbox.tidy());
    assert_eq!(inbox.next_due(), Some(world.clock.now() + 1_000));
    let mut changed = pin!(inbox.changed());
    let mut is_told = || changed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    for id in ["down1", "down2"] {
        accept(&inbox, event(id, &["erp"]));
        run(inbox.tidy());
    }
    assert!(!is_told(), "it is known until when that one is left alone");
    accept(&inbox, event("up", &["crm"]));
    run(inbox.tidy());
    assert!(is_told());
}
