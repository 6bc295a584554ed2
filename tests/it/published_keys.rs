//! Senders that sign with keys they publish, between a stand-in for their site and an upstream.

mod certificates;
mod chains;
mod entra;
mod fetching;
mod made;
mod rotation;

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

fn sns(site: &KeyServer, handshake: &str) -> String {
    format!(
        "[sources.sns]\npath = \"/sns\"\npreset = \"aws-sns\"\n{handshake}\n\
         signature = {{ key_hosts = [{:?}], claims = {{ \"/TopicArn\" = \"arn:aws:sns:us-west-2:1:orders\" }} }}\n\
         [[sources.sns.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
        site.host()
    )
}

const PEM: &str = "/SimpleNotificationService-1.pem";

/// A message as Amazon signs it.
fn message(site: &KeyServer, members: &[(&str, &str)]) -> Delivery {
    let mut members: Vec<(&str, String)> =
        members.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    if !members.iter().any(|(name, _)| *name == "Timestamp") {
        members.push(("Timestamp", rfc3339_in(0)));
    }
    if !members.iter().any(|(name, _)| *name == "TopicArn") {
        members.push(("TopicArn", "arn:aws:sns:us-west-2:1:orders".to_owned()));
    }
    members.sort();
    let mut text = String::new();
    for (name, value) in &members {
        text.extend([*name, "\n", value, "\n"]);
    }
    let mut body = serde_json::Map::new();
    for (name, value) in members {
        body.insert(name.to_owned(), value.into());
    }
    body.insert("SignatureVersion".to_owned(), "2".into());
    body.insert("Signature".to_owned(), rsa_signature(&text).into());
    body.insert("SigningCertURL".to_owned(), site.url(PEM).into());
    Delivery::post("/sns", serde_json::Value::Object(body).to_string())
}

#[test]
fn amazons_messages_are_checked_with_the_certificate_that_they_name_on_a_pinned_host() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish(PEM, Page::of(certificate(2090)));
    site.publish("/SimpleNotificationService-old.pem", Page::of(certificate(2021)));
    let proxy =
        Setup::new().upstream("erp", &erp, "").table(&site.fetch()).table(&sns(&site, "")).start();
    let sender = Sender::to(&proxy);
    let event = |id| [("Message", "Hello\nworld"), ("MessageId", id), ("Type", "Notification")];
    let with_subject = [&event("1")[..], &[("Subject", "My First Message")]].concat();
    assert_eq!(
        sender.deliver(&message(&site, &with_subject)).verdict(),
        (200, "delivered", String::new())
    );
    assert_eq!(
        sender.deliver(&message(&site, &event("2"))).verdict(),
        (200, "delivered", String::new())
    );
    assert_eq!(
        sender.deliver(&message(&site, &event("2"))).verdict(),
        (200, "duplicate", String::new())
    );
    let genuine = message(&site, &event("3"));
    let altered = |from: &str, to: &str| {
        let body = String::from_utf8(genuine.body.clone()).unwrap();
        assert!(body.contains(from), "{from}");
        Delivery { body: body.replacen(from, to, 1).into_bytes(), ..genuine.clone() }
    };
    let other_topic = [&event("4")[..], &[("TopicArn", "arn:aws:sns:us-west-2:2:orders")]].concat();
    let two_lines = [("Message", "m"), ("MessageId", "5\nSubject"), ("Type", "Notification")];
    let old = [&event("6")[..], &[("Timestamp", "2020-01-01T00:00:00.000Z")]].concat();
    for (what, delivery, reason) in [
        ("another message", altered("Hello", "Hallo"), "signature_mismatch"),
        ("another host", altered("localhost", "localhosd"), "signature_mismatch"),
        ("no port", altered(&site.host(), "localhost"), "signature_mismatch"),
        ("another path", altered("/Simple", "/x/Simple"), "signature_mismatch"),
        ("another scheme", altered("https:", "http:"), "signature_mismatch"),
        ("an expired certificate", altered("Service-1", "Service-old"), "signature_mismatch"),
        ("another topic", message(&site, &other_topic), "signature_mismatch"),
        ("a line break", message(&site, &two_lines), "signature_mismatch"),
        ("long ago", message(&site, &old), "timestamp_too_old"),
    ] {
        let response = sender.deliver(&delivery);
        assert_eq!(response.verdict(), (401, "rejected", reason.to_owned()), "{what}");
    }
    let gone = altered("Service-1", "Service-gone");
    assert_eq!(sender.deliver(&gone).verdict(), (503, "rejected", "secret_unavailable".to_owned()));
    // Without the handshake a confirmation is an event like others, and nothing is asked.
    let confirmation = [
        ("Message", "You have chosen"),
        ("MessageId", "7"),
        ("SubscribeURL", &*site.url("/?Action=ConfirmSubscription&Token=t")),
        ("Token", "t"),
        ("Type", "SubscriptionConfirmation"),
    ];
    let response = sender.deliver(&message(&site, &confirmation));
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
    let seen = erp.saw(3);
    assert_eq!(seen[2].header("Hookward-Event-Type"), "SubscriptionConfirmation");
    assert_eq!(site.asked(PEM), 1);
    assert_eq!(site.all_asked().len(), 3, "{:?}", site.all_asked());
}

#[test]
fn a_subscription_is_confirmed_on_a_pinned_host_where_the_source_says_so() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish(PEM, Page::of(certificate(2090)));
    let confirm = "/?Action=ConfirmSubscription&Token=t";
    site.publish(confirm, Page::of("<ConfirmSubscriptionResponse/>"));
    let handshake = "handshake = { kind = \"aws-sns\" }";
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&sns(&site, handshake))
        .start();
    let asking = |url: &str| {
        message(
            &site,
            &[
                ("Message", "You have chosen"),
                ("MessageId", "7"),
                ("SubscribeURL", url),
                ("Token", "t"),
                ("Type", "SubscriptionConfirmation"),
            ],
        )
    };
    let sender = Sender::to(&proxy);
    for url in [
        "https://attacker.example/?Action=ConfirmSubscription",
        &site.url("/internal?Action=ConfirmSubscription"),
        &site.url("/?Action=DeleteTopic"),
        &site.url(confirm).replace("https", "http"),
    ] {
        let response = sender.deliver(&asking(url));
        assert_eq!(response.verdict(), (401, "rejected", "signature_mismatch".to_owned()), "{url}");
    }
    let mut unsigned = asking(&site.url(confirm));
    unsigned.body = String::from_utf8(unsigned.body).unwrap().replace("chosen", "Chosen").into();
    assert_eq!(sender.deliver(&unsigned).status, 401);
    assert_eq!(site.asked(confirm), 0, "nothing is asked before it is genuine and pinned");
    let response = sender.deliver(&asking(&site.url(confirm)));
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert_eq!(site.asked(confirm), 1);
    assert_eq!(erp.count(), 0);
}

#[test]
fn paypals_deliveries_are_checked_with_the_crc_of_the_body_and_the_webhooks_id() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    let path = "/v1/notifications/certs/CERT-360caa42-fca2a594-90621ecd";
    site.publish(path, Page::of(certificate(2090)));
    let source = format!(
        "[sources.paypal]\npath = \"/paypal\"\npreset = \"paypal\"\nsecrets = [{{ env = \"WEBHOOK_ID\" }}]\n\
         signature = {{ key_hosts = [{:?}] }}\n\
         [[sources.paypal.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
        site.host()
    );
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&source)
        .environment("WEBHOOK_ID", "1JE4291016473214C")
        .start();
    let body = r#"{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}"#;
    let delivery = |webhook: &str, at: &str, signed: &str| {
        let crc = crc32fast::hash(signed.as_bytes());
        let text = format!("69cd13f0-d67a-11e5-baa3-778b53f4ae55|{at}|{webhook}|{crc}");
        Delivery::post("/paypal", body)
            .with("PAYPAL-TRANSMISSION-ID", "69cd13f0-d67a-11e5-baa3-778b53f4ae55")
            .with("PAYPAL-TRANSMISSION-TIME", at)
            .with("PAYPAL-TRANSMISSION-SIG", &rsa_signature(&text))
            .with("PAYPAL-AUTH-ALGO", "SHA256withRSA")
            .with("PAYPAL-CERT-URL", &site.url(path))
    };
    let sender = Sender::to(&proxy);
    let now = rfc3339_in(0);
    for (what, webhook, at, signed, reason) in [
        ("another webhook", "2JE4291016473214C", &*now, body, "signature_mismatch"),
        ("another body", "1JE4291016473214C", &*now, "{}", "signature_mismatch"),
        ("long ago", "1JE4291016473214C", "2016-02-18T20:01:35Z", body, "timestamp_too_old"),
    ] {
        let response = sender.deliver(&delivery(webhook, at, signed));
        assert_eq!(response.verdict(), (401, "rejected", reason.to_owned()), "{what}");
    }
    let response = sender.deliver(&delivery("1JE4291016473214C", &now, body));
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Type"), "PAYMENT.SALE.COMPLETED");
    assert_eq!(site.asked(path), 1);
}

#[test]
fn googles_and_plaids_presets_take_what_their_senders_send() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/certs", Page::of(key_set("k1")));
    let key = key_set("k1");
    let key = key.trim_start_matches(r#"{"keys":["#).trim_end_matches("]}");
    site.publish("/webhook_verification_key/get", Page::of(format!(r#"{{"key":{key}}}"#)));
    let sources = format!(
        "[sources.google]\npath = \"/google\"\npreset = \"google-pubsub\"\nsecrets = [{{ jwks = {certs:?} }}]\n\
         signature = {{ jwt_algorithms = [\"ES256\"], audience = \"me\", claims = {{ email = \"a@example.com\", email_verified = \"true\" }} }}\n\
         [[sources.google.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n\
         [sources.plaid]\npath = \"/plaid\"\npreset = \"plaid\"\n\
         secrets = [{{ jwk_by_id = {by_id:?}, client_id = {{ env = \"C\" }}, secret = {{ env = \"S\" }} }}]\n\
         [[sources.plaid.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
        certs = site.url("/certs"),
        by_id = site.url("/webhook_verification_key/get"),
    );
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&sources)
        .environment("C", "the-name-of-the-client")
        .environment("S", "the-secret-of-the-client")
        .start();
    let now = unix_now();
    let google = |email: &str| {
        let payload = format!(
            r#"{{"iat":{now},"exp":{},"aud":"me","iss":"https://accounts.google.com","email":"{email}","email_verified":true}}"#,
            now + 3600
        );
        let body = r#"{"message":{"data":"e30=","messageId":"2070443601311540"},"subscription":"projects/p/subscriptions/s"}"#;
        let token = token(r#"{"alg":"ES256","kid":"k1"}"#, &payload);
        Delivery::post("/google", body).with("Authorization", &format!("Bearer {token}"))
    };
    let sender = Sender::to(&proxy);
    let stranger = sender.deliver(&google("b@example.com"));
    assert_eq!(stranger.verdict(), (401, "rejected", "signature_mismatch".to_owned()));
    assert_eq!(
        sender.deliver(&google("a@example.com")).verdict(),
        (200, "delivered", String::new())
    );
    let body = r#"{"webhook_type":"TRANSACTIONS","webhook_code":"SYNC_UPDATES_AVAILABLE"}"#;
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(body.as_bytes()));
    let payload = format!(r#"{{"iat":{now},"request_body_sha256":"{hash}"}}"#);
    let plaid = |body: &str| {
        Delivery::post("/plaid", body).with(
            "Plaid-Verification",
            &token(r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, &payload),
        )
    };
    let other = sender.deliver(&plaid("{}"));
    assert_eq!(other.verdict(), (401, "rejected", "signature_mismatch".to_owned()));
    assert_eq!(sender.deliver(&plaid(body)).verdict(), (200, "delivered", String::new()));
    let seen = erp.saw(2);
    assert_eq!(seen[0].header("Hookward-Event-Id"), "2070443601311540");
    assert_eq!(seen[1].header("Hookward-Event-Type"), "TRANSACTIONS.SYNC_UPDATES_AVAILABLE");
    assert_eq!(site.asked("/webhook_verification_key/get"), 1);
    assert!(!proxy.log().contains("the-secret-of-the-client"));
}
