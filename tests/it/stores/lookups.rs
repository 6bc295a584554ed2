//! Operators' requests to the stores: look up an event, and forget it.

use super::{disk, shared};
use crate::support::{
    Event, Gate, Proxy, Redis, Reply, Sender, Setup, Upstream, eventually, get, hookward, printed,
    request,
};
use serde_json::Value;
use std::process::Output;

/// Event ids, and how they are written in a path.
const IDS: [(&str, &str); 6] = [
    ("evt-1", "evt-1"),
    ("a/b/../c", "a%2Fb%2F..%2Fc"),
    ("100%", "100%25"),
    ("50%2F50", "50%252F50"),
    ("two words?x#y", "two%20words%3Fx%23y"),
    ("pedido-ñ-日本-🛒", "pedido-%C3%B1-%E6%97%A5%E6%9C%AC-%F0%9F%9B%92"),
];

/// Calls `check` with the name of each store and the keys of one.
fn with_each_store(check: impl Fn(&str, &str)) {
    check("memory", "store = \"memory\"");
    let folder = tempfile::tempdir().unwrap();
    check("disk", &disk(folder.path()));
    let redis = Redis::start();
    check("redis", &shared(&redis.url()));
}

#[test]
fn every_store_shows_and_forgets_events_whatever_their_ids() {
    with_each_store(|store, keys| {
        let erp = Upstream::start();
        let proxy = Setup::shop(&erp).dedupe(keys).start();
        let sender = Sender::to(&proxy);
        for (index, (id, path)) in IDS.into_iter().enumerate() {
            let path = format!("/dedupe/shop/{path}");
            let delivery = Event::order(id).signed();
            assert_eq!(get(proxy.admin, &path).status, 404, "{store}: {id}");
            assert_eq!(request(proxy.admin, "DELETE", &path, &[]).status, 404, "{store}: {id}");
            assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{store}: {id}");
            let found = get(proxy.admin, &path);
            assert_eq!(found.status, 200, "{store}: {id}");
            let found: Value = serde_json::from_slice(&found.body).unwrap();
            assert_eq!((&found["source"], &found["event_id"]), (&"shop".into(), &id.into()));
            let erp_says = &found["destinations"]["erp"];
            assert_eq!(erp_says["state"], "delivered", "{store}: {found}");
            assert!(erp_says["since"].as_str().unwrap().ends_with('Z'), "{store}: {found}");

            assert_eq!(sender.deliver(&delivery).outcome(), "duplicate", "{store}: {id}");
            assert_eq!(request(proxy.admin, "DELETE", &path, &[]).status, 200, "{store}: {id}");
            assert_eq!(get(proxy.admin, &path).status, 404, "{store}: {id}");
            assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{store}: {id}");
            erp.saw(2 * (index + 1));
        }
        let entries = || proxy.metric("hookward_dedupe_entries", &[("store", store)]);
        eventually("the entries are counted", || usize::try_from(entries()) == Ok(IDS.len()));
        let audits = || proxy.log().lines().filter(|line| line.contains("audit")).count();
        eventually("each is in the log", || audits() == 2 * IDS.len());
        assert!(proxy.log().lines().any(|line| line.contains("audit") && line.contains("100%")));
    });
}

#[test]
fn every_store_shows_what_is_in_flight_and_does_not_claim_to_forget_it() {
    with_each_store(|store, keys| {
        let erp = Upstream::start();
        let gate = Gate::default();
        erp.next(Reply::behind(&gate, Reply::Status(200)));
        let proxy = Setup::shop(&erp).dedupe(keys).start();
        let sender = Sender::to(&proxy);
        let delivery = Event::order("evt-1").signed();
        let winner = sender.start(&delivery);
        erp.saw(1);
        let path = "/dedupe/shop/evt-1";
        assert!(get(proxy.admin, path).text().contains("in_flight"), "{store}");
        let refused = request(proxy.admin, "DELETE", path, &[]);
        assert_eq!(refused.status, 409, "{store}: {refused:?}");
        assert!(refused.text().contains("in flight"), "{store}: {refused:?}");
        let output = dedupe(&proxy, "forget", "evt-1");
        assert_eq!(output.status.code(), Some(1), "{store}: {}", printed(&output));
        gate.open();
        assert_eq!(winner.join().unwrap().outcome(), "delivered", "{store}");
        assert_eq!(sender.deliver(&delivery).outcome(), "duplicate", "{store}");
        erp.saw(1);
    });
}

#[test]
fn every_store_shows_and_forgets_what_is_uncertain() {
    with_each_store(|store, keys| {
        let erp = Upstream::start();
        erp.next(Reply::Close);
        let proxy = Setup::shop(&erp).dedupe(keys).start();
        let sender = Sender::to(&proxy);
        let delivery = Event::order("evt-1").signed();
        assert_eq!(sender.deliver(&delivery).reason(), "upstream_broken", "{store}");
        let path = "/dedupe/shop/evt-1";
        assert!(get(proxy.admin, path).text().contains("uncertain"), "{store}");
        assert_eq!(request(proxy.admin, "DELETE", path, &[]).status, 200, "{store}");
        assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{store}");
        erp.saw(2);
    });
}

#[test]
fn the_command_says_by_its_exit_code_whether_an_event_is_known() {
    with_each_store(|store, keys| {
        let erp = Upstream::start();
        let mut proxy = Setup::shop(&erp).dedupe(keys).start();
        let sender = Sender::to(&proxy);
        for (id, _) in IDS {
            let delivery = Event::order(id).signed();
            for action in ["get", "forget"] {
                let output = dedupe(&proxy, action, id);
                assert_eq!(output.status.code(), Some(1), "{store}: {id}: {}", printed(&output));
            }
            assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{store}: {id}");
            let output = dedupe(&proxy, "get", id);
            assert_eq!(output.status.code(), Some(0), "{store}: {id}: {}", printed(&output));
            let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(shown["event_id"], id, "{store}");
            let output = dedupe(&proxy, "forget", id);
            assert_eq!(output.status.code(), Some(0), "{store}: {id}: {}", printed(&output));
            assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{store}: {id}");
        }
        proxy.crash();
        let output = dedupe(&proxy, "get", "evt-1");
        assert_eq!(output.status.code(), Some(3), "{store}: nobody is there");
        assert!(printed(&output).contains("no answer"), "{store}: {}", printed(&output));
    });
}

/// `hookward dedupe get|forget`, with the configuration of a running proxy.
fn dedupe(proxy: &Proxy, action: &str, id: &str) -> Output {
    // Where its admin listener is, the command reads from the file.
    let toml = std::fs::read_to_string(proxy.file()).unwrap();
    let listen = format!("[admin]\nlisten = \"{}\"", proxy.admin);
    std::fs::write(proxy.file(), toml.replace("[admin]\nlisten = \"127.0.0.1:0\"", &listen))
        .unwrap();
    hookward()
        .args(["dedupe", action, "shop", id, "--config"])
        .arg(proxy.file())
        .env("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .output()
        .unwrap()
}
