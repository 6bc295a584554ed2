//! Claims about handshakes: the right answer to the right question, and none to any other.

use super::*;
use crate::fault::FaultKind;
use crate::secret::Secret;
use crate::verify::fixture::{head, source};

fn handshake(kind: Kind) -> Handshake {
    let verify_token = Some(Secret::from("our-verify-token".to_owned()));
    Handshake { kind, verify_token }
}

fn ready() -> Source {
    let mut source = source("X-Sig").with_secrets(&["topsecret", "older"]);
    source.keys = Ok(source.new_keys());
    source
}

fn ask_head(kind: Kind, query: &str) -> Option<Result<Reply, FaultKind>> {
    let mut request = head(&[("X-Okta-Verification-Challenge", "abc123")]);
    request.method = Method::GET;
    request.query = Some(query.to_owned());
    let answer = answer_head(&handshake(kind), &ready(), &request);
    answer.map(|answer| answer.map_err(|fault| fault.kind()))
}

fn ask_body(kind: Kind, body: &str, holds: bool) -> Option<Result<Reply, FaultKind>> {
    let mut request = head(&[("X-Hook-Secret", "abc123")]);
    request.query = Some("validationToken=Validation%3A+ok".to_owned());
    let fault = Fault::SignatureMismatch("".into());
    let verified = if holds { Ok(()) } else { Err(&fault) };
    let answer = answer_body(&handshake(kind), &ready(), &request, body.as_bytes(), verified);
    answer.map(|answer| answer.map_err(|fault| fault.kind()))
}

fn body_of(answer: Option<Result<Reply, FaultKind>>) -> String {
    let reply = answer.expect("a handshake").expect("an answer");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    String::from_utf8(reply.body).expect("text")
}

#[test]
fn a_get_is_answered_as_its_protocol_asks() {
    let long = "a".repeat(1025);
    for (kind, query, expected) in [
        (
            Kind::Meta,
            "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=our-verify-token",
            Some("1158201444"),
        ),
        (
            Kind::Meta,
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=our-verify-token",
            None,
        ),
        (
            Kind::Meta,
            "hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=our-verify-token",
            None,
        ),
        (
            Kind::Meta,
            "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=our-verify-token",
            None,
        ),
        (Kind::Dropbox, "challenge=abc", Some("abc")),
        (Kind::Dropbox, "challenge=", None),
        (Kind::Dropbox, &format!("challenge={long}"), None),
        (Kind::Dropbox, "challenge=a%0d%0ab", None),
        (Kind::Okta, "", Some(r#"{"verification":"abc123"}"#)),
        // HMAC-SHA256 of "abc" under "topsecret".
        (
            Kind::X,
            "crc_token=abc",
            Some(r#"{"response_token":"sha256=7KWrZJNRfUYjre42LIt5mgyKniO4QsioZ45eHXnp2tg="}"#),
        ),
        (Kind::X, "crc_token=%7B%22id%22%3A1%7D", None),
        (Kind::Slack, "challenge=abc", None),
    ] {
        match expected {
            Some(expected) => assert_eq!(body_of(ask_head(kind, query)), expected, "{kind:?}"),
            None => assert_eq!(ask_head(kind, query), None, "{kind:?} {query}"),
        }
    }
}

#[test]
fn a_wrong_verify_token_is_refused() {
    let query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=guess";
    assert_eq!(ask_head(Kind::Meta, query), Some(Err(FaultKind::SignatureMismatch)));
    let without = Handshake { kind: Kind::Meta, verify_token: None };
    let mut request = head(&[("a", "b")]);
    request.method = Method::GET;
    request.query = Some(query.to_owned());
    let answer = answer_head(&without, &ready(), &request).expect("a handshake");
    assert_eq!(answer.expect_err("no token").kind(), FaultKind::SecretUnavailable);
}

#[test]
fn ebay_gets_the_hash_of_code_token_and_url() {
    let url = "https://hooks.example.com/acme";
    let expected = HEXLOWER.encode(&sha256(format!("c0deour-verify-token{url}").as_bytes()));
    let answer = body_of(ask_head(Kind::Ebay, "challenge_code=c0de"));
    assert_eq!(answer, format!(r#"{{"challengeResponse":"{expected}"}}"#));
}

#[test]
fn a_head_is_answered_for_trello_alone() {
    let mut request = head(&[("a", "b")]);
    request.method = Method::HEAD;
    for (name, kind) in Kind::NAMES {
        let answer = answer_head(&handshake(kind), &ready(), &request);
        assert_eq!(answer.is_some(), kind == Kind::Trello, "{name}");
    }
}

#[test]
fn a_signed_question_needs_its_signature() {
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#;
    for (kind, body, expected) in [
        (Kind::Slack, r#"{"type":"url_verification","token":"x","challenge":"abc"}"#, "abc"),
        (
            Kind::Zoom,
            zoom,
            r#"{"encryptedToken":"eca5ab6493517d4623adee362c8b799a0c8a9e23b842c8a8678e5e1d79e9dad8","plainToken":"abc"}"#,
        ),
        (Kind::Discord, r#"{"type":1,"id":"7"}"#, r#"{"type":1}"#),
        (Kind::Xero, r#"{"events":[ ],"firstEventSequence":0}"#, ""),
        (Kind::Line, r#"{"destination":"x","events":[]}"#, ""),
    ] {
        assert_eq!(body_of(ask_body(kind, body, true)), expected, "{kind:?}");
        assert_eq!(
            ask_body(kind, body, false),
            Some(Err(FaultKind::SignatureMismatch)),
            "{kind:?}"
        );
    }
}

#[test]
fn an_unsigned_question_is_answered_in_its_exact_shape() {
    for (kind, body, expected) in [
        (Kind::Microsoft, "", "Validation: ok"),
        (Kind::Monday, r#"{"challenge":"abc"}"#, r#"{"challenge":"abc"}"#),
        (Kind::Notion, r#"{"verification_token":"secret_abc"}"#, ""),
        (Kind::Salesforce, r#"{"callbackId":"a-b","verificationKey":"k"}"#, ""),
        (Kind::Vtex, r#"{"hookConfig":"ping"}"#, ""),
        (Kind::Woocommerce, "webhook_id=17", ""),
        (Kind::ExactOnline, "", ""),
        (Kind::Asana, "{}", ""),
    ] {
        assert_eq!(body_of(ask_body(kind, body, false)), expected, "{kind:?}");
    }
    let reply = ask_body(Kind::Asana, "{}", false).expect("a handshake").expect("an answer");
    assert_eq!(reply.headers["x-hook-secret"], "abc123");
}

#[test]
fn an_event_is_no_handshake() {
    for (name, kind) in Kind::NAMES {
        if matches!(kind, Kind::Microsoft | Kind::Asana) {
            continue; // these ask in the query or a header
        }
        for body in [
            r#"{"id":"1","type":"order.paid","events":[{}],"challenge":"abc"}"#,
            r#"{"type":"url_verification","challenge":"<b>"}"#,
            r#"{"type":2,"event":"meeting.started","hookConfig":"ping","verification_token":"x"}"#,
            r#"{"challenge":"abc","more":1}"#,
            "webhook_id=17&x=1",
            "[[]]",
            r#"{"events":[[]]}"#,
            "not JSON",
        ] {
            assert_eq!(ask_body(kind, body, true), None, "{name} {body}");
        }
    }
    let plain = head(&[("a", "b")]);
    for kind in [Kind::Microsoft, Kind::Asana] {
        assert_eq!(answer_body(&handshake(kind), &ready(), &plain, b"{}", Ok(())), None);
    }
}

#[test]
fn names_are_unique() {
    let names: std::collections::HashSet<_> = Kind::NAMES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), Kind::NAMES.len());
}
