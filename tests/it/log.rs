//! The lines that people and machines read; `docs/LOGGING.md`.

use crate::support::{Delivery, Event, Proxy, Sender, Setup, Upstream, eventually};
use serde_json::{Value, json};

/// Contract section 5a.
const FIELDS: [&str; 11] = [
    "source",
    "event_id",
    "event_type",
    "outcome",
    "reason",
    "status",
    "destinations",
    "duration_ms",
    "body_bytes",
    "client",
    "trace_id",
];
/// What every line has.
const FRAME: [&str; 3] = ["timestamp", "level", "message"];

fn in_json(erp: &Upstream, keys: &str) -> Proxy {
    Setup::new().log("format = \"json\"").upstream("erp", erp, "").shop_to(&["erp"], keys).start()
}

fn lines(proxy: &Proxy) -> Vec<Value> {
    let log = proxy.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["message"] == "delivery").collect()
}

/// Waits for this many lines of deliveries.
#[track_caller]
fn deliveries(proxy: &Proxy, count: usize) -> Vec<Value> {
    eventually("the lines are there", || lines(proxy).len() >= count);
    let lines = lines(proxy);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[test]
fn a_delivery_is_one_line_with_exactly_its_fields() {
    let erp = Upstream::start();
    let proxy = in_json(&erp, "");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let delivery = Event::order("evt-1")
        .signed()
        .with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let line = deliveries(&proxy, 1).remove(0);
    let found: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [&FIELDS[..], &FRAME].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for (field, value) in [
        ("level", json!("info")),
        ("source", json!("shop")),
        ("event_id", json!("evt-1")),
        ("event_type", json!("order.created")),
        ("outcome", json!("delivered")),
        ("reason", json!("")),
        ("status", json!(200)),
        ("body_bytes", json!(delivery.body.len())),
        ("client", json!("127.0.0.1")),
        ("trace_id", json!(trace)),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
    let destination = &line["destinations"][0];
    assert_eq!((&destination["name"], &destination["result"]), (&json!("erp"), &json!("200")));
    assert!(destination["ms"].as_f64().unwrap() > 0.0, "{line}");
    let sent_on = erp.saw(1).remove(0);
    assert!(sent_on.header("traceparent").contains(trace));
}

#[test]
fn a_refusal_says_why_and_what_an_unverified_request_says_is_escaped() {
    let erp = Upstream::start();
    let proxy = in_json(&erp, "");
    let forged = Event::order("evt-1").signed().replacing("X-Signature", "sha256=00");
    Sender::to(&proxy).deliver(&forged);
    let long = format!("/{}", "a%0A\u{e9}".repeat(200));
    let astray = Delivery { target: long, ..Delivery::post("/", "{}") };
    drop(
        crate::support::Connection::open(proxy.address)
            .send(astray.bytes(proxy.address))
            .try_response(),
    );
    let lines = deliveries(&proxy, 2);
    assert_eq!(lines[0]["level"], "warn");
    assert_eq!((&lines[0]["event_id"], &lines[0]["destinations"]), (&json!(""), &json!([])));
    assert!(lines[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", lines[0]);
    assert!(lines[1]["outcome"] == "rejected");
    for line in proxy.log().lines() {
        assert!(line.is_ascii() || line.contains('…'), "{line}");
        assert!(line.len() < 1000, "{line}");
    }
}

#[test]
fn a_line_for_people_leaves_out_what_says_nothing() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    eventually("the line is there", || proxy.log().contains("delivery"));
    let log = proxy.log();
    let line = log.lines().find(|line| line.contains(" delivery ")).unwrap();
    for part in [
        "INFO",
        "source=shop",
        "event_id=evt-1",
        "event_type=order.created",
        "outcome=delivered",
        "status=200",
        "client=127.0.0.1",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    for part in ["reason=", "detail=", "suppressed=", "shadowed="] {
        assert!(!line.contains(part), "{part} is in {line}");
    }
}

#[test]
fn refusals_are_logged_up_to_a_limit_and_all_are_counted() {
    let erp = Upstream::start();
    let proxy = in_json(&erp, "");
    let forged = Event::order("evt-1").signed().replacing("X-Signature", "sha256=00");
    let mut connection = crate::support::Connection::open(proxy.address);
    let bytes = forged.bytes(proxy.address);
    for _ in 0..300 {
        assert_eq!(connection.send(&bytes).response().status, 401);
    }
    assert_eq!(proxy.ended("rejected", "signature_malformed"), 300);
    eventually("some lines", || lines(&proxy).len() >= 20);
    assert!(lines(&proxy).len() < 300);
    // What a refusal kept out of the log is told by the next line.
    Sender::to(&proxy).deliver(&Event::order("evt-2").signed());
    eventually("the next line", || lines(&proxy).iter().any(|line| line["event_id"] == "evt-2"));
    let lines = lines(&proxy);
    let suppressed: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    assert_eq!(suppressed + lines.len() as u64, 301);
}

#[test]
fn shadow_mode_says_what_would_have_been_and_what_the_sender_was_told() {
    let erp = Upstream::start();
    let proxy = in_json(&erp, "mode = \"shadow\"");
    let forged = Event::order("evt-1").signed().replacing("X-Signature", "sha256=00");
    assert_eq!(Sender::to(&proxy).deliver(&forged).outcome(), "delivered");
    let line = deliveries(&proxy, 1).remove(0);
    assert_eq!(
        (&line["outcome"], &line["reason"]),
        (&json!("rejected"), &json!("signature_malformed"))
    );
    assert_eq!(
        (&line["shadowed"], &line["level"]),
        (&json!("forwarded, delivered"), &json!("warn"))
    );
    assert_eq!(line["destinations"][0]["result"], "200");
}

/// Whatever happens, and however much is logged.
#[test]
fn no_secret_signature_or_body_is_ever_in_the_log() {
    for format in ["text", "json"] {
        let erp = Upstream::start();
        let proxy = Setup::shop(&erp)
            .log(&format!("format = \"{format}\"\nlevel = \"trace\""))
            .admin("token = { value = \"the-token-of-the-admin-side\" }")
            .start();
        let good = Event::order("evt-1").padded_to(400).signed();
        let signature =
            good.headers.iter().find(|(name, _)| name == "X-Signature").unwrap().1.clone();
        let sender = Sender::to(&proxy);
        let good = good
            .with("Authorization", "Bearer of-the-sender")
            .with("Cookie", "session=of-the-sender");
        for delivery in [
            good.clone(),
            good.clone(),
            good.clone().with_body("{\"xxxxxxxx\":1}"),
            good.clone().replacing("X-Signature", "sha256=deadbeef"),
            good.clone().without("X-Signature"),
        ] {
            sender.deliver(&delivery);
        }
        eventually("the lines are there", || proxy.log().matches("delivery").count() >= 5);
        let log = proxy.log();
        for never in [
            "a-secret-of-the-shop-for-tests",
            "the-token-of-the-admin-side",
            signature.strip_prefix("sha256=").unwrap(),
            "deadbeef",
            "xxxxxxxx",
            "of-the-sender",
        ] {
            assert!(!log.contains(never), "{never} is in the {format} log:\n{log}");
        }
    }
}
