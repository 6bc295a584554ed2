//! Exhausting a process's resources.

use crate::support::{
    Connection, Event, Sender, Setup, Upstream, eventually, instant, resident_bytes,
};
use std::time::Duration;

#[test]
fn a_flood_of_forged_deliveries_touches_no_store_and_is_logged_by_sample() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("level = \"info\"").start();
    let good = Event::order("evt-1").signed();
    let forged = good.clone().replacing("X-Signature", &format!("sha256={}", "0".repeat(64)));
    let bytes = forged.bytes(proxy.address);
    let count = 2000;
    let start = instant();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(proxy.address);
                for _ in 0..count / 4 {
                    assert_eq!(connection.send(&bytes).response().status, 401);
                }
            });
        }
    });
    let took = instant().saturating_sub(start).as_secs() + 1;
    assert_eq!(proxy.ended("rejected", "signature_mismatch"), count);
    assert_eq!(proxy.metric("hookward_dedupe_entries", &[]), 0);
    let looked = [("stage", "dedupe")];
    assert_eq!(proxy.metric("hookward_stage_duration_seconds_count", &looked), 0);
    assert_eq!(Sender::to(&proxy).deliver(&good).outcome(), "delivered");
    eventually("it is logged", || proxy.log().contains("evt-1"));
    let lines = proxy.log().matches("signature_mismatch").count() as u64;
    assert!(lines <= 20 * (took + 2), "{lines} lines in {took} s");
    assert!(proxy.log().contains("suppressed="), "how many were left out is said");
}

#[test]
fn bodies_that_never_end_hold_no_more_than_body_memory() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .server("body_memory = \"1MiB\"\nmax_body = \"512KiB\"\nbody_timeout = \"3s\"")
        .start();
    let large = Event::order("large").padded_to(400_000).signed().bytes(proxy.address);
    let mut held: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(proxy.address);
            drop(connection.try_send(&large[..large.len() - 1]));
            connection
        })
        .collect();
    assert!(proxy.metric("hookward_body_bytes", &[]) <= 1024 * 1024);
    let mut reasons: Vec<_> =
        held.iter_mut().filter_map(|c| c.try_response().ok()).map(|r| r.reason()).collect();
    reasons.sort();
    reasons.dedup();
    assert_eq!(reasons, ["body_timeout", "overloaded"]);
    eventually("the memory is given back", || proxy.metric("hookward_body_bytes", &[]) == 0);
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("small").signed()).outcome(), "delivered");
    erp.saw(1);
}

#[test]
fn a_flood_of_other_bodies_under_a_delivered_id_is_logged_by_sample() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    let other = Event::order("evt-1").padded_to(500).signed().bytes(proxy.address);
    let count = 1000;
    let start = instant();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(proxy.address);
                for _ in 0..count / 4 {
                    assert_eq!(connection.send(&other).response().outcome(), "duplicate");
                }
            });
        }
    });
    let took = instant().saturating_sub(start).as_secs() + 1;
    let source = [("source", "shop")];
    assert_eq!(proxy.metric("hookward_dedupe_body_mismatch_total", &source), count);
    let noted = || proxy.log().matches("came again with another body").count() as u64;
    let duplicates = || proxy.log().matches("outcome=duplicate").count() as u64;
    assert!(noted() <= 20 * (took + 1), "{} lines in {took} s", noted());
    assert!(duplicates() <= 100 * (took + 1), "{} lines in {took} s", duplicates());
    let mut connection = Connection::open(proxy.address);
    eventually("how many were left out is said", || {
        connection.send(&other).response();
        let log = proxy.log();
        log.lines().any(|line| line.contains("another body") && line.contains("suppressed="))
    });
}

/// 1,500 bodies in two pieces of a byte, which once took 349 MB.
#[test]
fn bodies_in_small_pieces_take_no_more_than_body_memory_and_give_it_back() {
    const CONNECTIONS: u64 = 1500;
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("body_memory = \"16MiB\"\nbody_timeout = \"60s\"").start();
    let before = resident_bytes(proxy.pid());
    let request = "POST /webhooks/shop HTTP/1.1\r\nHost: a\r\n";
    let mut held: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut connection = Connection::open(proxy.address);
            let framing = if number % 2 == 0 {
                "Content-Length: 200000\r\n\r\nx"
            } else {
                "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
            };
            connection.send(format!("{request}{framing}"));
            connection
        })
        .collect();
    for (number, connection) in held.iter_mut().enumerate() {
        let piece = if number % 2 == 0 { "x" } else { "1\r\nx\r\n" };
        // One that is refused already takes no more.
        drop(connection.try_send(piece));
    }
    let counted = || proxy.metric("hookward_body_bytes", &[]);
    eventually("bodies are held", || counted() >= 1024 * 1024);
    assert!(counted() <= 16 * 1024 * 1024, "{}", counted());
    let grown = resident_bytes(proxy.pid()).saturating_sub(before);
    let most = 16 * 1024 * 1024 + CONNECTIONS * 24 * 1024;
    assert!(grown <= most, "{grown} bytes for {CONNECTIONS} connections");
    drop(held);
    eventually("the memory is given back", || counted() == 0);
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("small").signed()).outcome(), "delivered");
}

#[test]
fn a_sender_that_stops_reading_or_writing_does_not_hold_up_a_stop() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).server("drain_timeout = \"2s\"").start();
    let mut half = Connection::open(proxy.address);
    half.send("POST /webhooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
    let mut drip = Connection::open(proxy.address);
    drip.send("POST /webh");
    eventually("both are there", || proxy.metric("hookward_connections", &[]) >= 2);
    proxy.signal("TERM");
    let status = proxy.ends_within(Duration::from_secs(10));
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}
