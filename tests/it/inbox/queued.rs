//! `delivery = "queued"`: stored first.

use super::{AFTER_CRASH, SOON, at, drained, kept, on};
use crate::support::{Event, Gate, Reply, Sender, Upstream, eventually};
use std::time::Duration;

#[test]
fn an_event_is_durable_then_told_queued_then_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = kept(&erp, folder.path(), "queued", SOON).start();
    let delivery = Event::order("evt-1").signed().with("X-Sent-By", "shop");

    let told = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(told.verdict(), (200, "queued", String::new()));
    assert!(told.body.is_empty(), "{told:?}");
    let seen = erp.saw(1);
    assert_eq!(seen[0].body, delivery.body);
    assert_eq!(seen[0].header("Hookward-Attempt"), "1");
    assert_eq!(seen[0].header("Hookward-Event-Id"), "evt-1");
    assert_eq!(seen[0].header("Idempotency-Key"), "\"shop:evt-1\"");
    assert_eq!(seen[0].header("X-Sent-By"), "shop");
    assert_eq!(seen[0].target, "/webhooks/shop");
    let queued_at = seen[0].header("Hookward-Queued-At");
    assert!(queued_at.ends_with('Z') && queued_at.len() == 24, "{queued_at}");

    let copy = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(copy.verdict(), (200, "duplicate", String::new()), "while it is in flight");
    gate.open();
    drained(&proxy);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate", "afterwards");
    erp.saw(1);
    assert_eq!(proxy.ended("queued", ""), 1);
    let accepted = [("source", "shop"), ("mode", "queued")];
    assert_eq!(proxy.metric("hookward_inbox_accepted_total", &accepted), 1);
    let attempts = [("upstream", "erp"), ("result", "2xx")];
    assert_eq!(proxy.metric("hookward_inbox_attempts_total", &attempts), 1);
    let ended = [("upstream", "erp"), ("end", "delivered")];
    assert_eq!(proxy.metric("hookward_inbox_ended_total", &ended), 1);
}

#[test]
fn what_was_told_queued_arrives_although_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Upstream::unreachable();
    let deliveries: Vec<_> = (0..20).map(|n| Event::order(&format!("evt-{n}")).signed()).collect();
    let mut proxy = at(&format!("http://{nobody}"), folder.path(), "queued", SOON)
        .dedupe("uncertain_hold = \"100ms\"")
        .start();
    for delivery in &deliveries {
        assert_eq!(Sender::to(&proxy).deliver(delivery).outcome(), "queued");
    }
    proxy.crash();

    let erp = Upstream::start();
    // The crash may have come in the middle of an attempt.
    let proxy =
        kept(&erp, folder.path(), "queued", SOON).dedupe("uncertain_hold = \"100ms\"").start();
    assert_eq!(Sender::to(&proxy).deliver(&deliveries[3]).outcome(), "duplicate");
    drained(&proxy);
    let mut bodies: Vec<_> = erp.saw(20).into_iter().map(|seen| seen.body).collect();
    let mut sent: Vec<_> = deliveries.iter().map(|delivery| delivery.body.clone()).collect();
    bodies.sort();
    sent.sort();
    assert_eq!(bodies, sent);
}

#[test]
fn an_attempt_that_a_crash_cut_off_waits_for_uncertain_hold_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Hang);
    let setup = kept(&erp, folder.path(), "queued", SOON).dedupe("uncertain_hold = \"2s\"");
    let mut proxy = setup.start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    erp.saw(1);
    proxy.crash();

    let proxy = setup.start();
    let waiting = [("upstream", "erp"), ("state", AFTER_CRASH)];
    assert_eq!(proxy.metric("hookward_inbox_events", &waiting), 1, "not at once");
    drained(&proxy);
    let seen = erp.saw(2);
    assert_eq!(seen[1].header("Hookward-Attempt"), "2");
    assert_eq!(seen[1].header("Idempotency-Key"), seen[0].header("Idempotency-Key"));
}

#[test]
fn failures_are_tried_again_until_the_receiver_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(500)).next(Reply::Status(429)).next(Reply::Status(302));
    let proxy = kept(&erp, folder.path(), "queued", SOON).start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    drained(&proxy);
    let attempts: Vec<_> =
        erp.saw(4).iter().map(|seen| seen.header("Hookward-Attempt").to_owned()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4"]);
}

#[test]
fn sigterm_ends_what_is_under_way_and_begins_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let setup = kept(&erp, folder.path(), "queued", &format!("max_concurrent = 1\n{SOON}"));
    let mut proxy = setup.start();
    for n in 0..3 {
        let delivery = Event::order(&format!("evt-{n}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    erp.saw(1);
    proxy.signal("TERM");
    eventually("it drains", || proxy.log().contains("stopping"));
    gate.open();
    assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(0));
    erp.saw(1);

    let proxy = setup.start();
    drained(&proxy);
    let seen = erp.saw(3);
    let first: Vec<_> = seen.iter().map(|seen| seen.header("Hookward-Attempt")).collect();
    assert_eq!(first, ["1", "1", "1"]);
}

#[test]
fn copies_at_once_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "queued", SOON).start();
    let copies = vec![Event::order("evt-1").signed(); 16];
    let told = Sender::to(&proxy).deliver_at_once(&copies);
    assert!(told.iter().all(|told| told.status == 200), "{told:?}");
    drained(&proxy);
    erp.saw(1);
    assert_eq!(proxy.metric("hookward_inbox_accepted_total", &[("source", "shop")]), 1);
}

#[test]
fn a_backlog_leaves_places_for_events_that_a_sender_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.otherwise(Reply::after(Duration::from_millis(100), Reply::Status(200)));
    let proxy = on(folder.path())
        .upstream("erp", &erp, &format!("max_concurrent = 4\n{SOON}"))
        .shop_to(&["erp"], "")
        .table(
            "delivery = \"queued\"\n\
             [sources.now]\npath = \"/webhooks/now\"\npreset = \"opentiendas\"\n\
             secrets = [{ env = \"SHOP_SECRET\" }]\n\
             [[sources.now.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .start();
    for n in 0..60 {
        let delivery = Event::order(&format!("evt-{n}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    let before = erp.count();
    for n in 0..3 {
        let mut live = Event::order(&format!("live-{n}")).signed();
        live.target = "/webhooks/now".to_owned();
        assert_eq!(Sender::to(&proxy).deliver(&live).outcome(), "delivered");
    }
    let others = erp.count() - before - 3;
    // Three live events, one after the other, take as long as three rounds of three others.
    assert!(others <= 15, "{others} were sent before the live ones");
    drained(&proxy);
    let ids: std::collections::BTreeSet<_> =
        erp.seen().iter().map(|seen| seen.header("Hookward-Event-Id").to_owned()).collect();
    assert_eq!((ids.len(), erp.count()), (63, 63), "each once");
}
