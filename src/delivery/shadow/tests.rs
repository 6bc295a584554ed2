//! What shadow mode forwards, and how it reports it.

use crate::delivery::lifecycle::testing::{
    Act, Delivery, Latch, Stage, all_wait, answer, envelope, order, shop, shop_to, status,
};
use crate::upstream::Forwarded;
use hookward_time::UnixMillis;
use http::Method;

fn stage() -> Stage {
    Stage::of(&shop("mode = \"shadow\""))
}

/// Whatever the judgement, the destination gets the delivery, the sender gets the destination's
/// answer, and the counter says what would have been.
#[tokio::test]
async fn each_judgement_is_counted_and_the_delivery_forwarded_anyway() {
    let signed = |body: &str| stage().signed("shop", body);
    let mismatch = format!("sha256={}", "0".repeat(64));
    let outdated = envelope("1", "order.created", UnixMillis(0));
    let future = envelope("1", "order.created", UnixMillis(4_000_000_000_000));
    for (reason, delivery) in [
        ("signature_missing", Delivery::to("/shop", &order("1"))),
        ("signature_malformed", Delivery::to("/shop", &order("1")).with("X-Signature", "x")),
        ("signature_mismatch", Delivery::to("/shop", &order("1")).with("X-Signature", &mismatch)),
        ("payload_malformed", signed("not JSON")),
        ("event_id_missing", signed("{}")),
        ("event_type_missing", signed(r#"{"id":"1"}"#)),
        ("timestamp_missing", signed(r#"{"id":"1","type":"order.created"}"#)),
        ("timestamp_too_old", signed(&outdated)),
        ("timestamp_in_future", signed(&future)),
    ] {
        let stage = stage();
        stage.upstreams.next("erp", Act::Give(answer(202, &[], "queued")));
        let met = stage.deliver(delivery).await;
        assert_eq!(met.verdict(), (202, "delivered", ""), "{reason}");
        assert_eq!(met.text(), "queued", "{reason}");
        assert_eq!(stage.ended("rejected", reason), 1, "{reason}");
        assert_eq!(stage.ended("delivered", ""), 0, "{reason}");
    }
}

#[tokio::test]
async fn nothing_is_said_of_an_event_that_is_not_proven() {
    let stage = stage();
    stage.deliver(Delivery::to("/shop", &order("1")).with("Hookward-Event-Id", "forged")).await;
    let request = stage.upstreams.requests().pop().unwrap();
    let headers = http::HeaderMap::from(&request.headers);
    assert!(!headers.keys().any(|name| name.as_str().starts_with("hookward-")));
    assert!(!headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn a_source_without_its_secret_forwards_too() {
    let stage = Stage::of(&shop("mode = \"shadow\"").replace("\"SECRET\"", "\"NOT_SET\""));
    let met = stage.deliver(Delivery::to("/shop", &order("1"))).await;
    assert_eq!(met.verdict(), (200, "delivered", ""));
    assert_eq!(stage.ended("rejected", "secret_unavailable"), 1);
}

#[tokio::test]
async fn a_duplicate_is_counted_as_one_and_forwarded_again() {
    let stage = stage();
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    stage.upstreams.next("erp", Act::Give(status(201)));
    assert_eq!(stage.order("1").await.verdict(), (201, "delivered", ""));
    assert_eq!((stage.ended("delivered", ""), stage.ended("duplicate", "")), (1, 1));
    assert_eq!(stage.upstreams.asked().len(), 2);
}

#[tokio::test]
async fn a_retry_that_one_destination_has_already_goes_to_both() {
    let stage = Stage::of(&shop_to("[\"erp\", \"crm\"]", "mode = \"shadow\""));
    stage.upstreams.next("crm", Act::Give(status(500)));
    assert_eq!(stage.order("1").await.verdict(), (500, "failed", "upstream_error"));
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    assert_eq!(stage.upstreams.asked(), ["erp", "crm", "erp", "crm"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_kept_waiting_for_what_enforcement_would_wait_for() {
    let stage = stage();
    let latch = Latch::closed();
    stage.upstreams.next("erp", Act::Behind(latch.clone(), status(200)));
    let first = stage.start(stage.signed("shop", &order("1")));
    all_wait().await;
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    assert_eq!(stage.ended("held", "in_flight"), 1);
    latch.open();
    assert_eq!(first.await.unwrap().verdict(), (200, "delivered", ""));
}

#[tokio::test]
async fn an_event_in_doubt_is_forwarded_again_at_once() {
    let stage = stage();
    stage.upstreams.next("erp", Act::Give(Forwarded::TimedOut { sent_whole: true }));
    assert_eq!(stage.order("1").await.reason(), "upstream_timeout");
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    assert_eq!(stage.ended("held", "uncertain"), 1);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_counted_and_done_without() {
    let stage = stage();
    stage.store.breaks(true);
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    assert_eq!(stage.ended("rejected", "store_unavailable"), 1);
}

#[tokio::test]
async fn what_the_listener_itself_refuses_stays_refused() {
    let stage = Stage::of(&shop("mode = \"shadow\"\nallow = [\"203.0.113.0/24\"]"));
    let delivery = || stage.signed("shop", &order("1"));
    for (reason, delivery) in [
        ("method_not_allowed", delivery().by(Method::PUT)),
        ("address_not_allowed", delivery().from("198.51.100.1")),
        ("content_encoding", delivery().with("Content-Encoding", "gzip")),
    ] {
        assert_eq!(stage.deliver(delivery).await.reason(), reason);
    }
    let other = stage.deliver(stage.signed("shop", &envelope("1", "other", UnixMillis(0)))).await;
    assert_eq!(other.verdict(), (200, "ignored", ""));
    assert_eq!(stage.upstreams.asked(), [""; 0]);
}
