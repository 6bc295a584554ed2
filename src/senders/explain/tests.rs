//! Tests of explanations: the verdict is the proxy's own, and a named mistake is the one that was
//! made.

use super::*;
use crate::delivery::fixture::{NOW, head, signed_by, source, template};
use crate::delivery::route::{Route, TypeGlob};
use crate::senders::discover::preset_source;
use hookward_verify::scheme::{Encoding, Handshake, HandshakeKind, KeyForm, TimeFormat};
use hookward_verify::{Scheme, Sender};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method};
use std::time::Duration;

mod handshakes;
mod published;
mod saying;

const MAX_BODY: usize = 1000;

const BODY: &str = r#"{"id":"evt_1","type":"order.paid","total":1.10,"name":"é / è"}"#;

fn ready(mut source: Source) -> Source {
    source.routes = vec![Route {
        events: vec![TypeGlob::new("order.*")],
        to: vec!["erp".into(), "crm".into()],
        path: None,
        delivery: crate::delivery::route::DeliveryMode::Sync,
        order_key: None,
        on_dead: crate::delivery::route::OnDead::Skip,
    }];
    source
}

fn listed() -> Source {
    source("X-Sig").with_timestamp("item:t=", TimeFormat::Unix).with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.prefix = "v1=".to_owned();
        rule.signed = template("{timestamp}.{body}");
    })
}

fn judge_alone(source: &Source, head: &RequestHead, body: &[u8]) -> Explanation {
    judge_at(source, head, body, NOW)
}

fn judge_at(source: &Source, head: &RequestHead, body: &[u8], at: UnixMillis) -> Explanation {
    Question { source, all: &[source], key: None, max_body_bytes: MAX_BODY, head, body, at }
        .explain()
}

#[test]
fn a_genuine_event_is_told_to_its_destinations() {
    let source = ready(listed());
    let (head, body) = signed_by(&source, BODY.as_bytes());
    let told = judge_alone(&source, &head, &body);
    assert_eq!(told.verdict, Judgement::Forwarded(vec!["erp".into(), "crm".into()]));
    let text = told.to_string();
    for part in ["{timestamp}  \"1700000000\"", "the secret `0`", "evt_1", "erp, crm"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("topsecret"), "{text}");
}

#[test]
fn a_token_is_judged_by_its_lifetime_at_any_age() {
    let scheme = "[signature]\nalgorithm = \"jwt\"\njwt_algorithms = [\"HS256\"]\n\
                  [timestamp]\nmax_age = \"off\"\n\
                  [event]\nid = [\"json:/id\"]\ntype = [\"json:/type\"]\n";
    let secret = "a secret of at least thirty-two bytes";
    let sender = Sender::new(Scheme::from_toml(scheme).expect("a scheme"), [secret]);
    let source = ready(Source { sender: sender.expect("keys"), ..source("X-Sig") });
    let (head, body) = signed_by(&source, BODY.as_bytes());
    let told = judge_alone(&source, &head, &body);
    assert!(matches!(told.verdict, Judgement::Forwarded(_)), "{told}");
    let later = judge_at(&source, &head, &body, NOW.plus(Duration::from_hours(240)));
    assert_eq!(later.verdict, Judgement::Refused(Reason::TimestampTooOld), "{later}");
}

#[test]
fn the_last_line_is_the_reason() {
    let plain = ready(listed());
    let unrouted = BODY.replace("order.paid", "stock.low");
    let no_id = BODY.replace("\"id\"", "\"no\"");
    for (body, at, tamper, expected) in [
        (BODY, NOW, false, None),
        (BODY, NOW, true, Some("reason: signature_mismatch")),
        (BODY, NOW.plus(Duration::from_millis(300_001)), false, Some("reason: timestamp_too_old")),
        (unrouted.as_str(), NOW, false, Some("reason: unrouted")),
        (no_id.as_str(), NOW, false, Some("reason: event_id_missing")),
        ("[", NOW, false, Some("reason: payload_malformed")),
    ] {
        let (head, mut body) = signed_by(&plain, body.as_bytes());
        if tamper {
            body[3] ^= 1;
        }
        let told = judge_at(&plain, &head, &body, at);
        let text = told.to_string();
        let last = text.lines().last();
        assert_eq!(told.is_forwarded(), expected.is_none(), "{text}");
        assert!(expected.is_none() || last == expected, "{text}");
    }
}

/// A request in which everything is wrong is put right one fault at a time, in the order of the
/// lifecycle.
#[test]
fn what_is_refused_before_the_signature_is_refused_in_the_order_of_the_proxy() {
    let source = ready(listed());
    let (good, body) = signed_by(&source, BODY.as_bytes());
    let large = vec![b' '; MAX_BODY + 1];
    let mut request = good.clone();
    request.path = "/other".to_owned();
    request.method = Method::PUT;
    request.headers.set(&CONTENT_LENGTH, &HeaderValue::from_static("1001"));
    request.headers.push(&CONTENT_ENCODING, &HeaderValue::from_static("identity"));
    request.headers.push(&CONTENT_ENCODING, &HeaderValue::from_static("gzip"));

    let says = |head: &RequestHead, body: &[u8], reason: Reason, hint: &str| {
        let told = judge_alone(&source, head, body);
        assert_eq!(told.verdict, Judgement::Refused(reason), "{told}");
        assert!(told.to_string().contains(hint), "{hint} in\n{told}");
        assert_eq!(told.steps.len(), 1, "{told}");
    };
    says(&request, &large, Reason::UnknownSource, "the source's path is /acme");
    request.path = "/acme/".to_owned();
    says(&request, &large, Reason::UnknownSource, "a final slash matters");
    request.path = source.path.clone();
    says(&request, &large, Reason::MethodNotAllowed, "the source accepts only POST");
    request.method = Method::POST;
    request.headers.set(&CONNECTION, &HeaderValue::from_static("close, x-sig"));
    says(&request, &large, Reason::BadRequest, "Connection names a header");
    request.headers.remove("connection");
    says(&request, &large, Reason::BodyTooLarge, "1001 bytes of body; `max_body` is 1000");
    request.headers.remove("content-length");
    says(&request, &large, Reason::BodyTooLarge, "`max_body`");
    // The length of what comes in chunks is not known before it is read.
    request.headers.set(&TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
    says(&request, &large, Reason::ContentEncoding, "not the signed bytes");
    request.headers.remove("content-encoding");
    says(&request, &large, Reason::BodyTooLarge, "`max_body`");
    assert!(judge_alone(&source, &request, &body).is_forwarded());
}

#[test]
fn the_source_that_has_the_path_is_named() {
    let source = ready(listed());
    let mut other = ready(listed());
    (other.name, other.path) = ("other".into(), "/other".to_owned());
    let (mut head, body) = signed_by(&source, BODY.as_bytes());
    head.path.clone_from(&other.path);
    let all = [&source, &other];
    let told = Question {
        source: &source,
        all: &all,
        key: None,
        max_body_bytes: MAX_BODY,
        head: &head,
        body: &body,
        at: NOW,
    }
    .explain();
    assert!(told.to_string().contains("that is the path of the source `other`"), "{told}");
}

#[test]
fn what_a_capture_does_not_tell_is_said() {
    let source = ready(listed());
    let (mut head, body) = signed_by(&source, BODY.as_bytes());
    let told = judge_alone(&source, &head, &body).to_string();
    assert!(!told.contains("allow") && !told.contains("Content-Length"), "{told}");

    let mut listing = ready(listed());
    listing.allow = vec!["203.0.113.0/24".parse().expect("a network")];
    let told = judge_alone(&listing, &head, &body);
    assert!(told.is_forwarded() && told.to_string().contains("not checked: whether `allow`"));

    // An editor that adds a line end, and a capture that says how long the body was.
    head.headers.set(&CONTENT_LENGTH, &body.len().into());
    let longer = [&body[..], b"\n"].concat();
    let told = judge_alone(&source, &head, &longer).to_string();
    assert!(told.contains("is not the body that arrived"), "{told}");
}

#[test]
fn the_secret_is_blamed_only_where_a_signature_does_not_match() {
    const BLAME: &str = "None of the common mistakes";
    let source = ready(listed());
    let (good, body) = signed_by(&source, BODY.as_bytes());
    let mut tampered = body.clone();
    tampered[30] ^= 1;
    let (broken, twice) = signed_by(&source, br#"{"id":"a","id":"b","type":"order.paid"}"#);
    let nothing = head(&[("X-Other", "1")]);
    let garbled = head(&[("X-Sig", "t=1700000000,v1=zz")]);
    for (head, body, reason, blames) in [
        (&good, &tampered, Reason::SignatureMismatch, true),
        (&nothing, &body, Reason::SignatureMissing, false),
        (&garbled, &body, Reason::SignatureMalformed, false),
        (&broken, &twice, Reason::PayloadMalformed, false),
    ] {
        let told = judge_alone(&source, head, body);
        assert_eq!(told.verdict, Judgement::Refused(reason), "{told}");
        assert_eq!(told.to_string().contains(BLAME), blames, "{told}");
    }
    let told = judge_alone(&source, &nothing, &body).to_string();
    assert!(told.contains("its headers are: x-other"), "{told}");
    // Nothing is signed, so nothing is said of a text with holes in it.
    assert!(!told.contains("the signed text, "), "{told}");
}

fn mistake(source: &Source, all: &[&Source], head: &RequestHead, body: &[u8]) -> &'static str {
    let told = Question { source, all, key: None, max_body_bytes: MAX_BODY, head, body, at: NOW }
        .explain();
    let text = told.to_string();
    assert!(!told.is_forwarded(), "{text}");
    for secret in all.iter().flat_map(|source| &source.sender.secrets) {
        let secret = std::str::from_utf8(secret.text.expose()).expect("text");
        assert!(!text.contains(secret), "{text}");
    }
    told.mistake.map_or("none", |mistake| mistake.name)
}

#[test]
fn a_body_that_was_rewritten_is_recognised() {
    let source = ready(listed());
    let sent = BODY.to_owned();
    for (sent, arrived, name) in [
        (format!("{sent}\n"), sent.clone(), "trailing newline lost"),
        (sent.clone(), format!("{sent}\n"), "trailing newline added"),
        (format!("{sent}\r\n"), format!("{sent}\n"), "line ends changed"),
        (sent.clone(), sent.replace(',', ", ").replace(':', ": "), "JSON written again"),
        (
            r#"{"type":"order.paid","id":"evt_1"}"#.to_owned(),
            r#"{"id":"evt_1","type":"order.paid"}"#.to_owned(),
            "none", // the order that it had is not told by what is left
        ),
        (
            r#"{"id":"evt_1","type":"order.paid"}"#.to_owned(),
            r#"{"type":"order.paid","id":"evt_1"}"#.to_owned(),
            "JSON written again",
        ),
        (sent.replace('é', "\\u00e9").replace('è', "\\u00e8"), sent.clone(), "JSON written again"),
        (
            sent.clone(),
            sent.replace('é', "Ã©").replace('è', "Ã¨"),
            "body decoded and encoded again",
        ),
        (sent.clone(), format!("\u{feff}{sent}"), "body decoded and encoded again"),
    ] {
        let (head, _) = signed_by(&source, sent.as_bytes());
        assert_eq!(mistake(&source, &[&source], &head, arrived.as_bytes()), name, "{arrived}");
    }
}

#[test]
fn a_secret_read_in_another_way_is_recognised() {
    let base64 = "bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs";
    let cases: [(&str, KeyForm, &str, &str, &str); 6] = [
        (base64, KeyForm::Base64, "", base64, "another key decoding"),
        (
            "00112233445566778899aabbccddeeff",
            KeyForm::Hex,
            "",
            "00112233445566778899aabbccddeeff",
            "another key decoding",
        ),
        (
            &format!("whsec_{base64}"),
            KeyForm::Base64,
            "whsec_",
            &format!("whsec_{base64}"),
            "another key decoding",
        ),
        ("a-real-secret", KeyForm::Text, "", " a-real-secret ", "a mistyped secret"),
        ("a-real-secret", KeyForm::Text, "", "\"a-real-secret\"", "a mistyped secret"),
        ("a&b-secret", KeyForm::Text, "", "a&amp;b-secret", "a mistyped secret"),
    ];
    for (signs, form, prefix, configured, name) in cases {
        let sender = listed().with_secrets(&[signs]).with_rule(|rule| {
            rule.key = form;
            rule.key_prefix = prefix.to_owned();
        });
        let (head, body) = signed_by(&sender, BODY.as_bytes());
        let receiver = ready(listed().with_secrets(&[configured]));
        assert_eq!(mistake(&receiver, &[&receiver], &head, &body), name, "{configured}");
    }
}

#[test]
fn another_sources_secret_is_recognised() {
    let sender = listed().with_secrets(&["the secret of the other one"]);
    let (head, body) = signed_by(&sender, BODY.as_bytes());
    let mut other = ready(sender);
    other.name = "other".into();
    let receiver = ready(listed());
    let all = [&receiver, &other];
    assert_eq!(mistake(&receiver, &all, &head, &body), "another configured secret");
}

#[test]
fn another_encoding_or_algorithm_is_recognised() {
    let (head, body) =
        signed_by(&listed().with_rule(|rule| rule.encoding = Encoding::Base64), BODY.as_bytes());
    let receiver = ready(listed());
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another encoding");
    let (head, body) = signed_by(
        &listed().with_rule(|rule| rule.algorithm = Algorithm::HmacSha512),
        BODY.as_bytes(),
    );
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another algorithm");
}

#[test]
fn another_header_is_recognised() {
    let sender = source("X-Renamed");
    let (head, body) = signed_by(&sender, BODY.as_bytes());
    let receiver = ready(source("X-Sig"));
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another header");
    let told = judge_alone(&receiver, &head, &body).to_string();
    assert!(told.contains("header = \"x-renamed\""), "{told}");
}

#[test]
fn another_public_url_is_recognised() {
    let square = || source("X-Sig").with_rule(|rule| rule.signed = template("{url}{body}"));
    let receiver = ready(square());
    for url in [
        "http://hooks.example.com/acme",
        "https://hooks.example.com/acme/",
        "https://hooks.example.com:443/acme",
        "https://www.hooks.example.com/acme",
        "https://internal.example.net/acme",
    ] {
        let mut sender = square();
        sender.sender.public_url = Some(url.to_owned());
        let (mut head, body) = signed_by(&sender, BODY.as_bytes());
        head.host = "internal.example.net".to_owned();
        assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "the wrong public URL", "{url}");
    }
}

#[test]
fn another_preset_or_scheme_is_recognised() {
    let preset = |name| {
        let source = preset_source(name, "/acme", None).expect(name);
        source.with_secrets(&["a secret of two schemes"])
    };
    let (head, body) = signed_by(&preset("stripe"), BODY.as_bytes());
    let receiver = ready(preset("github"));
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another preset");

    // Of those that share a scheme its own name is said, and not the first in the alphabet.
    let secret = "whsec_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs";
    let (head, body) =
        signed_by(&preset("standard-webhooks").with_secrets(&[secret]), BODY.as_bytes());
    let told = judge_alone(&ready(listed().with_secrets(&[secret])), &head, &body).to_string();
    assert!(told.contains("`preset = \"standard-webhooks\"`"), "{told}");

    let unknown = source("X-Unheard-Of")
        .with_secrets(&["a secret of two schemes"])
        .with_timestamp("header:X-When", TimeFormat::UnixMs)
        .with_rule(|rule| rule.signed = template("{timestamp}|{body}"));
    let (head, body) = signed_by(&unknown, BODY.as_bytes());
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another scheme");
}

#[test]
fn seconds_and_milliseconds_are_told_apart() {
    for (sends, reads, in_text) in [
        (TimeFormat::UnixMs, TimeFormat::Unix, "unix-ms"),
        (TimeFormat::Unix, TimeFormat::UnixMs, "unix"),
        (TimeFormat::Rfc3339, TimeFormat::Unix, "rfc3339"),
        (TimeFormat::Unix, TimeFormat::Rfc3339, "unix"),
    ] {
        for signed in ["{timestamp}.{body}", "{body}"] {
            let scheme = |format| {
                source("X-Sig")
                    .with_timestamp("header:X-Time", format)
                    .with_rule(|rule| rule.signed = template(signed))
            };
            let (head, body) = signed_by(&scheme(sends), BODY.as_bytes());
            let receiver = ready(scheme(reads));
            assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "another time format");
            let told = judge_alone(&receiver, &head, &body).to_string();
            assert!(told.contains(&format!("format = \"{in_text}\"")), "{told}");
        }
    }
}
