//! From acceptance to delivery, over restarts.

use crate::support::{
    START, World, accept, all, deliver_due, end, event, run, seq, take, take_one,
};
use hookward_inbox::{
    Accept, AcceptTarget, EntryState, Filter, Inbox, Live, Policy, Stored, Tried, TryOutcome,
};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn an_event_is_there_after_a_restart_whole_and_once_for_each_destination() {
    let world = World::new();
    let inbox = world.open();
    let accepted = accept(&inbox, event("e1", &["erp", "crm"]));
    assert!(matches!(
        accepted.targets[..],
        [Stored::Queued { seq: 1, revived: false }, Stored::Queued { seq: 2, revived: false }]
    ));
    inbox.close();
    world.clock.pass(5_000);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!((recovery.entries, recovery.torn, recovery.interrupted), (2, None, 0));
    let mut taken = take(&inbox);
    assert_eq!(taken.len(), 2);
    for attempt in &mut taken {
        let stored = attempt.read().unwrap();
        assert_eq!((stored.source.as_str(), stored.id.as_str()), ("shop", "e1"));
        assert_eq!((stored.kind.as_str(), stored.to.as_str()), ("order.paid", attempt.to()));
        assert_eq!((stored.accepted_at, stored.fingerprint, stored.sent), (START, 7, 0));
        assert_eq!(
            (stored.ttl, stored.keys.as_slice()),
            (Duration::from_hours(96), &[[1; 16], [2; 16]][..])
        );
        assert_eq!((&stored.head[..], &stored.body[..]), (&b"head of e1"[..], &b"body of e1"[..]));
    }
}

#[test]
fn a_copy_of_a_queued_event_is_stored_once() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    let again = accept(&inbox, event("e1", &["erp", "crm"]));
    assert!(matches!(
        again.targets[..],
        [Stored::Already(EntryState::Ready), Stored::Queued { .. }]
    ));
    assert_eq!(all(&inbox).len(), 2);
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::Ready));
    assert_eq!(inbox.find("shop", "e1", "crm").unwrap().fingerprint, 7);
    assert_eq!(inbox.state("shop", "e2", "erp"), None);
    assert_eq!(inbox.state("shop", "e1", "other"), None);
}

#[test]
fn copies_at_the_same_moment_are_stored_once() {
    let world = World::new();
    let inbox = world.open();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let inbox = inbox.clone();
            runtime.spawn(async move { inbox.accept(event("e1", &["erp"])).await.unwrap() })
        })
        .collect();
    let queued = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap())
        .filter(|accepted| matches!(accepted.targets[..], [Stored::Queued { .. }]))
        .count();
    assert_eq!((queued, all(&inbox).len()), (1, 1));
}

#[test]
fn what_was_delivered_is_gone_and_does_not_come_back() {
    let world = World::new();
    let inbox = world.open();
    for n in 0..20 {
        accept(&inbox, event(&format!("e{n}"), &["erp"]));
    }
    assert_eq!(deliver_due(&inbox, world.clock.now()).len(), 20);
    assert_eq!(inbox.state("shop", "e1", "erp"), None);
    let stats = inbox.stats();
    assert_eq!((stats.entries, stats.bytes), (0, 0));
    let erp = stats.destinations.iter().find(|d| d.to == "erp").unwrap();
    assert_eq!((erp.ends.delivered, erp.in_flight, erp.ready), (20, 0, 0));
    inbox.close();
    assert_eq!(world.try_open().unwrap().1.entries, 0);
}

#[test]
fn a_failed_attempt_is_followed_by_another_when_it_is_due_also_after_a_restart() {
    let world = World::new();
    let mut inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    for (n, wait) in [(1, 2_000), (2, 4_000), (3, 8_000)] {
        let (id, attempt) = take_one(&inbox);
        assert_eq!(id, "e1");
        end(attempt, world.failed(500));
        let shown = inbox.show(number).unwrap();
        assert_eq!((shown.state, shown.attempts), (EntryState::Waiting, n));
        assert_eq!(shown.next_attempt_at, Some(world.clock.now() + wait));
        inbox.close();
        inbox = world.open();
        assert_eq!(inbox.show(number).unwrap(), shown);
        world.clock.pass(wait - 1);
        assert!(take(&inbox).is_empty());
        world.clock.pass(1);
    }
    let (_, attempt) = take_one(&inbox);
    end(attempt, world.failed(204));
    assert_eq!(inbox.show(number), None);
}

#[test]
fn an_attempt_that_a_crash_cut_off_is_held_from_its_start_and_counts() {
    let world = World::new();
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    let (_, attempt) = take_one(&inbox);
    run(attempt.begin());
    // The process ends here: nothing says how the attempt did.
    inbox.close();
    drop(attempt);
    drop(inbox);
    world.clock.pass(10_000);
    let (inbox, recovery) = world.try_open().unwrap();
    assert_eq!(recovery.interrupted, 1);
    let shown = inbox.show(number).unwrap();
    assert_eq!((shown.state, shown.attempts), (EntryState::Waiting, 1));
    assert_eq!(shown.next_attempt_at, Some(START + 30_000));
    assert_eq!(shown.tries[0].outcome, TryOutcome::Broken);
    world.clock.pass(19_999);
    assert!(take(&inbox).is_empty());
    world.clock.pass(1);
    let (_, mut attempt) = take_one(&inbox);
    assert_eq!(attempt.read().unwrap().sent, 1);
}

#[test]
fn an_attempt_that_is_dropped_counts_as_uncertain() {
    let world = World::new();
    let inbox = world.open();
    let number = seq(&accept(&inbox, event("e1", &["erp"])));
    // Before it was begun nothing was sent.
    drop(take_one(&inbox));
    assert_eq!(inbox.show(number).unwrap().next_attempt_at, Some(START + 1_000));
    world.clock.pass(1_000);
    let (_, attempt) = take_one(&inbox);
    run(attempt.begin());
    drop(attempt);
    run(inbox.tidy());
    assert_eq!(inbox.show(number).unwrap().attempts, 1);
    assert_eq!(inbox.show(number).unwrap().next_attempt_at, Some(START + 31_000));
}

#[test]
fn a_live_attempt_that_failed_is_the_first_one() {
    let world = World::new();
    let inbox = world.open();
    let live = |id: &str, tried: Tried| {
        let target = AcceptTarget { live: Live::Failed(tried), ..AcceptTarget::new("erp") };
        let stored = accept(&inbox, Accept { targets: vec![target], ..event(id, &[]) });
        inbox.show(seq(&stored)).unwrap()
    };
    let failed = live("e1", world.failed(503));
    assert_eq!((failed.state, failed.attempts), (EntryState::Waiting, 1));
    assert_eq!(failed.next_attempt_at, Some(START + 2_000));
    let uncertain = live("e2", Tried { uncertain: true, ..Tried::new(START, TryOutcome::Timeout) });
    assert_eq!(uncertain.next_attempt_at, Some(START + 30_000));
    assert_eq!(live("e3", world.failed(410)).state, EntryState::Dead);
    let refused = live("e4", Tried::new(START, TryOutcome::Unreachable));
    assert_eq!((refused.attempts, refused.tries.len()), (0, 1));
}

#[test]
fn a_live_attempt_that_goes_on_settles_the_event() {
    let world = World::new();
    let inbox = world.open();
    let under_way = |id: &str| {
        let target = AcceptTarget { live: Live::UnderWay(START - 500), ..AcceptTarget::new("erp") };
        let stored = accept(&inbox, Accept { targets: vec![target], ..event(id, &[]) });
        match stored.targets.into_iter().next().unwrap() {
            Stored::UnderWay(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    };
    let attempt = under_way("e1");
    assert!(take(&inbox).is_empty());
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::InFlight));
    end(attempt, world.failed(200));
    assert_eq!(inbox.state("shop", "e1", "erp"), None);
    let cut_off = under_way("e2");
    inbox.close();
    drop((cut_off, inbox));
    let inbox = world.open();
    assert_eq!(all(&inbox)[0].next_attempt_at, Some(START - 500 + 30_000));
}

#[test]
fn an_event_that_is_given_up_is_dead_kept_and_revived_by_newer_bytes() {
    let mut world = World::new();
    world.policy = Policy { refused_after: 1, ..Policy::default() };
    let inbox = world.open();
    let old = seq(&accept(&inbox, event("e1", &["erp"])));
    end(take_one(&inbox).1, world.failed(422));
    assert_eq!(inbox.state("shop", "e1", "erp"), Some(EntryState::Dead));
    world.clock.pass(1_000);
    let newer = Accept { body: "newer".into(), ..event("e1", &["erp"]) };
    let accepted = accept(&inbox, newer);
    let [Stored::Queued { seq: new, revived: true }] = accepted.targets[..] else {
        panic!("{accepted:?}");
    };
    inbox.close();
    let inbox = world.open();
    assert_eq!(all(&inbox).iter().map(|e| e.seq).collect::<Vec<_>>(), [new]);
    assert!(inbox.show(old).is_none());
    let (_, mut attempt) = take_one(&inbox);
    let stored = attempt.read().unwrap();
    assert_eq!((&stored.body[..], stored.sent), (&b"newer"[..], 0));
}

#[test]
fn the_dead_and_the_delivered_leave_when_their_time_is_over() {
    let mut world = World::new();
    world.policy = Policy { refused_after: 1, ..Policy::default() };
    world.keep_delivered = Duration::from_mins(10);
    let inbox = world.open();
    accept(&inbox, event("dead", &["erp"]));
    accept(&inbox, event("delivered", &["crm"]));
    for attempt in take(&inbox) {
        let status = if attempt.to() == "erp" { 404 } else { 200 };
        end(attempt, world.failed(status));
    }
    assert_eq!(inbox.state("shop", "delivered", "crm"), Some(EntryState::Delivered));
    world.clock.pass(10 * 60_000 + 5_000);
    run(inbox.tidy());
    assert_eq!(inbox.state("shop", "delivered", "crm"), None);
    assert_eq!(inbox.state("shop", "dead", "erp"), Some(EntryState::Dead));
    world.clock.pass(30 * 86_400_000);
    run(inbox.tidy());
    assert_eq!(all(&inbox), []);
}

#[test]
fn a_clock_that_steps_back_stops_nothing() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("waits", &["erp"]));
    end(take_one(&inbox).1, world.failed(500));
    accept(&inbox, event("fresh", &["erp"]));
    // An hour back: nothing may wait an hour longer.
    world.clock.set(START - 3_600_000);
    let _ = take(&inbox);
    world.clock.pass(15 * 60_000);
    let due = inbox.stats().destinations.iter().find(|d| d.to == "erp").unwrap().clone();
    assert_eq!((due.waiting, due.ready + due.in_flight), (0, 2));
    inbox.close();
    drop(inbox);
    world.clock.set(START - 7_200_000);
    let inbox = world.open();
    world.clock.pass(15 * 60_000);
    assert_eq!(take(&inbox).len(), 2);
}

#[test]
fn names_that_are_not_configured_wait_until_they_are() {
    let mut world = World::new();
    world.destinations = vec!["erp"];
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp", "old"]));
    assert_eq!(deliver_due(&inbox, START), ["e1"]);
    let old = inbox.stats().destinations.into_iter().find(|d| d.to == "old").unwrap();
    assert!(!old.is_configured && old.ready == 1);
    let both = [("erp".to_owned(), Policy::default()), ("old".to_owned(), Policy::default())];
    inbox.configure(&both, Some(&["bank".to_owned()]));
    assert!(take(&inbox).is_empty());
    inbox.configure(&both, Some(&["shop".to_owned()]));
    assert_eq!(deliver_due(&inbox, START), ["e1"]);
}

#[test]
fn only_one_process_has_it_and_only_its_owner_reads_it() {
    let world = World::new();
    let inbox = world.open();
    accept(&inbox, event("e1", &["erp"]));
    let refused = world.try_open().unwrap_err();
    assert!(refused.to_string().contains("used by another process"), "{refused}");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert!(world.segments().iter().all(|path| mode(path) == 0o600));
    assert_eq!(mode(&world.folder.path().join("lock")), 0o600);
    let inner = world.folder.path().join("inner");
    drop(world.try_open_in(&inner).unwrap());
    assert_eq!(mode(&inner), 0o700);
    drop(inbox);
    world.open();
}

#[test]
fn a_closed_inbox_says_so() {
    let world = World::new();
    let inbox = world.open();
    inbox.close();
    let refused = run(inbox.accept(event("e1", &["erp"]))).unwrap_err();
    assert_eq!(refused.to_string(), "the inbox is closed");
    assert!(run(inbox.pause("erp", None)).is_err());
}

#[test]
fn an_encrypted_log_shows_nothing_and_reads_with_any_of_its_keys() {
    let mut world = World::new();
    world.keys = vec![[1; 32]];
    let inbox = world.open();
    accept(&inbox, event("secret-id", &["erp"]));
    end(take_one(&inbox).1, world.failed(500));
    inbox.close();
    drop(inbox);
    let bytes = world.bytes();
    for word in ["secret-id", "body of", "head of", "order.paid", "shop"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    world.keys = vec![[2; 32]];
    let refused = world.try_open().unwrap_err();
    assert!(refused.to_string().contains("with a key that is not configured"), "{refused}");
    world.keys = vec![[2; 32], [1; 32]];
    let inbox = world.open();
    world.clock.pass(2_000);
    assert_eq!(take_one(&inbox).0, "secret-id");
}

#[test]
fn an_entry_is_found_by_the_keys_of_its_event_as_long_as_it_is_there() {
    let mut world = World::new();
    world.segment_bytes = 1_000;
    let inbox = world.open();
    let named = |id: &str, key: u8, to: &[&str]| Accept { keys: vec![[key; 16]], ..event(id, to) };
    run(inbox.pause("erp", None)).unwrap();
    accept(&inbox, named("e1", 7, &["erp", "crm"]));
    accept(&inbox, named("e2", 8, &["erp"]));
    let found = |inbox: &Inbox, key: u8, to: &str| {
        inbox.find_by_key(&[key; 16], to).map(|listed| (listed.id, listed.to))
    };
    let e1 = |to: &str| Some(("e1".to_owned(), to.to_owned()));
    assert_eq!((found(&inbox, 7, "erp"), found(&inbox, 7, "crm")), (e1("erp"), e1("crm")));
    assert_eq!((found(&inbox, 8, "crm"), found(&inbox, 9, "erp")), (None, None));
    assert_eq!(deliver_due(&inbox, START), ["e1"], "that for crm");
    assert_eq!(found(&inbox, 7, "crm"), None);
    world.clock.pass(30_000);
    run(inbox.tidy());
    inbox.close();
    drop(inbox);
    let inbox = world.open();
    assert_eq!((found(&inbox, 7, "erp"), found(&inbox, 7, "crm")), (e1("erp"), None));
    let filter = Filter { id: Some("e1".to_owned()), ..Filter::default() };
    assert_eq!(run(inbox.move_to(inbox.select(&filter), "crm", "")).unwrap(), 1);
    assert_eq!((found(&inbox, 7, "erp"), found(&inbox, 7, "crm")), (None, e1("crm")));
}
