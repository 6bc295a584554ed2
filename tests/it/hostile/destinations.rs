//! Paths, methods and destinations that are not configured.

use crate::support::{Connection, Delivery, Event, Reply, Sender, Setup, Upstream, request};
use std::fmt::Write as _;

#[test]
fn no_detour_leads_to_a_source() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for (target, status) in [
        ("/webhooks/shop/", 404),
        ("/webhooks//shop", 404),
        ("//webhooks/shop", 404),
        ("/./webhooks/shop", 404),
        ("/x/../webhooks/shop", 404),
        ("/webhooks/%2e/shop", 404),
        ("/webhooks%2Fshop", 404),
        ("/webhooks/sho%70", 404),
        ("/webhooks\\shop", 404),
        ("/Webhooks/Shop", 404),
        ("/webhooks/shop;a=b", 404),
        ("/webhooks/shop%00", 404),
        ("/webhooks/shop%3F", 404),
        ("/webhooks/shop#", 400),
        ("/webhooks/shop\0", 400),
        ("/webhooks/shop\u{7f}", 400),
        ("webhooks/shop", 400),
        ("*", 400),
        ("http://169.254.169.254/webhooks/shop", 400),
        ("http://erp.internal:9001/webhooks/shop", 400),
        ("ftp://127.0.0.1/webhooks/shop", 400),
        ("http:///webhooks/shop", 400),
    ] {
        let delivery = Delivery { target: target.to_owned(), ..good.clone() };
        let response =
            Connection::open(proxy.address).send(delivery.bytes(proxy.address)).response();
        assert_eq!(response.status, status, "{target}: {response:?}");
    }
    assert!(erp.seen().is_empty());
    // The query is not part of the path, and the absolute form with our own host is ours.
    for (id, target) in [
        ("a", "/webhooks/shop?".to_owned()),
        ("b", "/webhooks/shop?/../x#".replace('#', "")),
        ("c", format!("http://{}/webhooks/shop", proxy.address)),
    ] {
        let delivery = Delivery { target: target.clone(), ..Event::order(id).signed() };
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{target}");
    }
}

#[test]
fn methods_that_read_or_reflect_are_not_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POSTS", "post"] {
        let delivery = Delivery { method: method.to_owned(), ..good.clone() };
        let mut connection = Connection::open(proxy.address);
        connection.send(delivery.bytes(proxy.address));
        if method == "HEAD" {
            continue; // Its answer has a length and no body.
        }
        let response = connection.response();
        assert_eq!(response.reason(), "method_not_allowed", "{method}");
        assert_eq!(response.header("Allow"), Some("POST"), "{method}");
        assert!(!response.text().contains("X-Signature"), "{method} reflects");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn the_public_listener_serves_nothing_of_the_admin_listener() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for target in ["/metrics", "/healthz", "/readyz", "/status", "/dedupe/shop/evt-1", "/reload"] {
        for method in ["GET", "POST", "DELETE"] {
            let response = request(proxy.address, method, target, &[]);
            assert_eq!(response.reason(), "unknown_source", "{method} {target}");
        }
    }
}

#[test]
fn a_redirect_of_an_upstream_is_neither_followed_nor_shown() {
    for status in [301, 302, 303, 307, 308] {
        let inside = Upstream::start();
        let erp = Upstream::start();
        let location = format!("Location: {}/secret\r\n", inside.url());
        erp.next(Reply::Whole(status, location, Vec::new()));
        let proxy = Setup::shop(&erp).start();
        let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!(response.verdict(), (502, "failed", "upstream_refused".to_owned()), "{status}");
        assert_eq!(response.header("Location"), None);
        assert!(inside.seen().is_empty());
    }
}

#[test]
fn host_and_forwarding_headers_choose_no_destination() {
    let inside = Upstream::start();
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let mut head = format!("POST /webhooks/shop HTTP/1.1\r\nHost: {}\r\n", inside.address());
    for (name, value) in &good.headers {
        _ = write!(head, "{name}: {value}\r\n");
    }
    for name in ["X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Forwarded"] {
        _ = write!(head, "{name}: {}\r\n", inside.address());
    }
    _ = write!(head, "Content-Length: {}\r\n\r\n", good.body.len());
    let bytes = [head.as_bytes(), &good.body].concat();
    assert_eq!(Connection::open(proxy.address).send(bytes).response().outcome(), "delivered");
    let seen = &erp.saw(1)[0];
    assert_eq!(seen.header("Host"), erp.address().to_string());
    assert_eq!(seen.target, "/webhooks/shop");
    assert!(inside.seen().is_empty());
}
