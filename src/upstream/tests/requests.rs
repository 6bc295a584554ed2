//! Requests to destinations.

use super::raw::RawUpstream;
use super::{Bench, OK, pattern, request};
use crate::upstream::{Forwarded, ReplyBody};
use http::HeaderName;
use http::header::{CONTENT_LENGTH, HOST};

#[tokio::test]
async fn the_request_goes_out_byte_for_byte() {
    let raw = RawUpstream::answering(OK).await;
    let bench = Bench::of(&[raw.settings("erp")]);
    let mut request = request("{}");
    request.query = Some("a=1&b=%20".into());
    request.headers.push(&HeaderName::from_static("x-signature"), b"sha256=00");
    // Whatever the headers say, framing and authority are the connection's.
    request.headers.push(&CONTENT_LENGTH, b"999");
    request.headers.push(&HOST, b"elsewhere");
    let answer = bench.erp().forward(&request).await;
    let Forwarded::Answered(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.status, 200);
    assert!(matches!(answer.body, ReplyBody::Whole(body) if body == "ok"));
    let expected = format!(
        "POST /webhooks/shop?a=1&b=%20 HTTP/1.1\r\nHost: {}\r\nX-Signature: sha256=00\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        raw.address
    );
    let sent = raw.requests().concat();
    assert_eq!(String::from_utf8_lossy(&sent), expected);
}

#[tokio::test]
async fn bodies_of_every_size_arrive_byte_identical() {
    let raw = RawUpstream::answering(OK).await;
    let bench = Bench::of(&[raw.settings("erp")]);
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_048_576] {
        let body = pattern(size);
        assert_eq!(bench.answer(body.clone()).await.status, 200, "{size}");
        let sent = raw.requests().pop().unwrap();
        let head = sent.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(sent[head..] == body[..], "{size} bytes became {}", sent.len() - head);
    }
    assert_eq!(raw.connections(), 1, "the connection serves again");
}

#[tokio::test]
async fn the_path_is_the_routes_else_the_urls_else_the_senders() {
    let raw = RawUpstream::answering(OK).await;
    for (route, url, expected) in [
        (None, None, "/webhooks/shop?q=1"),
        (None, Some("/hooks"), "/hooks?q=1"),
        (Some("/orders"), Some("/hooks"), "/orders?q=1"),
        (Some("/orders?fixed=1"), None, "/orders?fixed=1&q=1"),
    ] {
        let mut settings = raw.settings("erp");
        settings.urls[0].path = url.map(str::to_owned);
        let bench = Bench::of(&[settings]);
        let mut request = request("");
        request.route_path = route.map(str::to_owned);
        request.query = Some("q=1".into());
        assert!(matches!(bench.erp().forward(&request).await, Forwarded::Answered(_)));
        let sent = raw.requests().pop().unwrap();
        assert!(
            sent.starts_with(format!("POST {expected} HTTP/1.1\r\n").as_bytes()),
            "{}",
            String::from_utf8_lossy(&sent)
        );
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_followed_by_one_that_gets_the_same_bytes() {
    let gone = RawUpstream::answering(OK).await.address;
    let raw = RawUpstream::answering(OK).await;
    let bench = Bench::of(&[super::raw::settings("erp", &[gone, raw.address])]);
    for _ in 0..4 {
        assert_eq!(bench.answer(pattern(100_000)).await.status, 200);
    }
    let requests = raw.requests();
    assert_eq!(requests.len(), 4);
    for sent in &requests {
        assert!(sent.ends_with(&pattern(100_000)));
        let host = format!("Host: {}\r\n", raw.address).to_lowercase();
        assert!(String::from_utf8_lossy(sent).to_lowercase().contains(&host));
    }
    assert_eq!(bench.counted("2xx"), 4);
    assert_eq!(bench.counted("unreachable"), 0);
}

#[tokio::test]
async fn when_no_address_takes_a_connection_the_upstream_is_unreachable() {
    let gone = [RawUpstream::answering(OK).await.address, RawUpstream::answering(OK).await.address];
    let bench = Bench::of(&[super::raw::settings("erp", &gone)]);
    let forwarded = bench.send("{}").await;
    let Forwarded::Unreachable { detail, retry_after: None } = forwarded else {
        panic!("{forwarded:?}");
    };
    assert!(detail.contains("refused"), "{detail}");
    assert_eq!(bench.counted("unreachable"), 1);
}

#[tokio::test]
async fn a_name_is_looked_up_without_a_url_ever_blocking() {
    let raw = RawUpstream::answering(OK).await;
    let mut settings = raw.settings("erp");
    settings.urls[0].host = "localhost".into();
    settings.urls[0].authority = "localhost".into();
    let bench = Bench::of(&[settings.clone()]);
    assert_eq!(bench.answer("{}").await.status, 200);
    assert!(String::from_utf8_lossy(&raw.requests()[0]).contains("localhost\r\n"));

    settings.urls[0].host = "does-not-exist.invalid".into();
    let forwarded = Bench::of(&[settings]).send("{}").await;
    assert!(matches!(forwarded, Forwarded::Unreachable { .. }), "{forwarded:?}");
}
