//! Signatures that were never made, and deliveries that were captured.

use super::SECRET;
use crate::support::{Delivery, Event, Sender, Setup, Upstream, hmac_sha256_hex, unix_now};

#[test]
fn a_signature_counts_only_as_the_source_configures_it() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let hex = good.headers[1].1.strip_prefix("sha256=").unwrap().to_owned();
    let with = |value: &str| good.clone().replacing("X-Signature", value);
    let raw = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let base64 = data_encoding::BASE64.encode(&raw);
    let bare = good.clone().without("X-Signature");
    let cases = [
        ("another algorithm's name", with(&format!("sha1={hex}")), "signature_malformed"),
        ("no algorithm", with(&format!("none={hex}")), "signature_malformed"),
        ("the name in capitals", with(&format!("SHA256={hex}")), "signature_malformed"),
        ("another encoding", with(&format!("sha256={base64}")), "signature_malformed"),
        ("a prefix twice", with(&format!("sha256=sha256={hex}")), "signature_malformed"),
        ("a list where none is meant", with(&format!("sha256={hex},x")), "signature_malformed"),
        ("half of it", with(&format!("sha256={}", &hex[..32])), "signature_malformed"),
        ("nothing behind the prefix", with("sha256="), "signature_malformed"),
        (
            "another header",
            bare.clone().with("X_Signature", &format!("sha256={hex}")),
            "signature_missing",
        ),
        (
            "the query",
            Delivery { target: format!("/webhooks/shop?X-Signature=sha256={hex}"), ..bare },
            "signature_missing",
        ),
        (
            "of the empty body",
            with(&format!("sha256={}", hmac_sha256_hex(SECRET, b""))),
            "signature_mismatch",
        ),
        (
            "with the empty secret",
            with(&format!("sha256={}", hmac_sha256_hex("", &good.body))),
            "signature_mismatch",
        ),
        ("all zeros", with(&format!("sha256={}", "0".repeat(64))), "signature_mismatch"),
    ];
    for (what, delivery, reason) in cases {
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.verdict(), (401, "rejected", reason.to_owned()), "{what}");
    }
    assert!(erp.seen().is_empty());
    // A forged line beside the good one takes nothing from it, and adds nothing to it.
    let two = good.clone().with("X-Signature", &format!("sha256={}", "0".repeat(64)));
    assert_eq!(Sender::to(&proxy).deliver(&two).outcome(), "delivered");
}

const STRIPE: &str = "[sources.pay]\npath = \"/pay\"\npreset = \"stripe\"\n\
                      secrets = [{ env = \"PAY\" }]\n\
                      [[sources.pay.routes]]\nevents = [\"*\"]\nto = [\"erp\"]";

#[test]
fn a_signed_time_can_neither_be_moved_nor_doubled() {
    let erp = Upstream::start();
    let secret = "whsec_test_of_the_payments";
    let proxy =
        Setup::new().upstream("erp", &erp, "").table(STRIPE).environment("PAY", secret).start();
    let body = br#"{"id":"evt_1","type":"paid"}"#;
    let now = unix_now();
    let mac = |at: &str| hmac_sha256_hex(secret, &[at.as_bytes(), b".", &body[..]].concat());
    let old = (now - 3600).to_string();
    let fresh = now.to_string();
    let send = |value: String| {
        let delivery = Delivery::post("/pay", &body[..]).with("Stripe-Signature", &value);
        Sender::to(&proxy).deliver(&delivery).reason()
    };
    for (value, expected) in [
        (format!("t={fresh},v1={}", mac(&old)), &["signature_mismatch"][..]),
        (format!("t={old},v1={}", mac(&old)), &["timestamp_too_old"]),
        (
            format!("t={old},t={fresh},v1={}", mac(&old)),
            &["timestamp_malformed", "signature_mismatch", "timestamp_too_old"],
        ),
        (
            format!("t={fresh},t={old},v1={}", mac(&old)),
            &["timestamp_malformed", "signature_mismatch"],
        ),
        (format!("t={fresh},v0={}", mac(&fresh)), &["signature_malformed"]),
        (format!("t= {fresh} ,v1={}", mac(&old)), &["timestamp_malformed", "signature_mismatch"]),
    ] {
        let met = send(value.clone());
        assert!(expected.contains(&met.as_str()), "{value}: {met}");
    }
    for time in
        ["-1", "1e9", "1700000000.5", "0x65539f00", "99999999999999999999999", "", "NaN", "\u{661}"]
    {
        let met = send(format!("t={time},v1={}", mac(time)));
        assert!(
            ["timestamp_malformed", "timestamp_missing", "timestamp_too_old"]
                .contains(&met.as_str()),
            "{time:?}: {met}"
        );
    }
    assert!(erp.seen().is_empty());
}

const GITHUB: &str = "[sources.code]\npath = \"/code\"\npreset = \"github\"\n\
                      secrets = [{ env = \"CODE\" }]\nKEYS\n\
                      [[sources.code.routes]]\nevents = [\"*\"]\nto = [\"erp\"]";

#[test]
fn a_captured_delivery_under_a_new_unsigned_id_is_stopped_by_the_replay_guard() {
    for (keys, second) in [("", "delivered"), ("replay_guard = \"signature\"", "duplicate")] {
        let erp = Upstream::start();
        let proxy = Setup::new()
            .upstream("erp", &erp, "")
            .table(&GITHUB.replace("KEYS", keys))
            .environment("CODE", "a-secret-of-the-repository")
            .start();
        let body = br#"{"ref":"main"}"#;
        let signature = format!("sha256={}", hmac_sha256_hex("a-secret-of-the-repository", body));
        let captured = Delivery::post("/code", &body[..])
            .with("X-Hub-Signature-256", &signature)
            .with("X-GitHub-Event", "push")
            .with("X-GitHub-Delivery", "1");
        let sender = Sender::to(&proxy);
        assert_eq!(sender.deliver(&captured).outcome(), "delivered");
        let replayed = captured.clone().replacing("X-GitHub-Delivery", "2");
        assert_eq!(sender.deliver(&replayed).outcome(), second, "{keys}");
        // Two ids in one delivery could be read as either.
        let two = captured.with("X-GitHub-Delivery", "3");
        assert_eq!(sender.deliver(&two).reason(), "payload_malformed");
    }
}

#[test]
fn a_secret_or_a_path_cannot_be_guessed_from_what_the_answer_says() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let right = good.headers[1].1.clone();
    let answers: Vec<String> = (0..8)
        .map(|n| {
            // Ever more of the right signature, never all of it.
            let kept = 7 + n * 8;
            let wrong = format!("{}{}", &right[..kept], "0".repeat(71 - kept));
            let response =
                Sender::to(&proxy).deliver(&good.clone().replacing("X-Signature", &wrong));
            format!(
                "{} {:?} {}",
                response.status,
                response.header("Hookward-Outcome"),
                response.text()
            )
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}
