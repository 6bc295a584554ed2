//! Tests of handshakes: the right answer to the right request, and none to any other.

mod client_id;

use super::*;
use crate::fault::FaultKind;
use crate::verify::fixture::{head, hmac_sha1, source, template};
use crate::verify::verify;
use hookward_secret::Secret;

fn handshake(kind: Kind) -> Handshake {
    let verify_token = Some(Secret::from("our-verify-token".to_owned()));
    Handshake { kind, verify_token }
}

fn asking(handshake: Handshake) -> Sender {
    let mut source = source("X-Sig").with_secrets(&["topsecret", "older"]);
    source.scheme.handshake = Some(handshake);
    source
}

fn ask_head(kind: Kind, query: &str) -> Option<Result<Reply, FaultKind>> {
    let mut request = head(&[("X-Okta-Verification-Challenge", "abc123")]);
    request.method = Method::GET;
    request.query = Some(query.to_owned());
    let answer = answer_head(&asking(handshake(kind)), request.view());
    answer.map(|answer| answer.map_err(|fault| fault.kind()))
}

fn ask_body(kind: Kind, body: &str, holds: bool) -> Option<Result<Reply, FaultKind>> {
    let mut request = head(&[("X-Hook-Secret", "abc123")]);
    request.query = Some("validationToken=Validation%3A+ok".to_owned());
    let fault = Fault::SignatureMismatch("".into());
    let verified = if holds { Ok(()) } else { Err(&fault) };
    let answer = answer_body(&asking(handshake(kind)), request.view(), body.as_bytes(), verified);
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
    let answer = answer_head(&asking(without), request.view()).expect("a handshake");
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
fn a_head_is_answered_for_those_who_ask_so() {
    let mut request = head(&[("a", "b")]);
    request.method = Method::HEAD;
    for (name, kind) in Kind::NAMES {
        let answer = answer_head(&asking(handshake(kind)), request.view());
        assert_eq!(answer.is_some(), matches!(kind, Kind::Trello | Kind::Mandrill), "{name}");
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
        assert_eq!(answer_body(&asking(handshake(kind)), plain.view(), b"{}", Ok(())), None);
    }
}

#[test]
fn a_ping_of_one_of_discords_protocols_is_an_event_of_the_other() {
    let event = r#"{"version":1,"application_id":"7","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2026-03-16T10:20:30"}}"#;
    let ping_of_events = r#"{"version":1,"application_id":"7","type":0}"#;
    let ping_of_interactions = r#"{"version":1,"application_id":"7","type":1,"token":"t"}"#;
    let command = r#"{"type":1,"data":{"name":"greet"}}"#;
    for body in [event, ping_of_events, command] {
        assert_eq!(ask_body(Kind::Discord, body, true), None, "{body}");
    }
    for body in [event, ping_of_interactions, r#"{"type":0,"event":{}}"#] {
        assert_eq!(ask_body(Kind::DiscordEvents, body, true), None, "{body}");
    }
    assert_eq!(body_of(ask_body(Kind::Discord, ping_of_interactions, true)), r#"{"type":1}"#);
    let answer = ask_body(Kind::DiscordEvents, ping_of_events, true);
    let reply = answer.expect("a handshake").expect("an answer");
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.headers["content-type"], "application/json");
    let forged = ask_body(Kind::DiscordEvents, ping_of_events, false);
    assert_eq!(forged, Some(Err(FaultKind::SignatureMismatch)));
}

#[test]
fn what_asks_in_a_header_or_the_query_and_carries_an_event_is_one() {
    let events = r#"{"events":[{"action":"changed"}]}"#;
    let value = r#"{"value":[{"clientState":"s","changeType":"updated"}]}"#;
    for (kind, body) in [
        (Kind::Asana, events),
        (Kind::Asana, r#"{"events":[],"more":1}"#),
        (Kind::Microsoft, value),
        (Kind::Microsoft, "not JSON"),
        (Kind::Salesforce, r#"{"callbackId":"a","verificationKey":"k","events":[]}"#),
        (Kind::Slack, r#"{"type":"url_verification","challenge":"a","event":{}}"#),
    ] {
        assert_eq!(ask_body(kind, body, true), None, "{kind:?} {body}");
    }
    for (kind, body) in
        [(Kind::Asana, ""), (Kind::Asana, r#"{"events":[]}"#), (Kind::Microsoft, "")]
    {
        assert!(ask_body(kind, body, false).is_some(), "{kind:?} {body}");
    }
    // Asana signs its events, including heartbeats, and nothing before them.
    let signed = head(&[("X-Hook-Secret", "abc"), ("X-Hook-Signature", "00")]);
    let heartbeat = br#"{"events":[]}"#;
    assert_eq!(
        answer_body(&asking(handshake(Kind::Asana)), signed.view(), heartbeat, Ok(())),
        None
    );
}

#[test]
fn mandrills_known_key_opens_nothing_but_the_question() {
    let mandrill = source("X-Mandrill-Signature").with_secrets(&["its-own-key"]);
    let mut mandrill = mandrill.with_rule(|rule| {
        rule.algorithm = crate::scheme::Algorithm::HmacSha1;
        rule.encoding = crate::scheme::Encoding::Base64;
        rule.signed = template("{url}{form}");
    });
    mandrill.scheme.handshake = Some(handshake(Kind::Mandrill));
    // HMAC-SHA1 of "https://hooks.example.com/acmemandrill_events[]".
    let ask = |key: &str, body: &str| {
        let text: String = form_urlencoded::parse(body.as_bytes())
            .flat_map(|(name, value)| [name, value])
            .collect();
        let tag = hmac_sha1(key, &format!("https://hooks.example.com/acme{text}"));
        let request = head(&[
            ("X-Mandrill-Signature", BASE64.encode(&tag).as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]);
        let judged = verify(&mandrill, request.view(), body.as_bytes());
        let verified = judged.as_ref().map(|_| ());
        let answer = answer_body(&mandrill, request.view(), body.as_bytes(), verified);
        answer.map(|answer| answer.map(|reply| reply.status).map_err(|fault| fault.kind()))
    };
    let question = "mandrill_events=%5B%5D";
    assert_eq!(ask("test-webhook", question), Some(Ok(200)));
    assert_eq!(ask("its-own-key", question), Some(Ok(200)));
    assert_eq!(ask("another", question), Some(Err(FaultKind::SignatureMismatch)));
    for event in [
        "mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D",
        "mandrill_events=%5B%5D&mandrill_events=%5B%7B%7D%5D",
        "mandrill_events=%5B%5D&x=1",
        "x=%5B%5D",
        "mandrill_events=",
    ] {
        assert_eq!(ask("test-webhook", event), None, "{event}");
    }
}

/// The answer to a POST with these headers, with a right or wrong signature.
fn ask_post(
    kind: Kind,
    lines: &[(&str, &str)],
    body: &str,
    holds: bool,
) -> Option<Result<Reply, FaultKind>> {
    let refusal = Fault::SignatureMismatch("".into());
    let verified = if holds { Ok(()) } else { Err(&refusal) };
    let answer =
        answer_body(&asking(handshake(kind)), head(lines).view(), body.as_bytes(), verified);
    answer.map(|answer| answer.map_err(|fault| fault.kind()))
}

#[test]
fn a_challenge_of_twitch_or_front_is_echoed_where_its_signature_holds() {
    let twitch = r#"{"challenge":"pogchamp-kappa","subscription":{"id":"1","type":"a"}}"#;
    let kind_of_message = ("Twitch-Eventsub-Message-Type", "webhook_callback_verification");
    let asked = |body: &str, holds| ask_post(Kind::Twitch, &[kind_of_message], body, holds);
    let reply = asked(twitch, true).expect("a handshake").expect("an answer");
    assert_eq!((reply.status, reply.content_type), (200, "text/plain; charset=utf-8"));
    assert_eq!(reply.body, b"pogchamp-kappa");
    assert_eq!(asked(twitch, false), Some(Err(FaultKind::SignatureMismatch)));
    for event in [
        r#"{"challenge":"a","subscription":{},"event":{}}"#,
        r#"{"challenge":"a","event":{}}"#,
        r#"{"challenge":"<script>","subscription":{}}"#,
        r#"{"subscription":{"status":"authorization_revoked"}}"#,
        r#"{"challenge":"a"}"#,
    ] {
        assert_eq!(asked(event, true), None, "{event}");
    }

    let sync = r#"{"type":"sync","authorization":{"id":"cmp_abc"}}"#;
    let challenge = [("X-Front-Challenge", "abc123")];
    let answer = body_of(ask_post(Kind::Front, &challenge, sync, true));
    assert_eq!(answer, r#"{"challenge":"abc123"}"#);
    let forged = ask_post(Kind::Front, &challenge, sync, false);
    assert_eq!(forged, Some(Err(FaultKind::SignatureMismatch)));
    for (lines, body) in [
        (&challenge[..], r#"{"type":"inbound_received"}"#),
        (&challenge[..], r#"{"type":"sync","payload":{}}"#),
        (&challenge[..], "[]"),
        (&[("X-Front-Challenge", "a b")][..], sync),
        (&[("X-Front-Challenge", "a"), ("X-Front-Challenge", "b")][..], sync),
        (&[("X-Other", "a")][..], sync),
    ] {
        assert_eq!(ask_post(Kind::Front, lines, body, true), None, "{lines:?} {body}");
    }
}

#[test]
fn a_sender_of_cloudevents_is_allowed_what_it_asks_for() {
    let asked = |lines: &[(&str, &str)]| {
        let mut request = head(lines);
        request.method = Method::OPTIONS;
        answer_head(&asking(handshake(Kind::CloudEvents)), request.view())
    };
    let origin = ("WebHook-Request-Origin", "eventemitter.example.com");
    for (rate, allowed) in
        [(None, "*"), (Some("120"), "120"), (Some("0"), "*"), (Some("-1"), "*"), (Some("x"), "*")]
    {
        let rate = rate.map(|rate| ("WebHook-Request-Rate", rate));
        let lines: Vec<_> = std::iter::once(origin).chain(rate).collect();
        let reply = asked(&lines).expect("a handshake").expect("an answer");
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(reply.headers["webhook-allowed-origin"], "eventemitter.example.com");
        assert_eq!(reply.headers["webhook-allowed-rate"], allowed, "{rate:?}");
        assert_eq!(reply.headers["allow"], "POST, OPTIONS");
    }
    // A stranger chooses the callback's address, so it must not be called.
    let callback = ("WebHook-Request-Callback", "https://example.com/confirm");
    let reply = asked(&[origin, callback]).expect("a handshake").expect("an answer");
    assert_eq!(reply.headers.len(), 4);
    for lines in [
        &[("Origin", "https://example.com")][..],
        &[("WebHook-Request-Origin", "a b")],
        &[origin, origin],
        &[callback],
    ] {
        assert_eq!(asked(lines), None, "{lines:?}");
    }
}

#[test]
fn event_grids_validation_is_one_event_and_nothing_else() {
    let kind_of_request = ("aeg-event-type", "SubscriptionValidation");
    let asked = |body: &str| ask_post(Kind::EventGrid, &[kind_of_request], body, false);
    let event = r#"{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}}"#;
    let answer = body_of(asked(&format!("[{event}]")));
    assert_eq!(answer, r#"{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}"#);
    for body in [
        event.to_owned(),
        "[]".to_owned(),
        format!("[{event},{event}]"),
        format!("[{}]", event.replace("SubscriptionValidationEvent", "SubscriptionDeletedEvent")),
        format!("[{}]", event.replace("512d38b6", "<b>")),
        format!("[{}]", event.replace("validationCode", "code")),
    ] {
        assert_eq!(asked(&body), None, "{body}");
    }
    let delivery = [("aeg-event-type", "Notification")];
    let body = format!("[{event}]");
    assert_eq!(ask_post(Kind::EventGrid, &delivery, &body, true), None);
}

#[test]
fn names_are_unique() {
    let names: std::collections::HashSet<_> = Kind::NAMES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), Kind::NAMES.len());
}
