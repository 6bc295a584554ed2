//! What the senders sign, and in which form.

use super::*;

#[test]
fn twilio_may_sign_its_url_with_or_without_the_port() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "twilio", "12345").start();
    let post = |sid: &str, url: &str| {
        Delivery::post("/hook?foo=1", format!("CallSid={sid}"))
            .replacing("Content-Type", "application/x-www-form-urlencoded")
            .with("X-Twilio-Signature", &hmac_sha1("12345", &format!("{url}?foo=1CallSid{sid}")))
    };
    for (sid, url) in [("CA1", PUBLIC), ("CA2", "https://hooks.example.com:443/hook")] {
        assert_eq!(Sender::to(&proxy).deliver(&post(sid, url)).outcome(), "delivered", "{url}");
    }
    for url in ["https://hooks.example.com:8443/hook", "http://hooks.example.com/hook"] {
        assert_eq!(Sender::to(&proxy).deliver(&post("CA3", url)).status, 401, "{url}");
    }
    erp.saw(2);
}

#[test]
fn hubspot_signs_its_url_with_twelve_escapes_decoded() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "hubspot", "a-client-secret").start();
    let all = "%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B";
    let post = |id: u32, query: &str, signed_query: &str| {
        let body = format!(r#"[{{"eventId":{id}}}]"#);
        let time = format!("{}000", unix_now());
        let text = format!("POST{PUBLIC}?{signed_query}{body}{time}");
        Delivery::post(&format!("/hook?{query}"), body)
            .with("X-HubSpot-Signature-v3", &hmac_sha256(b"a-client-secret", &text))
            .with("X-HubSpot-Request-Timestamp", &time)
    };
    let query = format!("x={all}&y=%20%26%25");
    let good = post(1, &query, "x=:/?@!$'()*,;&y=%20%26%25");
    assert_eq!(Sender::to(&proxy).deliver(&good).outcome(), "delivered");
    for signed in [query.as_str(), "x=:/?@!$'()*,;&y= &%"] {
        assert_eq!(Sender::to(&proxy).deliver(&post(2, &query, signed)).status, 401, "{signed}");
    }
    // The receiver gets the query as it came.
    assert!(erp.saw(1)[0].target.ends_with(&query));
}

#[test]
fn the_name_of_an_authentication_scheme_is_read_in_either_case() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "chargebee", "user:a-long-password").start();
    let credentials = BASE64.encode(b"user:a-long-password");
    let post = |id: u32, value: &str| {
        Delivery::post("/hook", format!(r#"{{"id":"ev_{id}","event_type":"x"}}"#))
            .with("Authorization", value)
    };
    for (id, scheme) in [(1, "Basic"), (2, "basic"), (3, "BASIC"), (4, "basic ")] {
        let response = Sender::to(&proxy).deliver(&post(id, &format!("{scheme} {credentials}")));
        assert_eq!(response.outcome(), "delivered", "{scheme}");
    }
    for value in [format!("Bearer {credentials}"), credentials.to_lowercase(), credentials] {
        assert_eq!(Sender::to(&proxy).deliver(&post(5, &value)).status, 401, "{value}");
    }
    erp.saw(4);
}

#[test]
fn nothing_rides_behind_adyens_one_signed_item() {
    let erp = Upstream::start();
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let proxy = setup(&erp, "adyen", key).start();
    let item = |reference: &str, value: u32, signature: &str| {
        format!(
            r#"{{"NotificationRequestItem":{{"additionalData":{{"hmacSignature":"{signature}"}},"amount":{{"currency":"EUR","value":{value}}},"eventCode":"AUTHORISATION","merchantAccountCode":"M","merchantReference":"R","originalReference":"","pspReference":"{reference}","success":"true"}}}}"#
        )
    };
    let genuine = |reference: &str| {
        let text = format!("{reference}::M:R:1130:EUR:AUTHORISATION:true");
        let key = data_encoding::HEXUPPER.decode(key.as_bytes()).unwrap();
        item(reference, 1130, &hmac_sha256(&key, &text))
    };
    let post = |items: &[String]| {
        let items = items.join(",");
        Delivery::post("/hook", format!(r#"{{"live":"true","notificationItems":[{items}]}}"#))
    };
    for items in [
        vec![genuine("a"), item("b", 1_000_000, "")],
        vec![genuine("a"), item("b", 1_000_000, "AAAA")],
        vec![genuine("a"), "null".to_owned()],
        vec![item("b", 1_000_000, ""), genuine("a")],
        vec![],
    ] {
        let response = Sender::to(&proxy).deliver(&post(&items));
        assert_eq!((response.status, response.outcome()), (401, "rejected"), "{items:?}");
    }
    assert_eq!(erp.count(), 0);
    let response = Sender::to(&proxy).deliver(&post(&[genuine("a")]));
    assert_eq!(response.outcome(), "delivered");
    erp.saw(1);
}

#[test]
fn every_notification_of_a_batch_from_graph_carries_the_right_word() {
    let erp = Upstream::start();
    let proxy = setup(&erp, "microsoft-graph", "a-client-state-of-ours").start();
    let post = |states: &[&str]| {
        let one = |state: &&str| format!(r#"{{"clientState":"{state}","changeType":"updated"}}"#);
        let all: Vec<String> = states.iter().map(one).collect();
        Delivery::post("/hook", format!(r#"{{"value":[{}]}}"#, all.join(",")))
    };
    let ours = "a-client-state-of-ours";
    assert_eq!(Sender::to(&proxy).deliver(&post(&[ours, "another"])).status, 401);
    assert_eq!(Sender::to(&proxy).deliver(&post(&["another", ours])).status, 401);
    assert_eq!(erp.count(), 0);
    assert_eq!(Sender::to(&proxy).deliver(&post(&[ours, ours])).outcome(), "delivered");
    // A notification under a URL with a token in it is no validation.
    let mut tempting = post(&[ours, ours, ours]);
    tempting.target.push_str("?validationToken=abc");
    assert_eq!(Sender::to(&proxy).deliver(&tempting).outcome(), "delivered");
    erp.saw(2);
}

#[test]
fn sign_prints_what_the_senders_own_libraries_ask_for() {
    let erp = Upstream::start();
    for (preset, secret, wanted) in [
        (
            "shopify",
            "a-secret-of-the-shop-for-tests",
            &[
                "X-Shopify-Hmac-Sha256",
                "X-Shopify-Topic",
                "X-Shopify-Shop-Domain",
                "X-Shopify-API-Version",
                "X-Shopify-Webhook-Id",
            ][..],
        ),
        (
            "standard-webhooks",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &["webhook-id", "webhook-timestamp", "webhook-signature"],
        ),
        (
            "svix",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &["svix-id", "svix-timestamp", "svix-signature"],
        ),
        (
            "hook0",
            "a-subscription-secret",
            &["X-Event-Id", "X-Event-Type", "Content-Type", "X-Hook0-Signature"],
        ),
        ("pusher", "a-secret-of-the-app", &["X-Pusher-Key", "X-Pusher-Signature", "Content-Type"]),
        (
            "github",
            "a-secret-of-the-hook",
            &["X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256", "Content-Type"],
        ),
        (
            "box",
            "a-signature-key",
            &[
                "Box-Signature-Version",
                "Box-Signature-Algorithm",
                "Box-Delivery-Timestamp",
                "Box-Signature-Primary",
            ],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hookward.toml");
        std::fs::write(&file, setup(&erp, preset, secret).toml()).unwrap();
        let output = hookward()
            .args(["sign", "--source", "hook", "--config"])
            .arg(&file)
            .env("SECRET", secret)
            .output()
            .unwrap();
        let printed = stdout(&output).to_lowercase();
        for name in wanted {
            let line = format!("{}: ", name.to_lowercase());
            assert_eq!(printed.matches(&line).count(), 1, "{preset}: {name} in\n{printed}");
        }
    }
}
