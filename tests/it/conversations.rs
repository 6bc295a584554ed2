//! The behaviour of real senders: requests when a webhook is set up, the URLs that they sign, and
//! partly signed bodies. Each signs here with the test's own code.

mod signing;

use crate::support::{
    Delivery, Reply, Sender, Setup, Upstream, hookward, request, rfc3339_in, stdout, unix_now,
};
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};

const PUBLIC: &str = "https://hooks.example.com/hook";

fn hmac_sha1(key: &str, text: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

fn hmac_sha256(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

/// One source at `/hook` with this preset, all of whose events go to `erp`.
fn setup(erp: &Upstream, preset: &str, secret: &str) -> Setup {
    source(erp, preset).environment("SECRET", secret)
}

/// The same without its secret.
fn source(erp: &Upstream, preset: &str) -> Setup {
    Setup::new().upstream("erp", erp, "").table(&format!(
        "[sources.hook]\npath = \"/hook\"\npreset = \"{preset}\"\npublic_url = \"{PUBLIC}\"\n\
         secrets = [{{ env = \"SECRET\" }}]\nroutes = [{{ events = [\"*\"], to = [\"erp\"] }}]"
    ))
}

#[test]
fn discord_pings_get_their_protocols_answer_and_events_reach_the_receiver() {
    let erp = Upstream::start();
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = HEXLOWER.encode(key.verifying_key().as_bytes());
    let signed = |body: &str| {
        let time = unix_now().to_string();
        let signature = key.sign(format!("{time}{body}").as_bytes());
        Delivery::post("/hook", body)
            .with("X-Signature-Ed25519", &HEXLOWER.encode(&signature.to_bytes()))
            .with("X-Signature-Timestamp", &time)
    };
    let event = r#"{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2026-03-16T10:20:30.123456","data":{"id":"1"}}}"#;
    let events_ping = r#"{"version":1,"application_id":"1234560123453231555","type":0}"#;
    let ping = r#"{"id":"1","application_id":"2","type":1,"token":"t","version":1}"#;

    let events = setup(&erp, "discord-events", &public).start();
    let response = Sender::to(&events).deliver(&signed(events_ping));
    assert_eq!((response.status, response.outcome()), (204, "handshake"));
    assert!(response.body.is_empty() && response.header("Content-Type").is_some());
    // Discord tries with signatures that are wrong on purpose.
    let forged = signed(events_ping).replacing("X-Signature-Timestamp", "1");
    assert_eq!(Sender::to(&events).deliver(&forged).status, 401);
    assert_eq!(erp.count(), 0);
    assert_eq!(Sender::to(&events).deliver(&signed(event)).outcome(), "delivered");
    let seen = erp.saw(1);
    assert_eq!(seen[0].header("Hookward-Event-Type"), "ENTITLEMENT_CREATE");
    assert_eq!(seen[0].body, event.as_bytes());

    let interactions = setup(&erp, "discord", &public).start();
    let response = Sender::to(&interactions).deliver(&signed(ping));
    assert_eq!((response.outcome(), response.text()), ("handshake", r#"{"type":1}"#.to_owned()));
    // A webhook event at the wrong source is told to the sender, not swallowed.
    assert_ne!(Sender::to(&interactions).deliver(&signed(event)).outcome(), "handshake");
}

#[test]
fn mandrill_can_be_set_up_and_its_known_key_lets_no_event_in() {
    let erp = Upstream::start();
    let post = |key: &str, events: &str| {
        let value: String = form_urlencoded::byte_serialize(events.as_bytes()).collect();
        Delivery::post("/hook", format!("mandrill_events={value}"))
            .replacing("Content-Type", "application/x-www-form-urlencoded")
            .with(
                "X-Mandrill-Signature",
                &hmac_sha1(key, &format!("{PUBLIC}mandrill_events{events}")),
            )
    };
    let event = r#"[{"event":"send","_id":"exampleaaaa","ts":1773656430}]"#;
    // Before the webhook exists there is no key, and so no secret.
    let other = "[sources.other]\npath = \"/other\"\npreset = \"stripe\"\n\
                 secrets = [{ env = \"OTHER\" }]";
    let without = source(&erp, "mandrill").table(other).environment("OTHER", "a-long-secret-of-it");
    let without = without.start();
    let own = "the-key-of-the-webhook";
    let with = setup(&erp, "mandrill", own).start();
    for proxy in [&without, &with] {
        let response = request(proxy.address, "HEAD", "/hook", &[]);
        assert_eq!((response.status, response.outcome()), (200, "handshake"));
        let response = Sender::to(proxy).deliver(&post("test-webhook", "[]"));
        assert_eq!((response.status, response.outcome()), (200, "handshake"));
        assert_ne!(Sender::to(proxy).deliver(&post("test-webhook", event)).status, 200);
    }
    assert_eq!(Sender::to(&with).deliver(&post("another-key", "[]")).status, 401);
    assert_eq!(Sender::to(&with).deliver(&post("test-webhook", event)).status, 401);
    assert_eq!(erp.count(), 0);
    assert_eq!(Sender::to(&with).deliver(&post(own, event)).outcome(), "delivered");
    erp.saw(1);
}

#[test]
fn twitch_is_answered_its_signed_challenge_and_its_messages_reach_the_receiver() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "twitch", "s3cRe7-of-the-subscription").start();
    let now = rfc3339_in(0);
    let signed = |id: &str, kind: &str, body: &str| {
        let signature = hmac_sha256(b"s3cRe7-of-the-subscription", &format!("{id}{now}{body}"));
        let signature = HEXLOWER.encode(&BASE64.decode(signature.as_bytes()).unwrap());
        Delivery::post("/hook", body)
            .with("Twitch-Eventsub-Message-Id", id)
            .with("Twitch-Eventsub-Message-Timestamp", &now)
            .with("Twitch-Eventsub-Message-Type", kind)
            .with("Twitch-Eventsub-Message-Signature", &format!("sha256={signature}"))
    };
    let ask = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387","type":"stream.online","status":"webhook_callback_verification_pending"}}"#;
    let question = signed("m-1", "webhook_callback_verification", ask);
    let response = Sender::to(&proxy).deliver(&question);
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert_eq!(response.text(), "pogchamp-kappa-360noscope-vohiyo");
    assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")));
    let forged = question.replacing("Twitch-Eventsub-Message-Id", "m-2");
    assert_eq!(Sender::to(&proxy).deliver(&forged).status, 401);
    assert_eq!(erp.count(), 0);

    let event = r#"{"subscription":{"id":"f1c2a387","type":"stream.online","status":"enabled"},"event":{"id":"9001"}}"#;
    let revoked = r#"{"subscription":{"id":"f1c2a387","type":"stream.online","status":"authorization_revoked"}}"#;
    for (id, kind, body, outcome) in [
        ("m-3", "notification", event, "delivered"),
        ("m-3", "notification", event, "duplicate"),
        ("m-4", "revocation", revoked, "delivered"),
    ] {
        let response = Sender::to(&proxy).deliver(&signed(id, kind, body));
        assert_eq!(response.outcome(), outcome, "{id} {kind}");
    }
    let seen = erp.saw(2);
    assert_eq!(seen[0].header("Hookward-Event-Type"), "stream.online");
    assert_eq!(seen[1].header("Twitch-Eventsub-Message-Type"), "revocation");
    assert_eq!(seen[1].body, revoked.as_bytes());
}

#[test]
fn cloudevents_and_event_grid_ask_before_they_send_and_only_a_token_lets_an_event_in() {
    let erp = Upstream::start();
    let token = "a-token-of-some-length";
    let cloudevents = setup(&erp, "cloudevents", token).start();
    let origin = ("WebHook-Request-Origin", "eventemitter.example.com");
    let rate = ("WebHook-Request-Rate", "120");
    let response = request(cloudevents.address, "OPTIONS", "/hook", &[origin, rate]);
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    let allowed = response.header("WebHook-Allowed-Origin");
    assert_eq!(allowed, Some("eventemitter.example.com"));
    assert_eq!(response.header("WebHook-Allowed-Rate"), Some("120"));
    assert_eq!(request(cloudevents.address, "OPTIONS", "/hook", &[]).status, 405);
    let structured = r#"{"specversion":"1.0","type":"com.example.a","source":"/a","id":"1"}"#;
    let bearer = |body: &str, token: &str| {
        Delivery::post("/hook", body).with("Authorization", &format!("Bearer {token}"))
    };
    let binary = |source: &str| {
        bearer("not JSON", token)
            .with("ce-id", "1")
            .with("ce-source", source)
            .with("ce-type", "com.example.b")
    };
    for (delivery, outcome) in [
        (bearer(structured, "another-token"), "rejected"),
        (bearer(structured, token), "delivered"),
        (bearer(structured, token), "duplicate"),
        (binary("/b"), "delivered"),
        // The id alone names no event.
        (binary("/c"), "delivered"),
    ] {
        assert_eq!(Sender::to(&cloudevents).deliver(&delivery).outcome(), outcome);
    }
    assert_eq!(erp.saw(3)[1].header("Hookward-Event-Type"), "com.example.b");

    let grid = setup(&erp, "azure-event-grid", token).start();
    let ask = r#"[{"id":"2","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512D38B6"}}]"#;
    let question = Delivery::post("/hook", ask).with("aeg-event-type", "SubscriptionValidation");
    let response = Sender::to(&grid).deliver(&question);
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert_eq!(response.text(), r#"{"validationResponse":"512D38B6"}"#);
    let event = r#"[{"id":"3","eventType":"Microsoft.Storage.BlobCreated","data":{}}]"#;
    let without = Delivery::post("/hook", event).with("aeg-event-type", "SubscriptionValidation");
    assert_eq!(Sender::to(&grid).deliver(&without).status, 401);
    assert_eq!(Sender::to(&grid).deliver(&bearer(event, token)).outcome(), "delivered");
    assert_eq!(erp.saw(4)[3].header("Hookward-Event-Type"), "Microsoft.Storage.BlobCreated");
}

#[test]
fn acrobat_sign_gets_its_client_id_back_in_every_good_answer() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "adobe-sign", "UB7E5BXCXY-client-id").start();
    let ours = ("X-AdobeSign-ClientId", "UB7E5BXCXY-client-id");
    let response = request(proxy.address, "GET", "/hook", &[ours]);
    assert_eq!((response.status, response.outcome()), (200, "handshake"));
    assert_eq!(response.header(ours.0), Some(ours.1));
    let response = request(proxy.address, "GET", "/hook", &[(ours.0, "another-client-id")]);
    assert_eq!((response.status, response.header(ours.0)), (401, None));
    let event = r#"{"webhookNotificationId":"n-1","event":"AGREEMENT_CREATED"}"#;
    for (client_id, outcome, echoed) in [
        ("another-client-id", "rejected", None),
        (ours.1, "delivered", Some(ours.1)),
        (ours.1, "duplicate", Some(ours.1)),
    ] {
        let delivery = Delivery::post("/hook", event).with(ours.0, client_id);
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.outcome(), outcome);
        assert_eq!(response.header(ours.0), echoed, "{outcome}");
    }
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Type"), "AGREEMENT_CREATED");
}

#[test]
fn xero_is_told_a_bare_status_whatever_happens() {
    let erp = Upstream::start();
    let secret = "xero-webhooks-key-of-the-app";
    let proxy = setup(&erp, "xero", secret).start();
    let post = |body: &str, key: &str| {
        Delivery::post("/hook", body).with("x-xero-signature", &hmac_sha256(key.as_bytes(), body))
    };
    let intent = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"ABC"}"#;
    let event = |id: u32| {
        format!(r#"{{"events":[{{"resourceId":"{id}"}}],"firstEventSequence":1,"entropy":"ABC"}}"#)
    };
    let headers = "Set-Cookie: a=b\r\nX-Powered-By: PHP\r\n".to_owned();
    erp.next(Reply::Whole(200, headers.clone(), b"thanks".to_vec()));
    erp.next(Reply::Whole(204, headers.clone(), Vec::new()));
    erp.next(Reply::Whole(500, headers, b"a stack trace".to_vec()));
    for (what, delivery, status, outcome) in [
        ("the intent, signed", post(intent, secret), 200, "handshake"),
        ("the intent, forged", post(intent, "wrong"), 401, "rejected"),
        ("no signature", Delivery::post("/hook", intent), 401, "rejected"),
        ("an event", post(&event(1), secret), 200, "delivered"),
        ("a copy", post(&event(1), secret), 200, "duplicate"),
        ("an event that gets 204", post(&event(2), secret), 200, "delivered"),
        ("an event that gets 500", post(&event(3), secret), 500, "failed"),
    ] {
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!((response.status, response.outcome()), (status, outcome), "{what}");
        assert!(response.body.is_empty(), "{what}: {response:?}");
        for (name, _) in &response.headers {
            let needed = ["hookward-outcome", "content-length", "date", "connection"];
            assert!(needed.contains(&name.to_ascii_lowercase().as_str()), "{what}: {name}");
        }
    }
    erp.saw(3);
}
