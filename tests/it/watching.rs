//! The operators' view of a proxy: `/status`, the last deliveries, captured refusals.

mod deliveries;

use crate::support::{
    Connection, Event, Proxy, Reply, Response, Sender, Setup, Upstream, eventually, get, hookward,
    printed, request, rfc3339_in, stdout,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

fn status(proxy: &Proxy) -> Value {
    json_of(&get(proxy.admin, "/status"))
}

/// A source and an upstream at this address.
fn shop_at(url: &str, keys: &str) -> Setup {
    Setup::new().table(&format!("[upstreams.erp]\nurl = \"{url}\"\n{keys}")).shop_to(&["erp"], "")
}

fn deliver(proxy: &Proxy, id: &str) -> Response {
    Sender::to(proxy).deliver(&Event::order(id).signed())
}

#[test]
fn a_receiver_that_refuses_every_connection_is_not_called_healthy() {
    let closed = Upstream::unreachable();
    let proxy = shop_at(&format!("http://{closed}"), "").start();
    let upstream = |proxy: &Proxy| status(proxy)["upstreams"]["erp"].clone();
    let unknown = upstream(&proxy);
    for member in ["healthy", "last_result", "last_result_at", "last_error"] {
        assert_eq!(unknown[member], Value::Null, "{member} of {unknown}");
    }
    assert_eq!(unknown["paused"], false);
    let series = || proxy.scrape().text().matches("hookward_upstream_healthy{").count();
    assert_eq!(series(), 0, "what is not known has no series");
    for id in ["a", "b", "c"] {
        assert_eq!(deliver(&proxy, id).reason(), "upstream_unreachable");
    }
    let known = upstream(&proxy);
    assert_eq!((&known["healthy"], &known["last_result"]), (&json!(false), &json!("unreachable")));
    assert!(known["last_error"].as_str().unwrap().contains("refused"), "{known}");
    let at = known["last_result_at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(
        (series(), proxy.metric("hookward_upstream_healthy", &[("upstream", "erp")])),
        (1, 0)
    );
}

#[test]
fn an_upstream_is_judged_by_its_last_answers() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let healthy = || status(&proxy)["upstreams"]["erp"]["healthy"].clone();
    let mut number = 0;
    let mut met = |reply: u16| {
        number += 1;
        erp.next(Reply::Status(reply));
        deliver(&proxy, &format!("evt-{number}"));
        healthy()
    };
    assert_eq!([met(500), met(503)], [Value::Null, Value::Null]);
    assert_eq!(met(404), json!(true), "an answer that is not a 5xx");
    assert_eq!([met(500), met(500), met(500)], [json!(true), json!(true), json!(false)]);
    assert_eq!(met(200), json!(true));
    let facts = status(&proxy)["upstreams"]["erp"].clone();
    assert_eq!((&facts["last_result"], &facts["last_error"]), (&json!("2xx"), &Value::Null));
}

#[test]
fn a_source_tells_its_last_event_its_last_refusal_and_the_last_match_of_each_secret() {
    let erp = Upstream::start();
    let setup = Setup::new().upstream("erp", &erp, "").table(
        "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\n\
         secrets = [{ env = \"NEW_SECRET\", name = \"2026\" }, { env = \"SHOP_SECRET\" }, { env = \"GONE\" }]\n\
         [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    );
    let proxy = setup
        .clone()
        .environment("NEW_SECRET", "another-secret-of-the-shop")
        .environment("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .start();
    let source = |proxy: &Proxy| status(proxy)["sources"]["shop"].clone();
    let before = source(&proxy);
    assert_eq!((&before["last_event_at"], &before["last_refusal"]), (&Value::Null, &Value::Null));
    assert_eq!(
        before["secrets"],
        json!([
            { "name": "2026", "readable": true, "last_match_at": null },
            { "name": "1", "readable": true, "last_match_at": null },
            { "name": "2", "readable": false, "last_match_at": null },
        ])
    );
    for gauge in ["source_last_event", "secret_last_match"] {
        assert!(
            !proxy.scrape().text().contains(&format!("{gauge}_timestamp_seconds{{")),
            "{gauge}"
        );
    }
    assert_eq!(deliver(&proxy, "a").outcome(), "delivered");
    let forged = Event::order("b").signed().replacing("X-Signature", "sha256=00");
    assert_eq!(Sender::to(&proxy).deliver(&forged).status, 401);
    let after = source(&proxy);
    assert!(after["last_event_at"].is_string(), "{after}");
    assert_eq!(after["last_refusal"]["reason"], "signature_malformed");
    assert_eq!(after["secrets"][0]["last_match_at"], Value::Null);
    assert!(after["secrets"][1]["last_match_at"].is_string(), "{after}");
    let text = proxy.scrape().text().to_string();
    assert!(text.contains("hookward_source_last_event_timestamp_seconds{source=\"shop\"} 1"));
    assert!(
        text.contains(
            "hookward_secret_last_match_timestamp_seconds{secret=\"1\",source=\"shop\"} 1"
        )
    );
    assert!(!text.contains("last_match_timestamp_seconds{secret=\"2026\""), "{text}");

    std::fs::write(proxy.file(), setup.toml()).unwrap();
    assert_eq!(request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]).status, 200);
    assert_eq!(source(&proxy), after, "a reload forgets nothing of it");
}

fn certificate(directory: &Path, name: &str, days: i64) -> String {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let at = |days: i64| {
        let date = rfc3339_in(days * 86_400);
        let part = |range| date.get(range).unwrap();
        rcgen::date_time_ymd(
            part(0..4).parse().unwrap(),
            part(5..7).parse().unwrap(),
            part(8..10).parse().unwrap(),
        )
    };
    parameters.not_before = at(days - 100);
    parameters.not_after = at(days);
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = parameters.self_signed(&key).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), signed.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    format!("tls = {{ cert = \"{0}/{name}.pem\", key = \"{0}/{name}.key\" }}", directory.display())
}

#[test]
fn an_expired_or_soon_expiring_certificate_is_warned_of_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    for (days, said) in [(-3, "expired at"), (5, "expires at"), (200, "")] {
        let tls = certificate(directory.path(), "own", days);
        let client = certificate(directory.path(), "client", days);
        let setup = Setup::shop(&erp)
            .server(&tls)
            .table(&format!("[upstreams.crm]\nurl = \"https://127.0.0.1:9\"\n{client}"));
        let file = directory.path().join("c.toml");
        std::fs::write(&file, setup.toml()).unwrap();
        let secret = ("SHOP_SECRET", "a-secret-of-the-shop-for-tests");
        let check = hookward().arg("check").arg(&file).envs([secret]).output().unwrap();
        let told = printed(&check);
        assert_eq!(check.status.code(), Some(0), "{told}");
        let warned = told.lines().filter(|line| line.contains("certificate e")).count();
        assert_eq!(warned, if said.is_empty() { 0 } else { 2 }, "{told}");
        assert!(told.contains(said), "{told}");
        let mut send = hookward();
        send.args(["send", "--source", "shop", "--url", &erp.url(), "--config"]).arg(&file);
        let said_by_send = printed(&send.envs([secret]).output().unwrap());
        assert_eq!(said_by_send.matches("certificate e").count(), warned, "{said_by_send}");
        let proxy = setup.start();
        assert_eq!(proxy.log().contains("certificate e"), !said.is_empty(), "{}", proxy.log());
        let certificates = status(&proxy)["certificates"].clone();
        let uses: Vec<&str> =
            certificates.as_array().unwrap().iter().map(|c| c["use"].as_str().unwrap()).collect();
        assert_eq!(uses, ["listener", "upstream:crm"]);
        assert!(certificates[0]["not_after"].as_str().unwrap().contains(".000Z"));
        let text = proxy.scrape().text().to_string();
        for used_by in uses {
            let series =
                format!("hookward_certificate_expiry_timestamp_seconds{{use=\"{used_by}\"}} ");
            assert!(text.contains(&series), "{series} is not in {text}");
        }
    }
}

#[test]
fn a_refused_delivery_is_captured_where_the_source_asks_for_it_and_explained() {
    let erp = Upstream::start();
    let setup = Setup::new().upstream("erp", &erp, "").shop_to(&["erp"], "capture = 2");
    let proxy = setup.start();
    let explain = |more: &[&str]| {
        let admin = setup.clone().admin(&format!("listen = \"{}\"", proxy.admin));
        std::fs::write(proxy.file(), admin.toml()).unwrap();
        let mut command = hookward();
        command.args(["explain", "--source", "shop"]).args(more).arg("--config").arg(proxy.file());
        command.env("SHOP_SECRET", "a-secret-of-the-shop-for-tests").output().unwrap()
    };
    let none = explain(&["--last"]);
    assert_eq!(none.status.code(), Some(1), "{}", printed(&none));
    assert!(printed(&none).contains("has refused nothing"), "{}", printed(&none));
    assert_eq!(deliver(&proxy, "good").outcome(), "delivered");
    let list = || json_of(&get(proxy.admin, "/captures/shop"));
    assert_eq!(list(), json!([]), "what was delivered is not captured");

    let mut rewritten = Event::order("evt-1").signed();
    rewritten.body.extend_from_slice(b"\n");
    rewritten.headers.push(("X-Extra".to_owned(), "1".to_owned()));
    let body = rewritten.body.clone();
    for _ in 0..2 {
        assert_eq!(Sender::to(&proxy).deliver(&rewritten).reason(), "signature_mismatch");
    }
    let unsigned = Event::order("evt-2").signed().without("X-Signature");
    assert_eq!(Sender::to(&proxy).deliver(&unsigned).reason(), "signature_missing");
    let captures = list();
    assert_eq!(captures.as_array().unwrap().len(), 2, "{captures}");
    assert_eq!(captures[0]["reason"], "signature_missing");
    assert_eq!(captures[1]["reason"], "signature_mismatch");
    assert_eq!(captures[1]["body_bytes"], body.len());
    let one = get(proxy.admin, &format!("/captures/shop/{}", captures[1]["id"]));
    assert_eq!((one.status, one.header("Content-Type")), (200, Some("message/http")));
    assert!(one.text().starts_with("POST /webhooks/shop HTTP/1.1\r\n"), "{one:?}");
    assert!(one.body.ends_with(&[b"\r\n\r\n", &body[..]].concat()), "{one:?}");
    for missing in ["/captures/nobody", "/captures/shop/999", "/captures/shop/x"] {
        assert_eq!(get(proxy.admin, missing).status, 404, "{missing}");
    }
    let first = explain(&["--last"]);
    assert_eq!(first.status.code(), Some(1));
    assert!(
        stdout(&first).trim_end().ends_with("reason: signature_missing"),
        "{}",
        printed(&first)
    );
    let second = explain(&["--last", "2"]);
    assert!(stdout(&second).contains("trailing newline added"), "{}", printed(&second));
    assert!(stdout(&second).trim_end().ends_with("reason: signature_mismatch"));
    let third = explain(&["--last", "3"]);
    assert_eq!(third.status.code(), Some(1), "{}", printed(&third));
    assert!(!proxy.log().contains("\"data\""), "a body is in the log");
}

#[test]
fn the_header_that_is_the_secret_is_masked_in_a_capture() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.lab]\npath = \"/lab\"\npreset = \"gitlab\"\ncapture = 5\n\
             secrets = [{ env = \"LAB_TOKEN\" }]\nallow = [\"203.0.113.0/24\"]\n\
             [[sources.lab.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("LAB_TOKEN", "the-token-of-the-lab")
        .start();
    let delivery =
        crate::support::Delivery::post("/lab", "{}").with("X-Gitlab-Token", "the-token-of-the-lab");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).reason(), "address_not_allowed");
    let id = json_of(&get(proxy.admin, "/captures/lab"))[0]["id"].clone();
    let capture = get(proxy.admin, &format!("/captures/lab/{id}")).text();
    assert!(capture.contains("x-gitlab-token: (masked)"), "{capture}");
    assert!(!capture.contains("the-token-of-the-lab"), "{capture}");
}

#[test]
fn only_possible_series_exist_at_the_start() {
    let erp = Upstream::start();
    let mut setup = Setup::new().upstream("erp", &erp, "");
    for number in 0..100 {
        let mut table = String::new();
        _ = writeln!(table, "[sources.shop-{number:03}]\npath = \"/webhooks/{number}\"");
        _ = writeln!(table, "preset = \"stripe\"\nsecrets = [{{ env = \"SHOP_SECRET\" }}]");
        _ = writeln!(table, "[[sources.shop-{number:03}.routes]]");
        _ = writeln!(table, "events = [\"order.created\", \"order.*\"]\nto = [\"erp\"]");
        setup = setup.table(&table);
    }
    let proxy = setup.environment("SHOP_SECRET", "whsec_a-secret-of-the-shop-for-tests").start();
    let plain = get(proxy.admin, "/metrics");
    assert!(plain.body.len() < 200 * 1024, "{} bytes", plain.body.len());
    let text = plain.text();
    let nowhere = |line: &&str| line.contains("source=\"\"");
    for line in text.lines().filter(nowhere) {
        let possible =
            ["unknown_source", "bad_request", "header_timeout", "overloaded", "shutting"];
        assert!(possible.iter().any(|reason| line.contains(reason)), "{line}");
    }
    for impossible in ["handshake", "unknown_source", "rate_limited", "address_not_allowed"] {
        let named = |line: &&str| line.contains("source=\"shop-") && line.contains(impossible);
        assert_eq!(text.lines().find(named), None);
    }
    let packed = request(proxy.admin, "GET", "/metrics", &[("Accept-Encoding", "br, gzip;q=0.5")]);
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len() / 5);
    for other in ["br", "gzip;q=0", ""] {
        let response = request(proxy.admin, "GET", "/metrics", &[("Accept-Encoding", other)]);
        assert_eq!(response.header("Content-Encoding"), None, "{other}");
    }
}

#[test]
fn the_page_is_served_with_a_policy_that_lets_nothing_else_in() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .environment("ADMIN_TOKEN", "a-token-for-the-admin-listener")
        .start();
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/page.svg", "image/svg+xml"),
    ] {
        let file = get(proxy.admin, path);
        assert_eq!(file.status, 200, "{path} needs no token");
        assert!(file.header("Content-Type").unwrap().starts_with(kind), "{path}");
        let policy = file.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(file.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(file.header("Referrer-Policy"), Some("no-referrer"));
    }
    for path in ["/status", "/deliveries", "/deliveries/stream", "/captures/shop"] {
        assert_eq!(get(proxy.admin, path).status, 401, "{path}");
    }
}
