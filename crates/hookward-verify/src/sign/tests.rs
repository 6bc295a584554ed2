//! Tests of what a sender would send.

use super::*;
use crate::scheme::TimeFormat;
use crate::verify::fixture::{NOW, secrets, source, template};

fn request(body: &[u8]) -> SignRequest<'_> {
    SignRequest {
        id: Some("evt_1"),
        event_type: Some("order.paid"),
        path: "/acme",
        at: NOW,
        query: None,
        body,
    }
}

#[test]
fn all_headers_of_the_sender_are_made() {
    let source = source("X-Sig")
        .with_timestamp("header:X-Time", TimeFormat::UnixMs)
        .with_id(&["json:/id", "header:X-Id"])
        .with_type(&["header:X-Topic"])
        .with_rule(|rule| {
            rule.prefix = "sha256=".to_owned();
            rule.signed = template("{timestamp}.{header:X-Request}.{body}");
            rule.require = vec![(HeaderName::from_static("x-version"), "1".to_owned())];
        });
    let secrets = secrets(&["topsecret"]);
    let signed = sign(&source, &SigningKey::Shared(&secrets[0]), &request(b"{}"));
    let headers = signed.expect("signed").headers;
    let value = |name: &str| {
        headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(value("content-type"), Some("application/json"));
    assert_eq!(value("x-time"), Some("1700000000000"));
    assert_eq!(value("x-id"), Some("evt_1"));
    assert_eq!(value("x-topic"), Some("order.paid"));
    assert_eq!(value("x-version"), Some("1"));
    assert_eq!(value("x-request"), Some("evt_1"));
    assert!(value("x-sig").is_some_and(|value| value.len() == 7 + 64), "{headers:?}");
}

#[test]
fn the_list_of_signed_headers_is_written_beside_the_signature() {
    let source = source("X-Sig").with_id(&["header:X-Event-Id"]).with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.prefix = "v1=".to_owned();
        rule.signed = template("{listed:h=}.{body}");
    });
    let secrets = secrets(&["topsecret"]);
    let signed = sign(&source, &SigningKey::Shared(&secrets[0]), &request(b"{}"));
    let headers = signed.expect("signed").headers;
    let line = headers.iter().find(|(name, _)| name == "x-sig").expect("a signature");
    assert!(line.1.starts_with("h=content-type x-event-id,v1="), "{line:?}");
    let head = crate::verify::fixture::head(&headers);
    assert!(crate::verify::verify(&source, head.view(), b"{}").is_ok());
    // The listed headers are signed: neither a value nor the list can change.
    for (name, value) in [("x-event-id", "evt_2"), ("content-type", "text/plain")] {
        let mut other = head.clone();
        other.headers.insert(name, HeaderValue::from_static(value));
        assert!(crate::verify::verify(&source, other.view(), b"{}").is_err(), "{name}");
    }
    let mut shorter = head;
    let line = line.1.replace("content-type ", "");
    shorter.headers.insert("x-sig", HeaderValue::from_str(&line).expect("a value"));
    assert!(crate::verify::verify(&source, shorter.view(), b"{}").is_err());
}

#[test]
fn what_cannot_be_signed_is_said() {
    let secrets = secrets(&["topsecret"]);
    let shared = SigningKey::Shared(&secrets[0]);
    let public = source("X-Sig").with_rule(|rule| rule.algorithm = Algorithm::Ed25519);
    assert!(matches!(
        sign(&public, &shared, &request(b"{}")),
        Err(SignError::NoPrivateKey("ed25519"))
    ));
    let circular = source("json:/signature");
    assert!(matches!(sign(&circular, &shared, &request(b"{}")), Err(SignError::Incomplete(_))));
    let header = source("X-Sig").with_id(&["header:X-Id"]);
    let newline = SignRequest { id: Some("a\nb"), ..request(b"{}") };
    assert!(matches!(sign(&header, &shared, &newline), Err(SignError::HeaderValue(_))));
    let no_time = source("X-Sig")
        .with_timestamp("json:/at", TimeFormat::Unix)
        .with_rule(|rule| rule.signed = template("{timestamp}.{body}"));
    assert!(matches!(sign(&no_time, &shared, &request(b"{")), Err(SignError::Incomplete(_))));
}
