//! Tests of Ed25519, ECDSA and the forms of keys.

use super::super::fixture::{head, secrets, signed_with, source, template};
use super::super::*;
use super::{reason, stream};
use crate::fault::FaultKind;
use crate::keys::KeyError;
use crate::scheme::{Encoding, KeyForm, TimeFormat};
use crate::sign::SigningKey;
use data_encoding::{BASE64, HEXLOWER};
use hookward_secret::Secret;

/// RFC 8032 section 7.1, test 3.
const ED25519_SEED: &str = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
const ED25519_PUBLIC: &str = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";

#[test]
fn ed25519_agrees_with_rfc_8032() {
    let source = source("X-Sig").with_secrets(&[ED25519_PUBLIC]).with_rule(|rule| {
        rule.algorithm = Algorithm::Ed25519;
        rule.key = KeyForm::Hex;
    });
    let good = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    assert_eq!(reason(&source, &head(&[("X-Sig", good)]), b"\xaf\x82"), None);
    assert_eq!(
        reason(&source, &head(&[("X-Sig", good)]), b"\xaf\x83"),
        Some(FaultKind::SignatureMismatch)
    );
}

#[test]
fn a_private_key_signs_what_its_public_key_verifies() {
    let seed = Secret::new(HEXLOWER.decode(ED25519_SEED.as_bytes()).expect("hex"));
    let discord = source("X-Signature-Ed25519")
        .with_timestamp("header:X-Signature-Timestamp", TimeFormat::Unix)
        .with_secrets(&[ED25519_PUBLIC])
        .with_rule(|rule| {
            rule.algorithm = Algorithm::Ed25519;
            rule.key = KeyForm::Hex;
            rule.signed = template("{timestamp}{body}");
        });
    let (request, body) = signed_with(&discord, &SigningKey::Private(&seed), b"{}");
    assert_eq!(reason(&discord, &request, &body), None);
    assert_eq!(reason(&discord, &request, b"{ }"), Some(FaultKind::SignatureMismatch));

    let private = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a key");
    let (sendgrid, pem) = ecdsa_source(&private);
    let (request, body) = signed_with(&sendgrid, &SigningKey::Private(&pem), b"[]\r\n");
    assert_eq!(reason(&sendgrid, &request, &body), None);
    assert_eq!(reason(&sendgrid, &request, b"[]"), Some(FaultKind::SignatureMismatch));
    let der_of_nothing = head(&[("X-Sig", "AAAA"), ("X-Time", "1700000000")]);
    assert_eq!(reason(&sendgrid, &der_of_nothing, b"[]"), Some(FaultKind::SignatureMalformed));
}

/// The shape of `SendGrid`.
fn ecdsa_source(private: &p256::ecdsa::SigningKey) -> (Sender, Secret) {
    use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
    let public = private.verifying_key().to_public_key_der().expect("DER");
    let pem = private.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).expect("PEM");
    let source = source("X-Sig")
        .with_timestamp("header:X-Time", TimeFormat::Unix)
        .with_secrets(&[&BASE64.encode(public.as_bytes())])
        .with_rule(|rule| {
            rule.algorithm = Algorithm::EcdsaP256Sha256;
            rule.encoding = Encoding::Base64;
            rule.signed = template("{timestamp}{body}");
        });
    (source, Secret::from(pem.to_string()))
}

#[test]
fn the_twin_of_an_ecdsa_signature_has_the_same_fingerprint() {
    let private = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a key");
    let (source, pem) = ecdsa_source(&private);
    let (request, body) = signed_with(&source, &SigningKey::Private(&pem), b"[]");
    let value = request.headers["X-Sig"].as_bytes().to_vec();
    let der = BASE64.decode(&value).expect("base64");
    let one = p256::ecdsa::Signature::from_der(&der).expect("DER");
    let (r, s) = one.split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r, -s).expect("a signature");
    let mut twisted = request.clone();
    let value = BASE64.encode(twin.to_der().as_bytes());
    twisted.headers.insert("X-Sig", http::HeaderValue::try_from(value).expect("a value"));
    let source = Sender { replay_guard: true, ..source };
    let genuine = [&request, &twisted].map(|head| stream(&source, head, &body).expect("genuine"));
    assert!(genuine[0].signed_fingerprint().is_some());
    assert_eq!(genuine[0].signed_fingerprint(), genuine[1].signed_fingerprint());
}

#[test]
fn a_secret_that_is_no_key_is_refused_without_being_shown() {
    use Algorithm::{EcdsaP256Sha256, Ed25519, HmacSha256, Token};
    for (algorithm, key, prefix, secret) in [
        (HmacSha256, KeyForm::Text, "", ""),
        (HmacSha256, KeyForm::Text, "whsec_", "whsec_"),
        (HmacSha256, KeyForm::Hex, "", "nothex-nothex"),
        (HmacSha256, KeyForm::Base64, "", "*not base64*"),
        (HmacSha256, KeyForm::Base64, "", "=="),
        (Token, KeyForm::Text, "", ""),
        (Ed25519, KeyForm::Hex, "", "abcd"),
        (Ed25519, KeyForm::Hex, "", &"00".repeat(32)),
        (EcdsaP256Sha256, KeyForm::Text, "", "bm90IGEga2V5"),
        (EcdsaP256Sha256, KeyForm::Text, "", "-----BEGIN PUBLIC KEY-----\nbm90\n"),
    ] {
        let rule = source("X-Sig")
            .with_rule(|rule| {
                rule.algorithm = algorithm;
                rule.key = key;
                rule.key_prefix = prefix.to_owned();
            })
            .scheme
            .signature;
        let error = Keys::new(&secrets(&[secret]), &rule).expect_err(secret);
        assert!(secret.is_empty() || !error.to_string().contains(secret), "{error}");
    }
    assert!(matches!(Keys::new(&[], &source("X-Sig").scheme.signature), Err(KeyError::None)));
}

#[test]
fn a_public_key_may_be_pem() {
    use p256::pkcs8::EncodePublicKey as _;
    let private = p256::ecdsa::SigningKey::from_slice(&[9; 32]).expect("a key");
    let (source, pem) = ecdsa_source(&private);
    let public = private.verifying_key().to_public_key_pem(p256::pkcs8::LineEnding::LF);
    let source = source.with_secrets(&[&public.expect("PEM")]);
    let (request, body) = signed_with(&source, &SigningKey::Private(&pem), b"[]");
    assert_eq!(reason(&source, &request, &body), None);
}
