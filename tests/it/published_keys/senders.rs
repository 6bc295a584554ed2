//! Deliveries as their senders make them: Amazon, `PayPal`, Google, Plaid.

use super::*;

pub(super) fn sns(site: &KeyServer, handshake: &str) -> String {
    format!(
        "[sources.sns]\npath = \"/sns\"\npreset = \"aws-sns\"\n{handshake}\n\
         signature = {{ key_hosts = [{:?}], claims = {{ \"/TopicArn\" = \"arn:aws:sns:us-west-2:1:orders\" }} }}\n\
         [[sources.sns.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
        site.host()
    )
}

pub(super) const PEM: &str = "/SimpleNotificationService-1.pem";

/// A message as Amazon signs it.
pub(super) fn message(site: &KeyServer, members: &[(&str, &str)]) -> Delivery {
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
