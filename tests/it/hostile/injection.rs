//! Text that would become something else: headers, log lines, metrics, pages, answers.

use super::signed;
use crate::support::{
    Connection, Delivery, Event, Proxy, Reply, Sender, Setup, Upstream, eventually, rfc3339_in,
};

fn event(members: &str) -> Delivery {
    signed(&format!(r#"{{{members},"created_at":"{}"}}"#, rfc3339_in(0)))
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
