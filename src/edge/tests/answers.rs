//! Answers are framed for the sender's version of HTTP.

use crate::delivery::answer::{Answer, Success};
use crate::operator::server::testing::{Recorder, Server, post, serve, server_settings};
use crate::request::RequestHead;
use crate::upstream::{BrokenOff, ReplyBody};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

fn streamed(pieces: Vec<Result<&'static [u8], BrokenOff>>) -> ReplyBody {
    let (sender, rest) = mpsc::channel(pieces.len().max(1));
    for piece in pieces {
        sender.try_send(piece.map(Bytes::from_static)).unwrap();
    }
    ReplyBody::Streamed { first: Bytes::from_static(b"first,"), rest }
}

fn start(answer: fn(&RequestHead) -> Answer) -> Server {
    serve(&server_settings(), Recorder::new(true, Box::new(answer)))
}

fn with_body(body: ReplyBody) -> Answer {
    Answer { body, ..Answer::empty(Success::Delivered, 200) }
}

#[tokio::test]
async fn a_streamed_body_comes_in_chunks_and_the_connection_stays() {
    let server = start(|_| with_body(streamed(vec![Ok(b"second,"), Ok(b""), Ok(b"third")])));
    let mut sender = server.connect().await;
    for _ in 0..2 {
        sender.send(post("/in", "", b"x")).await;
        let answer = sender.receive().await;
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.body, b"first,second,third");
    }
}

#[tokio::test]
async fn a_streamed_body_for_http_1_0_ends_with_the_connection() {
    let server = start(|_| with_body(streamed(vec![Ok(b"second")])));
    let mut sender = server.connect().await;
    sender.send("POST /in HTTP/1.0\r\nContent-Length: 0\r\n\r\n").await;
    let mut all = String::new();
    sender.stream.read_to_string(&mut all).await.unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("Transfer-Encoding") && head.contains("Connection: close"), "{head}");
    assert_eq!(body, "first,second");
}

/// Closed over bytes that are unread, a connection is reset, and its answer may be lost.
#[tokio::test]
async fn a_line_break_behind_the_last_request_of_a_connection_does_not_cost_its_answer() {
    let server = start(|_| Answer::empty(Success::Delivered, 200));
    let mut sender = server.connect().await;
    let body = vec![b'x'; 8000];
    let request = [post("/in", "Connection: close\r\n", &body), b"\r\n".to_vec()].concat();
    sender.send(request).await;
    let mut all = String::new();
    sender.stream.read_to_string(&mut all).await.expect("an orderly end");
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    // A reset would come right behind the end.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let after = sender.stream.take_error().unwrap();
    assert!(after.is_none(), "{after:?}");
}

#[tokio::test]
async fn a_streamed_body_of_known_length_keeps_it() {
    let server = start(|_| {
        let mut answer = with_body(streamed(vec![Ok(b"second")]));
        answer.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("12"));
        answer
    });
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"x")).await;
    let answer = sender.receive().await;
    assert_eq!(answer.header("content-length"), Some("12"));
    assert_eq!(answer.body, b"first,second");
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_look_finished() {
    let server = start(|_| with_body(streamed(vec![Ok(b"second"), Err(BrokenOff)])));
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"x")).await;
    let mut all = String::new();
    sender.stream.read_to_string(&mut all).await.unwrap();
    assert!(all.contains("second"), "{all}");
    assert!(!all.contains("0\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn a_streamed_body_is_never_longer_than_declared_and_a_shorter_one_ends_the_connection() {
    let server = start(|head| {
        let mut answer = with_body(streamed(vec![Ok(b"second")]));
        let length = head.path.trim_start_matches('/');
        answer.headers.insert(CONTENT_LENGTH, HeaderValue::from_str(length).unwrap());
        answer
    });
    let mut sender = server.connect().await;
    for _ in 0..2 {
        sender.send(post("/8", "", b"x")).await;
        assert_eq!(sender.receive().await.body, b"first,se");
    }
    sender.send(post("/13", "", b"x")).await;
    let mut all = String::new();
    sender.stream.read_to_string(&mut all).await.unwrap();
    assert!(
        all.contains("Content-Length: 13\r\n") && all.ends_with("\r\n\r\nfirst,second"),
        "{all}"
    );
}

#[tokio::test]
async fn an_answer_has_these_bytes_and_arrives_in_one_piece() {
    let server = start(|_| {
        let mut answer = with_body(ReplyBody::Whole(Bytes::from_static(b"body")));
        answer.headers.insert("x-upstream", HeaderValue::from_static("a"));
        answer.headers.insert("content-type", HeaderValue::from_static("text/plain"));
        answer
    });
    for (lines, connection) in [("", "keep-alive"), ("Connection: close\r\n", "close")] {
        let mut sender = server.connect().await;
        sender.send(post("/in", lines, b"x")).await;
        let mut bytes = [0; 1024];
        let read = sender.stream.read(&mut bytes).await.unwrap();
        let text = std::str::from_utf8(&bytes[..read]).unwrap();
        let (before, date) = text.split_once("Date: ").unwrap();
        let (date, behind) = date.split_once(" GMT\r\n").unwrap();
        assert_eq!(
            before,
            "HTTP/1.1 200 OK\r\nx-upstream: a\r\nContent-Type: text/plain\r\n\
             Hookward-Outcome: delivered\r\nContent-Length: 4\r\n"
        );
        assert_eq!(date.len(), "Fri, 27 Nov 2026 03:00:00".len());
        assert_eq!(behind, format!("Connection: {connection}\r\n\r\nbody"));
        if connection == "close" {
            assert_eq!(sender.stream.read(&mut bytes).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn an_upstream_cannot_decide_about_framing_or_connection() {
    let server = start(|_| {
        let mut answer = with_body(ReplyBody::Whole(Bytes::from_static(b"body")));
        answer.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("4000"));
        answer.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        answer.headers.insert("x-upstream", HeaderValue::from_static("kept"));
        answer
    });
    let mut sender = server.connect().await;
    for _ in 0..2 {
        sender.send(post("/in", "", b"x")).await;
        let answer = sender.receive().await;
        assert_eq!(answer.body, b"body");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("x-upstream"), Some("kept"));
    }
}

#[tokio::test]
async fn statuses_and_methods_without_a_body_get_none() {
    let server = start(|head| {
        let status = head.path.trim_start_matches('/').parse().unwrap();
        let body = ReplyBody::Whole(Bytes::from_static(b"body"));
        Answer { body, ..Answer::empty(Success::Delivered, status) }
    });
    let mut sender = server.connect().await;
    for status in [204, 304] {
        sender.send(post(&format!("/{status}"), "", b"")).await;
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
    }
    sender.send("HEAD /200 HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut head = [0; 512];
    let read = sender.stream.read(&mut head).await.unwrap();
    let head = std::str::from_utf8(&head[..read]).unwrap();
    assert!(head.contains("Content-Length: 4") && head.ends_with("\r\n\r\n"), "{head}");
    sender.send(post("/200", "", b"")).await;
    assert_eq!(sender.receive().await.body, b"body");
}
