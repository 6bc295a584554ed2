//! Drain and end of a server, in this process.

use super::testing::{
    Recorder, Sender, admin_settings, post, serve, serve_with_admin, server_settings,
};
use super::{Drained, Edge, until_signalled};
use crate::config::AdminToken;
use crate::telemetry::metrics::Counted;
use hookward_secret::Secret;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn an_idle_server_stops_at_once_with_idle_connections_open() {
    let server = serve(&server_settings(), Recorder::content());
    let mut used = server.connect().await;
    used.send(post("/in", "", b"")).await;
    assert_eq!(used.receive().await.status, 200);
    let mut fresh = server.connect().await;
    while server.edge.traffic().connections() != 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let started = Instant::now();
    assert_eq!(server.running.drain().await, Drained::Finished);
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    assert!(used.is_closed().await && fresh.is_closed().await);
}

#[tokio::test]
async fn what_is_under_way_finishes_and_what_comes_then_is_told_to_come_again() {
    let server = serve(&server_settings(), Recorder::content());
    let address = server.address();
    let admin = server.running.admin_address();
    let hold = server.door.gate.write().await;
    let mut under_way = server.connect().await;
    under_way.send(post("/in", "", b"hello")).await;
    let mut partial = server.connect().await;
    partial.send("POST /late HTTP/1.1\r\nHost: test\r\n").await;
    while server.door.requests().is_empty() || server.edge.traffic().connections() != 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let drain = tokio::spawn(server.running.drain());
    while !server.edge.is_draining() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut probe = Sender::connect(admin).await;
    probe.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = probe.receive().await;
    assert_eq!(answer.status, 503);
    assert!(String::from_utf8_lossy(&answer.body).contains("draining"));
    probe.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(probe.receive().await.status, 200);

    let mut refused = Err(());
    for _ in 0..100 {
        refused = tokio::net::TcpStream::connect(address).await.map_err(|_| ()).map(|_| ());
        if refused.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(refused, Err(()), "no new connections");
    partial.send("Content-Length: 0\r\n\r\n").await;
    let answer = partial.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "shutting_down"));
    assert!(!drain.is_finished());

    drop(hold);
    let answer = under_way.receive().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(under_way.is_closed().await);
    drop(partial);
    let drained = timeout(Duration::from_secs(3), drain).await.expect("at once").unwrap();
    assert_eq!(drained, Drained::Finished);
}

#[tokio::test]
async fn a_forwarding_whose_sender_has_left_is_waited_for() {
    let server = serve(&server_settings(), Recorder::content());
    let in_flight = Counted::on(&server.metrics.in_flight, 1);
    let drain = tokio::spawn(server.running.drain());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!drain.is_finished());
    drop(in_flight);
    assert_eq!(timeout(Duration::from_secs(1), drain).await.unwrap().unwrap(), Drained::Finished);
}

#[tokio::test]
async fn what_takes_longer_than_drain_timeout_is_cut_off() {
    let mut settings = server_settings();
    settings.drain_timeout = Duration::from_millis(100);
    let server = serve(&settings, Recorder::content());
    let _in_flight = Counted::on(&server.metrics.in_flight, 1);
    let started = Instant::now();
    assert_eq!(server.running.drain().await, Drained::CutOff);
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn new_settings_hold_from_the_next_request_on_while_connections_stay() {
    let mut settings = server_settings();
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"hello")).await;
    assert_eq!(sender.receive().await.status, 200);
    settings.limits.max_body_bytes = 4;
    server.edge.take_over(Edge::prepare(&settings).unwrap());
    sender.send(post("/in", "", b"hell")).await;
    assert_eq!(sender.receive().await.status, 200);
    sender.send(post("/in", "", b"hello")).await;
    assert_eq!(sender.receive().await.status, 413);
}

/// The admin listener's answer to this request line: status and body.
async fn ask(sender: &mut Sender, line: &str, lines: &str) -> (u16, String) {
    sender.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await;
    let answer = sender.receive().await;
    assert_eq!(answer.header("hookward-outcome"), None);
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn the_admin_listener_answers_on_one_connection() {
    let server = serve(&server_settings(), Recorder::content());
    let mut probe = Sender::connect(server.running.admin_address()).await;
    let (status, body) = ask(&mut probe, "GET /metrics", "").await;
    assert_eq!(status, 200);
    assert!(body.contains("hookward_connections 0"), "{body}");
    assert_eq!(ask(&mut probe, "GET /healthz", "").await, (200, "ok\n".to_owned()));
    let (status, body) = ask(&mut probe, "GET /readyz", "").await;
    assert_eq!((status, body.as_str()), (200, "{\"ready\":true,\"reasons\":[]}\n"));
    let (status, body) = ask(&mut probe, "GET /status", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["version"]), (200, &Value::from(env!("CARGO_PKG_VERSION"))));
    assert_eq!(body["config_hash"], "0123");
    assert_eq!(body["uptime_seconds"], 0);
    for (line, status) in [
        ("GET /dedupe/shop/a%2Fb", 200),
        ("GET /dedupe/shop/a/b", 200),
        ("GET /dedupe/%73hop/a%2fb", 200),
        ("GET /dedupe/shop/a%252Fb", 404),
        ("GET /dedupe/shop/other", 404),
        ("GET /dedupe/shop/", 404),
        ("GET /dedupe/shop", 404),
        ("GET /dedupe/shop/%ff", 400),
        ("DELETE /dedupe/shop/a%2Fb", 200),
        ("DELETE /dedupe/shop/other", 404),
        ("PUT /dedupe/shop/a%2Fb", 405),
        ("POST /reload", 422),
        ("GET /reload", 405),
        ("POST /metrics", 405),
        ("GET /", 200),
        ("POST /", 405),
        ("GET /page.js", 200),
        ("GET /elsewhere", 404),
        ("GET /deliveries?limit=7", 200),
        ("GET /deliveries?limit=0", 400),
        ("GET /deliveries?sauce=shop", 400),
        ("GET /captures/shop", 404),
    ] {
        assert_eq!(ask(&mut probe, line, "").await.0, status, "{line}");
    }
    let (_, body) = ask(&mut probe, "POST /reload", "").await;
    assert!(body.contains("server.listen: not an address"), "{body}");
}

#[tokio::test]
async fn with_a_token_only_probes_and_metrics_are_open() {
    let mut admin = admin_settings();
    admin.tokens = vec![AdminToken {
        name: "token".to_owned(),
        secret: Secret::from("correct-horse".to_owned()),
        is_read_only: false,
    }];
    let server = serve_with_admin(&server_settings(), &admin, Recorder::content());
    let mut probe = Sender::connect(server.running.admin_address()).await;
    for (line, open) in [
        ("GET /metrics", true),
        ("GET /healthz", true),
        ("GET /readyz", true),
        ("GET /status", false),
        ("GET /dedupe/shop/a%2Fb", false),
        ("DELETE /dedupe/shop/a%2Fb", false),
        ("POST /reload", false),
        ("GET /nothing", false),
    ] {
        let (status, _) = ask(&mut probe, line, "").await;
        assert_eq!(status == 401, !open, "{line}: {status}");
        let (status, _) = ask(&mut probe, line, "Authorization: Bearer correct-horse\r\n").await;
        assert_ne!(status, 401, "{line}");
    }
}

/// Signals reach every test of the process, so one test goes through all of them.
#[tokio::test]
async fn a_signal_drains_and_a_second_one_stops_at_once() {
    let settings = server_settings();
    let signal = |name: &str| {
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };

    let idle = serve(&settings, Recorder::content());
    let edge = Arc::clone(&idle.edge);
    let ended = tokio::spawn(until_signalled(idle.running));
    tokio::task::yield_now().await;
    signal("-HUP");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!edge.is_draining() && !ended.is_finished());
    signal("-TERM");
    assert_eq!(timeout(Duration::from_secs(1), ended).await.unwrap().unwrap().unwrap(), 0);

    let busy = serve(&settings, Recorder::content());
    let _in_flight = Counted::on(&busy.metrics.in_flight, 1);
    let edge = Arc::clone(&busy.edge);
    let ended = tokio::spawn(until_signalled(busy.running));
    tokio::task::yield_now().await;
    signal("-INT");
    while !edge.is_draining() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    signal("-HUP");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!ended.is_finished());
    signal("-TERM");
    assert_eq!(timeout(Duration::from_secs(1), ended).await.unwrap().unwrap().unwrap(), 130);
}
