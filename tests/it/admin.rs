//! The operators' view: the log, the admin listener and metrics, sections 5 to 7 of the contract.

use crate::support::{
    Connection, Event, Gate, Reply, Sender, Setup, Upstream, eventually, get, instant, request,
};
use std::time::Duration;

#[test]
fn health_readiness_and_status_are_told() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    assert_eq!(get(proxy.admin, "/healthz").status, 200);
    assert_eq!(get(proxy.admin, "/readyz").status, 200);
    assert_eq!(get(proxy.admin, "/nothing").status, 404);
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).status, 200);
    let response = get(proxy.admin, "/status");
    assert_eq!(response.status, 200);
    let status: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_seconds"].is_number(), "{status}");
    assert!(status["config_hash"].is_string(), "{status}");
    assert_eq!(status["dedupe"]["store"], "memory", "{status}");
    assert_eq!(status["dedupe"]["entries"], 1, "{status}");
    for (member, name) in [("sources", "shop"), ("upstreams", "erp")] {
        assert!(status[member].to_string().contains(name), "{status}");
    }
    assert!(!response.text().contains("a-secret"), "{response:?}");
}

#[test]
fn every_metric_of_the_contract_is_exposed() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).status, 200);
    let scrape = proxy.scrape();
    for series in [
        "hookward_deliveries_total{",
        "hookward_events_total{",
        "hookward_delivery_duration_seconds_bucket{",
        "hookward_stage_duration_seconds_bucket{",
        "hookward_upstream_requests_total{",
        "hookward_upstream_duration_seconds_bucket{",
        "hookward_event_lag_seconds_bucket{",
        "hookward_secret_matches_total{",
        "hookward_in_flight ",
        "hookward_connections ",
        "hookward_body_bytes ",
        "hookward_dedupe_entries{",
        "hookward_dedupe_evicted_total{",
        "hookward_dedupe_store_errors_total{",
        "hookward_dedupe_body_mismatch_total{",
        "hookward_source_ready{",
        "hookward_upstream_healthy{",
        "hookward_config_reloads_total{",
        "hookward_build_info{",
    ] {
        assert!(
            scrape.text().lines().any(|line| line.starts_with(series)),
            "{series} is not in\n{}",
            scrape.text()
        );
    }
    let stages = ["read", "verify", "dedupe", "upstream"];
    for stage in stages {
        let count = scrape.sum("hookward_stage_duration_seconds_count", &[("stage", stage)]);
        assert!(count >= 1, "{stage}");
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.sum("hookward_build_info", &version), 1);
    assert_eq!(scrape.sum("hookward_event_lag_seconds_count", &[("source", "shop")]), 1);
}

#[test]
fn gauges_follow_what_is_under_way_and_go_back() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = Setup::shop(&erp).start();
    let under_way = Sender::to(&proxy).start(&Event::order("evt-1").padded_to(10_000).signed());
    erp.saw(1);
    let scrape = proxy.scrape();
    assert_eq!(scrape.sum("hookward_in_flight", &[]), 1);
    assert!(scrape.sum("hookward_connections", &[]) >= 1);
    assert!(scrape.sum("hookward_body_bytes", &[]) >= 10_000);
    gate.open();
    assert_eq!(under_way.join().unwrap().outcome(), "delivered");
    for gauge in ["hookward_in_flight", "hookward_connections", "hookward_body_bytes"] {
        eventually(&format!("{gauge} goes back"), || proxy.metric(gauge, &[]) == 0);
    }
}

#[test]
fn a_token_guards_all_but_metrics_and_health() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .environment("ADMIN_TOKEN", "a-token-for-the-admin-listener")
        .start();
    for open in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(proxy.admin, open).status, 200, "{open}");
    }
    let good = ("Authorization", "Bearer a-token-for-the-admin-listener");
    let bad = ("Authorization", "Bearer a-token-for-the-admin-listenes");
    for (method, target) in [
        ("GET", "/status"),
        ("GET", "/dedupe/shop/evt-1"),
        ("DELETE", "/dedupe/shop/evt-1"),
        ("POST", "/reload"),
    ] {
        let empty = ("Content-Length", "0");
        assert_eq!(request(proxy.admin, method, target, &[empty]).status, 401, "{target}");
        assert_eq!(request(proxy.admin, method, target, &[empty, bad]).status, 401, "{target}");
        assert_ne!(request(proxy.admin, method, target, &[empty, good]).status, 401, "{target}");
    }
}

#[test]
fn an_admin_listener_beyond_loopback_needs_a_token() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).admin("listen = \"0.0.0.0:0\"").spawn();
    let status = proxy.ends_within(crate::support::PATIENCE);
    assert_eq!(status.code(), Some(2));
    eventually("it says why", || proxy.log().contains("token"));
}

#[test]
fn a_delivery_has_one_log_line_with_what_is_known_of_it() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("format = \"json\"").start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
    assert_eq!(sender.deliver(&delivery.clone().without("X-Signature")).status, 401);
    let lines = || -> Vec<serde_json::Value> {
        proxy
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["message"] == "delivery")
            .collect()
    };
    eventually("both are logged", || lines().len() >= 2);
    let lines = lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let good = &lines[0];
    assert_eq!(good["source"], "shop");
    assert_eq!(good["event_id"], "evt-1");
    assert_eq!(good["event_type"], "order.created");
    assert_eq!(good["outcome"], "delivered");
    assert_eq!(good["status"], 200);
    assert_eq!(good["body_bytes"], delivery.body.len());
    assert!(good["client"].as_str().unwrap().starts_with("127.0.0.1"), "{good}");
    assert!(good["duration_ms"].is_number(), "{good}");
    assert!(good["destinations"].to_string().contains("erp"), "{good}");
    let bad = &lines[1];
    assert_eq!(
        (&bad["outcome"], &bad["reason"]),
        (&"rejected".into(), &"signature_missing".into())
    );
    assert!(!proxy.log().contains("\"data\""), "a body is in the log: {}", proxy.log());
}

/// A probe gives up after a second and its process is killed.
#[test]
fn a_probe_is_answered_however_many_connections_are_idle_or_slow() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let scrape = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (what, sent) in [
        ("idle", ""),
        ("in the middle of a head", "GET /healthz HTTP/1.1\r\nHo"),
        (
            "in the middle of a body",
            "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1",
        ),
        ("answered, and not reading it", scrape),
    ] {
        let held: Vec<_> = (0..300)
            .map(|_| {
                let mut connection = Connection::open(proxy.admin);
                // One that has given way takes no more.
                drop(connection.try_send(sent));
                connection
            })
            .collect();
        for path in ["/healthz", "/readyz", "/metrics"] {
            let asked = instant();
            assert_eq!(get(proxy.admin, path).status, 200, "{what}: {path}");
            let took = instant().saturating_sub(asked);
            assert!(took < Duration::from_secs(3), "{what}: {path} took {took:?}");
        }
        drop(held);
    }
}
