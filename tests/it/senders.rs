//! Every built-in sender, from `send` over the wire to an upstream.

use crate::support::{
    Delivery, Proxy, Sender, Setup, Upstream, hmac_sha256_hex, hookward, rfc3339_in, unix_now,
};
use hookward_verify::presets;
use hookward_verify::scheme::Algorithm;
use std::fmt::Write as _;

/// Text, hex and base64 alike, so it is a key of every form.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Presets whose deliveries only the sender's private key can sign.
fn is_asymmetric(text: &str) -> bool {
    Algorithm::NAMES
        .iter()
        .filter(|(_, a)| a.is_public_key())
        .any(|(name, _)| text.contains(&format!("\"{name}\"")))
}

#[test]
fn what_every_preset_signs_is_delivered_over_the_wire() {
    let erp = Upstream::start();
    let mut tables = String::new();
    let names: Vec<&str> =
        presets::all().filter(|p| !is_asymmetric(p.text)).map(|preset| preset.name).collect();
    for name in &names {
        let header = if *name == "webround" {
            format!("[sources.{name}.signature]\nheader = \"X-Webround-Signature\"\n")
        } else {
            String::new()
        };
        _ = writeln!(
            tables,
            "[sources.{name}]\npath = \"/{name}\"\npreset = \"{name}\"\n\
             public_url = \"https://hooks.example.com/{name}\"\n\
             secrets = [{{ env = \"SENDERS_SECRET\" }}]\n{header}\
             [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
        );
    }
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&tables)
        .environment("SENDERS_SECRET", SECRET)
        .start();
    let mut wrong = Vec::new();
    for name in &names {
        let url = format!("http://{}/{name}", proxy.address);
        let output = hookward()
            .args(["send", "--source", name, "--url", &url, "--config"])
            .arg(proxy.file())
            .env("SENDERS_SECRET", SECRET)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if told != "200 delivered\n" {
            wrong.push((*name, told, String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(names.len() >= 80);
    erp.saw(names.len());
}

/// Base64 of the HMAC-SHA256, as several senders write it.
fn hmac_sha256_base64(text: &[u8]) -> String {
    let hex = hmac_sha256_hex(SECRET, text);
    data_encoding::BASE64.encode(&data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
}

/// A proxy with a source for each of these presets, at `/PRESET`.
fn proxy_for(erp: &Upstream, names: &[&str]) -> Proxy {
    let table = |name: &&str| {
        format!(
            "[sources.{name}]\npath = \"/{name}\"\npreset = \"{name}\"\n\
             secrets = [{{ env = \"SENDERS_SECRET\" }}]\n\
             [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
        )
    };
    Setup::new()
        .upstream("erp", erp, "")
        .table(&names.iter().map(table).collect::<String>())
        .environment("SENDERS_SECRET", SECRET)
        .start()
}

/// Sends each in turn; asserts the outcomes, and ids and types as the upstream saw them.
#[track_caller]
fn play(preset: &str, story: &[(Delivery, &str)], seen: &[(&str, &str)]) {
    let erp = Upstream::start();
    let proxy = proxy_for(&erp, &[preset]);
    for (step, (delivery, outcome)) in story.iter().enumerate() {
        let response = Sender::to(&proxy).deliver(delivery);
        assert_eq!(response.verdict(), (200, *outcome, String::new()), "{preset}, step {step}");
    }
    let requests = erp.saw(seen.len());
    for (request, (id, kind)) in requests.iter().zip(seen) {
        if !id.is_empty() {
            assert_eq!(request.header("Hookward-Event-Id"), *id, "{preset}");
        }
        assert_eq!(request.header("Hookward-Event-Type"), *kind, "{preset}");
    }
}

#[test]
fn shopify_deliveries_of_one_action_all_arrive_and_a_retry_does_not_again() {
    let body = r#"{"id":820982911946154508}"#;
    let signature = hmac_sha256_base64(body.as_bytes());
    let send = |topic: &str, event: Option<&str>, webhook: &str| {
        let delivery = Delivery::post("/shopify", body)
            .with("X-Shopify-Hmac-Sha256", &signature)
            .with("X-Shopify-Topic", topic)
            .with("X-Shopify-Webhook-Id", webhook);
        event.map_or_else(|| delivery.clone(), |id| delivery.clone().with("X-Shopify-Event-Id", id))
    };
    let newer = Delivery::post("/shopify", body)
        .with("Shopify-Hmac-Sha256", &signature)
        .with("Shopify-Topic", "Product")
        .with("Shopify-Webhook-Id", "w-4");
    play(
        "shopify",
        &[
            (send("orders/create", Some("ev-1"), "w-1"), "delivered"),
            (send("orders/paid", Some("ev-1"), "w-2"), "delivered"),
            (send("orders/create", Some("ev-1"), "w-1"), "duplicate"),
            (send("customers/redact", None, "w-3"), "delivered"),
            (newer.clone(), "delivered"),
            (newer, "duplicate"),
        ],
        &[
            ("w-1", "orders/create"),
            ("w-2", "orders/paid"),
            ("w-3", "customers/redact"),
            ("w-4", "Product"),
        ],
    );
}

#[test]
fn gitlab_webhooks_that_share_an_event_uuid_all_arrive() {
    let send = |body: &str, key: Option<&str>| {
        let delivery = Delivery::post("/gitlab", body)
            .with("X-Gitlab-Token", SECRET)
            .with("X-Gitlab-Event", "Push Hook")
            .with("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e");
        key.map_or_else(|| delivery.clone(), |key| delivery.clone().with("Idempotency-Key", key))
    };
    let (push, next) = (r#"{"object_kind":"push","after":"da15"}"#, r#"{"object_kind":"push"}"#);
    play(
        "gitlab",
        &[
            (send(push, Some("k-1")), "delivered"),
            (send(push, Some("k-2")), "delivered"),
            (send(push, Some("k-1")), "duplicate"),
            (send(push, None), "delivered"),
            (send(next, None), "delivered"),
            (send(push, None), "duplicate"),
        ],
        &[("k-1", "Push Hook"), ("k-2", "Push Hook"), ("", "Push Hook"), ("", "Push Hook")],
    );
}

#[test]
fn a_retry_of_box_has_another_delivery_id_and_is_a_duplicate() {
    let body = r#"{"type":"webhook_event","id":"eb0c4e06","trigger":"FILE.UPLOADED"}"#;
    let now = rfc3339_in(0);
    let signature = hmac_sha256_base64(format!("{body}{now}").as_bytes());
    let attempt = |delivery_id: &str| {
        Delivery::post("/box", body)
            .with("Box-Delivery-Id", delivery_id)
            .with("Box-Delivery-Timestamp", &now)
            .with("Box-Signature-Version", "1")
            .with("Box-Signature-Algorithm", "HmacSHA256")
            .with("Box-Signature-Primary", &signature)
    };
    play(
        "box",
        &[(attempt("673a081b"), "delivered"), (attempt("f96bb54b"), "duplicate")],
        &[("eb0c4e06", "FILE.UPLOADED")],
    );
}

#[test]
fn orders_that_woocommerce_sends_in_one_second_all_arrive() {
    let send = |body: &str| {
        Delivery::post("/woocommerce", body)
            .with("X-WC-Webhook-Signature", &hmac_sha256_base64(body.as_bytes()))
            .with("X-WC-Webhook-Delivery-ID", "9c2e3f")
            .with("X-WC-Webhook-Topic", "order.updated")
    };
    let (one, other) = (send(r#"{"id":1042}"#), send(r#"{"id":1043}"#));
    play(
        "woocommerce",
        &[(one.clone(), "delivered"), (other, "delivered"), (one, "duplicate")],
        &[("", "order.updated"), ("", "order.updated")],
    );
}

#[test]
fn an_update_of_a_merchant_order_arrives_behind_its_creation() {
    let send = |action: &str, version: u8, request: &str| {
        let body = format!(
            r#"{{"action":"{action}","data":{{"currency_id":"","marketplace":"NONE"}},"id":"23603350837","type":"topic_merchant_order_wh","version":{version}}}"#
        );
        let (now, id) = (unix_now(), "23603350837");
        let text = format!("id:{id};request-id:{request};ts:{now};");
        let signature = format!("ts={now},v1={}", hmac_sha256_hex(SECRET, text.as_bytes()));
        let target = format!("/mercado-pago?data.id={id}&type=topic_merchant_order_wh");
        Delivery::post(&target, body).with("x-request-id", request).with("x-signature", &signature)
    };
    play(
        "mercado-pago",
        &[
            (send("create", 0, "r-1"), "delivered"),
            (send("update", 1, "r-2"), "delivered"),
            (send("update", 1, "r-3"), "duplicate"),
        ],
        &[("", "create"), ("", "update")],
    );
}

#[test]
fn what_lacks_the_usual_id_or_type_arrives() {
    let now = unix_now().to_string();
    let limited = r#"{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1518467820}"#;
    let slack = hmac_sha256_hex(SECRET, format!("v0:{now}:{limited}").as_bytes());
    let slack = Delivery::post("/slack", limited)
        .with("X-Slack-Request-Timestamp", &now)
        .with("X-Slack-Signature", &format!("v0={slack}"));
    play("slack", &[(slack, "delivered")], &[("", "app_rate_limited")]);

    let lifecycle = format!(
        r#"{{"value":[{{"subscriptionId":"7f10","clientState":"{SECRET}","lifecycleEvent":"subscriptionRemoved"}}]}}"#
    );
    let graph = Delivery::post("/microsoft-graph", lifecycle);
    play("microsoft-graph", &[(graph, "delivered")], &[("", "subscriptionRemoved")]);

    let (id, kind, paid) = ("e-1", "onramp.transaction.success", r#"{"transactionId":"t-1"}"#);
    let names = "content-type x-event-id x-event-type";
    let text = format!("{now}.{names}.application/json.{id}.{kind}.{paid}");
    let signature = hmac_sha256_hex(SECRET, text.as_bytes());
    let cdp = Delivery::post("/coinbase-cdp", paid)
        .with("X-Event-Id", id)
        .with("X-Event-Type", kind)
        .with("X-Hook0-Signature", &format!("t={now},h={names},v1={signature}"));
    play("coinbase-cdp", &[(cdp.clone(), "delivered"), (cdp, "duplicate")], &[(id, kind)]);

    let inbound = r#"{"FromName":"Emma","MessageStream":"inbound","MessageID":"22c74902"}"#;
    let basic = format!("Basic {}", data_encoding::BASE64.encode(SECRET.as_bytes()));
    let postmark = Delivery::post("/postmark", inbound).with("Authorization", &basic);
    play("postmark", &[(postmark, "delivered")], &[("", "inbound")]);
}
