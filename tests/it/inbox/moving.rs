//! Events that wait for an upstream that was renamed are moved to the other name.

use super::{drained, on, order};
use crate::inbox::guard::{guarded, push};
use crate::support::{
    Proxy, Reply, SHOP_SECRET, Sender, Setup, Upstream, eventually, get, hookward, printed, stdout,
};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

const LATER: &str = "retry = { first = \"24h\", longest = \"24h\" }";

fn to(name: &str, erp: &Upstream, folder: &Path) -> Setup {
    on(folder)
        .dedupe("uncertain_hold = \"100ms\"")
        .upstream(name, erp, LATER)
        .shop_to(&[name], "")
        .table("delivery = \"queued\"\norder_key = \"json:/order\"")
}

fn events(proxy: &Proxy, query: &str) -> Vec<Value> {
    let listed = get(proxy.admin, &format!("/inbox?{query}")).text();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed["events"].as_array().unwrap().clone()
}

/// Moves what waits for `erp` to another upstream: how many fit, and how many of them move.
#[track_caller]
fn moves_from_erp(proxy: &Proxy, setup: &Setup, to: &str, matched: usize, changed: usize) {
    let expect = matched.to_string();
    let moved = asked(proxy, setup, &["inbox", "move", "erp", to, "--expect", &expect]);
    let told = format!("{matched} matched, {changed} changed\n");
    assert_eq!(stdout(&moved), told, "{}", printed(&moved));
}

/// Runs a command against a proxy, by a file that names its admin listener.
pub(super) fn asked(proxy: &Proxy, setup: &Setup, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    let toml = setup.clone().admin(&format!("listen = \"{}\"", proxy.admin)).toml();
    std::fs::write(&file, toml).unwrap();
    let mut command = hookward();
    command.args(arguments).arg("--config").arg(&file).env("SHOP_SECRET", SHOP_SECRET);
    command.output().unwrap()
}

#[test]
fn what_waits_under_a_dropped_name_is_moved_in_order_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.otherwise(Reply::Status(503));
    let before = to("erp", &erp, folder.path());
    let mut proxy = before.start();
    for step in 0..6 {
        let delivery = order(&format!("evt-{step}"), 7, step);
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    eventually("the first was tried", || {
        let first = &events(&proxy, "")[0];
        first["attempts"] == 1 && first["state"] == "waiting"
    });
    proxy.crash();
    let seen_before = erp.seen().len();
    erp.otherwise(Reply::Status(200));

    let after = to("billing", &erp, folder.path());
    let proxy = after.start();
    assert_eq!(events(&proxy, "to=erp").len(), 6);
    let run = |arguments: &[&str]| asked(&proxy, &after, arguments);
    let dry = run(&["inbox", "move", "erp", "billing", "--dry-run"]);
    assert_eq!(stdout(&dry), "6 would be changed\n", "{}", printed(&dry));
    let wrong = run(&["inbox", "move", "erp", "billing", "--expect", "5"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", printed(&wrong));
    let unknown = run(&["inbox", "move", "erp", "biling", "--expect", "6"]);
    assert!(printed(&unknown).contains("no upstream called biling"), "{}", printed(&unknown));
    assert_ne!(unknown.status.code(), Some(0));
    assert_eq!(events(&proxy, "to=erp").len(), 6, "nothing was moved");
    let moved = run(&["inbox", "move", "erp", "billing", "--expect", "6", "--reason", "renamed"]);
    assert_eq!(stdout(&moved), "6 matched, 6 changed\n", "{}", printed(&moved));
    drained(&proxy);
    let seen = erp.saw(seen_before + 6);
    for (step, request) in seen[seen_before..].iter().enumerate() {
        assert_eq!(request.header("Hookward-Event-Id"), format!("evt-{step}"), "in order");
        assert_eq!(request.header("Idempotency-Key"), format!("\"shop:evt-{step}\""));
        assert_eq!(request.header("Hookward-Attempt"), "1", "the first there");
    }
    // Its claim is that of the new name: a retry is a duplicate.
    let again = Sender::to(&proxy).deliver(&order("evt-3", 7, 3));
    assert_eq!(again.outcome(), "duplicate");
    erp.saw(seen_before + 6);
    let log = proxy.log();
    let audit = log.lines().find(|line| line.contains("audit: events of the inbox were moved"));
    assert!(
        audit.is_some_and(|line| line.contains("billing") && line.contains("renamed")),
        "{log}"
    );
}

#[test]
fn what_the_other_upstream_has_already_is_not_sent_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (erp, crm) = (Upstream::start(), Upstream::start());
    erp.otherwise(Reply::Status(503));
    let setup = on(folder.path())
        .upstream("erp", &erp, LATER)
        .upstream("crm", &crm, LATER)
        .shop_to(&["erp", "crm"], "")
        .table("delivery = \"spill\"");
    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&order("evt-1", 7, 0)).outcome(), "queued");
    crm.saw(1);
    moves_from_erp(&proxy, &setup, "crm", 1, 0);
    assert_eq!(events(&proxy, "to=erp").len(), 1);
    crm.saw(1);
}

/// What waits for one upstream is moved to another one while the route still names the first.
#[test]
fn a_copy_of_what_was_moved_is_a_duplicate_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (erp, billing) = (Upstream::start(), Upstream::start());
    erp.otherwise(Reply::Status(503));
    let setup = to("erp", &erp, folder.path()).upstream("billing", &billing, LATER);
    let proxy = setup.start();
    let delivery = order("evt-1", 7, 1);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    eventually("it was tried", || erp.seen().len() == 1);
    eventually("it waits", || events(&proxy, "state=waiting").len() == 1);
    erp.otherwise(Reply::Status(200));
    moves_from_erp(&proxy, &setup, "billing", 1, 1);
    billing.saw(1);
    drained(&proxy);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
    billing.saw(1);
}

/// The signature of an event is known where it was moved to, and its retry under another id refused.
#[test]
fn the_replay_guard_knows_the_signature_of_what_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (erp, billing) = (Upstream::start(), Upstream::start());
    erp.otherwise(Reply::Status(503));
    billing.otherwise(Reply::Status(503));
    let guarded = |to: &str| {
        let both =
            on(folder.path()).upstream("erp", &erp, LATER).upstream("billing", &billing, LATER);
        guarded(both, to, "queued")
    };
    let with_id = |id: &str| push(id, "{\"n\":1}");
    let mut proxy = guarded("erp").start();
    assert_eq!(Sender::to(&proxy).deliver(&with_id("one")).outcome(), "queued");
    eventually("it waits", || events(&proxy, "state=waiting").len() == 1);
    let setup = guarded("billing");
    moves_from_erp(&proxy, &setup, "billing", 1, 1);
    billing.saw(1);
    eventually("it waits there", || events(&proxy, "state=waiting").len() == 1);
    proxy.crash();
    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&with_id("another")).outcome(), "duplicate");
    billing.saw(1);
}

/// What is moved goes before later events of its key that wait at the other upstream already.
#[test]
fn what_is_moved_takes_its_place_among_those_that_wait_there() {
    let folder = tempfile::tempdir().unwrap();
    let (erp, billing) = (Upstream::start(), Upstream::start());
    erp.otherwise(Reply::Status(503));
    let to = |name: &str| {
        on(folder.path())
            .upstream("erp", &erp, LATER)
            .upstream("billing", &billing, LATER)
            .shop_to(&[name], "")
            .table("delivery = \"queued\"\norder_key = \"json:/order\"")
    };
    let mut proxy = to("erp").start();
    for step in 0..3 {
        let delivery = order(&format!("evt-{step}"), 7, step);
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    eventually("they wait", || events(&proxy, "state=waiting").len() == 3);
    proxy.crash();
    let setup = to("billing");
    let proxy = setup.start();
    billing.next(Reply::Status(503));
    assert_eq!(Sender::to(&proxy).deliver(&order("evt-3", 7, 3)).outcome(), "queued");
    billing.saw(1);
    eventually("it waits as well", || events(&proxy, "state=waiting").len() == 4);
    moves_from_erp(&proxy, &setup, "billing", 3, 3);
    billing.saw(4);
    eventually("the others have ended", || events(&proxy, "").len() == 1);
    let last = events(&proxy, "to=billing");
    assert_eq!((last.len(), &last[0]["event_id"]), (1, &Value::from("evt-3")), "{last:?}");
    let seq = last[0]["seq"].to_string();
    let replayed = asked(&proxy, &setup, &["inbox", "replay", &seq]);
    assert_eq!(replayed.status.code(), Some(0), "{}", printed(&replayed));
    drained(&proxy);
    let seen = billing.saw(5);
    let ids: Vec<&str> = seen.iter().map(|seen| seen.header("Hookward-Event-Id")).collect();
    assert_eq!(ids, ["evt-3", "evt-0", "evt-1", "evt-2", "evt-3"]);
}
