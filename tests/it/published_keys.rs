//! Senders that sign with keys they publish, between a stand-in for their site and an upstream.

mod certificates;
mod chains;
mod entra;
mod fetching;
mod made;
mod rotation;
mod senders;

use crate::support::{
    Delivery, KeyServer, Page, Proxy, Sender, Setup, Upstream, eventually, get, hookward, instant,
    printed, rfc3339_in, unix_now,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

const P256: &str = include_str!("../../crates/hookward-verify/tests/keys/p256.pem");
const RSA: &str = include_str!("../../crates/hookward-verify/tests/keys/rsa.pem");

/// The P-256 key of the tests as a key set.
fn key_set(id: &str) -> String {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(P256).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{x}","y":"{y}"}}]}}"#)
}

fn token(header: &str, payload: &str) -> String {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(P256).unwrap();
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature: p256::ecdsa::Signature =
        key.sign_prehash(&Sha256::digest(signed.as_bytes())).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn rsa_signature(text: &str) -> String {
    let der = pem_bytes(RSA);
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
    BASE64.encode(&signature)
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(text.as_bytes()).unwrap()
}

/// A certificate of the RSA key of the tests.
fn certificate(until: i32) -> String {
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(RSA, &PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new(["sender.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params.self_signed(&key).unwrap().pem()
}

/// A source that takes tokens of the key set at `url`.
fn token_source(name: &str, url: &str, keys: &str) -> String {
    format!(
        "[sources.{name}]\npath = \"/{name}\"\nsecrets = [{{ jwks = \"{url}\" }}]\n{keys}\n\
         signature = {{ algorithm = \"jwt\", jwt_algorithms = [\"ES256\"], audience = \"me\" }}\n\
         event = {{ id = [\"json:/id\"], type = [\"json:/type\"] }}\n\
         [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    )
}

fn push(path: &str, id: &str, payload: &str) -> Delivery {
    let body = format!(r#"{{"id":"{id}","type":"t"}}"#);
    let token = token(r#"{"alg":"ES256","kid":"k1"}"#, payload);
    Delivery::post(path, body).with("Authorization", &format!("Bearer {token}"))
}

fn good() -> String {
    format!(r#"{{"iat":{0},"exp":{1},"aud":"me"}}"#, unix_now(), unix_now() + 600)
}

fn keys_status(proxy: &Proxy, source: &str) -> serde_json::Value {
    let status: serde_json::Value =
        serde_json::from_slice(&get(proxy.admin, "/status").body).unwrap();
    status["sources"][source]["keys"].clone()
}

#[test]
fn a_token_is_checked_with_a_key_that_was_fetched_once() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/certs", Page::of(key_set("k1")).with_header("Cache-Control", "max-age=600"));
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&token_source("push", &site.url("/certs"), ""))
        .start();
    let sender = Sender::to(&proxy);
    let verdict = |delivery: &Delivery| {
        let response = sender.deliver(delivery);
        (response.status, response.outcome().to_owned(), response.reason())
    };
    let refused = |reason: &str| (401, "rejected".to_owned(), reason.to_owned());
    assert_eq!(verdict(&push("/push", "1", &good())), (200, "delivered".to_owned(), String::new()));
    assert_eq!(verdict(&push("/push", "1", &good())), (200, "duplicate".to_owned(), String::new()));
    let now = unix_now();
    for (payload, reason) in [
        (format!(r#"{{"iat":{now},"aud":"you"}}"#), "signature_mismatch"),
        (format!(r#"{{"iat":{now}}}"#), "signature_mismatch"),
        (r#"{"aud":"me"}"#.to_owned(), "timestamp_missing"),
        (format!(r#"{{"iat":{},"aud":"me"}}"#, now - 400), "timestamp_too_old"),
        (format!(r#"{{"iat":{now},"exp":{},"aud":"me"}}"#, now - 100), "timestamp_too_old"),
        (format!(r#"{{"iat":{now},"nbf":{},"aud":"me"}}"#, now + 100), "timestamp_in_future"),
        (format!(r#"{{"iat":{now},"iat":{now},"aud":"me"}}"#), "signature_malformed"),
    ] {
        assert_eq!(verdict(&push("/push", "2", &payload)), refused(reason), "{payload}");
    }
    let with_header = |header: &str| {
        Delivery::post("/push", r#"{"id":"3","type":"t"}"#)
            .with("Authorization", &format!("Bearer {}", token(header, &good())))
    };
    for (header, reason) in [
        (r#"{"alg":"none","kid":"k1"}"#, "signature_mismatch"),
        (r#"{"alg":"HS256","kid":"k1"}"#, "signature_mismatch"),
        (r#"{"alg":"ES256","kid":"k1","crit":["exp"]}"#, "signature_malformed"),
        (r#"{"alg":"ES256","kid":"k2"}"#, "signature_mismatch"),
        (r#"{"alg":"ES256","kid":"k2","jku":"https://attacker.example/"}"#, "signature_mismatch"),
    ] {
        assert_eq!(verdict(&with_header(header)), refused(reason), "{header}");
    }
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "1");
    assert_eq!(site.all_asked(), ["/certs"], "an unknown key id is asked for once a minute");
    let keys = keys_status(&proxy, "push");
    assert!(keys["age_seconds"].is_u64() && keys["last_error"].is_null(), "{keys}");
    assert!(keys["fetched_at"].as_str().unwrap().ends_with('Z'), "{keys}");
    assert!(proxy.scrape().text().contains("hookward_keys_age_seconds{source=\"push\"}"));
    assert_eq!(proxy.metric("hookward_secret_matches_total", &[("source", "push")]), 2 + 3);
}

#[test]
fn a_site_that_does_not_answer_as_it_should_gives_no_key_and_the_sender_comes_again() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/good", Page::of(key_set("k1")));
    site.publish(
        "/redirect",
        Page::of("").with_status(302).with_header("Location", &site.url("/good")),
    );
    site.publish("/error", Page::of(key_set("k1")).with_status(500));
    site.publish("/large", Page::of(format!("{}{}", key_set("k1"), " ".repeat(300 * 1024))));
    site.publish("/html", Page::of("<html>"));
    site.publish("/slow", Page::of(key_set("k1")).after(Duration::from_secs(8)));
    let elsewhere = KeyServer::start();
    elsewhere.publish("/certs", Page::of(key_set("k1")));
    let mut setup = Setup::new().upstream("erp", &erp, "").table(&site.fetch());
    let respond = "respond_within = \"2s\"";
    for name in ["redirect", "error", "large", "html", "slow"] {
        setup = setup.table(&token_source(name, &site.url(&format!("/{name}")), respond));
    }
    // Nothing here trusts the authority of its certificate.
    setup = setup.table(&token_source("stranger", &elsewhere.url("/certs"), respond));
    let proxy = setup.start();
    for (name, fault) in [
        ("redirect", "302"),
        ("error", "500"),
        ("large", "256 KiB"),
        ("html", "no key set"),
        ("stranger", ""),
    ] {
        let response = Sender::to(&proxy).deliver(&push(&format!("/{name}"), "1", &good()));
        let expected = (503, "rejected", "secret_unavailable".to_owned());
        assert_eq!(response.verdict(), expected, "{name}");
        assert!(response.header("Retry-After").is_some(), "{name}");
        let keys = keys_status(&proxy, name);
        assert!(keys["age_seconds"].is_null() && keys["fetched_at"].is_null(), "{name}: {keys}");
        assert!(keys["last_error"].as_str().unwrap().contains(fault), "{name}: {keys}");
    }
    let start = instant();
    let response = Sender::to(&proxy).deliver(&push("/slow", "1", &good()));
    assert_eq!(response.verdict(), (503, "rejected", "secret_unavailable".to_owned()));
    let waited = instant().saturating_sub(start);
    assert!(waited < Duration::from_secs(4), "longer than respond_within: {waited:?}");
    eventually("the slow site is given up", || {
        keys_status(&proxy, "slow")["last_error"].as_str().is_some_and(|why| why.contains("5 s"))
    });
    assert_eq!(site.asked("/good"), 0, "a redirect is not followed");
    assert_eq!(elsewhere.all_asked().len(), 0);
    assert_eq!(erp.count(), 0);
    let output =
        hookward().args(["check", "--online", "--config"]).arg(proxy.file()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let told = printed(&output);
    for name in ["redirect", "error", "large", "html", "slow", "stranger"] {
        assert!(told.contains(&format!("sources.{name}.secrets[0]")), "{name}: {told}");
    }
}

#[test]
fn check_online_is_content_where_every_site_answers() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/certs", Page::of(key_set("k1")));
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&token_source("push", &site.url("/certs"), ""))
        .start();
    let check = |more: &[&str]| {
        hookward().arg("check").args(more).arg("--config").arg(proxy.file()).output().unwrap()
    };
    site.wait_until_asked("/certs");
    let asked = site.asked("/certs");
    assert_eq!(check(&[]).status.code(), Some(0));
    assert_eq!(site.asked("/certs"), asked, "without `--online` nothing is asked");
    let output = check(&["--online"]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(site.asked("/certs"), asked + 1);
}
