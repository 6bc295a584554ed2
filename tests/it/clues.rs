//! Hints in the log for finding a fault, which the sender does not get.

use crate::support::{
    Delivery, Event, Reply, Sender, Setup, Upstream, eventually, hookward, printed,
};
use serde_json::Value;
use std::net::TcpListener;

/// The lines of this log as JSON; all of them have to be.
fn json_lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_path_that_is_nearly_one_of_ours_says_so_in_the_log_alone() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for (number, target) in
        ["/webhooks/shop/", "/Webhooks/Shop", "//webhooks/shop", "/webhooks//SHOP"]
            .iter()
            .enumerate()
    {
        let delivery = Delivery { target: (*target).to_owned(), ..Event::order("a").signed() };
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.verdict(), (404, "rejected", "unknown_source".to_owned()), "{target}");
        assert!(!response.text().contains("shop"), "{target}: {response:?}");
        let clue = "the path of sources.shop is /webhooks/shop";
        eventually("the clue", || proxy.log().matches(clue).count() == number + 1);
    }
    let other = Delivery { target: "/webhooks/shops".to_owned(), ..Event::order("a").signed() };
    Sender::to(&proxy).deliver(&other);
    eventually("its line", || proxy.log().contains("path=/webhooks/shops"));
    assert_eq!(proxy.log().matches("the path of sources.shop").count(), 4);
    assert!(erp.saw(0).is_empty());
}

#[test]
fn a_refused_address_is_named_with_what_was_ignored() {
    let erp = Upstream::start();
    let allow = "allow = [\"203.0.113.0/24\"]";
    for (server, forwarded, clue) in [
        ("", None, "judged 127.0.0.1, the other end of the connection\""),
        (
            "",
            Some("203.0.113.7"),
            "judged 127.0.0.1, the other end of the connection; its X-Forwarded-For was ignored",
        ),
        (
            "trusted_proxies = [\"127.0.0.1\"]",
            Some("198.51.100.1"),
            "judged 198.51.100.1, as the trusted proxy 127.0.0.1 says",
        ),
        (
            "trusted_proxies = [\"127.0.0.1\"]",
            None,
            "judged 127.0.0.1, a trusted proxy that names no sender",
        ),
    ] {
        let proxy =
            Setup::new().server(server).upstream("erp", &erp, "").shop_to(&["erp"], allow).start();
        let mut delivery = Event::order("a").signed();
        if let Some(forwarded) = forwarded {
            delivery = delivery.with("X-Forwarded-For", forwarded);
        }
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.reason(), "address_not_allowed");
        assert!(!response.text().contains("judged"), "{response:?}");
        eventually(clue, || proxy.log().contains(clue));
    }
    assert!(erp.saw(0).is_empty());
}

#[test]
fn an_unhealthy_address_is_named_with_its_upstream_and_the_cause() {
    let erp = Upstream::start();
    erp.otherwise(Reply::Status(500));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let health = "health = { path = \"/healthz\", interval = \"50ms\", unhealthy_after = 1 }";
    let proxy = Setup::new()
        .upstream("erp", &erp, health)
        .table(&format!("[upstreams.crm]\nurl = \"http://{closed}\"\n{health}"))
        .shop_to(&["erp"], "")
        .start();
    let erp_line = format!("address={} cause=\"it answered 500\"", erp.address());
    eventually("the line of the ERP", || proxy.log().contains(&erp_line));
    eventually("the line of the CRM", || {
        let log = proxy.log();
        let mut lines = log.lines().filter(|line| line.contains("is unhealthy"));
        lines.any(|line| line.contains("upstream=crm") && line.contains("cause=\"Connect"))
    });
}

#[test]
fn the_log_begins_with_what_is_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("format = \"json\"").start();
    let lines = json_lines(&proxy.log());
    let start = lines.iter().find(|line| line["message"] == "starting").expect("its line");
    assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(start["config"], proxy.file().to_str().unwrap());
    assert_eq!((&start["store"], &start["sources"]), (&"memory".into(), &1.into()));
}

#[test]
fn what_ends_the_process_is_said_in_the_format_of_the_log() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    let source =
        "[sources.s]\npath = \"/s\"\npreset = \"stripe\"\nsecrets = [{ env = \"NOT_SET\" }]\n";
    let run = |format: &str, server: &str| {
        let text = format!(
            "[server]\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"{format}\"\n{source}"
        );
        std::fs::write(&file, text).unwrap();
        let output = hookward().arg("run").arg("--config").arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap(), printed(&output))
    };
    let (code, log, printed) = run("json", &format!("listen = [\"{address}\"]"));
    assert_eq!(code, Some(3), "{printed}");
    let last = json_lines(&log).pop().unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["message"].as_str().unwrap().contains(&address.to_string()), "{printed}");

    let (code, log, printed) = run("json", "max_bdy = \"1MiB\"");
    assert_eq!(code, Some(2), "{printed}");
    let lines = json_lines(&log);
    assert!(lines.iter().all(|line| line["level"] == "error"), "{printed}");
    assert!(lines[0]["message"].as_str().unwrap().contains("server.max_bdy"), "{printed}");

    let (code, log, printed) = run("text", &format!("listen = [\"{address}\"]"));
    assert_eq!(code, Some(3), "{printed}");
    assert!(log.lines().last().unwrap().starts_with("hookward: "), "{printed}");
}

#[test]
fn what_a_receiver_says_of_its_refusal_is_shown_escaped_where_that_is_asked_for() {
    for (keys, shown) in [("", None), ("upstream_error_bytes = 24", Some(24))] {
        let erp = Upstream::start();
        let said = b"no stock\nlevel=ERROR forged, and much more that nobody asked for".to_vec();
        for _ in 0..2 {
            erp.next(Reply::Whole(422, String::new(), said.clone()));
        }
        let proxy = Setup::shop(&erp).log(keys).start();
        for id in ["a", "b"] {
            let response = Sender::to(&proxy).deliver(&Event::order(id).signed());
            assert_eq!(response.reason(), "upstream_refused");
            assert!(!response.text().contains("stock"), "the sender is not told: {response:?}");
        }
        eventually("the lines", || proxy.log().matches("answered 422").count() == 2);
        let log = proxy.log();
        assert_eq!(log.contains("no stock"), shown.is_some(), "{log}");
        assert!(!log.contains("much more"), "{log}");
        assert!(!log.lines().any(|line| line.starts_with("level=ERROR")), "{log}");
        assert_eq!(erp.connections(), 1, "the connection serves on");
    }
}
