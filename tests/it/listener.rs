//! Malformed HTTP: section 4 of the contract, `bad_request`.

use crate::support::{Connection, Event, Sender, Setup, Upstream};
use std::time::Duration;

#[test]
fn malformed_and_ambiguous_requests_are_refused_and_the_connection_is_closed() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let line = "POST /webhooks/shop HTTP/1.1\r\n";
    let many = "X-A: 1\r\n".repeat(101);
    let long = format!("X-Long: {}\r\n", "x".repeat(33 * 1024));
    let cases: [(&str, String, u16); 16] = [
        ("no Host", format!("{line}Content-Length: 0\r\n\r\n"), 400),
        ("two Hosts", format!("{line}Host: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 400),
        (
            "TE with CL",
            format!(
                "{line}Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            "two lengths",
            format!("{line}Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
            400,
        ),
        ("a signed length", format!("{line}Host: a\r\nContent-Length: +1\r\n\r\nx"), 400),
        ("no number", format!("{line}Host: a\r\nContent-Length: x\r\n\r\n"), 400),
        ("a space before the colon", format!("{line}Host: a\r\nX-A : 1\r\n\r\n"), 400),
        ("a folded line", format!("{line}Host: a\r\nX-A: 1\r\n  2\r\n\r\n"), 400),
        ("a bare line feed", "POST /webhooks/shop HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("a NUL", format!("{line}Host: a\r\nX-A: \0\r\n\r\n"), 400),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        (
            "another coding",
            format!("{line}Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        ("another version", "POST /webhooks/shop HTTP/2.5\r\nHost: a\r\n\r\n".to_owned(), 505),
        (
            "another expectation",
            format!("{line}Host: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n"),
            417,
        ),
        ("too many lines", format!("{line}Host: a\r\n{many}\r\n"), 431),
        ("too long a header", format!("{line}Host: a\r\n{long}\r\n"), 431),
    ];
    for (what, bytes, status) in cases {
        let mut connection = Connection::open(proxy.address);
        let response = connection.send(bytes).response();
        assert_eq!(
            response.verdict(),
            (status, "rejected", "bad_request".to_owned()),
            "{what}: {response:?}"
        );
        assert!(connection.closes_within(Duration::from_secs(5)), "{what}");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn a_second_request_behind_an_ambiguous_one_is_never_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let smuggled = Event::order("evt-1").signed().bytes(proxy.address);
    let mut bytes = b"POST /webhooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
                      Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        .to_vec();
    bytes.extend(smuggled);
    let mut connection = Connection::open(proxy.address);
    assert_eq!(connection.send(bytes).response().status, 400);
    assert!(connection.try_response().is_err(), "a second answer came");
    assert!(erp.seen().is_empty());
}

#[test]
fn connections_over_the_limit_wait_or_are_refused_and_the_others_are_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("max_connections = 3").start();
    let mut idle: Vec<_> = (0..3).map(|_| Connection::open(proxy.address)).collect();
    let served = idle[0].send(Event::order("a").signed().bytes(proxy.address)).response();
    assert_eq!(served.outcome(), "delivered");
    let mut fourth = Connection::open(proxy.address);
    if fourth.try_send(Event::order("b").signed().bytes(proxy.address)).is_ok()
        && let Ok(response) = fourth.try_response()
    {
        assert_eq!(response.verdict(), (503, "rejected", "overloaded".to_owned()));
    }
    drop(idle);
    crate::support::eventually("there is room again", || {
        let mut connection = Connection::open(proxy.address);
        connection.try_send(Event::order("c").signed().bytes(proxy.address)).is_ok()
            && connection.try_response().is_ok_and(|response| response.status == 200)
    });
}

#[test]
fn bodies_over_the_memory_budget_are_told_to_come_again() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("body_memory = \"64KiB\"").start();
    let small = Event::order("small").signed();
    let large = Event::order("large").padded_to(100_000).signed();
    let response = Sender::to(&proxy).deliver(&large);
    assert_eq!(response.verdict(), (503, "rejected", "overloaded".to_owned()));
    assert!(response.header("Retry-After").is_some());
    assert_eq!(Sender::to(&proxy).deliver(&small).outcome(), "delivered");
}

#[test]
fn an_idle_connection_is_closed() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("idle_timeout = \"1s\"").start();
    let mut connection = Connection::open(proxy.address);
    let delivery = Event::order("a").signed().bytes(proxy.address);
    assert_eq!(connection.send(delivery).response().outcome(), "delivered");
    assert!(connection.closes_within(Duration::from_secs(5)));
}
