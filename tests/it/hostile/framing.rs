//! Attempts to make two parsers disagree about where a request ends.

use crate::support::{Connection, Delivery, Event, Proxy, Setup, Upstream};

/// Sends bytes and closes the sending side; every status that comes back until the end.
fn statuses(proxy: &Proxy, bytes: &[u8]) -> Vec<u16> {
    let mut connection = Connection::open(proxy.address);
    drop(connection.try_send(bytes));
    connection.half_close();
    let mut all = Vec::new();
    while let Ok(response) = connection.try_response() {
        all.push(response.status);
    }
    all
}

#[test]
fn chunks_that_two_parsers_could_read_differently_end_the_connection() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-chunks").signed();
    let head = good.head(proxy.address, "Transfer-Encoding: chunked\r\n");
    let body = String::from_utf8(good.body.clone()).unwrap();
    let size = format!("{:x}", body.len());
    let smuggled =
        String::from_utf8(Event::order("smuggled").signed().bytes(proxy.address)).unwrap();
    for (what, chunks) in [
        ("a bare line feed behind the size", format!("{size}\n{body}\r\n0\r\n\r\n")),
        (
            "a size that overflows 64 bits",
            format!("10000000000000000{size}\r\n{body}\r\n0\r\n\r\n"),
        ),
        ("the largest size", format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("a negative size", format!("-{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with 0x", format!("0x{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with a plus", format!("+{size}\r\n{body}\r\n0\r\n\r\n")),
        ("no size", format!("\r\n\r\n{body}\r\n0\r\n\r\n")),
        ("a line feed in an extension", format!("{size};a=\n\r\n{body}\r\n0\r\n\r\n")),
        ("a chunk longer than its size", format!("{size}\r\n{body}xx\r\n0\r\n\r\n")),
        ("an extension without end", format!("{size};{}", "a".repeat(200_000))),
    ] {
        let bytes = [&head[..], chunks.as_bytes(), smuggled.as_bytes()].concat();
        let mut connection = Connection::open(proxy.address);
        drop(connection.try_send(bytes));
        let response = connection.response();
        assert!([400, 413].contains(&response.status), "{what}: {response:?}");
        assert!(connection.try_response().is_err(), "{what}: something behind it was answered");
    }
    assert!(erp.seen().is_empty(), "{:?}", erp.seen());
    assert_eq!(proxy.metric("hookward_body_bytes", &[]), 0);
}

#[test]
fn trailers_of_a_chunked_body_are_no_headers() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let signature = good.headers[1].1.clone();
    let chunked = |delivery: &Delivery, trailers: &str| {
        let mut bytes = delivery.chunked(proxy.address, 1000);
        bytes.truncate(bytes.len() - 2);
        [&bytes[..], trailers.as_bytes(), b"\r\n"].concat()
    };
    // A signature that comes behind the body proves nothing.
    let unsigned = good.clone().without("X-Signature");
    let met = statuses(&proxy, &chunked(&unsigned, &format!("X-Signature: {signature}\r\n")));
    assert_eq!(met, [401]);
    let met = statuses(&proxy, &chunked(&good, "Hookward-Source: forged\r\nX-Late: 1\r\n"));
    if met == [200] {
        let seen = &erp.saw(1)[0];
        assert_eq!(seen.header("Hookward-Source"), "shop");
        assert!(seen.all("X-Late").is_empty());
    } else {
        assert_eq!(met, [400]);
    }
}

#[test]
fn the_body_of_a_refused_request_is_never_read_as_a_request() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let inner = Event::order("inner").signed().bytes(proxy.address);
    for (target, status) in [("/nowhere", 404), ("/webhooks/shop", 401)] {
        let outer = Delivery::post(target, inner.clone()).with("X-Signature", "sha256=00");
        assert_eq!(statuses(&proxy, &outer.bytes(proxy.address)), [status], "{target}");
    }
    let get = Delivery { method: "GET".to_owned(), ..Delivery::post("/webhooks/shop", inner) };
    assert_eq!(statuses(&proxy, &get.bytes(proxy.address)), [405]);
    assert!(erp.seen().is_empty());
}

#[test]
fn a_pipeline_of_forged_and_good_deliveries_is_judged_one_by_one() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let mut bytes = Vec::new();
    for n in 0..10 {
        let good = Event::order(&format!("evt-{n}")).signed();
        bytes.extend(good.bytes(proxy.address));
        let forged = good.replacing("X-Signature", &format!("sha256={}", "1".repeat(64)));
        bytes.extend(forged.bytes(proxy.address));
    }
    let mut connection = Connection::open(proxy.address);
    connection.send(bytes);
    for _ in 0..10 {
        assert_eq!(connection.response().outcome(), "delivered");
        assert_eq!(connection.response().reason(), "signature_mismatch");
    }
    erp.saw(10);
}
