//! Certificates that requests name: version 1 of Amazon SNS, and sites that do not answer as they
//! should.

use super::senders::{PEM, message, sns};
use super::{certificate, keys_status};
use crate::support::{
    Delivery, KeyServer, Page, Sender, Setup, Upstream, eventually, hookward, instant, printed,
};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

const RSA_FILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/crates/hookward-verify/tests/keys/rsa.pem");

/// A signature with SHA-1, by a program that is not Hookward.
fn openssl_sha1(text: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha1", "-sign", RSA_FILE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success());
    data_encoding::BASE64.encode(&output.stdout)
}

/// A message of version 1: what was signed with SHA-256 is signed with SHA-1.
fn first_version(site: &KeyServer, id: &str) -> Delivery {
    let members = [("Message", "m"), ("MessageId", id), ("Type", "Notification")];
    let delivery = message(site, &members);
    let mut body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
    let signed = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"];
    let mut text = String::new();
    for name in signed {
        text.extend([name, "\n", body[name].as_str().unwrap(), "\n"]);
    }
    body["Signature"] = openssl_sha1(&text).into();
    body["SignatureVersion"] = "1".into();
    Delivery { body: body.to_string().into_bytes(), ..delivery }
}

#[test]
fn messages_of_the_first_version_are_taken_where_the_source_says_so_and_nowhere_else() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish(PEM, Page::of(certificate(2090)));
    let first = sns(&site, "").replace("signature = {", "signature = { algorithm = \"rsa-sha1\",");
    let second =
        sns(&site, "").replace("sources.sns", "sources.second").replace("\"/sns\"", "\"/second\"");
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&first)
        .table(&second)
        .start();
    let sender = Sender::to(&proxy);
    let refused = (401, "rejected", "signature_mismatch".to_owned());
    let good = first_version(&site, "1");
    assert_eq!(sender.deliver(&good).verdict(), (200, "delivered", String::new()));
    let altered = |from: &str, to: &str| {
        let body = String::from_utf8(good.body.clone()).unwrap();
        assert!(body.contains(from), "{from}");
        Delivery { body: body.replacen(from, to, 1).into_bytes(), ..good.clone() }
    };
    assert_eq!(sender.deliver(&altered("\"m\"", "\"n\"")).verdict(), refused, "another message");
    assert_eq!(sender.deliver(&altered("MessageId\":\"1", "MessageId\":\"2")).verdict(), refused);
    let stronger =
        message(&site, &[("Message", "m"), ("MessageId", "3"), ("Type", "Notification")]);
    assert_eq!(sender.deliver(&stronger).verdict(), refused, "the message does not choose");
    let weaker = Delivery { target: "/second".to_owned(), ..first_version(&site, "4") };
    assert_eq!(sender.deliver(&weaker).verdict(), refused, "nor a weaker algorithm");
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "1");
    assert_eq!(site.asked(PEM), 2, "once for each source");
}

#[test]
fn a_message_of_the_first_version_that_send_makes_is_taken() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/SimpleNotificationService-hookward.pem", Page::of(certificate(2090)));
    let own = "arn:aws:sns:us-west-2:123456789012:MyTopic";
    let table = sns(&site, "")
        .replace("signature = {", "signature = { algorithm = \"rsa-sha1\",")
        .replace("arn:aws:sns:us-west-2:1:orders", own);
    let proxy = Setup::new().upstream("erp", &erp, "").table(&site.fetch()).table(&table).start();
    let output = hookward()
        .args(["send", "--source", "sns", "--private-key", RSA_FILE, "--config"])
        .arg(proxy.file())
        .args(["--url", &format!("http://{}/sns", proxy.address)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(erp.saw(1).len(), 1);
}

#[test]
fn a_certificate_that_cannot_be_had_as_it_should_is_no_certificate_and_the_sender_comes_again() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    let pem = |name: &str| format!("/SimpleNotificationService-{name}.pem");
    site.publish(&pem("good"), Page::of(certificate(2090)));
    let there = site.url(&pem("good"));
    site.publish(&pem("moved"), Page::of("").with_status(302).with_header("Location", &there));
    site.publish(&pem("error"), Page::of(certificate(2090)).with_status(500));
    site.publish(
        &pem("large"),
        Page::of(format!("{}{}", certificate(2090), " ".repeat(300 << 10))),
    );
    site.publish(&pem("html"), Page::of("<html>"));
    site.publish(&pem("slow"), Page::of(certificate(2090)).after(Duration::from_secs(8)));
    let mut setup = Setup::new().upstream("erp", &erp, "").table(&site.fetch());
    let names = ["moved", "error", "large", "html", "slow", "absent"];
    for name in names {
        // A source for each, so that none waits for the limit of another.
        let table = sns(&site, "respond_within = \"2s\"")
            .replace("sources.sns", &format!("sources.{name}"))
            .replace("\"/sns\"", &format!("\"/{name}\""));
        setup = setup.table(&table);
    }
    let proxy = setup.start();
    let genuine = message(&site, &[("Message", "m"), ("MessageId", "1"), ("Type", "Notification")]);
    for name in names {
        let body = String::from_utf8(genuine.body.clone()).unwrap().replace(PEM, &pem(name));
        let delivery =
            Delivery { target: format!("/{name}"), body: body.into_bytes(), ..genuine.clone() };
        let start = instant();
        let response = Sender::to(&proxy).deliver(&delivery);
        let expected = (503, "rejected", "secret_unavailable".to_owned());
        assert_eq!(response.verdict(), expected, "{name}");
        assert!(response.header("Retry-After").is_some(), "{name}");
        let waited = instant().saturating_sub(start);
        assert!(waited < Duration::from_secs(4), "longer than respond_within: {name} {waited:?}");
    }
    for (name, told) in [
        ("moved", "302"),
        ("error", "500"),
        ("large", "256 KiB"),
        ("html", "X.509"),
        ("absent", "404"),
        ("slow", "5 s"),
    ] {
        eventually(told, || {
            keys_status(&proxy, name)["last_error"].as_str().is_some_and(|why| why.contains(told))
        });
    }
    assert_eq!(site.asked(&pem("good")), 0, "a redirect is not followed");
    assert_eq!(erp.count(), 0);
}

#[test]
fn a_new_certificate_is_fetched_when_it_is_named_and_the_old_one_serves_while_its_site_is_down() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish(PEM, Page::of(certificate(2090)));
    let proxy =
        Setup::new().upstream("erp", &erp, "").table(&site.fetch()).table(&sns(&site, "")).start();
    let sender = Sender::to(&proxy);
    let event =
        |id| message(&site, &[("Message", "m"), ("MessageId", id), ("Type", "Notification")]);
    let delivered = (200, "delivered", String::new());
    assert_eq!(sender.deliver(&event("1")).verdict(), delivered);
    // The certificate is not part of what is signed, so the same message may name the next one.
    let next = "/SimpleNotificationService-2.pem";
    let rotated = |id| {
        let delivery = event(id);
        let body = String::from_utf8(delivery.body.clone()).unwrap().replace(PEM, next);
        Delivery { body: body.into_bytes(), ..delivery }
    };
    let unavailable = (503, "rejected", "secret_unavailable".to_owned());
    assert_eq!(sender.deliver(&rotated("2")).verdict(), unavailable, "it is not published yet");
    site.publish(PEM, Page::of("").with_status(500));
    assert_eq!(sender.deliver(&event("3")).verdict(), delivered, "the site is down");
    let third = "/SimpleNotificationService-3.pem";
    site.publish(third, Page::of(certificate(2090)));
    let body = String::from_utf8(event("4").body).unwrap().replace(PEM, third);
    let on_third = Delivery { body: body.into_bytes(), ..event("4") };
    assert_eq!(sender.deliver(&on_third).verdict(), delivered, "a rotation");
    assert_eq!(site.asked(PEM), 1);
}

#[test]
fn strangers_who_name_many_certificates_make_four_questions_a_minute() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&sns(&site, "respond_within = \"2s\""))
        .start();
    let genuine = message(&site, &[("Message", "m"), ("MessageId", "1"), ("Type", "Notification")]);
    for number in 0..12 {
        let other = format!("/SimpleNotificationService-{number}abc.pem");
        let body = String::from_utf8(genuine.body.clone()).unwrap().replace(PEM, &other);
        let response = Sender::to(&proxy).deliver(&genuine.clone().with_body(body));
        assert_eq!(response.status, 503, "{number}");
    }
    for elsewhere in
        ["https://169.254.169.254/SimpleNotificationService-1.pem", "https://localhost/x"]
    {
        let body =
            String::from_utf8(genuine.body.clone()).unwrap().replace(&site.url(PEM), elsewhere);
        assert_eq!(Sender::to(&proxy).deliver(&genuine.clone().with_body(body)).status, 401);
    }
    assert_eq!(site.all_asked().len(), 4, "{:?}", site.all_asked());
    assert_eq!(erp.count(), 0);
}
