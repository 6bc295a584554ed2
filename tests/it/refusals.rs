//! Refusals, of which the upstream gets nothing: sections 3 and 4 of the contract.

use crate::support::{
    Connection, Delivery, Event, Proxy, Sender, Setup, Upstream, eventually, hmac_sha256_hex,
    rfc3339_in, unix_now,
};
use std::time::Duration;

/// Delivers each, compares status and reason, and makes sure that the upstream heard of none.
#[track_caller]
fn refuses(proxy: &Proxy, erp: &Upstream, cases: &[(&str, Delivery, u16, &str)]) {
    let heard = erp.seen().len();
    for (what, delivery, status, reason) in cases {
        let before = proxy.metric("hookward_deliveries_total", &[("reason", reason)]);
        let response = Sender::to(proxy).deliver(delivery);
        assert_eq!(response.verdict(), (*status, "rejected", (*reason).to_owned()), "{what}");
        assert_eq!(response.header("Content-Type"), Some("application/problem+json"), "{what}");
        let after = proxy.metric("hookward_deliveries_total", &[("reason", reason)]);
        assert_eq!(after - before, 1, "{what}");
    }
    assert_eq!(erp.seen().len(), heard, "the upstream heard of a refused delivery");
}

fn signed(body: &[u8]) -> Delivery {
    let signature = hmac_sha256_hex("a-secret-of-the-shop-for-tests", body);
    Delivery::post("/webhooks/shop", body).with("X-Signature", &format!("sha256={signature}"))
}

#[test]
fn a_delivery_that_is_not_genuine_is_refused_and_the_upstream_hears_nothing() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let signature = good.headers[1].1.clone();
    let with_signature = |value: &str| good.clone().replacing("X-Signature", value);
    let mut flipped_body = good.body.clone();
    flipped_body[20] ^= 1;
    let mut longer = good.body.clone();
    longer.push(b'\n');
    let zeros = "0".repeat(64);
    refuses(
        &proxy,
        &erp,
        &[
            ("no signature", good.clone().without("X-Signature"), 401, "signature_missing"),
            ("an empty one", with_signature(""), 401, "signature_malformed"),
            ("no prefix", with_signature(&zeros), 401, "signature_malformed"),
            (
                "not hex",
                with_signature(&signature.replace("sha256=", "sha256=zz")),
                401,
                "signature_malformed",
            ),
            (
                "too short",
                with_signature(&signature[..signature.len() - 2]),
                401,
                "signature_malformed",
            ),
            ("too long", with_signature(&format!("{signature}00")), 401, "signature_malformed"),
            ("another's", with_signature(&format!("sha256={zeros}")), 401, "signature_mismatch"),
            (
                "one bit of the body",
                good.clone().with_body(flipped_body),
                401,
                "signature_mismatch",
            ),
            ("a line end added", good.clone().with_body(longer), 401, "signature_mismatch"),
            ("an empty body", good.clone().with_body(""), 401, "signature_mismatch"),
        ],
    );
    let upper = with_signature(&format!("sha256={}", signature[7..].to_uppercase()));
    assert_eq!(Sender::to(&proxy).deliver(&upper).outcome(), "delivered", "hex in either case");
}

#[test]
fn a_payload_that_cannot_be_read_is_refused() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let now = rfc3339_in(0);
    let body = |members: &str| signed(format!("{{{members}}}").as_bytes());
    let id = r#""event_id":"evt-1""#;
    let kind = r#""type":"order.created""#;
    let at = format!(r#""created_at":"{now}""#);
    let long = "x".repeat(513);
    let mut bom = "\u{feff}".as_bytes().to_vec();
    bom.extend(format!("{{{id},{kind},{at}}}").into_bytes());
    refuses(
        &proxy,
        &erp,
        &[
            ("no JSON", signed(b"id=1"), 422, "payload_malformed"),
            ("nothing", signed(b""), 422, "payload_malformed"),
            (
                "two texts",
                signed(format!("{{{id},{kind},{at}}}{{}}").as_bytes()),
                422,
                "payload_malformed",
            ),
            ("not UTF-8", signed(b"{\"event_id\":\"\xff\"}"), 422, "payload_malformed"),
            ("a BOM", signed(&bom), 422, "payload_malformed"),
            ("an id twice", body(&format!("{id},{id},{kind},{at}")), 422, "payload_malformed"),
            (
                "an id twice, escaped",
                body(&format!(r#"{id},"event\u005fid":"x",{kind},{at}"#)),
                422,
                "payload_malformed",
            ),
            (
                "an id too long",
                body(&format!(r#""event_id":"{long}",{kind},{at}"#)),
                422,
                "payload_malformed",
            ),
            (
                "an id that is a list",
                body(&format!(r#""event_id":[1],{kind},{at}"#)),
                422,
                "payload_malformed",
            ),
            ("no id", body(&format!("{kind},{at}")), 422, "event_id_missing"),
            (
                "an empty id",
                body(&format!(r#""event_id":"",{kind},{at}"#)),
                422,
                "event_id_missing",
            ),
            ("no type", body(&format!("{id},{at}")), 422, "event_type_missing"),
            ("no time", body(&format!("{id},{kind}")), 401, "timestamp_missing"),
            (
                "no time either",
                body(&format!(r#"{id},{kind},"created_at":"soon""#)),
                401,
                "timestamp_malformed",
            ),
        ],
    );
}

#[test]
fn both_ends_of_the_time_window_are_inclusive() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let day = 24 * 3600;
    // Well inside and just outside: tests with a fixed clock prove exactness to the second.
    refuses(
        &proxy,
        &erp,
        &[
            ("too old", Event::order("a").at(-day - 1).signed(), 401, "timestamp_too_old"),
            ("ahead", Event::order("b").at(65).signed(), 401, "timestamp_in_future"),
        ],
    );
    for (id, seconds) in [("c", -day + 30), ("d", 55)] {
        let delivery = Event::order(id).at(seconds).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{seconds} s");
    }
    erp.saw(2);
}

#[test]
fn a_signed_timestamp_is_judged_with_the_signature() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.acme]\npath = \"/acme\"\nsecrets = [{ env = \"NEW\" }, { env = \"OLD\", name = \"old\" }]\n\
             [sources.acme.signature]\nheader = \"X-Acme-Signature\"\nseparator = \",\"\nprefix = \"v1=\"\n\
             signed = \"{timestamp}.{body}\"\n\
             [sources.acme.timestamp]\nfrom = \"item:t=\"\n\
             [sources.acme.event]\nid = [\"json:/id\"]\ntype = [\"json:/type\"]\n\
             [[sources.acme.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("NEW", "the-new-secret-of-acme")
        .environment("OLD", "the-old-secret-of-acme")
        .start();
    let body = br#"{"id":7,"type":"paid"}"#;
    let mac =
        |secret: &str, at: &str| hmac_sha256_hex(secret, &[at.as_bytes(), b".", body].concat());
    let with = |value: String| Delivery::post("/acme", body).with("X-Acme-Signature", &value);
    let now = unix_now().to_string();
    let [new, old] = ["the-new-secret-of-acme", "the-old-secret-of-acme"];
    let stale = (unix_now() - 301).to_string();
    let cases = [
        ("no time", with(format!("v1={}", mac(new, &now))), 401, "timestamp_missing"),
        ("no number", with(format!("t=now,v1={}", mac(new, "now"))), 401, "timestamp_malformed"),
        (
            "another time",
            with(format!("t={stale},v1={}", mac(new, &now))),
            401,
            "signature_mismatch",
        ),
        (
            "a stale one",
            with(format!("t={stale},v1={}", mac(new, &stale))),
            401,
            "timestamp_too_old",
        ),
        ("no item", with(format!("t={now},v0={}", mac(new, &now))), 401, "signature_malformed"),
    ];
    refuses(&proxy, &erp, &cases);

    let several = with(format!("t={now}, v1={}, v1=zz, v1={}", "0".repeat(64), mac(old, &now)));
    assert_eq!(Sender::to(&proxy).deliver(&several).outcome(), "delivered", "any item, any secret");
    let count = |secret: &str| {
        proxy.metric("hookward_secret_matches_total", &[("source", "acme"), ("secret", secret)])
    };
    assert_eq!((count("0"), count("old")), (1, 1), "the stale one was genuine, too");
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "7");
}

#[test]
fn only_configured_paths_and_post_are_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let at = |target: &str| Delivery { target: target.to_owned(), ..good.clone() };
    refuses(
        &proxy,
        &erp,
        &[
            ("another path", at("/webhooks/other"), 404, "unknown_source"),
            ("a slash more", at("/webhooks/shop/"), 404, "unknown_source"),
            ("a detour", at("/webhooks/./shop"), 404, "unknown_source"),
            ("an escape", at("/webhooks/%73hop"), 404, "unknown_source"),
            ("the root", at("/"), 404, "unknown_source"),
            (
                "GET",
                Delivery { method: "GET".to_owned(), ..good.clone() },
                405,
                "method_not_allowed",
            ),
            (
                "PUT",
                Delivery { method: "PUT".to_owned(), ..good.clone() },
                405,
                "method_not_allowed",
            ),
        ],
    );
    let put = Delivery { method: "PUT".to_owned(), ..good };
    assert_eq!(Sender::to(&proxy).deliver(&put).header("Allow"), Some("POST"));
    let unknown = [("source", ""), ("reason", "unknown_source")];
    assert_eq!(proxy.metric("hookward_deliveries_total", &unknown), 5);
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read_and_the_sender_learns_it() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("max_body = \"64KiB\"").start();
    let fits = Event::order("fits").padded_to(65_536).signed();
    assert_eq!(Sender::to(&proxy).deliver(&fits).outcome(), "delivered");

    let large = Event::order("large").padded_to(65_537).signed();
    let framing = format!("Content-Length: {}\r\n", large.body.len());
    let mut connection = Connection::open(proxy.address);
    let response = connection.send(large.head(proxy.address, &framing)).response();
    assert_eq!(response.verdict(), (413, "rejected", "body_too_large".to_owned()));

    let response = Connection::open(proxy.address).send(large.bytes(proxy.address)).response();
    assert_eq!(response.reason(), "body_too_large", "told although the body is being sent");
    let mut connection = Connection::open(proxy.address);
    let response = connection.send(large.chunked(proxy.address, 4096)).response();
    assert_eq!(response.reason(), "body_too_large", "chunked");
    erp.saw(1);
}

#[test]
fn a_body_with_a_content_encoding_is_refused() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let encoded = good.clone().with("Content-Encoding", "gzip");
    refuses(&proxy, &erp, &[("gzip", encoded, 415, "content_encoding")]);
    let identity = good.with("Content-Encoding", "identity");
    assert_eq!(Sender::to(&proxy).deliver(&identity).outcome(), "delivered");
}

#[test]
fn whoever_sends_too_slowly_is_told_408_and_the_connection_is_closed() {
    let erp = Upstream::start();
    let proxy =
        Setup::shop(&erp).server("header_timeout = \"300ms\"\nbody_timeout = \"300ms\"").start();
    let delivery = Event::order("evt-1").signed();
    let bytes = delivery.bytes(proxy.address);
    for (sent, reason) in [(20, "header_timeout"), (bytes.len() - 1, "body_timeout")] {
        let mut connection = Connection::open(proxy.address);
        let response = connection.send(&bytes[..sent]).response();
        assert_eq!(response.verdict(), (408, "rejected", reason.to_owned()));
        assert!(connection.closes_within(Duration::from_secs(5)), "{reason}");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn a_slow_header_is_cut_off_on_a_reused_connection_as_well() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("header_timeout = \"300ms\"").start();
    let mut connection = Connection::open(proxy.address);
    let first = Event::order("evt-1").signed().bytes(proxy.address);
    assert_eq!(connection.send(first).response().outcome(), "delivered");
    connection.send("POST /webhooks/shop HTTP/1.1\r\nHost");
    assert_eq!(connection.response().reason(), "header_timeout");
}

#[test]
fn addresses_that_are_not_allowed_and_floods_are_refused() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .upstream("erp", &erp, "")
        .shop_to(&["erp"], "allow = [\"203.0.113.0/24\"]\nrate_limit = \"3/m\"")
        .start();
    let good = |id: &str| Event::order(id).signed();
    refuses(&proxy, &erp, &[("ours", good("a"), 403, "address_not_allowed")]);
    for id in ["b", "c", "d"] {
        let delivery = good(id).with("X-Forwarded-For", "203.0.113.7");
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{id}");
    }
    let flood = good("e").with("X-Forwarded-For", "203.0.113.7");
    let response = Sender::to(&proxy).deliver(&flood);
    assert_eq!(response.verdict(), (429, "rejected", "rate_limited".to_owned()));
    assert!(response.header("Retry-After").is_some());
    erp.saw(3);
}

#[test]
fn a_secret_that_cannot_be_read_takes_down_its_source_alone() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .table(
            "[sources.other]\npath = \"/other\"\npreset = \"github\"\n\
             secrets = [{ env = \"NOT_SET_ANYWHERE\" }]\n\
             [[sources.other.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .start();
    let lost = Delivery::post("/other", "{}");
    let response = Sender::to(&proxy).deliver(&lost);
    assert_eq!(response.verdict(), (503, "rejected", "secret_unavailable".to_owned()));
    assert!(response.header("Retry-After").is_some());
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("a").signed()).outcome(), "delivered");
    let ready = |source: &str| proxy.metric("hookward_source_ready", &[("source", source)]);
    assert_eq!((ready("other"), ready("shop")), (0, 1));
}

#[test]
fn neither_answer_nor_log_tells_a_secret_or_the_expected_signature() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("level = \"trace\"").start();
    let good = Event::order("evt-1").signed();
    let expected = good.headers[1].1.strip_prefix("sha256=").unwrap().to_owned();
    let forged = good.replacing("X-Signature", &format!("sha256={}", "0".repeat(64)));
    let response = Sender::to(&proxy).deliver(&forged);
    assert_eq!(response.reason(), "signature_mismatch");
    eventually("it is logged", || proxy.log().contains("signature_mismatch"));
    for text in [proxy.log(), format!("{response:?}")] {
        assert!(!text.contains(&expected), "the expected signature is in {text}");
        assert!(!text.contains("a-secret-of-the-shop"), "the secret is in {text}");
    }
}

#[test]
fn what_an_unverified_request_says_is_escaped_and_cut_in_the_log() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("level = \"debug\"").start();
    let target = format!("/no/\u{1b}[31m{}", "a".repeat(5000));
    let mut connection = Connection::open(proxy.address);
    connection.send(Delivery { target, ..Delivery::post("/", "") }.bytes(proxy.address));
    assert!([404, 400].contains(&connection.response().status));
    let forged = Event::order("evt-1")
        .signed()
        .replacing("X-Signature", &format!("sha256={}", "\t%1b[2Jz".repeat(300)));
    assert_eq!(Sender::to(&proxy).deliver(&forged).reason(), "signature_malformed");
    eventually("it is logged", || proxy.log().contains("signature_malformed"));
    let log = proxy.log();
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(log.lines().all(|line| line.len() < 3000), "{log}");
}
