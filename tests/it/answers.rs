//! What the sender gets of an upstream's answer: section 4 of the contract.

use crate::support::{Event, Reply, Sender, Setup, Upstream};
use std::time::Duration;

#[test]
fn an_upstreams_2xx_is_passed_with_status_headers_and_body() {
    for (status, body) in [(200, &b"hello"[..]), (201, b""), (202, b"{\"queued\":true}")] {
        let erp = Upstream::start();
        let headers = "X-Erp: yes\r\nX-Twice: 1\r\nX-Twice: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n";
        erp.next(Reply::Whole(status, headers.to_owned(), body.to_vec()));
        let proxy = Setup::shop(&erp).start();
        let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!((response.status, response.outcome()), (status, "delivered"));
        assert_eq!(response.body, body);
        assert_eq!(response.header("X-Erp"), Some("yes"));
        assert_eq!(response.header("X-Hop"), None);
        let twice =
            response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("X-Twice"));
        assert_eq!(twice.count(), 2);
    }
}

#[test]
fn a_2xx_in_any_framing_is_passed_whole() {
    let large = b"0123456789abcdef".repeat(20_000);
    let chunks: Vec<u8> = large
        .chunks(30_000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let answer = |head: &str, body: &[u8]| Reply::Raw([head.as_bytes(), body].concat());
    let cases = [
        ("a length", Reply::Whole(200, String::new(), large.clone()), large.clone()),
        (
            "chunks",
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks),
            large.clone(),
        ),
        (
            "until close",
            Reply::ThenClose(Box::new(answer(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
                &large,
            ))),
            large,
        ),
        (
            "after a 1xx",
            answer(
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                b"ok",
            ),
            b"ok".to_vec(),
        ),
        ("204", answer("HTTP/1.1 204 No Content\r\n\r\n", b""), Vec::new()),
    ];
    for (what, reply, body) in cases {
        let erp = Upstream::start();
        erp.next(reply);
        let proxy = Setup::shop(&erp).start();
        let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!((response.status / 100, response.outcome()), (2, "delivered"), "{what}");
        assert!(response.body == body, "{what}: {} bytes", response.body.len());
    }
}

#[test]
fn any_other_answer_gives_at_most_its_status_and_retry_after() {
    for (answered, told, reason) in [
        (500, 500, "upstream_error"),
        (503, 503, "upstream_error"),
        (599, 599, "upstream_error"),
        (429, 429, "upstream_busy"),
        (301, 502, "upstream_refused"),
        (400, 502, "upstream_refused"),
        (404, 502, "upstream_refused"),
    ] {
        let erp = Upstream::start();
        let headers = "Retry-After: 17\r\nX-Inside: stack trace\r\nLocation: http://inside/\r\n";
        erp.next(Reply::Whole(answered, headers.to_owned(), b"stack trace".to_vec()));
        let proxy = Setup::shop(&erp).start();
        let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!(response.verdict(), (told, "failed", reason.to_owned()), "{answered}");
        assert!(!format!("{response:?}").contains("nside"), "{response:?}");
        assert!(!response.text().contains("stack"), "{response:?}");
        if reason != "upstream_refused" {
            assert_eq!(response.header("Retry-After"), Some("17"), "{answered}");
        }
        let class = format!("{}xx", answered / 100);
        let labels = [("upstream", "erp"), ("result", class.as_str())];
        assert_eq!(proxy.metric("hookward_upstream_requests_total", &labels), 1);
        // Its claim was released: a retry is forwarded.
        let retry = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
        assert_eq!(retry.outcome(), "delivered", "{answered}");
    }
}

#[test]
fn an_upstream_that_drips_is_cut_off_by_the_timeout() {
    let erp = Upstream::start();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    erp.next(Reply::Drip(answer, Duration::from_millis(100)));
    let proxy =
        Setup::new().upstream("erp", &erp, "timeout = \"500ms\"").shop_to(&["erp"], "").start();
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(response.verdict(), (504, "failed", "upstream_timeout".to_owned()));
    assert_eq!(proxy.metric("hookward_in_flight", &[]), 0);
}

#[test]
fn every_refusal_is_a_problem_document() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let response =
        Sender::to(&proxy).deliver(&Event::order("evt-1").signed().without("X-Signature"));
    assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["reason"], "signature_missing");
    assert_eq!(problem["status"], 401);
    assert!(problem["title"].is_string(), "{problem}");
}
