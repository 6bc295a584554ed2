//! Using up what a process has.

use crate::support::{Connection, Event, Sender, Setup, Upstream, eventually, instant};
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
