//! Requests over HTTP/2 that two parsers could read differently.

use super::http2::start;
use super::http2_frames::*;
use crate::operator::server::testing::{Recorder, Seen};
use crate::request::BodyError;

type Lines = &'static [(&'static str, &'static str)];

const MALFORMED: Ended = Ended::Reset(PROTOCOL_ERROR);

/// What a name or a value with a byte that may not be there costs, as blocks cannot be trusted then.
const GONE: Ended = Ended::Gone(Some(PROTOCOL_ERROR));

const METHOD: (&str, &str) = (":method", "POST");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "test");
const PATH: (&str, &str) = (":path", "/in");

#[tokio::test]
async fn a_head_that_is_malformed_or_ambiguous_never_becomes_a_request() {
    let cases: [(Lines, Ended); 31] = [
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("X-Upper", "y")], GONE),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("x y", "y")], GONE),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("x", "a\r\nb: c")], GONE),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("x", "a\0b")], GONE),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "close")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("keep-alive", "1")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("proxy-connection", "x")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("transfer-encoding", "chunked")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("upgrade", "websocket")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("te", "gzip")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, PATH], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, AUTHORITY], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "x")], GONE),
        (&[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH], MALFORMED),
        (&[SCHEME, AUTHORITY, PATH], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "/in\r\nx: y")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "https://other/in")], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("host", "other")], answer(400)),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "/in\u{e9}")], answer(400)),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "/in?a=\u{e9}")], answer(400)),
        (&[METHOD, SCHEME, AUTHORITY, (":path", "/in\"")], answer(400)),
        (&[METHOD, SCHEME, PATH], answer(400)),
        (&[METHOD, SCHEME, PATH, ("host", "test"), ("host", "test")], answer(400)),
        (&[METHOD, SCHEME, (":authority", "me@test"), PATH], answer(400)),
        (&[(":method", "CONNECT"), (":authority", "test:443")], answer(405)),
        (&[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH], MALFORMED),
        (&[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH], MALFORMED),
        (&[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "5")], MALFORMED),
    ];
    let (server, authority) = start(|_| {}, Recorder::content());
    for (lines, expected) in cases {
        let before = server.door.requests().len();
        let mut sender = Sender::connect(&server, &authority).await;
        assert!(sender.send(frame(HEADERS, WHOLE, 1, &block(lines))).await);
        assert_eq!(sender.end_of(1).await, expected, "{lines:?}");
        assert_eq!(server.door.requests().len(), before, "{lines:?}");
        if expected == GONE {
            assert_eq!(sender.goodbye().await, None, "nothing but the end");
        } else {
            assert!(sender.send(request(3)).await);
            assert_eq!(sender.end_of(3).await, answer(200), "{lines:?}");
        }
    }
}

/// The library that makes paths of them cuts fragments off, so there is no request to answer.
#[tokio::test]
async fn a_path_with_a_fragment_ends_the_connection() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let lines = [METHOD, SCHEME, AUTHORITY, (":path", "/in?a#b")];
    let whole = block(&lines);
    for cut in [None, Some(10), Some(whole.len() - 1)] {
        let mut sender = Sender::connect(&server, &authority).await;
        let frames = match cut {
            None => frame(HEADERS, WHOLE, 1, &whole),
            Some(at) => {
                let first = frame(HEADERS, END_STREAM, 1, &whole[..at]);
                [first, frame(CONTINUATION, END_HEADERS, 1, &whole[at..])].concat()
            }
        };
        assert!(sender.send(frames).await);
        assert_eq!(sender.end_of(1).await, Ended::Gone(Some(ENHANCE_YOUR_CALM)), "{cut:?}");
    }
    assert!(server.door.requests().is_empty());
    let refusals = server.door.refusals();
    assert_eq!(refusals.len(), 3);
    assert!(refusals.iter().all(|refusal| refusal.reason == crate::outcome::Reason::BadRequest));
}

#[tokio::test]
async fn the_pieces_of_a_cookie_become_one_line() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    let crumbs = delivery(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]);
    assert!(sender.send(frame(HEADERS, WHOLE, 1, &crumbs)).await);
    assert_eq!(sender.end_of(1).await, answer(200));
    let Seen::Request { head, .. } = &server.door.seen()[0] else { panic!("a request") };
    let lines: Vec<_> = head.headers.get_all("cookie").collect();
    assert_eq!(lines, [b"a=1; b=2; c=3"]);
}

#[tokio::test]
async fn a_body_that_is_not_of_its_declared_length_is_no_delivery() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    let body = |length: &str, id, bytes: &[u8]| {
        let head = frame(HEADERS, END_HEADERS, id, &delivery(&[("content-length", length)]));
        [head, frame(DATA, END_STREAM, id, bytes)].concat()
    };
    assert!(sender.send(body("5", 1, b"hello")).await);
    assert_eq!(sender.end_of(1).await, answer(200));
    for (n, length, bytes) in [(1, "5", &b"hell"[..]), (2, "5", b"hello!"), (3, "5", b"")] {
        assert!(sender.send(body(length, stream(n), bytes)).await);
        assert_eq!(sender.end_of(stream(n)).await, Ended::Reset(PROTOCOL_ERROR), "{bytes:?}");
    }
    // Nothing is expected behind a length of zero, so what comes there is of no matter.
    assert!(sender.send(body("0", 9, b"hello")).await);
    sender.end_of(9).await;
    for length in ["-5", "+5", "5, 5", "5, 6", "99999999999999999999999"] {
        let mut sender = Sender::connect(&server, &authority).await;
        assert!(sender.send(body(length, 1, b"hello")).await);
        let ended = sender.end_of(1).await;
        assert!(matches!(ended, Ended::Reset(PROTOCOL_ERROR)) || ended == answer(400), "{ended:?}");
    }
    for second in ["5", "6"] {
        let mut sender = Sender::connect(&server, &authority).await;
        let lines = [("content-length", "5"), ("content-length", second)];
        let head = frame(HEADERS, END_HEADERS, 1, &delivery(&lines));
        assert!(sender.send([head, frame(DATA, END_STREAM, 1, b"hello")].concat()).await);
        let ended = sender.end_of(1).await;
        assert!(matches!(ended, Ended::Reset(PROTOCOL_ERROR)) || ended == answer(400), "{ended:?}");
    }
    all_is_over(&server).await;
    for (_, body) in server.door.requests() {
        assert!(
            body == Ok("hello".into()) || body == Ok("".into()) || body == Err(BodyError::Broken)
        );
    }
}

#[tokio::test]
async fn trailers_are_no_headers_and_no_second_head() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    let trailed = |id, lines: &[(&str, &str)]| {
        let trailers = frame(HEADERS, WHOLE, id, &block(lines));
        [opened(id), frame(DATA, 0, id, b"hello"), trailers].concat()
    };
    assert!(sender.send(trailed(1, &[("x-signature", "forged")])).await);
    assert_eq!(sender.end_of(1).await, answer(200));
    let Seen::Request { head, body } = &server.door.seen()[0] else { panic!("a request") };
    assert!(!head.headers.contains("x-signature"));
    assert_eq!(*body, Ok("hello".into()));
    // Pseudo-headers of trailers are not even kept.
    for (n, line) in [(1, (":path", "/other")), (2, (":authority", "other"))] {
        assert!(sender.send(trailed(stream(n), &[line])).await);
        assert_eq!(sender.end_of(stream(n)).await, answer(200), "{line:?}");
    }
    for (path, body) in server.door.requests() {
        assert_eq!((path.as_str(), body), ("/in", Ok("hello".into())));
    }
    assert!(sender.send(trailed(7, &[("te", "gzip")])).await);
    assert_eq!(sender.end_of(7).await, MALFORMED);
    // A block that does not end the request is no block of trailers.
    assert!(sender.send([opened(9), opened(9)].concat()).await);
    assert_eq!(sender.end_of(9).await, MALFORMED);
    all_is_over(&server).await;
    for (_, body) in server.door.requests().into_iter().skip(3) {
        assert_eq!(body, Err(BodyError::Broken));
    }
}
