//! Tests of signatures, as tables over small schemes.

use super::fixture::{Head, head, signed_by, source, template};
use super::*;
use crate::fault::FaultKind;
use crate::scheme::{Encoding, KeyForm, TimeFormat};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;

mod public_keys;
mod shapes;
mod signed;

fn reason(source: &Sender, head: &Head, body: &[u8]) -> Option<FaultKind> {
    let whole = verify(source, head.view(), body);
    let streamed = stream(source, head, body);
    let reasons = [&whole, &streamed].map(|judged| judged.as_ref().err().map(Fault::kind));
    assert_eq!(reasons[0], reasons[1], "hashing on arrival makes a difference");
    reasons[0]
}

fn stream(source: &Sender, head: &Head, body: &[u8]) -> Result<Genuine, Fault> {
    let mut under_way = SignatureCheck::begin(source, head.view())?;
    body.chunks(7).for_each(|chunk| under_way.update(chunk));
    under_way.finish(body)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(key: &str, text: &str) -> String {
    HEXLOWER.encode(&mac(key.as_bytes(), text.as_bytes()))
}

/// Stripe's shape.
fn listed() -> Sender {
    source("X-Sig").with_timestamp("item:t=", TimeFormat::Unix).with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.prefix = "v1=".to_owned();
        rule.signed = template("{timestamp}.{body}");
    })
}

/// Standard Webhooks' shape.
fn standard() -> Sender {
    source("webhook-signature")
        .with_timestamp("header:webhook-timestamp", TimeFormat::Unix)
        .with_rule(|rule| {
            rule.separator = Some(" ".to_owned());
            rule.prefix = "v1,".to_owned();
            rule.encoding = Encoding::Base64;
            rule.signed = template("{header:webhook-id}.{timestamp}.{body}");
            rule.key = KeyForm::Base64;
            rule.key_prefix = "whsec_".to_owned();
        })
        .with_secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
        .with_id(&["header:webhook-id"])
}

#[test]
fn every_hmac_agrees_with_rfc_4231_and_rfc_2202() {
    // Key "Jefe", data "what do ya want for nothing?": RFC 4231 section 4.3, RFC 2202 section 3.
    for (algorithm, tag) in [
        (Algorithm::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Algorithm::HmacSha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Algorithm::HmacSha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let source =
            source("X-Sig").with_secrets(&["Jefe"]).with_rule(|rule| rule.algorithm = algorithm);
        let body = b"what do ya want for nothing?";
        assert_eq!(reason(&source, &head(&[("X-Sig", tag)]), body), None, "{algorithm:?}");
        assert_eq!(
            reason(&source, &head(&[("X-Sig", tag)]), b"what do ya want for nothing"),
            Some(FaultKind::SignatureMismatch)
        );
    }
}

#[test]
fn githubs_published_example_holds() {
    // docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    let source = source("X-Hub-Signature-256")
        .with_rule(|rule| rule.prefix = "sha256=".to_owned())
        .with_secrets(&["It's a Secret to Everybody"]);
    let value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(reason(&source, &head(&[("X-Hub-Signature-256", value)]), b"Hello, World!"), None);
}

#[test]
fn a_signature_is_missing_malformed_or_mismatched() {
    use FaultKind::{SignatureMalformed as Malformed, SignatureMismatch as Mismatch};
    let plain = source("X-Sig").with_rule(|rule| rule.prefix = "sha256=".to_owned());
    let good = hex("topsecret", "body");
    for (value, expected) in [
        (format!("sha256={good}"), None),
        (format!("sha256={}", good.to_uppercase()), None),
        (good.clone(), Some(Malformed)),
        (format!("SHA256={good}"), Some(Malformed)),
        (format!("sha1={good}"), Some(Malformed)),
        (format!("sha256={}", &good[..62]), Some(Malformed)),
        (format!("sha256={good}00"), Some(Malformed)),
        (format!("sha256={good},sha256={good}"), Some(Malformed)),
        (format!("sha256={}", "0".repeat(64)), Some(Mismatch)),
        (format!("sha256={}", hex("another secret", "body")), Some(Mismatch)),
        ("sha256=".to_owned(), Some(Malformed)),
        (String::new(), Some(Malformed)),
        ("sha256=zz".to_owned(), Some(Malformed)),
    ] {
        assert_eq!(reason(&plain, &head(&[("X-Sig", &value)]), b"body"), expected, "{value}");
    }
    assert_eq!(
        reason(&plain, &head(&[("X-Other", &good)]), b"body"),
        Some(FaultKind::SignatureMissing)
    );
    let bytes = head(&[("X-Sig", b"sha256=\xff\xfe")]);
    assert_eq!(reason(&plain, &bytes, b"body"), Some(Malformed));
}

#[test]
fn base64_is_canonical_with_or_without_padding() {
    let source = source("X-Sig").with_rule(|rule| rule.encoding = Encoding::Base64);
    let tag = mac(b"topsecret", b"body");
    let (padded, unpadded) = (BASE64.encode(&tag), BASE64_NOPAD.encode(&tag));
    // 32 bytes leave two spare bits in the last digit: the next digit of the alphabet sets one.
    let last = *unpadded.as_bytes().last().expect("a digit");
    let spare = format!("{}{}", &unpadded[..42], char::from(last + 1));
    for (value, expected) in [
        (padded.clone(), None),
        (unpadded.clone(), None),
        (spare.clone(), Some(FaultKind::SignatureMalformed)),
        (format!("{spare}="), Some(FaultKind::SignatureMalformed)),
        (format!("{padded}="), Some(FaultKind::SignatureMalformed)),
        (BASE64.encode(&mac(b"x", b"body")), Some(FaultKind::SignatureMismatch)),
    ] {
        assert_eq!(reason(&source, &head(&[("X-Sig", &value)]), b"body"), expected, "{value}");
    }
}

#[test]
fn any_item_on_any_line_may_match() {
    use FaultKind::{SignatureMalformed as Malformed, SignatureMismatch as Mismatch};
    let source = listed();
    let good = hex("topsecret", "1700000000.body");
    let zeros = "0".repeat(64);
    for (lines, expected) in [
        (vec![format!("t=1700000000,v1={good}")], None),
        (vec![format!("v1={good},t=1700000000")], None),
        (vec![format!("t=1700000000, v1={good} ,v0=x")], None),
        (vec![format!("t=1700000000,v1={zeros},v1={good}")], None),
        (vec![format!("t=1700000000,v1={good},v1=bad_signature")], None),
        (vec![format!("t=1700000000,v1=dummy"), format!("v1={good}")], None),
        (vec![format!("t=1700000000,v1={zeros}"), format!("t=1700000000,v1={good}")], None),
        (vec![format!("t=1700000000,v0={good}")], Some(Malformed)),
        (vec![format!("t=1700000000,v1=dummy,v1={zeros}")], Some(Mismatch)),
        (vec![format!("t=1700000001,v1={good}")], Some(Mismatch)),
        (vec![format!("t=01700000000,v1={good}")], Some(Mismatch)),
        (vec![format!("v1={good}")], Some(FaultKind::TimestampMissing)),
        (vec![format!("t=,v1={good}")], Some(FaultKind::TimestampMissing)),
        (vec![format!("t=now,v1={good}")], Some(FaultKind::TimestampMalformed)),
        (vec![format!("t={},v1={good}", "9".repeat(200))], Some(FaultKind::TimestampMalformed)),
        (vec!["t=1700000000".to_owned()], Some(Malformed)),
        (vec![format!("t=1700000000;v1={good}")], Some(Malformed)),
        (vec![format!("{}t=1700000000,v1={good}", "v1=junk,".repeat(1000))], None),
    ] {
        let lines: Vec<_> = lines.into_iter().map(|line| ("X-Sig", line)).collect();
        assert_eq!(reason(&source, &head(&lines), b"body"), expected, "{lines:?}");
    }
}

#[test]
fn the_matching_secret_is_named_and_every_one_is_tried() {
    let source = source("X-Sig").with_secrets(&["newest", "older", "oldest"]);
    for (secret, index) in [("newest", 0), ("older", 1), ("oldest", 2)] {
        let request = head(&[("X-Sig", hex(secret, "body"))]);
        let genuine = stream(&source, &request, b"body").expect("genuine");
        assert_eq!((genuine.secret(), genuine.label()), (index, index.to_string().as_str()));
    }
    let request = head(&[("X-Sig", hex("forgotten", "body"))]);
    let fault = stream(&source, &request, b"body").expect_err("no such secret");
    assert_eq!(fault.kind(), FaultKind::SignatureMismatch);
    for secret in ["newest", "older", "oldest"] {
        assert!(!fault.to_string().contains(&hex(secret, "body")), "{}", fault);
    }
}

#[test]
fn one_prefix_means_two_things_to_two_senders() {
    // Standard Webhooks cuts `whsec_` and decodes the rest; Stripe uses the whole text.
    let stripe = listed().with_secrets(&["whsec_abc"]);
    let value = format!("t=1700000000,v1={}", hex("whsec_abc", "1700000000.body"));
    assert_eq!(reason(&stripe, &head(&[("X-Sig", value)]), b"body"), None);

    let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
    let tag = BASE64.encode(&mac(&key, b"msg_1.1700000000.{}"));
    let lines = [
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", "1700000000".to_owned()),
        ("webhook-signature", format!("v1a,xyz v1,{tag}")),
    ];
    assert_eq!(reason(&standard(), &head(&lines), b"{}"), None);
    let without_prefix = standard().with_secrets(&["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    assert_eq!(reason(&without_prefix, &head(&lines), b"{}"), None);
    assert_eq!(reason(&standard(), &head(&lines[1..]), b"{}"), Some(FaultKind::SignatureMissing));
    assert_eq!(
        reason(&standard(), &head(&[&lines[..1], &lines[2..]].concat()), b"{}"),
        Some(FaultKind::TimestampMissing)
    );
}

#[test]
fn a_signed_header_that_says_two_things_is_refused() {
    let (mut request, body) = signed_by(&standard(), b"{}");
    request.headers.append("webhook-id", http::HeaderValue::from_static("evt_1"));
    assert_eq!(reason(&standard(), &request, &body), None);
    request.headers.append("webhook-id", http::HeaderValue::from_static("evt_2"));
    assert_eq!(reason(&standard(), &request, &body), Some(FaultKind::SignatureMalformed));
}

#[test]
fn a_required_header_must_have_its_value() {
    let source = source("X-Sig").with_rule(|rule| {
        rule.require = vec![(http::HeaderName::from_static("x-version"), "1".to_owned())];
    });
    let good = hex("topsecret", "body");
    for (version, expected) in [
        (Some("1"), None),
        (Some("2"), Some(FaultKind::SignatureMalformed)),
        (None, Some(FaultKind::SignatureMalformed)),
    ] {
        let mut lines = vec![("X-Sig", good.as_str())];
        lines.extend(version.map(|version| ("X-Version", version)));
        assert_eq!(reason(&source, &head(&lines), b"body"), expected, "{version:?}");
    }
    assert_eq!(reason(&source, &head(&[("a", "b")]), b"body"), Some(FaultKind::SignatureMissing));
}

#[test]
fn a_plain_hash_needs_the_secret_in_its_text() {
    // HubSpot v1's shape, and Sellsy's.
    for algorithm in [Algorithm::Sha256, Algorithm::Sha1] {
        let source = source("X-Sig").with_rule(|rule| {
            rule.algorithm = algorithm;
            rule.signed = template("{secret}{body}");
        });
        let (request, body) = signed_by(&source, b"[]");
        assert_eq!(reason(&source, &request, &body), None);
        assert_eq!(reason(&source, &request, b"[] "), Some(FaultKind::SignatureMismatch));
        let other = source.with_secrets(&["other"]);
        assert_eq!(reason(&other, &request, &body), Some(FaultKind::SignatureMismatch));
    }
}

#[test]
fn a_token_is_compared_as_it_is_written() {
    let token = source("X-Token")
        .with_secrets(&["glpat-Äx", "second"])
        .with_rule(|rule| rule.algorithm = Algorithm::Token);
    for (value, expected) in [
        ("glpat-Äx", None),
        ("second", None),
        ("Second", Some(FaultKind::SignatureMismatch)),
        ("second2", Some(FaultKind::SignatureMismatch)),
        ("secon", Some(FaultKind::SignatureMismatch)),
        ("", Some(FaultKind::SignatureMalformed)),
    ] {
        assert_eq!(reason(&token, &head(&[("X-Token", value)]), b"any"), expected, "{value}");
    }
    let basic = source("Authorization").with_secrets(&["user:pass"]).with_rule(|rule| {
        rule.algorithm = Algorithm::Token;
        rule.prefix = "Basic ".to_owned();
        rule.encoding = Encoding::Base64;
    });
    for (value, expected) in [
        ("Basic dXNlcjpwYXNz", None),
        ("Basic dXNlcjpwYXNt", Some(FaultKind::SignatureMismatch)),
        ("Bearer dXNlcjpwYXNz", Some(FaultKind::SignatureMalformed)),
        ("Basic user:pass", Some(FaultKind::SignatureMalformed)),
    ] {
        assert_eq!(reason(&basic, &head(&[("Authorization", value)]), b""), expected, "{value}");
    }
}

#[test]
fn the_fingerprint_is_of_what_was_signed_and_not_of_a_signature() {
    let unguarded = source("X-Sig").with_secrets(&["new", "old"]);
    let source = source("X-Sig").with_secrets(&["new", "old"]);
    let source = Sender { replay_guard: true, ..source };
    let print = |source: &Sender, secret: &str, body: &str| {
        let request = head(&[("X-Sig", hex(secret, body))]);
        let genuine = stream(source, &request, body.as_bytes()).expect("genuine");
        genuine.signed_fingerprint().map(str::to_owned)
    };
    let of_body = print(&source, "new", "body").expect("a fingerprint");
    assert_eq!(of_body.len(), 32);
    assert_eq!(print(&source, "old", "body"), Some(of_body.clone()));
    assert_ne!(print(&source, "new", "Body"), Some(of_body));
    assert_eq!(print(&unguarded, "new", "body"), None, "it costs another hash");
}

#[test]
fn a_body_that_was_not_fed_whole_is_hashed_again() {
    let source = source("X-Sig");
    let request = head(&[("X-Sig", hex("topsecret", "body"))]);
    for fed in ["", "bo"] {
        let mut under_way = SignatureCheck::begin(&source, request.view()).expect("keys");
        under_way.update(fed.as_bytes());
        assert!(under_way.finish(b"body").is_ok(), "{fed}");
    }
}

proptest! {
    #[test]
    fn one_flipped_bit_of_anything_signed_is_refused(
        body in prop::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        for source in [listed(), standard()] {
            let (request, body) = signed_by(&source, &body);
            prop_assert_eq!(reason(&source, &request, &body), None);
            let mut altered = body.clone();
            altered[at.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(reason(&source, &request, &altered), Some(FaultKind::SignatureMismatch));

            for name in request.headers.keys().filter(|name| *name != "content-type") {
                let mut altered = request.clone();
                let mut value = request.headers[name].as_bytes().to_vec();
                let index = at.index(value.len());
                value[index] ^= 1 << bit;
                let Ok(value) = http::HeaderValue::from_bytes(&value) else { continue };
                altered.headers.insert(name, value);
                let refused = reason(&source, &altered, &body);
                let case_only = index > 0
                    && altered.headers[name].as_bytes().eq_ignore_ascii_case(request.headers[name].as_bytes())
                    && *name == "x-sig";
                prop_assert!(refused.is_some() || case_only, "{name} {:?}", altered.headers[name]);
            }
        }
    }

    #[test]
    fn arbitrary_headers_are_refused_but_never_panic(
        value in prop::collection::vec(any::<u8>(), 0..80),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            let request = head(&[("X-Sig", value.as_bytes()), ("webhook-signature", value.as_bytes())]);
            prop_assert!(reason(&listed(), &request, &body).is_some());
            prop_assert!(reason(&standard(), &request, &body).is_some());
        }
    }
}
