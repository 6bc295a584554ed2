//! Tests of what a sender would send.

use super::*;
use crate::scheme::TimeFormat;
use crate::verify::fixture::{EC_PRIVATE_PEM, NOW, rsa_public_pem, secrets, source, template};
use hookward_secret::Secret;

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

const RSA_PRIVATE: &str = include_str!("../../tests/keys/rsa.pem");

/// The key of RFC 9421, appendix B.1.2, which says of itself that it is for PSS.
const PSS_PRIVATE: &str = include_str!("../../tests/keys/rfc9421-rsa-pss.pem");
const PSS_PUBLIC: &str = include_str!("../../tests/keys/rfc9421-rsa-pss.pub.pem");

fn p256_public_pem() -> String {
    use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
    let key = p256::SecretKey::from_pkcs8_pem(EC_PRIVATE_PEM).expect("a key");
    key.public_key().to_public_key_pem(LineEnding::LF).expect("a PEM")
}

/// An Ed25519 key: the 32 bytes of its private side, and its public side as a PEM.
fn ed25519() -> (Secret, String) {
    let private = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&prefix[..], private.verifying_key().as_bytes()].concat();
    let text = data_encoding::BASE64.encode(&der);
    let public = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    (Secret::new(vec![7; 32]), public)
}

#[test]
fn a_signature_of_rfc_9421_is_made_with_each_kind_of_key_and_holds() {
    let components = ["@method", "@target-uri", "@authority", "content-digest", "date", "x-any"];
    let (ed_private, ed_public) = ed25519();
    let shared = "a shared secret of enough bytes".to_owned();
    for (secret, private, name) in [
        (shared, None, "hmac-sha256"),
        (rsa_public_pem(), Some(Secret::from(RSA_PRIVATE.to_owned())), "rsa-v1_5-sha256"),
        (p256_public_pem(), Some(Secret::from(EC_PRIVATE_PEM.to_owned())), "ecdsa-p256-sha256"),
        (ed_public, Some(ed_private), "ed25519"),
        (PSS_PUBLIC.to_owned(), Some(Secret::from(PSS_PRIVATE.to_owned())), "rsa-pss-sha512"),
    ] {
        let source = source("signature").with_secrets(&[&secret]).with_rule(|rule| {
            rule.algorithm = Algorithm::HttpMessageSignatures;
            rule.components = components.map(str::to_owned).to_vec();
        });
        let key = match &private {
            Some(private) => SigningKey::Private(private),
            None => SigningKey::Shared(&source.secrets[0]),
        };
        let signed = sign(&source, &key, &request(b"{}")).expect(name);
        let head = crate::verify::fixture::head(&signed.headers);
        let verified = crate::verify::verify(&source, head.view(), b"{}");
        assert!(verified.is_ok(), "{name}: {verified:?} {:?}", signed.headers);
        let stated = &signed.headers.iter().find(|(n, _)| n == "signature-input").expect("one").1;
        assert!(stated.ends_with(&format!(";created=1700000000;alg=\"{name}\"")), "{stated}");
        assert!(crate::verify::verify(&source, head.view(), b"[]").is_err(), "{name}");
        for header in ["date", "x-any"] {
            let mut altered = head.clone();
            altered.headers.insert(header, HeaderValue::from_static("other"));
            assert!(crate::verify::verify(&source, altered.view(), b"{}").is_err(), "{header}");
        }
    }
}

#[test]
fn a_signature_of_rfc_9421_over_the_host_needs_the_public_url() {
    let mut source = source("signature").with_rule(|rule| {
        rule.algorithm = Algorithm::HttpMessageSignatures;
        rule.components = vec!["@authority".to_owned()];
    });
    source.public_url = None;
    let refused = sign(&source, &SigningKey::Shared(&source.secrets[0]), &request(b"{}"));
    assert!(matches!(&refused, Err(SignError::Incomplete(why)) if why.contains("public_url")));
}

#[test]
fn rsa_signatures_are_made_with_sha1_too_and_hold() {
    for algorithm in [Algorithm::RsaSha1, Algorithm::RsaSha256] {
        let source = source("X-Sig").with_secrets(&[&rsa_public_pem()]).with_rule(|rule| {
            rule.algorithm = algorithm;
            rule.encoding = Encoding::Base64;
        });
        let private = Secret::from(RSA_PRIVATE.to_owned());
        let signed = sign(&source, &SigningKey::Private(&private), &request(b"{}")).expect("one");
        let head = crate::verify::fixture::head(&signed.headers);
        assert!(crate::verify::verify(&source, head.view(), b"{}").is_ok(), "{algorithm:?}");
        assert!(crate::verify::verify(&source, head.view(), b"[]").is_err(), "{algorithm:?}");
        let other = source.with_rule(|rule| {
            rule.algorithm = match algorithm {
                Algorithm::RsaSha1 => Algorithm::RsaSha256,
                _ => Algorithm::RsaSha1,
            };
        });
        assert!(crate::verify::verify(&other, head.view(), b"{}").is_err(), "{algorithm:?}");
    }
}

#[test]
fn a_message_of_sns_holds_its_signature_and_names_a_pinned_certificate() {
    let scheme = crate::Scheme::preset("aws-sns").expect("a scheme");
    let sns = Sender::without_secrets(scheme, "");
    let private = Secret::from(RSA_PRIVATE.to_owned());
    let base = br#"{"Message":"m","SigningCertURL":"https://elsewhere.example/x.pem"}"#;
    let body = sample_body(&sns, Some(base), "id-1", "Notification", NOW).expect("a body");
    let signed = sign(&sns, &SigningKey::Private(&private), &request(&body)).expect("signed");
    let body = signed.body.expect("a body with its signature");
    let head = crate::verify::fixture::head(&signed.headers);
    let demand = crate::demand::demand(&sns, head.view(), &body, NOW).expect("a demand");
    let crate::demand::Demand::Certificate { url } = demand else { panic!("{demand:?}") };
    assert_eq!(
        url.as_str(),
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-hookward.pem"
    );
}

#[test]
fn a_token_brings_the_certificates_that_lie_beside_the_key() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::from_pem(EC_PRIVATE_PEM).expect("a key");
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(Vec::new()).expect("parameters");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).expect("a root").pem();
    let issuer = Issuer::new(root, root_key);
    let leaf = CertificateParams::new(vec!["leaf.example".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &issuer).expect("a leaf").pem();
    let source = source("json:/token").with_rule(|rule| {
        rule.algorithm = Algorithm::Jwt;
        rule.token.algorithms = vec![crate::scheme::JwtAlgorithm::Es256];
        let root = crate::certificates::PinnedRoot::read(root_pem.as_bytes()).expect("a root");
        rule.token.root = Some(std::sync::Arc::new(root));
    });
    let alone = Secret::from(EC_PRIVATE_PEM.to_owned());
    let refused = sign(&source, &SigningKey::Private(&alone), &request(b"{}"));
    assert!(matches!(&refused, Err(SignError::PrivateKey(why)) if why.contains("certificates")));
    let chained = Secret::from(format!("{leaf}{root_pem}{EC_PRIVATE_PEM}"));
    let signed = sign(&source, &SigningKey::Private(&chained), &request(b"{}")).expect("signed");
    let body = signed.body.expect("a body with its token");
    let head = crate::verify::fixture::head(&signed.headers);
    let demand = crate::demand::demand(&source, head.view(), &body, NOW).expect("a chain");
    let crate::demand::Demand::Brought(keys) = demand else { panic!("{demand:?}") };
    assert!(crate::verify::verify_with(&source, &keys, head.view(), &body).is_ok());
}

#[test]
fn a_key_pair_is_made_for_each_scheme_that_can_have_one() {
    use crate::scheme::JwtAlgorithm::{EdDsa, Es256, Hs256, Rs256};
    let jwt = |algorithm| (Algorithm::Jwt, vec![algorithm]);
    for (algorithm, tokens) in [
        (Algorithm::Ed25519, Vec::new()),
        (Algorithm::EcdsaP256Sha256, Vec::new()),
        (Algorithm::HttpMessageSignatures, Vec::new()),
        jwt(Es256),
        jwt(EdDsa),
    ] {
        let source = source("X-Sig").with_rule(|rule| {
            rule.algorithm = algorithm;
            rule.encoding = Encoding::Base64;
            rule.token.algorithms.clone_from(&tokens);
            rule.components = vec!["content-digest".to_owned()];
        });
        let pair = new_key_pair(&source.scheme.signature).expect("a pair");
        let source = source.with_secrets(&[&pair.public]);
        let signed = sign(&source, &SigningKey::Private(&pair.private), &request(b"{}"));
        let head = crate::verify::fixture::head(&signed.expect("signed").headers);
        let verified = crate::verify::verify(&source, head.view(), b"{}");
        assert!(verified.is_ok(), "{algorithm:?} {tokens:?}: {verified:?}");
        let other = new_key_pair(&source.scheme.signature).expect("another pair");
        assert_ne!(other.public, pair.public);
    }
    for (algorithm, tokens) in [
        (Algorithm::HmacSha256, Vec::new()),
        (Algorithm::RsaSha256, Vec::new()),
        jwt(Rs256),
        jwt(Hs256),
    ] {
        let source = source("X-Sig").with_rule(|rule| {
            rule.algorithm = algorithm;
            rule.token.algorithms.clone_from(&tokens);
        });
        let refused = new_key_pair(&source.scheme.signature);
        assert!(matches!(refused, Err(SignError::KeyPair(_))), "{algorithm:?} {tokens:?}");
    }
}
