//! Events that wait for an upstream that was renamed are moved to the other name.

use super::{drained, on, order};
use crate::support::{Proxy, Reply, Sender, Setup, Upstream, get, hookward, printed, stdout};
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

/// Runs a command against a proxy, by a file that names its admin listener.
fn asked(proxy: &Proxy, setup: &Setup, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    let toml = setup.clone().admin(&format!("listen = \"{}\"", proxy.admin)).toml();
    std::fs::write(&file, toml).unwrap();
    hookward().args(arguments).arg("--config").arg(&file).output().unwrap()
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
    crate::support::eventually("the first was tried", || !erp.seen().is_empty());
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
    let moved = asked(&proxy, &setup, &["inbox", "move", "erp", "crm", "--expect", "1"]);
    assert_eq!(stdout(&moved), "1 matched, 0 changed\n", "{}", printed(&moved));
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
    crate::support::eventually("it was tried", || erp.seen().len() == 1);
    crate::support::eventually("it waits", || events(&proxy, "state=waiting").len() == 1);
    erp.otherwise(Reply::Status(200));
    let moved = asked(&proxy, &setup, &["inbox", "move", "erp", "billing", "--expect", "1"]);
    assert_eq!(stdout(&moved), "1 matched, 1 changed\n", "{}", printed(&moved));
    billing.saw(1);
    drained(&proxy);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
    billing.saw(1);
}
