//! Ids and types as senders really send them: what one action sets off is several events, a retry
//! is the same one, and what lacks the usual member is an event as well.

use super::deliveries::{Delivery, signable};
use crate::delivery::fixture;
use hookward_verify::event::Event;
use hookward_verify::presets::{all, named};

/// Header lines and a body.
type Sent<'a> = (&'a [(&'a str, &'a str)], &'a str);

fn read(preset: &str, (lines, body): Sent<'_>) -> Event {
    let source = Delivery::of(named(preset).expect(preset)).source;
    let head = fixture::head(lines);
    Event::read_unproven(&source.sender, head.view(), body.as_bytes(), Some(fixture::NOW))
        .unwrap_or_else(|refusal| panic!("{preset}: {body}: {refusal:?}"))
}

#[track_caller]
fn assert_two_events(preset: &str, one: Sent<'_>, other: Sent<'_>) {
    assert_ne!(read(preset, one).id, read(preset, other).id, "{preset}");
}

#[track_caller]
fn assert_one_event(preset: &str, first: Sent<'_>, retry: Sent<'_>) {
    assert_eq!(read(preset, first).id, read(preset, retry).id, "{preset}");
}

#[track_caller]
fn assert_type(preset: &str, sent: Sent<'_>, kind: &str) {
    assert_eq!(read(preset, sent).kind, kind, "{preset}");
}

#[test]
fn shopify_deliveries_of_one_action_are_several_events() {
    for prefix in ["X-", ""] {
        let [topic, event, webhook] = ["Shopify-Topic", "Shopify-Event-Id", "Shopify-Webhook-Id"]
            .map(|n| format!("{prefix}{n}"));
        let body = r#"{"id":820982911946154508}"#;
        let created = [(&*topic, "orders/create"), (&*event, "ev-1"), (&*webhook, "w-1")];
        let paid = [(&*topic, "orders/paid"), (&*event, "ev-1"), (&*webhook, "w-2")];
        assert_two_events("shopify", (&created, body), (&paid, body));
        assert_one_event("shopify", (&created, body), (&created, body));
        assert_type("shopify", (&paid, body), "orders/paid");
        let compliance = [(&*topic, "customers/redact"), (&*webhook, "w-3")];
        assert_eq!(read("shopify", (&compliance, r#"{"shop_id":954889}"#)).id.as_str(), "w-3");
    }
}

#[test]
fn gitlab_webhooks_that_a_webhook_sets_off_are_other_events() {
    let hook = |key| [("X-Gitlab-Event", "Push Hook"), ("X-Gitlab-Event-UUID", "u-1"), key];
    let [first, second] = ["k-1", "k-2"].map(|key| hook(("Idempotency-Key", key)));
    let body = r#"{"object_kind":"push"}"#;
    assert_two_events("gitlab", (&first, body), (&second, body));
    assert_one_event("gitlab", (&first, body), (&first, body));
    // Before version 17.4 there is no key.
    let old = hook(("X-Gitlab-Webhook-UUID", "h-1"));
    assert_two_events("gitlab", (&old, body), (&old, r#"{"object_kind":"push","after":"da15"}"#));
    assert_one_event("gitlab", (&old, body), (&old, body));
}

#[test]
fn box_changes_the_delivery_id_on_a_retry_and_keeps_the_one_in_the_body() {
    let body = r#"{"type":"webhook_event","id":"eb0c4e06","trigger":"FILE.UPLOADED"}"#;
    let first = [("Box-Delivery-Id", "673a081b")];
    assert_one_event("box", (&first, body), (&[("Box-Delivery-Id", "f96bb54b")], body));
    let next = body.replace("eb0c4e06", "eb0c4e07");
    assert_two_events("box", (&first, body), (&first, &next));
}

#[test]
fn woocommerce_deliveries_of_one_second_share_their_delivery_id() {
    let lines = [("X-WC-Webhook-Delivery-ID", "9c2e"), ("X-WC-Webhook-Topic", "order.updated")];
    assert_two_events("woocommerce", (&lines, r#"{"id":1042}"#), (&lines, r#"{"id":1043}"#));
}

#[test]
fn topics_that_share_a_body_are_several_events() {
    for (preset, topic, one, other, body) in [
        ("recharge", "X-Recharge-Topic", "subscription/created", "subscription/activated", "{}"),
        ("commerce-layer", "X-CommerceLayer-Topic", "orders.place", "orders.pending", "{}"),
        ("hostedshop", "X-Webhook-Topic", "order_create", "order_update", "{}"),
    ] {
        let (one, other) = ([(topic, one)], [(topic, other)]);
        assert_two_events(preset, (&one, body), (&other, body));
        assert_one_event(preset, (&one, body), (&one, body));
    }
    assert!(!read("recharge", (&[], "{}")).id.as_str().is_empty());
}

#[test]
fn mercado_pago_updates_of_an_order_are_further_events() {
    let order = |action: &str, status: &str, version: u8| {
        format!(
            r#"{{"action":"{action}","application_id":"7364","data":{{"currency_id":"","marketplace":"NONE","status":"{status}"}},"date_created":"2026-03-16T10:20:30.000-04:00","id":"23603350837","live_mode":false,"status":"{status}","type":"topic_merchant_order_wh","user_id":2012037660,"version":{version}}}"#
        )
    };
    let (created, updated) = (order("create", "opened", 0), order("update", "closed", 1));
    assert_two_events("mercado-pago", (&[], &created), (&[], &updated));
    assert_one_event(
        "mercado-pago",
        (&[("X-Request-Id", "r-1")], &updated),
        (&[("X-Request-Id", "r-2")], &updated),
    );
    assert_type("mercado-pago", (&[], &updated), "update");
}

#[test]
fn postmark_events_of_one_mail_are_told_apart_and_inbound_mail_has_a_type() {
    let body = r#"{"RecordType":"Open","MessageID":"883953f4","FirstOpen":false}"#;
    let trace = |id| [("X-PM-Webhook-Trace-Id", id)];
    assert_two_events("postmark", (&trace("t-1"), body), (&trace("t-2"), body));
    // Whatever else changes from one attempt to the next.
    let retry = [("X-PM-Webhook-Trace-Id", "t-1"), ("X-PM-Retries-Remaining", "9")];
    assert_one_event("postmark", (&trace("t-1"), body), (&retry, body));
    assert_type("postmark", (&[], body), "Open");
    let inbound = r#"{"FromName":"Emma","MessageStream":"inbound","MessageID":"22c74902"}"#;
    assert_type("postmark", (&[], inbound), "inbound");
}

#[test]
fn requests_of_equal_bytes_are_told_apart_where_the_sender_does() {
    for (preset, header, body) in [
        ("twilio", "I-Twilio-Idempotency-Token", "CallSid=CA1&Digits=1"),
        ("convoy", "X-Convoy-Idempotency-Key", "{}"),
        ("convoy-advanced", "X-Convoy-Idempotency-Key", "{}"),
        ("attio", "Idempotency-Key", "{}"),
    ] {
        let (one, other) = ([(header, "k-1")], [(header, "k-2")]);
        assert_two_events(preset, (&one, body), (&other, body));
        assert_one_event(preset, (&one, body), (&one, body));
    }
}

#[test]
fn what_lacks_the_usual_id_or_type_is_an_event_too() {
    let limited = |minute| {
        format!(
            r#"{{"token":"Jhj5","type":"app_rate_limited","team_id":"T123456","minute_rate_limited":{minute},"api_app_id":"A123456"}}"#
        )
    };
    assert_type("slack", (&[], &limited(1_518_467_820)), "app_rate_limited");
    assert_two_events("slack", (&[], &limited(1_518_467_820)), (&[], &limited(1_518_467_880)));
    let event = r#"{"type":"event_callback","event_id":"Ev08","event":{"type":"app_mention"}}"#;
    assert_eq!(read("slack", (&[], event)).kind, "app_mention");
    assert_eq!(read("slack", (&[], event)).id.as_str(), "Ev08");

    let ping = r#"{"type":"notification_event","topic":"ping","id":null,"created_at":1773656430,"data":{"item":{"type":"ping"}}}"#;
    assert_type("intercom", (&[], ping), "ping");

    let trial = r#"{"data_criacao":"2023-07-12T13:58:06.821Z","evento":"teste_webhook"}"#;
    assert_type("woovi", (&[], trial), "teste_webhook");

    let lifecycle = r#"{"value":[{"subscriptionId":"7f105c7d","subscriptionExpirationDateTime":"2026-03-20T11:00:00.0000000Z","tenantId":"84bd8158","clientState":"s","lifecycleEvent":"subscriptionRemoved"}]}"#;
    assert_type("microsoft-graph", (&[], lifecycle), "subscriptionRemoved");
    let change = r#"{"value":[{"clientState":"s","changeType":"updated"}]}"#;
    assert_type("microsoft-graph", (&[], change), "updated");

    let lines = [("X-Event-Id", "e-1"), ("X-Event-Type", "onramp.transaction.success")];
    let paid = read("coinbase-cdp", (&lines, r#"{"transactionId":"t-1"}"#));
    assert_eq!((paid.id.as_str(), &*paid.kind), ("e-1", "onramp.transaction.success"));

    let created = r#"{"type":"user.created","timestamp":1749816650724,"data":{"userId":"684c"}}"#;
    let lines = [("webhook-id", "msg_35bE2UOtsaBIqUl7VW4mLuR9q2B")];
    assert_type("360learning", (&lines, created), "user.created");
}

#[test]
fn the_choice_of_every_event_id_is_explained_and_has_a_source() {
    for preset in all() {
        let id = &preset.about.event_id;
        assert!(id.source.starts_with("https://"), "{}: {}", preset.name, id.source);
        assert!(id.because.len() > 20 && id.because.ends_with('.'), "{}", preset.name);
    }
}

#[test]
fn an_id_that_the_signature_does_not_cover_is_declared_so() {
    for preset in signable() {
        let scheme = Delivery::of(preset).source.sender.scheme;
        let rule = &scheme.signature;
        let first = scheme.event.id.first().expect(preset.name);
        let covered = rule.covers(first);
        let declared = preset.about.unsigned.iter().any(|what| what == "event id");
        assert_eq!(declared, !covered, "{}: {first}", preset.name);
    }
}
