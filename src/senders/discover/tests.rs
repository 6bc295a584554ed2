//! Tests of discovery: every scheme that can sign can be found, and every result verifies.

use super::*;
use crate::config::{Config, SecretReader};
use crate::delivery::fixture::{head, signed_by, signed_with, source, template};
use crate::delivery::source::Source;
use hookward_verify::scheme::{Algorithm, Encoding, KeyForm, TimeFormat};
use hookward_verify::sign::SigningKey;
use hookward_verify::verify::verify;
use std::io;
use std::path::Path;

const BODY: &[u8] = br#"{"eventName":"x","event_id":"evt_1","type":"order.paid","created_at":"2023-11-14T22:13:20Z"}"#;

const NAMES: MemberNames<'_> = MemberNames::of_secret("new", "THE_SECRET");

struct TheSecret(Secret);

impl SecretReader for TheSecret {
    fn environment(&self, name: &str) -> Option<Secret> {
        (name == "THE_SECRET").then(|| self.0.clone())
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Discovers, then pastes the table into a configuration and verifies the request with it.
fn find(head: &RequestHead, body: &[u8], secret: &Secret) -> Option<FoundScheme> {
    let found = discover(head, body, secret, NAMES)?;
    let table = &found.table;
    let reader = TheSecret(secret.clone());
    let (config, _) = Config::parse(table, "found.toml", Path::new("."), &reader)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{table}"));
    let source = config.sources.first().expect("a source");
    let judged = verify(&source.sender, head.view(), body);
    assert!(judged.is_ok(), "{judged:?}\n{table}");
    assert!(!table.contains(std::str::from_utf8(secret.expose()).expect("text")), "{table}");
    Some(found)
}

fn first_secret(source: &Source) -> &Secret {
    &source.sender.secrets.first().expect("a secret").text
}

#[test]
fn schemes_that_no_preset_has_are_found() {
    let timed = || source("X-Unheard-Of").with_timestamp("header:X-When", TimeFormat::UnixMs);
    let listed = |separator: &str| {
        let separator = separator.to_owned();
        source("X-Unheard-Of").with_timestamp("item:at=", TimeFormat::Unix).with_rule(|rule| {
            rule.separator = Some(separator);
            rule.prefix = "s9=".to_owned();
        })
    };
    for (signed, base) in vec![
        ("{body}", source("X-Unheard-Of")),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.prefix = "sha256=".to_owned())),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.encoding = Encoding::Base64)),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::HmacSha1)),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::HmacSha384)),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::HmacSha512)),
        ("{secret}{body}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::Sha256)),
        ("{body}.{secret}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::Sha1)),
        ("{timestamp}|{body}", timed()),
        ("{body}\n{timestamp}", timed()),
        ("v2.{timestamp}.{body}", timed()),
        ("{header:x-some-id}:{timestamp}:{body}", timed()),
        ("{timestamp}{header:x-some-id}{body}", timed()),
        ("{method}{path}{body}{timestamp}", timed()),
        ("{timestamp}-{body}", listed(",")),
        ("{timestamp}-{body}", listed(";")),
        ("{url}|{body}", source("X-Unheard-Of")),
        ("{body}", source("X-Unheard-Of").with_rule(|r| r.algorithm = Algorithm::Token)),
    ] {
        let mut source = base.with_rule(|rule| rule.signed = template(signed));
        source.sender.scheme.signature.key_prefix = String::new();
        let (mut head, body) = signed_by(&source, BODY);
        head.headers.set(&http::header::USER_AGENT, &http::HeaderValue::from_static("Sender/1.0"));
        let found = find(&head, &body, first_secret(&source));
        let found =
            found.unwrap_or_else(|| panic!("{signed} {:?}", source.sender.scheme.signature));
        if source.sender.scheme.signature.algorithm != Algorithm::Token {
            assert_eq!(found.scheme.signature.signed.to_string(), signed);
        }
    }
}

#[test]
fn keys_are_found_under_every_reading() {
    for (secret, form, prefix) in [
        ("bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs", KeyForm::Base64, ""),
        ("key_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs", KeyForm::Base64, "key_"),
        ("00112233445566778899aabbccddeeff", KeyForm::Hex, ""),
        ("plain text of a secret", KeyForm::Text, ""),
    ] {
        let source = source("X-Unheard-Of").with_secrets(&[secret]).with_rule(|rule| {
            rule.key = form;
            rule.key_prefix = prefix.to_owned();
        });
        let (head, body) = signed_by(&source, BODY);
        let found = find(&head, &body, first_secret(&source)).expect(secret);
        let rule = found.scheme.signature;
        assert_eq!((rule.key, rule.key_prefix.as_str()), (form, prefix));
    }
}

#[test]
fn a_text_without_the_body_is_not_proposed() {
    let source = source("json:/meta/sig")
        .with_timestamp("header:X-When", TimeFormat::Unix)
        .with_rule(|rule| rule.signed = template("{timestamp}.{header:x-some-id}"));
    let (head, body) = signed_by(&source, BODY);
    // A scheme that does not cover the body must not be proposed from one delivery.
    assert!(find(&head, &body, first_secret(&source)).is_none());
}

#[test]
fn public_keys_are_found() {
    let seed = Secret::new(vec![7; 32]);
    let public = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let source = source("X-Unheard-Of")
        .with_timestamp("header:X-When", TimeFormat::Unix)
        .with_secrets(&[&data_encoding::HEXLOWER.encode(public.as_bytes())])
        .with_rule(|rule| {
            rule.algorithm = Algorithm::Ed25519;
            rule.key = KeyForm::Hex;
            rule.signed = template("{timestamp}{body}");
        });
    let (head, body) = signed_with(&source, &SigningKey::Private(&seed), BODY);
    let found = find(&head, &body, first_secret(&source)).expect("found");
    assert_eq!(found.scheme.signature.algorithm, Algorithm::Ed25519);
}

#[test]
fn webround_is_recognised_by_its_envelope() {
    let body = br#"{"envelopeId":"e","eventId":"evt_1","eventType":"order.created","storeId":"s","occurredAt":"2023-11-14T22:13:20Z"}"#;
    let source = source("X-Whatever-It-Is").with_rule(|rule| rule.encoding = Encoding::Base64);
    let (head, body) = signed_by(&source, body);
    let found = find(&head, &body, first_secret(&source)).expect("found");
    assert_eq!(found.preset, Some("webround"));
    let table = found.table;
    assert!(table.contains("preset = \"webround\""), "{table}");
    assert!(table.contains("header = \"x-whatever-it-is\""), "{table}");
}

/// Of a delivery with Webround's envelope that signs more than the body.
#[test]
fn a_preset_never_stands_in_for_the_time_that_was_signed() {
    let body = br#"{"eventId":"evt_1","eventType":"order.created","storeId":3,"occurredAt":"2023-11-14T22:13:20Z"}"#;
    let listed = source("X-Sig").with_timestamp("item:t=", TimeFormat::Unix).with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.prefix = "v1=".to_owned();
    });
    for (source, signed, format) in [
        (
            source("X-Sig").with_timestamp("header:X-Ts", TimeFormat::Unix),
            "{timestamp}.{body}",
            "unix",
        ),
        (
            source("X-Sig").with_timestamp("header:X-Ts", TimeFormat::UnixMs),
            "v0:{timestamp}:{body}",
            "unix-ms",
        ),
        (
            source("X-Sig").with_timestamp("header:X-Ts", TimeFormat::Rfc3339),
            "{body}{timestamp}",
            "rfc3339",
        ),
        (listed, "{timestamp}.{body}", "unix"),
    ] {
        let source = source.with_rule(|rule| rule.signed = template(signed));
        let (head, body) = signed_by(&source, body);
        let found = find(&head, &body, first_secret(&source)).expect(signed);
        assert_eq!(found.preset, Some("webround"), "{}", found.table);
        assert!(found.table.contains(&format!("format = \"{format}\"")), "{}", found.table);
        let from = found.scheme.timestamp.expect("a timestamp").from;
        assert_eq!(from, source.sender.scheme.timestamp.expect("a timestamp").from);
    }
}

#[test]
fn an_envelope_whose_time_cannot_be_read_gets_a_table_without_the_preset() {
    let body =
        br#"{"eventId":"evt_1","eventType":"order.created","storeId":3,"occurredAt":"yesterday"}"#;
    let source = source("X-Sig");
    let (head, body) = signed_by(&source, body);
    let found = find(&head, &body, first_secret(&source)).expect("found");
    assert_eq!(found.preset, None, "{}", found.table);
}

#[test]
fn an_id_that_could_not_be_read_is_not_printed() {
    let twice = br#"{"event_id":"a","event_id":"b","type":"x"}"#;
    let source = source("X-Sig");
    let (head, body) = signed_by(&source, twice);
    let found = find(&head, &body, first_secret(&source)).expect("found");
    assert_eq!(
        found.scheme.event.id,
        [hookward_verify::scheme::Place::BodySha256],
        "{}",
        found.table
    );
}

#[test]
fn the_strongest_signature_that_fits_is_the_one_to_check() {
    let plain = |header: &str, algorithm| source(header).with_rule(|r| r.algorithm = algorithm);
    let weak = plain("X-Acme-Signature-Sha1", Algorithm::HmacSha1);
    let hub = plain("X-Hub-Signature", Algorithm::HmacSha1)
        .with_rule(|rule| rule.prefix = "sha1=".to_owned());
    let strong = plain("X-Acme-Signature", Algorithm::HmacSha256);
    let stronger = plain("X-Acme-Signature-512", Algorithm::HmacSha512);
    let timed = plain("X-Acme-Signature-V2", Algorithm::HmacSha256)
        .with_timestamp("header:X-When", TimeFormat::Unix)
        .with_rule(|rule| rule.signed = template("{timestamp}.{body}"));
    let keyed = plain("X-Acme-Hash", Algorithm::Sha256)
        .with_rule(|rule| rule.signed = template("{secret}{body}"));
    let body = br#"{"id":"e","type":"t","topic":"t"}"#;
    for (one, other, best) in [
        (&weak, &strong, &strong),
        (&weak, &timed, &timed),
        (&strong, &timed, &timed),
        (&strong, &stronger, &stronger),
        (&keyed, &strong, &strong),
        (&weak, &keyed, &keyed),
        // A preset that accepts the weak scheme is no better.
        (&hub, &strong, &strong),
    ] {
        for pair in [[one, other], [other, one]] {
            let mut both = head::<&str, &str>(&[]);
            for source in pair {
                for (name, value) in signed_by(source, body).0.headers.iter() {
                    let name = http::HeaderName::from_bytes(name).expect("a name");
                    let value = http::HeaderValue::from_bytes(value).expect("a value");
                    both.headers.push(&name, &value);
                }
            }
            let found = find(&both, body, first_secret(one)).expect("found");
            assert_eq!(
                found.scheme.signature.places, best.sender.scheme.signature.places,
                "{}",
                found.table
            );
        }
    }
}

#[test]
fn a_scheme_that_many_use_is_called_by_its_own_name() {
    let source = preset_source("standard-webhooks", "/acme", None).expect("a source");
    let source = source.with_secrets(&["whsec_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs"]);
    for (body, event) in [
        (r#"{"type":"invoice.paid","data":{}}"#, false),
        (r#"{"event":"invoice.paid","data":{}}"#, true),
        (r#"{"data":{}}"#, true),
    ] {
        let (head, body) = signed_by(&source, body.as_bytes());
        let found = find(&head, &body, first_secret(&source)).expect("found");
        assert_eq!(found.preset, Some("standard-webhooks"), "{}", found.table);
        assert_eq!(found.table.contains(".event]"), event, "{}", found.table);
    }
}

#[test]
fn a_scheme_that_senders_share_is_not_called_by_the_name_of_one() {
    let secret = ["whsec_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs"];
    let body = br#"{"type":"invoice.paid","created_at":"2023-11-14T22:13:20Z"}"#;
    for (sender, scheme) in [("clerk", "svix"), ("resend", "svix"), ("openai", "standard-webhooks")]
    {
        let source = preset_source(sender, "/acme", None).expect(sender).with_secrets(&secret);
        let (head, body) = signed_by(&source, body);
        let found = find(&head, &body, first_secret(&source)).expect(sender);
        assert_eq!(found.preset, Some(scheme));
    }
}

#[test]
fn presets_that_fit_alike_are_named_in_the_order_of_their_confidence() {
    let order: Vec<_> = ranking::presets()
        .iter()
        .map(|preset| (!preset.about.generic, preset.about.confidence, preset.name))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(order.iter().any(|(specific, ..)| !specific));
}

#[test]
fn what_cannot_be_found_is_not_made_up() {
    let source = source("X-Unheard-Of");
    let (request, body) = signed_by(&source, BODY);
    let other = Secret::from("another secret".to_owned());
    assert!(discover(&request, &body, &other, NAMES).is_none());
    assert!(discover(&head(&[("X-A", "b")]), &body, &other, NAMES).is_none());
    assert!(discover(&request, b"", first_secret(&source), NAMES).is_none());
}

#[test]
fn headers_are_taken_for_what_their_names_say() {
    let order = r#"{"id":820982,"type":"gift","name":"1001"}"#;
    for (lines, body, id, kind) in [
        (
            [("X-Event-Id", "77"), ("X-Event-Type", "a.b")],
            r#"{"data":1}"#,
            "header:x-event-id",
            "header:x-event-type",
        ),
        (
            [("X-Shop-Event-Id", "e-1"), ("X-Shop-Topic", "orders/paid")],
            order,
            "header:x-shop-event-id",
            "header:x-shop-topic",
        ),
        // The id of the thing comes again with every change of it.
        (
            [("X-Shop-Id", "s-1"), ("X-Shop-Topic", "orders/paid")],
            order,
            "body-sha256",
            "header:x-shop-topic",
        ),
        // What says the same in the body is signed, and so the better place.
        (
            [("X-Event-Id", "e-1"), ("X-Event-Type", "order.paid")],
            r#"{"id":"e-1","type":"order.paid"}"#,
            "json:/id",
            "json:/type",
        ),
        (
            [("X-Delivery", "d-1"), ("X-Attempt", "1")],
            r#"{"id":"e-1","type":"order.paid"}"#,
            "json:/id",
            "json:/type",
        ),
    ] {
        let source = source("X-Unheard-Of");
        let (mut head, body) = signed_by(&source, body.as_bytes());
        for (name, value) in lines {
            let name = http::HeaderName::try_from(name).expect("a name");
            head.headers.set(&name, &http::HeaderValue::from_static(value));
        }
        let event = find(&head, &body, first_secret(&source)).expect("found").scheme.event;
        let text =
            |places: &[hookward_verify::scheme::Place]| places.first().map(ToString::to_string);
        assert_eq!(text(&event.id).as_deref(), Some(id), "{lines:?}");
        assert_eq!(text(&event.kind).as_deref(), Some(kind), "{lines:?}");
    }
}

#[test]
fn the_event_is_guessed_from_what_names_one() {
    let source = source("X-Unheard-Of");
    let (mut head, body) = signed_by(&source, BODY);
    let name = http::HeaderName::from_static("x-delivery");
    head.headers.set(&name, &http::HeaderValue::from_static("d-1"));
    let event = find(&head, &body, first_secret(&source)).expect("found").scheme.event;
    let texts = |places: &[hookward_verify::scheme::Place]| {
        places.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(texts(&event.id), ["json:/event_id"]);
    assert_eq!(texts(&event.kind), ["json:/type"]);
    assert_eq!(texts(&event.time), ["json:/created_at"]);

    let (head, body) = signed_by(&source.with_id(&["header:x-delivery-id"]), b"no JSON");
    let found = find(&head, &body, &Secret::from("topsecret".to_owned())).expect("found");
    assert_eq!(texts(&found.scheme.event.id), ["header:x-delivery-id"]);
}
