//! Tests of the text that a sender signs, and which parts of a request it contains.

use super::super::fixture::{NOW, head, source, template};
use super::{hex, reason, stream};
use crate::fault::FaultKind;
use crate::scheme::TimeFormat;

#[test]
fn parts_are_signed_in_the_order_of_the_template() {
    for (signed, text) in [
        ("{body}", "BODY"),
        ("{timestamp}:{body}", "1700000000:BODY"),
        ("{timestamp},{body}", "1700000000,BODY"),
        ("{body}{timestamp}", "BODY1700000000"),
        ("{url}{body}", "https://hooks.example.com/acmeBODY"),
        ("{body}{url}", "BODYhttps://hooks.example.com/acme"),
        ("{method}\n{path}\n{query}\n{body}", "POST\n/acme\n\nBODY"),
        ("{lower:header:X-Id}/{body}/{body}", "abc/BODY/BODY"),
        ("{secret}{body}", "topsecretBODY"),
        ("no body", "no body"),
    ] {
        let source = source("X-Sig")
            .with_timestamp("header:X-Time", TimeFormat::Unix)
            .with_rule(|rule| rule.signed = template(signed));
        let request = |tag: String| {
            head(&[("X-Sig", tag), ("X-Time", "1700000000".into()), ("X-Id", "AbC".into())])
        };
        let good = request(hex("topsecret", text));
        assert_eq!(reason(&source, &good, b"BODY"), None, "{signed}");
        let bad = request(hex("topsecret", &format!("{text} ")));
        assert_eq!(reason(&source, &bad, b"BODY"), Some(FaultKind::SignatureMismatch), "{signed}");
    }
}

#[test]
fn the_query_is_part_of_the_url_as_it_arrived() {
    let source =
        source("X-Sig").with_rule(|rule| rule.signed = template("{url}|{query}|{query:b}"));
    for (query, text) in [
        (None, "https://hooks.example.com/acme||"),
        (Some(""), "https://hooks.example.com/acme?||"),
        (Some("a=%2F&b=c%20d"), "https://hooks.example.com/acme?a=%2F&b=c%20d|a=%2F&b=c%20d|c d"),
    ] {
        let mut request = head(&[("X-Sig", hex("topsecret", text))]);
        request.query = query.map(str::to_owned);
        assert_eq!(reason(&source, &request, b"body"), None, "{query:?}");
    }
}

#[test]
fn of_the_json_only_what_is_signed_is_read() {
    let ecwid = source("X-Sig").with_rule(|rule| {
        rule.signed = template("{json:/created}.{json:/id}");
    });
    let request = head(&[("X-Sig", hex("topsecret", "17.e1"))]);
    for (body, expected) in [
        (r#"{"created":17,"id":"e1"}"#, None),
        (r#"{"created":"17","id":"e1","x":[{}]}"#, None),
        (r#"{"created":17,"id":"e2"}"#, Some(FaultKind::SignatureMismatch)),
        (r#"{"created":17}"#, Some(FaultKind::SignatureMismatch)),
        (r#"{"created":{},"id":"e1"}"#, Some(FaultKind::PayloadMalformed)),
        (r#"{"created":17,"id":"e1","id":"e1"}"#, Some(FaultKind::PayloadMalformed)),
        (r#"{"created":17,"id":"e1"}x"#, Some(FaultKind::PayloadMalformed)),
        ("\u{feff}{\"created\":17,\"id\":\"e1\"}", Some(FaultKind::PayloadMalformed)),
    ] {
        assert_eq!(reason(&ecwid, &request, body.as_bytes()), expected, "{body}");
    }
    let plain = source("X-Sig");
    let broken = head(&[("X-Sig", hex("topsecret", "{"))]);
    assert_eq!(reason(&plain, &broken, b"{"), None);
}

#[test]
fn a_signature_may_stand_in_the_body() {
    // Mailgun's shape: timestamp and token are signed, the rest of the body is not.
    let mailgun = source("json:/signature/signature")
        .with_timestamp("json:/signature/timestamp", TimeFormat::Unix)
        .with_rule(|rule| rule.signed = template("{timestamp}{json:/signature/token}"));
    let tag = hex("topsecret", "1700000000abc");
    let body = |tag: &str| {
        format!(r#"{{"signature":{{"timestamp":"1700000000","token":"abc","signature":"{tag}"}}}}"#)
    };
    let request = head(&[("a", "b")]);
    let genuine = stream(&mailgun, &request, body(&tag).as_bytes()).expect("genuine");
    assert_eq!(genuine.sent(), Some(NOW));
    let zeros = "0".repeat(64);
    assert_eq!(
        reason(&mailgun, &request, body(&zeros).as_bytes()),
        Some(FaultKind::SignatureMismatch)
    );
    let without = br#"{"signature":{"timestamp":"1700000000","token":"abc"}}"#;
    assert_eq!(reason(&mailgun, &request, without), Some(FaultKind::SignatureMissing));
}

#[test]
fn a_raw_json_value_is_signed_as_it_is_written() {
    // Exact Online's shape: upper-case hex over the text of one member.
    let exact =
        source("json:/HashCode").with_rule(|rule| rule.signed = template("{json-raw:/Content}"));
    let content = r#"{ "Topic":"x",  "Key" : "a\u00e4" }"#;
    let tag = hex("topsecret", content).to_uppercase();
    let body = format!(r#"{{"Content": {content} ,"HashCode":"{tag}"}}"#);
    assert_eq!(reason(&exact, &head(&[("a", "b")]), body.as_bytes()), None);
    let altered = body.replace("\"x\"", "\"y\"");
    assert_eq!(
        reason(&exact, &head(&[("a", "b")]), altered.as_bytes()),
        Some(FaultKind::SignatureMismatch)
    );
}

#[test]
fn a_form_under_two_content_types_is_none() {
    let twilio = source("X-Sig").with_rule(|rule| rule.signed = template("{url}{form}"));
    let good = ("X-Sig", hex("topsecret", "https://hooks.example.com/acmea1b2"));
    let form = ("Content-Type", "application/x-www-form-urlencoded".to_owned());
    let json = ("Content-Type", "application/json".to_owned());
    for (lines, expected) in [
        (vec![good.clone(), form.clone()], None),
        (vec![good.clone(), form.clone(), form.clone()], None),
        (vec![good.clone(), form.clone(), json.clone()], Some(FaultKind::SignatureMismatch)),
        (vec![good, json, form], Some(FaultKind::SignatureMismatch)),
    ] {
        assert_eq!(reason(&twilio, &head(&lines), b"b=2&a=1"), expected, "{lines:?}");
    }
}

#[test]
fn a_signed_parameter_of_the_query_says_one_thing() {
    let source = source("X-Sig").with_rule(|rule| rule.signed = template("{query:data.id}|{body}"));
    for (query, expected) in [
        ("data.id=1", None),
        ("type=x&data.id=1&data.id=1&dataid=2", None),
        ("data.id=1&data.id=2", Some(FaultKind::SignatureMalformed)),
        ("data.id=1&data%2Eid=2", Some(FaultKind::SignatureMalformed)),
        ("data_id=2&data.id=1", Some(FaultKind::SignatureMalformed)),
        ("data.id=1&data+id=2", Some(FaultKind::SignatureMalformed)),
        ("data.id=1&data%5Bid=2", Some(FaultKind::SignatureMalformed)),
        ("data_id=1", Some(FaultKind::SignatureMismatch)),
    ] {
        let mut request = head(&[("X-Sig", hex("topsecret", "1|body"))]);
        request.query = Some(query.to_owned());
        assert_eq!(reason(&source, &request, b"body"), expected, "{query}");
    }
}
