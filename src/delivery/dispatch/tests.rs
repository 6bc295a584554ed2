//! Forwarding, settling and waiting, with scripted destinations.

use crate::delivery::lifecycle::testing::{
    Act, Latch, Stage, all_wait, answer, order, shop, shop_to, status,
};
use crate::upstream::Forwarded;
use hookward_claims::Standing;
use std::time::Duration;

fn in_flight(stage: &Stage) -> i64 {
    stage.gate.metrics.in_flight.get()
}

#[tokio::test]
async fn a_2xx_is_passed_on_and_the_destination_is_told_what_is_known() {
    let stage = Stage::of(&shop(""));
    stage.upstreams.next("erp", Act::Give(answer(202, &[("x-erp", "yes")], "queued")));
    let met = stage.order("evt-1").await;
    assert_eq!((met.verdict(), met.text().as_str()), ((202, "delivered", ""), "queued"));
    assert_eq!(met.answer.headers["x-erp"], "yes");
    let request = stage.upstreams.requests().pop().unwrap();
    assert_eq!(request.body, order("evt-1"));
    assert_eq!(request.headers.get("hookward-event-id"), Some(&b"evt-1"[..]));
    assert_eq!(request.headers.get("idempotency-key"), Some(&b"\"shop:evt-1\""[..]));
    assert_eq!(request.headers.get("hookward-verified-at"), Some(&b"2023-11-14T22:13:20.000Z"[..]));
}

const DATE: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

/// What a destination does, what the sender is told, and what its next delivery meets.
#[tokio::test]
async fn an_end_decides_status_reason_wait_and_what_the_retry_meets() {
    let unreachable = |retry_after| Forwarded::Unreachable { detail: String::new(), retry_after };
    let broken = |sent_whole| Forwarded::Broken { sent_whole, detail: String::new() };
    let timed_out = |sent_whole| Forwarded::TimedOut { sent_whole };
    let wait = Some(Duration::from_millis(2_100));
    let later = &[("retry-after", "17")];
    for (given, verdict, retry_after, next) in [
        (status(204), (204, "delivered", ""), None, "duplicate"),
        (status(302), (502, "failed", "upstream_refused"), None, "delivered"),
        (status(400), (502, "failed", "upstream_refused"), None, "delivered"),
        (answer(404, later, ""), (502, "failed", "upstream_refused"), None, "delivered"),
        (answer(429, later, ""), (429, "failed", "upstream_busy"), Some("17"), "delivered"),
        (
            answer(429, &[("retry-after", "soon")], ""),
            (429, "failed", "upstream_busy"),
            None,
            "delivered",
        ),
        (
            answer(429, &[("retry-after", "-5")], ""),
            (429, "failed", "upstream_busy"),
            None,
            "delivered",
        ),
        (
            answer(503, &[("retry-after", DATE)], ""),
            (503, "failed", "upstream_error"),
            Some(DATE),
            "delivered",
        ),
        (status(500), (500, "failed", "upstream_error"), None, "delivered"),
        (answer(503, later, ""), (503, "failed", "upstream_error"), Some("17"), "delivered"),
        (unreachable(None), (503, "failed", "upstream_unreachable"), None, "delivered"),
        (unreachable(wait), (503, "failed", "upstream_unreachable"), Some("3"), "delivered"),
        (Forwarded::Full, (503, "rejected", "overloaded"), None, "delivered"),
        (timed_out(false), (504, "failed", "upstream_timeout"), None, "delivered"),
        (timed_out(true), (504, "failed", "upstream_timeout"), None, "held"),
        (broken(false), (502, "failed", "upstream_broken"), None, "delivered"),
        (broken(true), (502, "failed", "upstream_broken"), None, "held"),
    ] {
        let stage = Stage::of(&shop(""));
        let given_text = format!("{given:?}");
        stage.upstreams.next("erp", Act::Give(given));
        let met = stage.order("1").await;
        assert_eq!((met.verdict(), met.retry_after()), (verdict, retry_after), "{given_text}");
        assert_eq!(stage.order("1").await.verdict().1, next, "{given_text}");
        assert_eq!(in_flight(&stage), 0);
    }
}

#[tokio::test]
async fn an_event_of_unknown_fate_is_held_to_the_end_of_the_hold_and_then_forwarded() {
    let stage = Stage::of(&shop(""));
    stage.upstreams.next("erp", Act::Give(Forwarded::TimedOut { sent_whole: true }));
    stage.order("1").await;
    let met = stage.order("1").await;
    assert_eq!((met.verdict(), met.retry_after()), ((503, "held", "uncertain"), Some("30")));
    stage.clock.advance(Duration::from_millis(29_999));
    let met = stage.order("1").await;
    assert_eq!((met.reason(), met.retry_after()), ("uncertain", Some("1")));
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(stage.order("1").await.verdict(), (200, "delivered", ""));
    assert_eq!(stage.upstreams.asked().len(), 2);
}

/// The lease runs from when the store was asked: what is sent late may still be under way when a copy
/// gets the claim.
#[tokio::test]
async fn a_claim_that_came_late_is_given_back_and_nothing_is_sent_with_it() {
    let stage = Stage::of(&shop(""));
    stage.store.answers_late(&stage.clock, Duration::from_millis(7_001));
    let met = stage.order("1").await;
    assert_eq!(met.verdict(), (503, "held", "still_working"));
    assert_eq!(stage.upstreams.requests().len(), 0);
    tokio::task::yield_now().await; // the claim is given back behind the scenes
    stage.store.answers_late(&stage.clock, Duration::from_secs(7));
    assert_eq!(stage.order("1").await.verdict().1, "delivered");
    assert_eq!(stage.upstreams.requests().len(), 1);
}

#[tokio::test]
async fn an_event_for_two_is_delivered_when_both_have_it_and_a_retry_goes_to_who_lacks_it() {
    let stage = Stage::of(&shop_to("[\"erp\", \"crm\"]", ""));
    stage.upstreams.next("erp", Act::Give(status(201))).next("crm", Act::Give(status(500)));
    assert_eq!(stage.order("1").await.verdict(), (500, "failed", "upstream_error"));
    stage.upstreams.next("crm", Act::Give(answer(202, &[("x-crm", "yes")], "queued")));
    let met = stage.order("1").await;
    assert_eq!((met.verdict(), met.text().as_str()), ((200, "delivered", ""), ""));
    assert!(met.answer.headers.is_empty());
    assert_eq!(stage.order("1").await.verdict(), (200, "duplicate", ""));
    let mut asked = stage.upstreams.asked();
    asked.sort();
    assert_eq!(asked, ["crm", "crm", "erp"]);
}

#[tokio::test]
async fn of_two_failures_the_first_in_route_order_is_told() {
    for (to, reason) in
        [("[\"erp\", \"crm\"]", "upstream_refused"), ("[\"crm\", \"erp\"]", "upstream_busy")]
    {
        let stage = Stage::of(&shop_to(to, ""));
        stage.upstreams.next("erp", Act::Give(status(404))).next("crm", Act::Give(status(429)));
        assert_eq!(stage.order("1").await.reason(), reason, "{to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_waits_gets_the_winners_outcome_and_answer() {
    for (given, verdict, text) in [
        (answer(202, &[("x-erp", "yes")], "queued"), (202, "delivered", ""), "queued"),
        (status(500), (500, "failed", "upstream_error"), ""),
        (Forwarded::TimedOut { sent_whole: true }, (504, "failed", "upstream_timeout"), ""),
    ] {
        let stage = Stage::of(&shop(""));
        let latch = Latch::closed();
        stage.upstreams.next("erp", Act::Behind(latch.clone(), given));
        let copies: Vec<_> =
            (0..3).map(|_| stage.start(stage.signed("shop", &order("1")))).collect();
        all_wait().await;
        assert_eq!(in_flight(&stage), 1, "one event, however many copies wait for it");
        latch.open();
        for copy in copies {
            let met = copy.await.unwrap();
            assert_eq!((met.verdict(), met.text().as_str()), (verdict, text));
        }
        assert_eq!(stage.upstreams.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_under_way_with_another_body_is_counted() {
    let stage = Stage::of(&shop(""));
    let latch = Latch::closed();
    stage.upstreams.next("erp", Act::Behind(latch.clone(), status(200)));
    let first = stage.start(stage.signed("shop", &order("1")));
    all_wait().await;
    let same = stage.start(stage.signed("shop", &order("1")));
    let other = order("1").replace("\"event_id\"", "\"more\":1,\"event_id\"");
    let other = stage.start(stage.signed("shop", &other));
    all_wait().await;
    latch.open();
    for copy in [first, same, other] {
        assert_eq!(copy.await.unwrap().verdict(), (200, "delivered", ""));
    }
    let mismatches = stage.gate.metrics.dedupe_body_mismatch.with_label_values(&["shop"]).get();
    assert_eq!((mismatches, stage.upstreams.asked().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_exactly_when_it_was_said_to_and_the_forwarding_goes_on() {
    let stage = Stage::of(&shop("respond_within = \"4500ms\""));
    let latch = Latch::closed();
    stage.upstreams.next("erp", Act::Behind(latch.clone(), status(200)));
    let start = tokio::time::Instant::now();
    assert_eq!(stage.order("1").await.verdict(), (503, "held", "still_working"));
    assert_eq!(start.elapsed(), Duration::from_millis(4500));
    let met = stage.order("1").await;
    assert_eq!(met.verdict(), (503, "held", "in_flight"));
    assert_eq!(start.elapsed(), Duration::from_secs(9), "a copy waits as long");
    assert_eq!(in_flight(&stage), 1);
    latch.open();
    all_wait().await;
    assert_eq!(in_flight(&stage), 0);
    assert_eq!(stage.order("1").await.verdict(), (200, "duplicate", ""));
    assert_eq!(stage.upstreams.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_hangs_up_does_not_stop_the_forwarding() {
    let stage = Stage::of(&shop(""));
    let latch = Latch::closed();
    stage.upstreams.next("erp", Act::Behind(latch.clone(), status(200)));
    let sender = stage.start(stage.signed("shop", &order("1")));
    all_wait().await;
    sender.abort();
    assert!(sender.await.unwrap_err().is_cancelled());
    assert_eq!(in_flight(&stage), 1);
    latch.open();
    all_wait().await;
    assert!(matches!(stage.standing("1").await, Standing::Delivered { .. }));
    assert_eq!(in_flight(&stage), 0);
    assert_eq!(stage.order("1").await.verdict(), (200, "duplicate", ""));
}

#[tokio::test(start_paused = true)]
async fn a_forwarding_that_breaks_from_within_leaves_the_event_in_doubt() {
    let stage = Stage::of(&shop(""));
    stage.upstreams.next("erp", Act::Panic);
    assert_eq!(stage.order("1").await.verdict(), (503, "held", "uncertain"));
    all_wait().await;
    assert_eq!(stage.order("1").await.verdict(), (503, "held", "uncertain"));
    assert_eq!((in_flight(&stage), stage.upstreams.asked().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_under_way_and_what_was_delivered() {
    let stage = Stage::of(&shop(""));
    let latch = Latch::closed();
    stage.order("done").await;
    stage.upstreams.next("erp", Act::Behind(latch.clone(), status(200)));
    let under_way = stage.start(stage.signed("shop", &order("1")));
    all_wait().await;
    stage.reload(&shop_to("[\"erp\", \"crm\"]", ""));
    let copy = stage.start(stage.signed("shop", &order("1")));
    all_wait().await;
    assert_eq!(stage.upstreams.asked(), ["erp", "erp", "crm"], "the ERP is not asked again");
    latch.open();
    assert_eq!(under_way.await.unwrap().verdict(), (200, "delivered", ""));
    assert_eq!(copy.await.unwrap().verdict(), (200, "delivered", ""));
    stage.reload(&shop(""));
    assert_eq!(stage.order("done").await.verdict(), (200, "duplicate", ""));
}

#[tokio::test]
async fn a_reload_takes_the_readiness_of_a_removed_source_away() {
    let stage = Stage::of(&shop(""));
    let shown = || stage.gate.metrics.render().unwrap().contains("hookward_source_ready{");
    assert!(shown());
    stage.reload(&shop("").replace("sources.shop", "sources.store"));
    let text = stage.gate.metrics.render().unwrap();
    assert!(text.contains("hookward_source_ready{source=\"store\"} 1"), "{text}");
    assert!(!text.contains("hookward_source_ready{source=\"shop\"}"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_hangs_does_not_keep_the_other_waiting() {
    let stage = Stage::of(&shop_to("[\"erp\", \"crm\"]", ""));
    stage.upstreams.next("erp", Act::Hang);
    assert_eq!(stage.order("1").await.verdict(), (503, "held", "still_working"));
    assert_eq!(stage.upstreams.asked(), ["erp", "crm"]);
}
