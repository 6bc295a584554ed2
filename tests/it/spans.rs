//! Spans by OTLP, with a recording collector.

use crate::support::{Event, Proxy, Sender, Setup, Upstream, eventually};
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn exporting(erp: &Upstream, collector: &Upstream, delay: &str) -> Proxy {
    Setup::shop(erp)
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .environment("OTEL_BSP_SCHEDULE_DELAY", delay)
        .start()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_delivery_is_a_span_of_the_senders_trace() {
    let [erp, collector] = [Upstream::start(), Upstream::start()];
    let proxy = exporting(&erp, &collector, "100");
    let delivery = Event::order("evt-1")
        .signed()
        .with("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    eventually("a batch arrives", || !collector.seen().is_empty());
    let batch = collector.seen().remove(0);
    assert_eq!((batch.method.as_str(), batch.target.as_str()), ("POST", "/v1/traces"));
    assert_eq!(batch.header("Content-Type"), "application/x-protobuf");
    // The protocol has ids as bytes and names as text.
    let bytes = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    for part in [bytes(TRACE), bytes("00f067aa0ba902b7")] {
        assert!(contains(&batch.body, &part), "{:?}", batch.body);
    }
    for part in ["delivery", "hookward.source", "shop", "evt-1", "order.created", "delivered"] {
        assert!(contains(&batch.body, part.as_bytes()), "{part} is not in the batch");
    }
    for never in ["a-secret-of-the-shop-for-tests", "created_at", "sha256="] {
        assert!(!contains(&batch.body, never.as_bytes()), "{never} is in the batch");
    }
}

#[test]
fn a_trace_that_was_made_here_is_the_one_that_the_receiver_sees() {
    let [erp, collector] = [Upstream::start(), Upstream::start()];
    let proxy = exporting(&erp, &collector, "100");
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    eventually("a batch arrives", || !collector.seen().is_empty());
    let seen = erp.saw(1).remove(0);
    let parts: Vec<&str> = seen.header("traceparent").split('-').collect();
    for hex in [parts[1], parts[2]] {
        let id = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert!(contains(&collector.seen()[0].body, &id), "{hex}");
    }
}

#[test]
fn what_is_left_is_exported_before_the_process_ends() {
    let [erp, collector] = [Upstream::start(), Upstream::start()];
    let mut proxy = exporting(&erp, &collector, "600000");
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    assert!(collector.seen().is_empty());
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(0));
    assert!(contains(&collector.saw(1)[0].body, b"evt-1"));
}

#[test]
fn a_trace_that_its_sender_does_not_record_is_not_exported() {
    let [erp, collector] = [Upstream::start(), Upstream::start()];
    let proxy = exporting(&erp, &collector, "50");
    let unrecorded = format!("00-{TRACE}-00f067aa0ba902b7-00");
    let sender = Sender::to(&proxy);
    sender.deliver(&Event::order("evt-1").signed().with("traceparent", &unrecorded));
    sender.deliver(&Event::order("evt-2").signed());
    eventually("a batch arrives", || !collector.seen().is_empty());
    let batches: Vec<u8> = collector.seen().into_iter().flat_map(|batch| batch.body).collect();
    assert!(contains(&batches, b"evt-2") && !contains(&batches, b"evt-1"));
}
