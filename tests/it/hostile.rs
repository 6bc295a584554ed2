//! What an attacker tries from outside; `docs/hardening.md` lists it all.

use crate::support::{
    Connection, Delivery, Event, Proxy, Reply, Sender, Setup, Upstream, eventually, get,
    hmac_sha256_hex, printed, request, rfc3339_in,
};
use std::fmt::Write as _;
use std::time::Duration;

const SECRET: &str = "a-secret-of-the-shop-for-tests";

fn signed(body: &str) -> Delivery {
    let signature = hmac_sha256_hex(SECRET, body.as_bytes());
    Delivery::post("/webhooks/shop", body).with("X-Signature", &format!("sha256={signature}"))
}

fn event(members: &str) -> Delivery {
    signed(&format!(r#"{{{members},"created_at":"{}"}}"#, rfc3339_in(0)))
}

/// Sends bytes and closes the sending side; every status that comes back until the end.
fn statuses(proxy: &Proxy, bytes: &[u8]) -> Vec<u16> {
    let mut connection = Connection::open(proxy.address);
    drop(connection.try_send(bytes));
    let mut all = Vec::new();
    while let Ok(response) = connection.try_response() {
        all.push(response.status);
    }
    all
}

#[test]
fn chunks_that_two_parsers_could_read_differently_end_the_connection() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-chunks").signed();
    let head = good.head(proxy.address, "Transfer-Encoding: chunked\r\n");
    let body = String::from_utf8(good.body.clone()).unwrap();
    let size = format!("{:x}", body.len());
    let smuggled =
        String::from_utf8(Event::order("smuggled").signed().bytes(proxy.address)).unwrap();
    for (what, chunks) in [
        ("a bare line feed behind the size", format!("{size}\n{body}\r\n0\r\n\r\n")),
        (
            "a size that overflows 64 bits",
            format!("10000000000000000{size}\r\n{body}\r\n0\r\n\r\n"),
        ),
        ("the largest size", format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("a negative size", format!("-{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with 0x", format!("0x{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with a plus", format!("+{size}\r\n{body}\r\n0\r\n\r\n")),
        ("no size", format!("\r\n\r\n{body}\r\n0\r\n\r\n")),
        ("a line feed in an extension", format!("{size};a=\n\r\n{body}\r\n0\r\n\r\n")),
        ("a chunk longer than its size", format!("{size}\r\n{body}xx\r\n0\r\n\r\n")),
        ("an extension without end", format!("{size};{}", "a".repeat(200_000))),
    ] {
        let bytes = [&head[..], chunks.as_bytes(), smuggled.as_bytes()].concat();
        let mut connection = Connection::open(proxy.address);
        drop(connection.try_send(bytes));
        let response = connection.response();
        assert!([400, 413].contains(&response.status), "{what}: {response:?}");
        assert!(connection.try_response().is_err(), "{what}: something behind it was answered");
    }
    assert!(erp.seen().is_empty(), "{:?}", erp.seen());
    assert_eq!(proxy.metric("hookward_body_bytes", &[]), 0);
}

#[test]
fn trailers_of_a_chunked_body_are_no_headers() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let signature = good.headers[1].1.clone();
    let chunked = |delivery: &Delivery, trailers: &str| {
        let mut bytes = delivery.chunked(proxy.address, 1000);
        bytes.truncate(bytes.len() - 2);
        [&bytes[..], trailers.as_bytes(), b"\r\n"].concat()
    };
    // A signature that comes behind the body proves nothing.
    let unsigned = good.clone().without("X-Signature");
    let met = statuses(&proxy, &chunked(&unsigned, &format!("X-Signature: {signature}\r\n")));
    assert_eq!(met, [401]);
    let met = statuses(&proxy, &chunked(&good, "Hookward-Source: forged\r\nX-Late: 1\r\n"));
    if met == [200] {
        let seen = &erp.saw(1)[0];
        assert_eq!(seen.header("Hookward-Source"), "shop");
        assert!(seen.all("X-Late").is_empty());
    } else {
        assert_eq!(met, [400]);
    }
}

#[test]
fn the_body_of_a_refused_request_is_never_read_as_a_request() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let inner = Event::order("inner").signed().bytes(proxy.address);
    for (target, status) in [("/nowhere", 404), ("/webhooks/shop", 401)] {
        let outer = Delivery::post(target, inner.clone()).with("X-Signature", "sha256=00");
        assert_eq!(statuses(&proxy, &outer.bytes(proxy.address)), [status], "{target}");
    }
    let get = Delivery { method: "GET".to_owned(), ..Delivery::post("/webhooks/shop", inner) };
    assert_eq!(statuses(&proxy, &get.bytes(proxy.address)), [405]);
    assert!(erp.seen().is_empty());
}

#[test]
fn no_detour_leads_to_a_source() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for (target, status) in [
        ("/webhooks/shop/", 404),
        ("/webhooks//shop", 404),
        ("//webhooks/shop", 404),
        ("/./webhooks/shop", 404),
        ("/x/../webhooks/shop", 404),
        ("/webhooks/%2e/shop", 404),
        ("/webhooks%2Fshop", 404),
        ("/webhooks/sho%70", 404),
        ("/webhooks\\shop", 404),
        ("/Webhooks/Shop", 404),
        ("/webhooks/shop;a=b", 404),
        ("/webhooks/shop%00", 404),
        ("/webhooks/shop%3F", 404),
        ("/webhooks/shop#", 400),
        ("/webhooks/shop\0", 400),
        ("/webhooks/shop\u{7f}", 400),
        ("webhooks/shop", 400),
        ("*", 400),
        ("http://169.254.169.254/webhooks/shop", 400),
        ("http://erp.internal:9001/webhooks/shop", 400),
        ("ftp://127.0.0.1/webhooks/shop", 400),
        ("http:///webhooks/shop", 400),
    ] {
        let delivery = Delivery { target: target.to_owned(), ..good.clone() };
        let response =
            Connection::open(proxy.address).send(delivery.bytes(proxy.address)).response();
        assert_eq!(response.status, status, "{target}: {response:?}");
    }
    assert!(erp.seen().is_empty());
    // The query is no part of the path, and the absolute form of our own host is ours.
    for (id, target) in [
        ("a", "/webhooks/shop?".to_owned()),
        ("b", "/webhooks/shop?/../x#".replace('#', "")),
        ("c", format!("http://{}/webhooks/shop", proxy.address)),
    ] {
        let delivery = Delivery { target: target.clone(), ..Event::order(id).signed() };
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{target}");
    }
}

#[test]
fn methods_that_read_or_reflect_are_not_served() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POSTS", "post"] {
        let delivery = Delivery { method: method.to_owned(), ..good.clone() };
        let mut connection = Connection::open(proxy.address);
        connection.send(delivery.bytes(proxy.address));
        if method == "HEAD" {
            continue; // Its answer has a length and no body.
        }
        let response = connection.response();
        assert_eq!(response.reason(), "method_not_allowed", "{method}");
        assert_eq!(response.header("Allow"), Some("POST"), "{method}");
        assert!(!response.text().contains("X-Signature"), "{method} reflects");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn a_signature_counts_only_as_the_source_configures_it() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let hex = good.headers[1].1.strip_prefix("sha256=").unwrap().to_owned();
    let with = |value: &str| good.clone().replacing("X-Signature", value);
    let raw = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let base64 = data_encoding::BASE64.encode(&raw);
    let bare = good.clone().without("X-Signature");
    let cases = [
        ("another algorithm's name", with(&format!("sha1={hex}")), "signature_malformed"),
        ("no algorithm", with(&format!("none={hex}")), "signature_malformed"),
        ("the name in capitals", with(&format!("SHA256={hex}")), "signature_malformed"),
        ("another encoding", with(&format!("sha256={base64}")), "signature_malformed"),
        ("a prefix twice", with(&format!("sha256=sha256={hex}")), "signature_malformed"),
        ("a list where none is meant", with(&format!("sha256={hex},x")), "signature_malformed"),
        ("half of it", with(&format!("sha256={}", &hex[..32])), "signature_malformed"),
        ("nothing behind the prefix", with("sha256="), "signature_malformed"),
        (
            "another header",
            bare.clone().with("X_Signature", &format!("sha256={hex}")),
            "signature_missing",
        ),
        (
            "the query",
            Delivery { target: format!("/webhooks/shop?X-Signature=sha256={hex}"), ..bare },
            "signature_missing",
        ),
        (
            "of the empty body",
            with(&format!("sha256={}", hmac_sha256_hex(SECRET, b""))),
            "signature_mismatch",
        ),
        (
            "with the empty secret",
            with(&format!("sha256={}", hmac_sha256_hex("", &good.body))),
            "signature_mismatch",
        ),
        ("all zeros", with(&format!("sha256={}", "0".repeat(64))), "signature_mismatch"),
    ];
    for (what, delivery, reason) in cases {
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.verdict(), (401, "rejected", reason.to_owned()), "{what}");
    }
    assert!(erp.seen().is_empty());
    // A forged line beside the good one takes nothing from it, and adds nothing to it.
    let two = good.clone().with("X-Signature", &format!("sha256={}", "0".repeat(64)));
    assert_eq!(Sender::to(&proxy).deliver(&two).outcome(), "delivered");
}

const STRIPE: &str = "[sources.pay]\npath = \"/pay\"\npreset = \"stripe\"\n\
                      secrets = [{ env = \"PAY\" }]\n\
                      [[sources.pay.routes]]\nevents = [\"*\"]\nto = [\"erp\"]";

#[test]
fn a_signed_time_can_neither_be_moved_nor_doubled() {
    let erp = Upstream::start();
    let secret = "whsec_test_of_the_payments";
    let proxy =
        Setup::new().upstream("erp", &erp, "").table(STRIPE).environment("PAY", secret).start();
    let body = br#"{"id":"evt_1","type":"paid"}"#;
    let now = crate::support::unix_now();
    let mac = |at: &str| hmac_sha256_hex(secret, &[at.as_bytes(), b".", &body[..]].concat());
    let old = (now - 3600).to_string();
    let fresh = now.to_string();
    let send = |value: String| {
        let delivery = Delivery::post("/pay", &body[..]).with("Stripe-Signature", &value);
        Sender::to(&proxy).deliver(&delivery).reason()
    };
    for (value, expected) in [
        (format!("t={fresh},v1={}", mac(&old)), &["signature_mismatch"][..]),
        (format!("t={old},v1={}", mac(&old)), &["timestamp_too_old"]),
        (
            format!("t={old},t={fresh},v1={}", mac(&old)),
            &["timestamp_malformed", "signature_mismatch", "timestamp_too_old"],
        ),
        (
            format!("t={fresh},t={old},v1={}", mac(&old)),
            &["timestamp_malformed", "signature_mismatch"],
        ),
        (format!("t={fresh},v0={}", mac(&fresh)), &["signature_malformed"]),
        (format!("t= {fresh} ,v1={}", mac(&old)), &["timestamp_malformed", "signature_mismatch"]),
    ] {
        let met = send(value.clone());
        assert!(expected.contains(&met.as_str()), "{value}: {met}");
    }
    for time in
        ["-1", "1e9", "1700000000.5", "0x65539f00", "99999999999999999999999", "", "NaN", "\u{661}"]
    {
        let met = send(format!("t={time},v1={}", mac(time)));
        assert!(
            ["timestamp_malformed", "timestamp_missing", "timestamp_too_old"]
                .contains(&met.as_str()),
            "{time:?}: {met}"
        );
    }
    assert!(erp.seen().is_empty());
}

const GITHUB: &str = "[sources.code]\npath = \"/code\"\npreset = \"github\"\n\
                      secrets = [{ env = \"CODE\" }]\nKEYS\n\
                      [[sources.code.routes]]\nevents = [\"*\"]\nto = [\"erp\"]";

#[test]
fn a_captured_delivery_under_a_new_unsigned_id_is_stopped_by_the_replay_guard() {
    for (keys, second) in [("", "delivered"), ("replay_guard = \"signature\"", "duplicate")] {
        let erp = Upstream::start();
        let proxy = Setup::new()
            .upstream("erp", &erp, "")
            .table(&GITHUB.replace("KEYS", keys))
            .environment("CODE", "a-secret-of-the-repository")
            .start();
        let body = br#"{"ref":"main"}"#;
        let signature = format!("sha256={}", hmac_sha256_hex("a-secret-of-the-repository", body));
        let captured = Delivery::post("/code", &body[..])
            .with("X-Hub-Signature-256", &signature)
            .with("X-GitHub-Event", "push")
            .with("X-GitHub-Delivery", "1");
        let sender = Sender::to(&proxy);
        assert_eq!(sender.deliver(&captured).outcome(), "delivered");
        let replayed = captured.clone().replacing("X-GitHub-Delivery", "2");
        assert_eq!(sender.deliver(&replayed).outcome(), second, "{keys}");
        // Two ids in one delivery could be read as either.
        let two = captured.with("X-GitHub-Delivery", "3");
        assert_eq!(sender.deliver(&two).reason(), "payload_malformed");
    }
}

#[test]
fn an_event_id_or_type_can_inject_neither_headers_nor_log_lines() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let id = r"a\r\nHookward-Source: forged\r\n\r\nPOST / HTTP/1.1\n outcome=delivered";
    let kind = r"t\u0000\u001b[31m\r\nX-Injected: 1";
    let response =
        Sender::to(&proxy).deliver(&event(&format!(r#""event_id":"{id}","type":"{kind}""#)));
    assert_eq!(response.outcome(), "delivered");
    let seen = &erp.saw(1)[0];
    assert_eq!(seen.header("Hookward-Source"), "shop");
    assert!(seen.all("X-Injected").is_empty());
    assert!(seen.header("Hookward-Event-Id").starts_with("a%0D%0AHookward-Source"));
    assert!(seen.header("Hookward-Event-Type").starts_with("t%00%1B[31m"));
    eventually("it is logged", || proxy.log().contains("delivery"));
    let log = proxy.log();
    assert_eq!(log.lines().filter(|line| line.contains("Hookward-Source")).count(), 1, "{log}");
    assert!(!log.lines().any(|line| line.starts_with("Hookward-Source")), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\0'), "{log}");
}

#[test]
fn nothing_that_strangers_send_makes_a_series_of_metrics() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let series = |proxy: &Proxy| {
        let scrape = proxy.scrape();
        let ours = scrape.text().lines().filter(|line| line.starts_with("hookward_"));
        ours.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let shout = |round: &str| {
        for n in 0..40 {
            let good = event(&format!(r#""event_id":"{round}{n}","type":"type.{round}{n}""#));
            assert_eq!(Sender::to(&proxy).deliver(&good).outcome(), "delivered");
            let path = Delivery { target: format!("/{round}/{n}"), ..good.clone() };
            assert_eq!(Sender::to(&proxy).deliver(&path).status, 404);
            let forged = good.replacing("X-Signature", &format!("sha256={n:064x}"));
            assert_eq!(Sender::to(&proxy).deliver(&forged).status, 401);
        }
    };
    shout("a");
    let before = series(&proxy);
    shout("b");
    assert_eq!(series(&proxy), before);
    assert!(!before.iter().any(|line| line.contains("type.a") || line.contains("/a/")));
}

#[test]
fn a_flood_of_forged_deliveries_touches_no_store_and_is_logged_by_sample() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).log("level = \"info\"").start();
    let good = Event::order("evt-1").signed();
    let forged = good.clone().replacing("X-Signature", &format!("sha256={}", "0".repeat(64)));
    let bytes = forged.bytes(proxy.address);
    let count = 2000;
    let start = crate::support::instant();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(proxy.address);
                for _ in 0..count / 4 {
                    assert_eq!(connection.send(&bytes).response().status, 401);
                }
            });
        }
    });
    let took = crate::support::instant().saturating_sub(start).as_secs() + 1;
    assert_eq!(proxy.ended("rejected", "signature_mismatch"), count);
    assert_eq!(proxy.metric("hookward_dedupe_entries", &[]), 0);
    let looked = [("stage", "dedupe")];
    assert_eq!(proxy.metric("hookward_stage_duration_seconds_count", &looked), 0);
    assert_eq!(Sender::to(&proxy).deliver(&good).outcome(), "delivered");
    eventually("it is logged", || proxy.log().contains("evt-1"));
    let lines = proxy.log().matches("signature_mismatch").count() as u64;
    assert!(lines <= 20 * (took + 2), "{lines} lines in {took} s");
    assert!(proxy.log().contains("suppressed="), "how many were left out is said");
}

#[test]
fn the_public_listener_serves_nothing_of_the_admin_listener() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for target in ["/metrics", "/healthz", "/readyz", "/status", "/dedupe/shop/evt-1", "/reload"] {
        for method in ["GET", "POST", "DELETE"] {
            let response = request(proxy.address, method, target, &[]);
            assert_eq!(response.reason(), "unknown_source", "{method} {target}");
        }
    }
}

#[test]
fn a_page_in_a_browser_cannot_use_the_admin_listener() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    // Its name was made to resolve to loopback: DNS rebinding.
    let rebound = |method: &str, target: &str| {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: evil.example:9090\r\n\r\n");
        Connection::open(proxy.admin).send(text).response().status
    };
    assert_eq!(rebound("GET", "/status"), 403);
    assert_eq!(rebound("POST", "/reload"), 403);
    assert_eq!(rebound("DELETE", "/dedupe/shop/evt-1"), 403);
    // It posts across origins, which a browser does without asking.
    let origin = [("Origin", "https://evil.example")];
    assert_eq!(request(proxy.admin, "POST", "/reload", &origin).status, 403);
    assert_eq!(request(proxy.admin, "POST", "/reload", &[("Origin", "null")]).status, 403);
    assert_eq!(proxy.metric("hookward_config_reloads_total", &[]), 0);
    assert_eq!(get(proxy.admin, "/status").status, 200);
    assert_eq!(get(proxy.admin, "/dedupe/..%2f..%2fstatus/x").status, 404);
}

#[test]
fn a_redirect_of_an_upstream_is_neither_followed_nor_shown() {
    for status in [301, 302, 303, 307, 308] {
        let inside = Upstream::start();
        let erp = Upstream::start();
        let location = format!("Location: {}/secret\r\n", inside.url());
        erp.next(Reply::Whole(status, location, Vec::new()));
        let proxy = Setup::shop(&erp).start();
        let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!(response.verdict(), (502, "failed", "upstream_refused".to_owned()), "{status}");
        assert_eq!(response.header("Location"), None);
        assert!(inside.seen().is_empty());
    }
}

#[test]
fn host_and_forwarding_headers_choose_no_destination() {
    let inside = Upstream::start();
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let mut head = format!("POST /webhooks/shop HTTP/1.1\r\nHost: {}\r\n", inside.address());
    for (name, value) in &good.headers {
        _ = write!(head, "{name}: {value}\r\n");
    }
    for name in ["X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Forwarded"] {
        _ = write!(head, "{name}: {}\r\n", inside.address());
    }
    _ = write!(head, "Content-Length: {}\r\n\r\n", good.body.len());
    let bytes = [head.as_bytes(), &good.body].concat();
    assert_eq!(Connection::open(proxy.address).send(bytes).response().outcome(), "delivered");
    let seen = &erp.saw(1)[0];
    assert_eq!(seen.header("Host"), erp.address().to_string());
    assert_eq!(seen.target, "/webhooks/shop");
    assert!(inside.seen().is_empty());
}

#[test]
fn an_upstream_cannot_split_an_answer() {
    for (what, lines) in [
        ("a bare carriage return", "X-A: b\rSet-Cookie: c\r\n"),
        ("a NUL", "X-A: b\0c\r\n"),
        ("a folded line", "X-A: b\r\n Set-Cookie: c\r\n"),
        ("a space before the colon", "X-A : b\r\n"),
        ("two lengths", "Content-Length: 5\r\n"),
        ("a coding with a length", "Transfer-Encoding: chunked\r\n"),
    ] {
        let erp = Upstream::start();
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
        erp.next(Reply::ThenClose(Box::new(Reply::Raw(answer.into_bytes()))));
        let proxy =
            Setup::new().upstream("erp", &erp, "timeout = \"2s\"").shop_to(&["erp"], "").start();
        let mut connection = Connection::open(proxy.address);
        connection.send(Event::order("evt-1").signed().bytes(proxy.address));
        if let Ok(response) = connection.try_response() {
            assert_eq!(response.header("Set-Cookie"), None, "{what}: {response:?}");
            let odd = response.headers.iter().any(|(_, value)| value.contains(['\r', '\0', '\n']));
            assert!(!odd, "{what}: {response:?}");
        }
        let next = Sender::to(&proxy).deliver(&Event::order("evt-2").signed());
        assert_eq!(next.outcome(), "delivered", "{what}: the next delivery is untouched");
    }
}

#[test]
fn an_upstream_cannot_forge_an_outcome() {
    let erp = Upstream::start();
    let lines = "Hookward-Outcome: duplicate\r\nhookward-outcome: x\r\nHookward-Source: x\r\n";
    erp.next(Reply::Whole(200, lines.to_owned(), b"ok".to_vec()));
    let proxy = Setup::shop(&erp).start();
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(response.header("Hookward-Outcome"), Some("delivered"));
}

#[test]
fn a_compressed_body_is_never_unpacked() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for coding in ["gzip", "br", "zstd", "identity, gzip", "x", "gzip, gzip, gzip", ""] {
        let encoded = good.clone().with("Content-Encoding", coding);
        let response = Sender::to(&proxy).deliver(&encoded);
        assert_eq!(
            response.verdict(),
            (415, "rejected", "content_encoding".to_owned()),
            "{coding}"
        );
    }
    let twice = good.with("Content-Encoding", "identity").with("Content-Encoding", "gzip");
    assert_eq!(Sender::to(&proxy).deliver(&twice).status, 415);
    assert!(erp.seen().is_empty());
}

#[test]
fn a_handshake_reflects_nothing_that_a_browser_would_run() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.chat]\npath = \"/chat\"\npreset = \"slack\"\nsecrets = [{ env = \"CHAT\" }]\n\
             [[sources.chat.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("CHAT", "a-signing-secret-of-the-chat")
        .start();
    let body = r#"{"type":"url_verification","challenge":"<script>alert(1)</script>"}"#;
    let response = Sender::to(&proxy).deliver(&Delivery::post("/chat", body));
    if response.status == 200 {
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"), "{response:?}");
        let kind = response.header("Content-Type").unwrap_or_default();
        assert!(kind.starts_with("text/plain") || kind == "application/json", "{response:?}");
    } else {
        assert!(!response.text().contains("<script>"), "{response:?}");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn an_untrusted_sender_cannot_lie_about_its_address() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .shop_to(&["erp"], "allow = [\"203.0.113.0/24\"]")
        .start();
    for name in ["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "Forwarded"] {
        let delivery = Event::order("evt-1")
            .signed()
            .with(name, if name == "Forwarded" { "for=203.0.113.7" } else { "203.0.113.7" });
        let response = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(response.reason(), "address_not_allowed", "{name}");
    }
    assert!(erp.seen().is_empty());
}

#[test]
fn bodies_that_never_end_hold_no_more_than_body_memory() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .server("body_memory = \"1MiB\"\nmax_body = \"512KiB\"\nbody_timeout = \"3s\"")
        .start();
    let large = Event::order("large").padded_to(400_000).signed().bytes(proxy.address);
    let mut held: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(proxy.address);
            drop(connection.try_send(&large[..large.len() - 1]));
            connection
        })
        .collect();
    assert!(proxy.metric("hookward_body_bytes", &[]) <= 1024 * 1024);
    let mut reasons: Vec<_> =
        held.iter_mut().filter_map(|c| c.try_response().ok()).map(|r| r.reason()).collect();
    reasons.sort();
    reasons.dedup();
    assert_eq!(reasons, ["body_timeout", "overloaded"]);
    eventually("the memory is given back", || proxy.metric("hookward_body_bytes", &[]) == 0);
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("small").signed()).outcome(), "delivered");
    erp.saw(1);
}

#[test]
fn a_pipeline_of_forged_and_good_deliveries_is_judged_one_by_one() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let mut bytes = Vec::new();
    for n in 0..10 {
        let good = Event::order(&format!("evt-{n}")).signed();
        bytes.extend(good.bytes(proxy.address));
        let forged = good.replacing("X-Signature", &format!("sha256={}", "1".repeat(64)));
        bytes.extend(forged.bytes(proxy.address));
    }
    let mut connection = Connection::open(proxy.address);
    connection.send(bytes);
    for _ in 0..10 {
        assert_eq!(connection.response().outcome(), "delivered");
        assert_eq!(connection.response().reason(), "signature_mismatch");
    }
    erp.saw(10);
}

#[test]
fn a_payload_built_to_exhaust_a_parser_is_read_or_refused() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let at = rfc3339_in(0);
    let known = |id: &str| format!(r#""event_id":"{id}","type":"t","created_at":"{at}""#);
    let deep = 400_000;
    let many = (0..40_000).map(|n| format!(r#""k{n}":{n},"#)).collect::<Vec<_>>().concat();
    for (what, body, expected) in [
        (
            "nested arrays",
            format!(r#"{{"x":{}{},{}}}"#, "[".repeat(deep), "]".repeat(deep), known("a")),
            "",
        ),
        (
            "nested objects",
            format!(
                r#"{{"x":{}1{},{}}}"#,
                r#"{"x":"#.repeat(150_000),
                "}".repeat(150_000),
                known("b")
            ),
            "",
        ),
        ("many members", format!("{{{many}{}}}", known("c")), ""),
        (
            "a number of 500,000 digits",
            format!(r#"{{"x":{},{}}}"#, "9".repeat(500_000), known("d")),
            "",
        ),
        ("an exponent out of all range", format!(r#"{{"x":1e999999999,{}}}"#, known("e")), ""),
        ("arrays that do not end", "[".repeat(deep), "payload_malformed"),
        ("a NUL behind it", format!("{{{}}}\0", known("f")), "payload_malformed"),
        (
            "a control character in a name",
            format!("{{\"\u{1}\":1,{}}}", known("g")),
            "payload_malformed",
        ),
        (
            "an id of 200,000 characters",
            format!("{{{}}}", known(&"i".repeat(200_000))),
            "payload_malformed",
        ),
    ] {
        assert_eq!(Sender::to(&proxy).deliver(&signed(&body)).reason(), expected, "{what}");
    }
    erp.saw(5);
}

#[test]
fn a_secret_or_a_path_cannot_be_guessed_from_what_the_answer_says() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let right = good.headers[1].1.clone();
    let answers: Vec<String> = (0..8)
        .map(|n| {
            // Ever more of the right signature, never all of it.
            let kept = 7 + n * 8;
            let wrong = format!("{}{}", &right[..kept], "0".repeat(71 - kept));
            let response =
                Sender::to(&proxy).deliver(&good.clone().replacing("X-Signature", &wrong));
            format!(
                "{} {:?} {}",
                response.status,
                response.header("Hookward-Outcome"),
                response.text()
            )
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn what_the_log_shows_of_a_token_is_nothing() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.lab]\npath = \"/lab\"\npreset = \"gitlab\"\nsecrets = [{ env = \"LAB\" }]\n\
             [[sources.lab.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("LAB", "the-token-of-the-lab-0123")
        .log("level = \"trace\"")
        .start();
    let delivery = Delivery::post("/lab", "{}")
        .with("X-Gitlab-Event", "Push Hook")
        .with("Idempotency-Key", "1");
    for (token, status) in
        [("the-token-of-the-lab-0123", 200), ("the-token-of-the-lab-012", 401), ("", 401)]
    {
        let response = Sender::to(&proxy).deliver(&delivery.clone().with("X-Gitlab-Token", token));
        assert_eq!(response.status, status, "{token}");
    }
    assert!(!proxy.log().contains("the-token-of-the-lab"), "{}", proxy.log());
    let check = crate::support::hookward()
        .args(["check", "--config"])
        .arg(proxy.file())
        .env("LAB", "the-token-of-the-lab-0123")
        .output()
        .unwrap();
    assert!(!printed(&check).contains("the-token-of-the-lab"), "{}", printed(&check));
}

#[test]
fn a_sender_that_stops_reading_or_writing_does_not_hold_up_a_stop() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).server("drain_timeout = \"2s\"").start();
    let mut half = Connection::open(proxy.address);
    half.send("POST /webhooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
    let mut drip = Connection::open(proxy.address);
    drip.send("POST /webh");
    eventually("both are there", || proxy.metric("hookward_connections", &[]) >= 2);
    proxy.signal("TERM");
    let status = proxy.ends_within(Duration::from_secs(10));
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}
