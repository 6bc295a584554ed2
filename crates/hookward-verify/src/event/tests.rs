//! Tests of what a request reports, and where it is read.

use super::*;
use crate::fault::FaultKind;
use crate::scheme::TimestampPlace;
use crate::verify::fixture::{NOW, head, places, signed_by, source};
use crate::verify::verify;

fn read(source: &Sender, lines: &[(&str, &str)], body: &str) -> Result<Event, Fault> {
    Event::read_unproven(source, head(lines).view(), body.as_bytes(), None)
}

fn reason(source: &Sender, lines: &[(&str, &str)], body: &str) -> Option<FaultKind> {
    read(source, lines, body).err().map(|fault| fault.kind())
}

#[test]
fn the_first_place_that_holds_a_text_wins() {
    let source = source("X-Sig")
        .with_id(&["header:X-Id", "json:/event_id", "json:/id", "body-sha256"])
        .with_type(&["json:/type"]);
    for (lines, body, id) in [
        (&[("X-Id", "h")][..], r#"{"type":"t","event_id":"e"}"#, "h"),
        (&[("X-Id", "")], r#"{"type":"t","event_id":"e","id":"i"}"#, "e"),
        (&[], r#"{"type":"t","event_id":"","id":7}"#, "7"),
        (&[], r#"{"type":"t","event_id":null,"id":"i"}"#, "i"),
        (&[], "{\"type\":\"t\"}", &body_sha256(b"{\"type\":\"t\"}")),
    ] {
        let event = read(&source, lines, body).expect(body);
        assert_eq!((event.id.as_str(), event.kind.as_str()), (id, "t"), "{body}");
    }
}

#[test]
fn a_joined_place_is_there_if_all_of_its_places_are() {
    let source = source("X-Sig")
        .with_id(&["{header:X-Topic}:{json:/id}", "{json:/kind}-{json:/id}", "body-sha256"])
        .with_type(&[]);
    let topic = &[("X-Topic", "orders/paid")][..];
    let hash = |body: &str| body_sha256(body.as_bytes());
    for (lines, body, id) in [
        (topic, r#"{"id":7,"kind":"order"}"#, "orders/paid:7".to_owned()),
        (&[], r#"{"id":7,"kind":"order"}"#, "order-7".to_owned()),
        (&[("X-Topic", "")], r#"{"id":7,"kind":"order"}"#, "order-7".to_owned()),
        (topic, r#"{"id":null,"kind":"order"}"#, hash(r#"{"id":null,"kind":"order"}"#)),
        (&[], r#"{"id":7,"kind":""}"#, hash(r#"{"id":7,"kind":""}"#)),
    ] {
        assert_eq!(read(&source, lines, body).expect(body).id.as_str(), id, "{body}");
    }
    let by_topic = source.with_id(&["{header:X-Topic}:{body-sha256}", "header:X-Id"]);
    let event = read(&by_topic, topic, "<xml/>").expect("no JSON is read");
    assert_eq!(event.id.as_str(), format!("orders/paid:{}", hash("<xml/>")));
    let event = read(&by_topic, &[("X-Id", "1")], "<xml/>").expect("an event");
    assert_eq!(event.id.as_str(), "1");
}

#[test]
fn a_joined_place_is_no_longer_than_another_and_as_well_formed() {
    let source = source("X-Sig").with_id(&["{json:/a}:{json:/b}", "json:/b"]).with_type(&[]);
    let half = "x".repeat(256);
    for (body, expected) in [
        (format!(r#"{{"a":"{half}","b":"{}"}}"#, &half[1..]), None),
        (format!(r#"{{"a":"{half}","b":"{half}"}}"#), Some(FaultKind::PayloadMalformed)),
        (r#"{"a":{},"b":"1"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"a":"1","b":1.5}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"a":"1"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
    ] {
        assert_eq!(reason(&source, &[], &body), expected, "{body}");
    }
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let source = source("X-Sig");
    let long = "x".repeat(513);
    for (body, expected) in [
        (r#"{"id":"1","type":"t"}"#.to_owned(), None),
        (r#"{"id":"","type":"t"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
        (r#"{"type":"t"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
        (r#"{"id":"1"}"#.to_owned(), Some(FaultKind::EventTypeMissing)),
        ("{}".to_owned(), Some(FaultKind::EventIdMissing)),
        (r#"{"id":1.5,"type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"id":{},"type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"id":"1","type":true}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"id":"1","id":"1","type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (r#"{"id":"1","type":"t"}}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
        (String::new(), Some(FaultKind::PayloadMalformed)),
        (format!(r#"{{"id":"{}","type":"t"}}"#, &long[1..]), None),
        (format!(r#"{{"id":"{long}","type":"t"}}"#), Some(FaultKind::PayloadMalformed)),
        (format!(r#"{{"id":{},"type":"t"}}"#, "1".repeat(513)), Some(FaultKind::PayloadMalformed)),
    ] {
        assert_eq!(reason(&source, &[], &body), expected, "{body}");
    }
    let by_header = source.with_id(&["header:X-Id"]).with_type(&["header:X-Type"]);
    for (lines, expected) in [
        (&[("X-Id", "1"), ("X-Type", "t")][..], None),
        (&[("X-Id", "1"), ("X-Id", "1"), ("X-Type", "t")], None),
        (&[("X-Id", "1"), ("X-Id", "2"), ("X-Type", "t")], Some(FaultKind::PayloadMalformed)),
        (&[("X-Id", "1")], Some(FaultKind::EventTypeMissing)),
        (&[("X-Type", "t")], Some(FaultKind::EventIdMissing)),
        (&[("X-Id", long.as_str()), ("X-Type", "t")], Some(FaultKind::PayloadMalformed)),
    ] {
        assert_eq!(reason(&by_header, lines, "not JSON"), expected, "{lines:?}");
    }
}

#[test]
fn a_body_of_which_nothing_is_read_may_be_anything() {
    let source = source("X-Sig").with_id(&["body-sha256", "json:/id"]).with_type(&[]);
    let event = read(&source, &[], "\u{feff}<xml/>").expect("an event");
    assert_eq!(event.kind, "");
    assert_eq!(event.id.as_str(), body_sha256("\u{feff}<xml/>".as_bytes()));
}

#[test]
fn a_time_in_the_body_is_read_in_the_format_of_the_scheme() {
    let source = source("X-Sig").with_timestamp("json:/created_at", TimeFormat::Rfc3339);
    for (member, expected) in [
        (r#","created_at":"2023-11-14T22:13:20Z""#, Ok(Some(NOW))),
        (r#","created_at":"2023-11-14T23:13:20.000+01:00""#, Ok(Some(NOW))),
        (r#","created_at":"yesterday""#, Err(FaultKind::TimestampMalformed)),
        (r#","created_at":1700000000"#, Err(FaultKind::TimestampMalformed)),
        (r#","created_at":1.5"#, Err(FaultKind::TimestampMalformed)),
        (r#","created_at":null"#, Err(FaultKind::TimestampMissing)),
        (r#","created_at":"""#, Err(FaultKind::TimestampMissing)),
        ("", Err(FaultKind::TimestampMissing)),
    ] {
        let body = format!(r#"{{"id":"1","type":"t"{member}}}"#);
        let sent = read(&source, &[], &body).map(|event| event.sent);
        assert_eq!(sent.map_err(|fault| fault.kind()), expected, "{body}");
    }
    let no_id = r#"{"type":"t","created_at":"yesterday"}"#;
    assert_eq!(reason(&source, &[], no_id), Some(FaultKind::EventIdMissing));
}

#[test]
fn a_time_that_is_not_signed_is_read_after_id_and_type() {
    let source = source("X-Sig").with_timestamp("header:X-Time", TimeFormat::Unix);
    let body = r#"{"id":"1","type":"t"}"#;
    for (lines, expected) in [
        (&[("X-Time", "1700000000")][..], Ok(Some(NOW))),
        (&[("X-Time", "soon")], Err(FaultKind::TimestampMalformed)),
        (&[("X-Time", "1700000000"), ("X-Time", "1")], Err(FaultKind::TimestampMalformed)),
        (&[], Err(FaultKind::TimestampMissing)),
    ] {
        let sent = read(&source, lines, body).map(|event| event.sent);
        assert_eq!(sent.map_err(|fault| fault.kind()), expected, "{lines:?}");
    }
}

#[test]
fn the_events_own_time_never_stops_a_delivery() {
    let mut source = source("X-Sig");
    source.scheme.event.time = places(&["json:/at", "header:X-At"]);
    for (member, expected) in [
        (r#","at":"2023-11-14T22:13:20Z""#, Some(NOW)),
        (r#","at":1700000000"#, Some(NOW)),
        (r#","at":1700000000000"#, Some(NOW)),
        (r#","at":"soon""#, None),
        (r#","at":{}"#, Some(UnixMillis(0))),
        ("", Some(UnixMillis(0))),
    ] {
        let body = format!(r#"{{"id":"1","type":"t"{member}}}"#);
        let event = read(&source, &[("X-At", "0")], &body).expect("an event");
        assert_eq!(event.time, expected, "{body}");
    }
    let by_header = source.with_id(&["header:X-Id"]).with_type(&[]);
    assert!(read(&by_header, &[("X-Id", "1")], "no JSON").is_ok());
}

#[test]
fn the_proof_brings_the_time_that_was_signed() {
    let source = source("X-Sig")
        .with_timestamp("header:X-Time", TimeFormat::Unix)
        .with_rule(|rule| rule.signed = crate::verify::fixture::template("{timestamp}.{body}"));
    let (head, body) = signed_by(&source, br#"{"id":"1","type":"t"}"#);
    let genuine = verify(&source, head.view(), &body).expect("genuine");
    let event = Event::read(&source, head.view(), &body, &genuine).expect("an event");
    assert_eq!(event.sent, Some(NOW));
    assert!(matches!(source.scheme.timestamp.expect("a rule").from, TimestampPlace::Header(_)));
}

#[test]
fn what_is_read_with_an_event_is_what_is_read_alone_and_does_not_refuse_it() {
    let mut source = source("X-Sig");
    source.scheme.event.time = places(&["json:/at"]);
    let others = places(&[
        "json:/order",
        "json:/id",
        "header:X-Shop",
        "body-sha256",
        "{header:X-Shop}:{json:/order}",
    ]);
    for body in [
        r#"{"id":"1","type":"t","order":"o-7"}"#,
        r#"{"id":"1","type":"t","order":7}"#,
        r#"{"id":"1","type":"t","order":""}"#,
        r#"{"id":"1","type":"t","order":[7]}"#,
        r#"{"id":"1","type":"t"}"#,
        // Which of the two it is, readers do not agree on.
        r#"{"id":"1","type":"t","order":7,"order":8}"#,
    ] {
        let (head, body) = signed_by(&source, body.as_bytes());
        let genuine = verify(&source, head.view(), &body).expect("genuine");
        let (event, texts) =
            Event::read_with(&source, head.view(), &body, &genuine, &others).expect("an event");
        assert_eq!(event, Event::read(&source, head.view(), &body, &genuine).expect("an event"));
        let alone: Vec<_> =
            others.iter().map(|place| read_place(head.view(), &body, place)).collect();
        assert_eq!(texts, alone, "{}", body.escape_ascii());
    }
    let by_header = source.with_id(&["header:X-Id"]).with_type(&[]);
    let (head, body) = signed_by(&by_header, br#"{"at":0,"at":1,"order":7}"#);
    let genuine = verify(&by_header, head.view(), &body).expect("genuine");
    let read = Event::read_with(&by_header, head.view(), &body, &genuine, &others[..1]);
    assert_eq!(read.expect("an event").1, [Some("7".to_owned())], "a time says nothing of a key");
}
