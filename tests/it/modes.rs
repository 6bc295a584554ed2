//! Optional behaviour of a source: handshakes, replay guard, shadow mode, TLS.

use crate::support::{
    Connection, Delivery, Event, Sender, Setup, Upstream, hmac_sha256_hex, unix_now,
};
use rustls::pki_types::ServerName;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

const SECRET: &str = "a-secret-for-the-tests-of-modes";

fn source(name: &str, preset: &str, keys: &str, tables: &str) -> String {
    format!(
        "[sources.{name}]\npath = \"/{name}\"\npreset = \"{preset}\"\n\
         secrets = [{{ env = \"MODE_SECRET\" }}]\n{keys}\n{tables}\n\
         [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]"
    )
}

#[test]
fn handshakes_are_answered_and_never_forwarded() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&source("slack", "slack", "", ""))
        .table(&source(
            "meta",
            "meta",
            "",
            "[sources.meta.handshake]\nkind = \"meta\"\nverify_token = { env = \"MODE_SECRET\" }",
        ))
        .environment("MODE_SECRET", SECRET)
        .start();
    let sender = Sender::to(&proxy);

    let body = br#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","token":"x"}"#;
    let now = unix_now().to_string();
    let text = [b"v0:", now.as_bytes(), b":", body.as_slice()].concat();
    let slack = Delivery::post("/slack", body)
        .with("X-Slack-Request-Timestamp", &now)
        .with("X-Slack-Signature", &format!("v0={}", hmac_sha256_hex(SECRET, &text)));
    let response = sender.deliver(&slack);
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert!(response.text().contains("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"));
    let forged =
        sender.deliver(&slack.replacing("X-Slack-Signature", &format!("v0={}", "0".repeat(64))));
    assert_eq!(forged.verdict(), (401, "rejected", "signature_mismatch".to_owned()));

    let question = |token: &str| Delivery {
        method: "GET".to_owned(),
        target: format!(
            "/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"
        ),
        ..Delivery::post("/", "")
    };
    let response = sender.deliver(&question(SECRET));
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert_eq!(response.text(), "1158201444");
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    let wrong = sender.deliver(&question("guessed"));
    assert!(wrong.status >= 400 && !wrong.text().contains("1158201444"), "{wrong:?}");
    assert!(erp.seen().is_empty());
}

#[test]
fn the_replay_guard_knows_a_signature_again_under_another_id() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&source("guarded", "github", "replay_guard = \"signature\"", ""))
        .table(&source("open", "github", "", ""))
        .environment("MODE_SECRET", SECRET)
        .start();
    let sender = Sender::to(&proxy);
    for (name, again) in [("guarded", "duplicate"), ("open", "delivered")] {
        let body = format!("{{\"n\":\"{name}\"}}").into_bytes();
        let signature = format!("sha256={}", hmac_sha256_hex(SECRET, &body));
        let captured = Delivery::post(&format!("/{name}"), body)
            .with("X-Hub-Signature-256", &signature)
            .with("X-GitHub-Event", "push");
        let with_id = |id: &str| captured.clone().with("X-GitHub-Delivery", id);
        assert_eq!(sender.deliver(&with_id("one")).outcome(), "delivered", "{name}");
        assert_eq!(sender.deliver(&with_id("another")).outcome(), again, "{name}");
    }
    erp.saw(3);
}

#[test]
fn shadow_mode_judges_and_forwards_anyway() {
    let erp = Upstream::start();
    let proxy =
        Setup::new().upstream("erp", &erp, "").shop_to(&["erp"], "mode = \"shadow\"").start();
    let sender = Sender::to(&proxy);
    let good = Event::order("evt-1").signed();
    let forged = Event::order("evt-2")
        .signed()
        .replacing("X-Signature", &format!("sha256={}", "0".repeat(64)));
    for delivery in [&good, &good, &forged] {
        assert_eq!(sender.deliver(delivery).status, 200);
    }
    let seen = erp.saw(3);
    assert_eq!(seen[2].body, forged.body);
    assert_eq!(seen[2].all("Hookward-Verified-At"), [""; 0], "nothing was verified");
    let counted = (
        proxy.ended("delivered", ""),
        proxy.ended("duplicate", ""),
        proxy.ended("rejected", "signature_mismatch"),
    );
    assert_eq!(counted, (1, 1, 1));
}

#[test]
fn the_listener_speaks_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let erp = Upstream::start();
    let proxy =
        Setup::shop(&erp).server(&format!("tls = {{ cert = {cert:?}, key = {key:?} }}")).start();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(proxy.address).unwrap());
    let delivery = Event::order("evt-1").signed().with("Connection", "close");
    stream.write_all(&delivery.bytes(proxy.address)).unwrap();
    let mut answer = Vec::new();
    // A peer that closes without a farewell is not what is tested here.
    _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.contains("hookward-outcome: delivered"), "{answer}");
    assert_eq!(erp.saw(1)[0].header("X-Forwarded-Proto"), "https");

    let mut plain = Connection::open(proxy.address);
    let sent = plain.try_send(Event::order("evt-2").signed().bytes(proxy.address));
    assert!(sent.is_err() || plain.try_response().is_err(), "plain HTTP was answered");
    erp.saw(1);
}
