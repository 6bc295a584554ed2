//! Claims about senders that no preset knows: their tables are found and verify, and where there is
//! none the reason is told.

use super::question::TheKey;
use super::*;
use crate::config::Config;
use crate::delivery::fixture::head;
use crate::senders::discover::table::MemberNames;
use data_encoding::BASE64URL_NOPAD;
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::sender::Sender;
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use std::path::Path;

const AT: UnixMillis = UnixMillis(1_700_000_000_000);
const RSA: &str = include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pub.pem");
const P256: &str = include_str!("../../../../crates/hookward-verify/tests/keys/p256.pem");
const BODY: &str = r#"{"event_id":"evt_1","type":"order.paid"}"#;

fn p256_public() -> String {
    let key = p256::SecretKey::from_pkcs8_pem(P256).expect("a key");
    key.public_key().to_public_key_pem(LineEnding::LF).expect("a PEM")
}

fn p256_set(id: &str) -> String {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(P256).expect("a key");
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{x}","y":"{y}"}}"#)
}

/// A sender with this configuration; its file is the public key, its variable a shared secret.
fn sender(table: &str, public: &str) -> Sender {
    let reader = TheKey { file: public.as_bytes(), secret: None };
    let text = format!("[sources.x]\npath = \"/x\"\n{table}");
    let loaded = Config::parse(&text, "x.toml", Path::new(""), &reader);
    let (config, _) = loaded.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    config.sources.into_iter().next().expect("a source").sender
}

fn made(sender: &Sender, private: Option<&str>, body: &str) -> (RequestHead, Vec<u8>) {
    let private = private.map(|pem| Secret::from(pem.to_owned()));
    let key = match &private {
        Some(private) => SigningKey::Private(private),
        None => SigningKey::Shared(&sender.secrets[0]),
    };
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("order.paid"),
        path: "/x",
        at: AT,
        query: None,
        body: body.as_bytes(),
    };
    let signed = sign(sender, &key, &request).expect("signed");
    let mut request = head(&signed.headers);
    "/x".clone_into(&mut request.path);
    "hooks.example.com".clone_into(&mut request.host);
    let host = http::HeaderValue::from_static("hooks.example.com");
    request.headers.set(&http::header::HOST, &host);
    (request, signed.body.unwrap_or_else(|| body.as_bytes().to_vec()))
}

fn names() -> MemberNames<'static> {
    MemberNames { file: "key.pem", is_in_file: true, ..MemberNames::of_secret("found", "S") }
}

fn ask(delivery: &(RequestHead, Vec<u8>), key: &str) -> Result<FoundScheme, Vec<String>> {
    let key = KeyFile::read(key.as_bytes().to_vec()).expect("a key");
    let (head, body) = delivery;
    PublishedQuestion { head, body, key: &key, secret: None, names: names(), at: AT }.discover()
}

const EVENT: &str = "event = { id = [\"json:/event_id\"], type = [\"json:/type\"] }\n";

#[test]
fn tokens_of_unknown_senders_are_found_wherever_they_are() {
    let public = p256_public();
    for (place, told) in [
        ("", "algorithm = \"jwt\""),
        ("header = \"X-Token\"\n", "header = \"x-token\""),
        ("header = \"X-Token\"\nprefix = \"jwt=\"\n", "prefix = \"jwt=\""),
        ("token_from = \"json:/proof/jws\"\n", "token_from = \"json:/proof/jws\""),
        ("body_claim = \"body_hash\"\n", "body_claim = \"body_hash\""),
        ("body_claim = \"h\"\nencoding = \"base64\"\n", "encoding = \"base64\""),
    ] {
        let table = format!(
            "secrets = [{{ file = \"key.pem\" }}]\n{EVENT}[sources.x.signature]\nalgorithm = \"jwt\"\n\
             jwt_algorithms = [\"ES256\"]\nissuer = \"https://sender.example/\"\naudience = \"me\"\n{place}"
        );
        let delivery = made(&sender(&table, &public), Some(P256), BODY);
        for key in [&public, &p256_set("k1")] {
            let found = ask(&delivery, key).unwrap_or_else(|why| panic!("{place}: {why:#?}"));
            assert_eq!(found.preset, None, "{}", found.table);
            for part in [told, "audience = \"me\"", "issuer = \"https://sender.example/\""] {
                assert!(found.table.contains(part), "{part} in\n{}", found.table);
            }
        }
        let found = ask(&delivery, &p256_set("k1")).expect("found");
        let is_bound = place.contains("body_claim") || place.contains("token_from");
        assert_ne!(found.table.contains("# The token says nothing of the body"), is_bound);
        let site = "jwks = \"https://sender.example/.well-known/jwks.json\"";
        assert!(found.table.contains(site), "{}", found.table);
    }
}

#[test]
fn an_event_inside_the_token_is_read_from_there() {
    let public = p256_public();
    let table = "secrets = [{ file = \"key.pem\" }]\n\
                 event = { id = [\"claim:/event_id\"], type = [\"claim:/event_type\"] }\n\
                 [sources.x.signature]\nalgorithm = \"jwt\"\njwt_algorithms = [\"ES256\"]\n\
                 token_from = \"json:/payload\"\n";
    let delivery = made(&sender(table, &public), Some(P256), r#"{"payload":""}"#);
    let found = ask(&delivery, &public).expect("found");
    assert!(found.table.contains("# The token names no audience"), "{}", found.table);
    for part in ["id = [\"claim:/event_id\"]", "type = [\"claim:/event_type\"]"] {
        assert!(found.table.contains(part), "{}", found.table);
    }
}

#[test]
fn signatures_of_rfc_9421_are_found_with_public_keys_sets_and_secrets() {
    let p256 = p256_public();
    let components = "components = [\"@method\", \"@target-uri\", \"content-digest\", \"x-id\"]\n";
    let table = |secret: &str, more: &str| {
        format!(
            "secrets = [{secret}]\npublic_url = \"https://hooks.example.com/x\"\n{EVENT}\
             [sources.x.signature]\nalgorithm = \"http-message-signatures\"\n{components}{more}"
        )
    };
    let file = "{ file = \"key.pem\" }";
    for (private, public) in [(P256, p256.as_str()), (RSA, RSA_PUBLIC)] {
        let delivery = made(&sender(&table(file, ""), public), Some(private), BODY);
        let found = ask(&delivery, public).expect("found");
        assert!(found.table.contains(components.trim()), "{}", found.table);
        assert!(found.table.contains("secrets = [{ file = \"key.pem\" }]"), "{}", found.table);
        if private == P256 {
            let found = ask(&delivery, &p256_set("k1")).expect("found with the set");
            assert!(found.table.contains("jwks = "), "{}", found.table);
        }
    }
    let shared = sender(&table("{ env = \"S\" }", ""), "");
    let (head, body) = made(&shared, None, BODY);
    let secret = shared.secrets[0].text.clone();
    let found = crate::senders::discover::discover(&head, &body, &secret, names_of_secret());
    let found = found.expect("found with the secret");
    assert!(found.table.contains("secrets = [{ env = \"S\" }]"), "{}", found.table);
    assert!(found.table.contains("http-message-signatures"), "{}", found.table);
}

fn names_of_secret() -> MemberNames<'static> {
    MemberNames::of_secret("found", "S")
}

#[test]
fn a_token_with_a_shared_secret_is_found_with_it_and_with_nothing_else() {
    let table = format!(
        "secrets = [{{ env = \"S\" }}]\n{EVENT}[sources.x.signature]\nalgorithm = \"jwt\"\n\
         jwt_algorithms = [\"HS256\"]\n"
    );
    let shared = sender(&table, "");
    let (head, body) = made(&shared, None, BODY);
    let secret = shared.secrets[0].text.clone();
    let discover = crate::senders::discover::discover;
    let found = discover(&head, &body, &secret, names_of_secret()).expect("found");
    assert!(found.table.contains("jwt_algorithms = [\"HS256\"]"), "{}", found.table);
    let why = ask(&(head, body), RSA_PUBLIC).expect_err("a public key is no secret");
    assert!(why[0].contains("--secret-env"), "{why:?}");
}

#[test]
fn rsa_signatures_are_found_with_the_certificate_that_the_delivery_names() {
    let table = format!(
        "secrets = [{{ file = \"key.pem\" }}]\n{EVENT}[sources.x.signature]\n\
         algorithm = \"rsa-sha256\"\nencoding = \"base64\"\nheader = \"X-Sig\"\n"
    );
    let mut delivery = made(&sender(&table, RSA_PUBLIC), Some(RSA), BODY);
    let key = rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(RSA, &rcgen::PKCS_RSA_SHA256);
    let mut params = rcgen::CertificateParams::new(vec!["s.example".to_owned()]).expect("names");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = params.self_signed(&key.expect("a key")).expect("one").pem();
    let why = ask(&delivery, &certificate).expect_err("it names no certificate");
    assert!(why[0].contains("openssl x509 -in key.pem -noout -pubkey"), "{why:?}");
    let found = ask(&delivery, RSA_PUBLIC).expect("found with the key alone");
    assert!(found.table.contains("secrets = [{ file = \"key.pem\" }]"), "{}", found.table);
    let url = http::HeaderValue::from_static("https://keys.sender.example/certs/a1.pem");
    delivery.0.headers.set(&http::HeaderName::from_static("x-cert-url"), &url);
    let found = ask(&delivery, &certificate).expect("found");
    for part in [
        "key_url = \"header:x-cert-url\"",
        "key_hosts = [\"keys.sender.example\"]",
        "key_path = \"/certs/a1.pem\"",
    ] {
        assert!(found.table.contains(part), "{part} in\n{}", found.table);
    }
}

#[test]
fn what_stands_in_the_way_of_a_token_is_named() {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let token =
        |header: &str| format!("{}.{}.c2ln", encode(header), encode(r#"{"iat":1700000000}"#));
    let bearing =
        |token: String| (head(&[("Authorization", format!("Bearer {token}"))]), BODY.into());
    let public = p256_public();
    let set = p256_set("k1");
    for (delivery, key, told) in [
        (bearing(token(r#"{"alg":"none"}"#)), &public, "`none`, which no source takes"),
        (bearing(token(r#"{"alg":"ES512"}"#)), &public, "`ES512`, which no source takes"),
        (bearing(token(r#"{"typ":"JWT"}"#)), &public, "names no algorithm"),
        (bearing(token(r#"{"alg":"ES256","kid":"k2"}"#)), &set, "names the key `k2`"),
        (bearing(token(r#"{"alg":"RS256","kid":"k1"}"#)), &set, "no key of the set is for that"),
        (bearing(token(r#"{"alg":"ES256","kid":"k1"}"#)), &set, "none of which made the token"),
        (bearing(format!("{}.a.b.c.d", encode(r#"{"alg":"RSA-OAEP"}"#))), &public, "encrypted"),
        ((head(&[("X-A", "b")]), token(r#"{"alg":"ES256"}"#).into()), &public, "the whole body"),
        ((head(&[("X-A", "b")]), BODY.into()), &public, "has no token"),
        (
            (head(&[("Signature-Input", "a=(\"@method\")"), ("X-A", "b")]), BODY.into()),
            &public,
            "header:signature",
        ),
        (
            (head(&[("Signature-Input", "a=(\"x\";sf)"), ("Signature", "a=:c2ln:")]), BODY.into()),
            &public,
            "does not parse",
        ),
    ] {
        let why = ask(&delivery, key).expect_err(told);
        assert!(why.iter().any(|reason| reason.contains(told)), "{told}: {why:#?}");
    }
}
