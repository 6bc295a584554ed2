//! `order_key`: events with the same key arrive in the order of their acceptance.

use super::{ROOM_FOR_ONE, SOON, at, drained, on, order};
use crate::support::{Gate, Reply, Sender, Setup, Upstream, eventually};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn ordered(
    erp: &Upstream,
    folder: &Path,
    delivery: &str,
    keys: &str,
    more: &str,
) -> Setup {
    at(&erp.url(), folder, delivery, keys).table("order_key = \"json:/order\"").table(more)
}

/// Of each order the steps as they arrived, repeats apart.
pub(super) fn steps(erp: &Upstream) -> BTreeMap<String, Vec<u64>> {
    let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seen in erp.seen() {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let (order, step) = (body["order"].to_string(), body["step"].as_u64().unwrap());
        let known = steps.entry(order).or_default();
        if known.last() != Some(&step) {
            known.push(step);
        }
    }
    steps
}

#[test]
fn a_key_keeps_its_order_through_failures_and_others_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    for _ in 0..10 {
        erp.next(Reply::Status(500)).next(Reply::Status(200)).next(Reply::Status(404));
    }
    for delivery in ["spill", "queued"] {
        let folder = folder.path().join(delivery);
        std::fs::create_dir(&folder).unwrap();
        let proxy = ordered(&erp, &folder, delivery, SOON, "").start();
        for step in 0..10 {
            for number in 0..4 {
                let event = order(&format!("{delivery}-{number}-{step}"), number, step);
                let told = Sender::to(&proxy).deliver(&event);
                assert!(["queued", "delivered"].contains(&told.outcome()), "{told:?}");
            }
        }
        drained(&proxy);
    }
    let expected: Vec<u64> = (0..10).chain(0..10).collect();
    for (order, steps) in steps(&erp) {
        assert_eq!(steps, expected, "of order {order}");
    }
}

#[test]
fn spill_does_not_overtake_a_live_attempt_of_its_key() {
    for (status, outcome) in [(500, "queued"), (200, "delivered")] {
        let folder = tempfile::tempdir().unwrap();
        let erp = Upstream::start();
        let gate = Gate::default();
        erp.next(Reply::behind(&gate, Reply::Status(status)));
        let proxy = ordered(&erp, folder.path(), "spill", SOON, "").start();
        let first = Sender::to(&proxy).start(&order("a", 1, 0));
        erp.saw(1);
        let second = Sender::to(&proxy).deliver(&order("b", 1, 1));
        assert_eq!(second.outcome(), "queued", "it waits behind the first");
        let other = Sender::to(&proxy).deliver(&order("c", 2, 0));
        assert_eq!(other.outcome(), "delivered", "another key");
        gate.open();
        assert_eq!(first.join().unwrap().outcome(), outcome);
        drained(&proxy);
        assert_eq!(steps(&erp)["1"], [0, 1]);
    }
}

#[test]
fn behind_a_dead_event_a_key_goes_on_or_waits() {
    for (on_dead, waits) in [("skip", false), ("hold", true)] {
        let folder = tempfile::tempdir().unwrap();
        let erp = Upstream::start();
        erp.next(Reply::Status(410));
        let more = format!("on_dead = \"{on_dead}\"");
        let proxy = ordered(&erp, folder.path(), "spill", SOON, &more).start();
        assert_eq!(Sender::to(&proxy).deliver(&order("a", 1, 0)).outcome(), "queued");
        let dead = [("upstream", "erp"), ("state", "dead")];
        eventually("it is dead", || proxy.metric("hookward_inbox_events", &dead) == 1);
        let told = Sender::to(&proxy).deliver(&order("b", 1, 1));
        assert_eq!(told.outcome(), if waits { "queued" } else { "delivered" }, "{on_dead}");
        let blocked = proxy.metric("hookward_inbox_lanes_blocked", &[("upstream", "erp")]);
        assert_eq!(blocked, i64::from(waits));
        if waits {
            erp.saw(1);
            // A new delivery of the dead one takes its place.
            assert_eq!(Sender::to(&proxy).deliver(&order("a", 1, 0)).outcome(), "queued");
            drained(&proxy);
            assert_eq!(steps(&erp)["1"], [0, 1]);
        }
    }
}

#[test]
fn a_full_inbox_refuses_only_an_event_whose_key_still_waits() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(500));
    let proxy = on(folder.path())
        .table(&format!("max_bytes = \"{ROOM_FOR_ONE}\""))
        .upstream("erp", &erp, "retry = { first = \"24h\", longest = \"24h\" }")
        .shop_to(&["erp"], "")
        .table("delivery = \"spill\"\norder_key = \"json:/order\"")
        .start();
    assert_eq!(Sender::to(&proxy).deliver(&order("a", 1, 0)).outcome(), "queued");
    let behind = Sender::to(&proxy).deliver(&order("b", 1, 1));
    assert_eq!(behind.verdict(), (503, "held", "inbox_full".to_owned()));
    assert!(behind.header("Retry-After").is_some());
    assert_eq!(Sender::to(&proxy).deliver(&order("c", 2, 0)).outcome(), "delivered");
    assert_eq!(proxy.ended("held", "inbox_full"), 1);
}
