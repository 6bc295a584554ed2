//! The order of a delivery's life, and what each step lets through.

use crate::delivery::lifecycle::testing::{
    Delivery, NOW, Stage, UPSTREAMS, all_wait, envelope, order, shop,
};
use crate::request::BodyError;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_claims::Standing;
use http::Method;
use sha2::Sha256;
use std::time::Duration;

/// A request in which everything is wrong is put right one fault at a time, in the order of the
/// contract. Whatever is refused, neither the store nor a destination hears of it.
#[tokio::test]
async fn the_first_thing_that_does_not_hold_ends_a_delivery() {
    let stage = Stage::of(&shop("unrouted = \"reject\"\nallow = [\"203.0.113.0/24\"]"));
    let body = |body: &str| {
        Delivery::to("/shop", body)
            .with("Content-Length", &body.len().to_string())
            .with("X-Signature", "sha256=nonsense")
    };
    let signed = |body: &str| stage.signed("shop", body);
    let outdated = |kind| envelope("1", kind, hookward_time::UnixMillis(0));
    let mismatch = format!("sha256={}", "0".repeat(64));
    let everything = || {
        body("{")
            .by(Method::GET)
            .from("198.51.100.1")
            .with("Content-Length", "2000000")
            .with("Content-Encoding", "gzip")
            .breaking_off(BodyError::TimedOut)
    };
    let mut astray = everything();
    astray.head.path = "/elsewhere".to_owned();
    let table: Vec<(&str, bool, Delivery)> = vec![
        ("unknown_source", false, astray),
        ("method_not_allowed", false, everything()),
        ("address_not_allowed", false, everything().by(Method::POST)),
        ("body_too_large", false, everything().by(Method::POST).from("203.0.113.9")),
        ("content_encoding", false, body("{").with("Content-Encoding", "gzip")),
        ("body_timeout", true, body("{").breaking_off(BodyError::TimedOut)),
        ("body_too_large", true, body("{").breaking_off(BodyError::TooLarge)),
        ("overloaded", true, body("{").breaking_off(BodyError::NoMemory)),
        ("bad_request", true, body("{").breaking_off(BodyError::Broken)),
        ("signature_missing", true, body("{").without("X-Signature")),
        ("signature_malformed", true, body("{")),
        ("signature_mismatch", true, body("{").with("X-Signature", &mismatch)),
        ("payload_malformed", true, signed("{")),
        ("event_id_missing", true, signed(r#"{"no":"id"}"#)),
        ("event_type_missing", true, signed(r#"{"id":"1"}"#)),
        ("timestamp_missing", true, signed(r#"{"id":"1","type":"other"}"#)),
        ("timestamp_malformed", true, signed(r#"{"id":"1","type":"x","created_at":"noon"}"#)),
        ("unrouted", true, signed(&outdated("other"))),
    ];
    for (reason, reads, delivery) in table {
        let met = stage.deliver(delivery).await;
        assert_eq!((met.reason(), met.body_was_read), (reason, reads));
        assert_eq!(stage.store.asked(), 0, "{reason}");
    }
    // Only now the store is asked, and only looks.
    let met = stage.deliver(signed(&outdated("order.created"))).await;
    assert_eq!(met.verdict(), (401, "rejected", "timestamp_too_old"));
    assert_eq!((stage.store.asked(), stage.standing("1").await), (1, Standing::Absent));
    assert_eq!(stage.upstreams.asked(), [""; 0]);

    let met = stage.deliver(signed(&envelope("1", "order.created", NOW))).await;
    assert_eq!(met.verdict(), (200, "delivered", ""));
    assert_eq!(stage.upstreams.asked(), ["erp"]);
}

#[tokio::test]
async fn an_encoding_that_changes_nothing_is_let_through() {
    for (line, reason) in [
        ("Identity", ""),
        ("", ""),
        (",", ""),
        (" , identity ,", ""),
        ("identity, gzip", "content_encoding"),
        ("br", "content_encoding"),
        ("identity;q=1", "content_encoding"),
    ] {
        let stage = Stage::of(&shop(""));
        let delivery = stage.signed("shop", &order("1")).with("Content-Encoding", line);
        assert_eq!(stage.deliver(delivery).await.reason(), reason, "{line:?}");
    }
}

#[tokio::test]
async fn a_connection_that_takes_away_what_was_judged_is_refused_before_the_body() {
    let stage = Stage::of(&shop(""));
    let signed = stage.signed("shop", &order("1"));
    let met = stage.deliver(signed.clone().with("Connection", "close, X_Signature")).await;
    assert_eq!(met.verdict(), (400, "rejected", "bad_request"));
    assert!(!met.body_was_read);
    assert_eq!((stage.store.asked(), stage.upstreams.asked().len()), (0, 0));
    let met = stage.deliver(signed.with("Connection", "close, X-Other")).await;
    assert_eq!(met.verdict(), (200, "delivered", ""));
}

#[tokio::test]
async fn every_limit_of_age_includes_its_end() {
    // The preset's `max_age` is 24 h, `max_ahead` 1 min.
    for (millis, reason) in [
        (-86_400_000, ""),
        (-86_400_001, "timestamp_too_old"),
        (60_000, ""),
        (60_001, "timestamp_in_future"),
    ] {
        let stage = Stage::of(&shop(""));
        let at = hookward_time::UnixMillis(NOW.0 + millis);
        let met = stage.deliver(stage.signed("shop", &envelope("1", "order.created", at))).await;
        assert_eq!(met.reason(), reason, "{millis} ms");
    }
}

#[tokio::test]
async fn an_old_retry_of_a_finished_event_is_a_duplicate_until_the_event_is_forgotten() {
    let stage = Stage::of(&shop(""));
    let delivery = stage.signed("shop", &order("1"));
    assert_eq!(stage.deliver(delivery.clone()).await.verdict(), (200, "delivered", ""));
    stage.clock.advance(Duration::from_hours(96));
    assert_eq!(stage.deliver(delivery.clone()).await.verdict(), (200, "duplicate", ""));
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(stage.deliver(delivery).await.reason(), "timestamp_too_old");
    assert_eq!(stage.upstreams.asked(), ["erp"]);
}

#[tokio::test]
async fn a_delivered_id_with_another_body_is_a_duplicate_that_is_counted() {
    let stage = Stage::of(&shop(""));
    stage.order("1").await;
    let other = order("1").replace("\"event_id\"", "\"more\":1,\"event_id\"");
    let met = stage.deliver(stage.signed("shop", &other)).await;
    assert_eq!(met.verdict(), (200, "duplicate", ""));
    stage.order("1").await;
    let mismatches = stage.gate.metrics.dedupe_body_mismatch.with_label_values(&["shop"]).get();
    assert_eq!((mismatches, stage.ended("duplicate", "")), (1, 2));
}

#[tokio::test]
async fn an_event_that_no_route_wants_consumes_nothing() {
    let stage = Stage::of(&shop(""));
    let met = stage.deliver(stage.signed("shop", &envelope("1", "other", NOW))).await;
    assert_eq!(met.verdict(), (200, "ignored", ""));
    assert_eq!((stage.store.asked(), stage.upstreams.asked().len()), (0, 0));
}

#[tokio::test]
async fn a_guarded_signature_under_a_new_id_is_a_duplicate() {
    let source = |guard: &str| {
        format!(
            "{UPSTREAMS}[sources.git]\npath = \"/git\"\npreset = \"github\"\n\
             secrets = [{{ env = \"SECRET\" }}]\n{guard}\n\
             [[sources.git.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
        )
    };
    for (guard, outcome) in [("", "delivered"), ("replay_guard = \"signature\"", "duplicate")] {
        let stage = Stage::of(&source(guard));
        let delivery = stage.signed("git", "{}").with("X-GitHub-Delivery", "first");
        assert_eq!(stage.deliver(delivery.clone()).await.verdict().1, "delivered");
        let renamed = delivery.with("X-GitHub-Delivery", "second");
        assert_eq!(stage.deliver(renamed).await.verdict().1, outcome, "{guard}");
    }
}

#[tokio::test]
async fn what_was_signed_is_guarded_whichever_of_its_signatures_comes() {
    let stage = Stage::of(&format!(
        "{UPSTREAMS}[sources.rotating]\npath = \"/rotating\"\nreplay_guard = \"signature\"\n\
         secrets = [{{ env = \"SECRET\" }}, {{ env = \"OTHER_SECRET\" }}]\n\
         [sources.rotating.signature]\nheader = \"X-Sig\"\nseparator = \",\"\nprefix = \"v1=\"\n\
         encoding = \"hex\"\nsigned = \"{{body}}\"\n\
         [sources.rotating.event]\nid = [\"header:X-Id\"]\ntype = [\"header:X-Type\"]\n\
         [[sources.rotating.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    ));
    let signature = |secret: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(b"{}");
        HEXLOWER.encode(&mac.finalize().into_bytes())
    };
    let newer = signature("a-secret-of-more-than-16-bytes");
    let older = signature("another-secret-of-more-than-16-bytes");
    for (signatures, id, outcome) in [
        (format!("v1={newer},v1={older}"), "1", "delivered"),
        (format!("v1={older}"), "4", "duplicate"),
        (format!("v1={newer}"), "5", "duplicate"),
        (format!("v1={older},v1={newer}"), "6", "duplicate"),
    ] {
        let delivery = Delivery::to("/rotating", "{}").with("X-Id", id).with("X-Type", "order");
        let delivery = delivery.with("X-Sig", &signatures);
        assert_eq!(stage.deliver(delivery).await.verdict().1, outcome, "{signatures} {id}");
    }
    assert_eq!(stage.upstreams.asked().len(), 1);
}

#[tokio::test]
async fn a_source_that_is_too_busy_says_when_to_come_again() {
    let stage = Stage::of(&shop("rate_limit = \"6/m\""));
    for id in 0..6 {
        assert_eq!(stage.order(&id.to_string()).await.reason(), "", "{id}");
    }
    let met = stage.order("7").await;
    assert_eq!(met.verdict(), (429, "rejected", "rate_limited"));
    assert_eq!((met.retry_after(), met.body_was_read), (Some("10"), false));
    // A reload that leaves the limit as it is gives nothing back.
    stage.reload(&shop("rate_limit = \"6/m\"\nrespond_within = \"9s\""));
    stage.clock.advance(Duration::from_millis(9_999));
    assert_eq!(stage.order("7").await.reason(), "rate_limited");
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(stage.order("7").await.reason(), "");
}

#[tokio::test]
async fn a_store_that_does_not_answer_ends_a_delivery_or_is_done_without() {
    let unavailable = (503, "rejected", "store_unavailable");
    for (choice, verdicts, requests) in [
        ("reject", [unavailable; 3], 0),
        ("forward", [(200, "delivered", ""), (200, "duplicate", ""), (200, "duplicate", "")], 1),
    ] {
        let stage = Stage::of(&format!("[dedupe]\non_store_error = \"{choice}\"\n{}", shop("")));
        stage.store.breaks(true);
        for verdict in verdicts {
            assert_eq!(stage.order("1").await.verdict(), verdict);
        }
        assert_eq!(stage.upstreams.asked().len(), requests, "{choice}");
        // What is owed to the store is told in a task.
        all_wait().await;
        assert!(stage.gate.claims.store().counters().errors() >= 2, "{choice}");
        stage.store.breaks(false);
        if choice == "forward" {
            // The store hears of it once it answers.
            for _ in 0..200 {
                if stage.standing("1").await != Standing::Absent {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let stands = stage.standing("1").await;
            assert!(matches!(stands, Standing::Delivered { .. }), "{stands:?}");
        }
    }
}

#[tokio::test]
async fn a_stale_delivery_is_refused_even_where_the_store_is_done_without() {
    let stage = Stage::of(&format!("[dedupe]\non_store_error = \"forward\"\n{}", shop("")));
    stage.store.breaks(true);
    let delivery = stage.signed("shop", &order("1"));
    stage.clock.advance(Duration::from_hours(25));
    assert_eq!(stage.deliver(delivery).await.reason(), "timestamp_too_old");
    assert_eq!(stage.upstreams.asked(), [""; 0]);
}

fn with_handshake(kind: &str, secret: &str) -> String {
    format!(
        "{UPSTREAMS}[sources.shop]\npath = \"/shop\"\nsecrets = [{{ env = \"{secret}\" }}]\n\
         [sources.shop.signature]\nheader = \"X-Sig\"\n\
         [sources.shop.event]\nid = [\"json:/id\"]\ntype = [\"json:/type\"]\n\
         [sources.shop.handshake]\n{kind}\n\
         [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    )
}

#[tokio::test]
async fn a_source_without_its_secret_reads_no_body_unless_a_handshake_could_be_in_it() {
    let event = r#"{"id":"1","type":"x"}"#;
    let plain = Stage::of(&shop("").replace("\"SECRET\"", "\"NOT_SET\""));
    let met = plain.deliver(Delivery::to("/shop", event)).await;
    assert_eq!(met.verdict(), (503, "rejected", "secret_unavailable"));
    assert!(!met.body_was_read);

    let stage = Stage::of(&with_handshake("kind = \"monday\"", "NOT_SET"));
    let met = stage.deliver(Delivery::to("/shop", event)).await;
    assert_eq!(met.reason(), "secret_unavailable");
    let met = stage.deliver(Delivery::to("/shop", r#"{"challenge":"abcdef0123456789"}"#)).await;
    assert_eq!(met.verdict(), (200, "handshake", ""));
    assert!(met.text().contains("abcdef0123456789"));
    assert_eq!((stage.store.asked(), stage.upstreams.asked().len()), (0, 0));
}

#[tokio::test]
async fn a_handshake_by_get_is_answered_without_a_body_and_other_methods_are_refused() {
    let stage = Stage::of(&with_handshake("kind = \"dropbox\"", "SECRET"));
    let question = Delivery::to("/shop", "").by(Method::GET).asking("challenge=abc123");
    let met = stage.deliver(question.clone()).await;
    assert_eq!(met.verdict(), (200, "handshake", ""));
    assert_eq!((met.text().as_str(), met.body_was_read), ("abc123", false));
    let met = stage.deliver(question.by(Method::PUT)).await;
    assert_eq!(met.reason(), "method_not_allowed");
    assert_eq!(met.answer.headers["allow"], "POST, GET");
}

#[tokio::test]
async fn a_signed_get_that_is_no_handshake_is_no_event_either() {
    let stage = Stage::of(&with_handshake("kind = \"dropbox\"", "SECRET"));
    for delivery in [stage.signed("shop", &order("1")), Delivery::to("/shop", "")] {
        let met = stage.deliver(delivery.by(Method::GET)).await;
        assert_eq!(met.verdict(), (405, "rejected", "method_not_allowed"));
        assert_eq!(met.answer.headers["allow"], "POST, GET");
        assert!(!met.body_was_read);
    }
    assert_eq!(stage.upstreams.asked(), [""; 0]);
}

#[tokio::test]
async fn a_handshake_that_is_to_be_signed_is_not_answered_to_a_stranger() {
    let stage = Stage::of(&with_handshake("kind = \"slack\"", "SECRET"));
    let question = r#"{"type":"url_verification","challenge":"abcdef"}"#;
    assert_eq!(stage.deliver(Delivery::to("/shop", question)).await.reason(), "signature_missing");
    let met = stage.deliver(stage.signed("shop", question)).await;
    assert_eq!((met.verdict(), met.text().as_str()), ((200, "handshake", ""), "abcdef"));
}

#[tokio::test]
async fn a_handshake_whose_signature_has_a_time_is_answered_while_it_is_fresh() {
    let stage = Stage::of(&format!(
        "{UPSTREAMS}[sources.shop]\npath = \"/shop\"\npreset = \"slack\"\n\
         secrets = [{{ env = \"SECRET\" }}]\n\
         [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    ));
    let question = r#"{"type":"url_verification","challenge":"abcdef"}"#;
    let delivery = stage.signed("shop", question);
    assert_eq!(stage.deliver(delivery.clone()).await.verdict(), (200, "handshake", ""));
    stage.clock.advance(Duration::from_mins(5));
    assert_eq!(stage.deliver(delivery.clone()).await.verdict(), (200, "handshake", ""));
    stage.clock.advance(Duration::from_millis(1001));
    assert_eq!(stage.deliver(delivery).await.verdict(), (401, "rejected", "timestamp_too_old"));
}

#[tokio::test]
async fn only_verified_events_are_counted_by_type() {
    let stage = Stage::of(&shop(""));
    let events = |outcome| {
        let labels = ["shop", "other", outcome];
        stage.gate.metrics.events.with_label_values(&labels).get()
    };
    stage.order("1").await;
    stage.order("1").await;
    let outdated = envelope("2", "order.created", hookward_time::UnixMillis(0));
    stage.deliver(stage.signed("shop", &outdated)).await;
    stage.deliver(Delivery::to("/shop", "{}")).await;
    assert_eq!((events("delivered"), events("duplicate"), events("rejected")), (1, 1, 0));
    assert_eq!(stage.ended("rejected", "timestamp_too_old"), 1);
    assert_eq!(stage.ended("rejected", "signature_missing"), 1);
}

#[tokio::test]
async fn a_store_that_claims_nothing_lets_no_event_through() {
    let stage = Stage::of(&shop(""));
    stage.store.claims_nothing();
    let met = stage.order("evt-1").await;
    assert_eq!(met.verdict(), (503, "rejected", "store_unavailable"));
    assert_eq!(stage.upstreams.asked(), [""; 0], "nothing is forwarded");
}

#[tokio::test]
async fn what_shadow_mode_lets_through_unproven_is_told_nothing_of_an_event() {
    let stage = Stage::of(&shop("mode = \"shadow\""));
    let forged = stage.signed("shop", &order("evt-1"));
    let names: Vec<String> = forged.head.headers.names().iter().map(ToString::to_string).collect();
    let unsigned = names.iter().fold(forged, |delivery, name| delivery.without(name));
    stage.deliver(unsigned).await;
    assert_eq!(stage.upstreams.asked(), ["erp"]);
    assert_eq!(stage.store.asked(), 0, "no claim is made on it");
    let request = stage.upstreams.requests().pop().unwrap();
    let headers = http::HeaderMap::from(&request.headers);
    let ours = |name: &http::HeaderName| {
        name.as_str().starts_with("hookward-") || name == "idempotency-key"
    };
    assert_eq!(headers.keys().find(|name| ours(name)), None);
}
