//! Bodies arrive complete and byte-identical, or are refused at the limit.

use crate::operator::server::testing::{Recorder, post, serve, server_settings};
use crate::request::BodyError;
use bytes::Bytes;

const LIMIT: usize = 300_000;

/// Sizes around Pingora's own buffer of 64 KiB, and the limit.
const SIZES: [usize; 8] =
    [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000, LIMIT - 1, LIMIT];

fn pattern(size: usize) -> Vec<u8> {
    (0..size).filter_map(|n| u8::try_from(n % 251).ok()).collect()
}

fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut bytes =
        b"POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(chunk) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn every_size_up_to_the_limit_arrives_byte_identical_on_one_connection() {
    let mut settings = server_settings();
    settings.limits.max_body_bytes = LIMIT;
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    let mut expected = Vec::new();
    for size in SIZES {
        let body = pattern(size);
        for request in [post("/in", "", &body), chunked(&body, 1000), chunked(&body, 100_000)] {
            sender.send(request).await;
            let answer = sender.receive().await;
            assert_eq!(answer.status, 200, "{size}");
            assert_eq!(answer.header("hookward-outcome"), Some("delivered"));
            assert_eq!(answer.header("content-length"), Some("0"));
            expected.push(("/in".to_owned(), Ok(Bytes::from(body.clone()))));
        }
    }
    assert!(server.door.requests() == expected);
    assert_eq!(server.metrics.body_bytes.get(), 0);
}

#[tokio::test]
async fn one_byte_over_the_limit_is_refused_and_the_sender_receives_that() {
    let mut settings = server_settings();
    settings.limits.max_body_bytes = LIMIT;
    let server = serve(&settings, Recorder::content());
    let body = pattern(LIMIT + 1);
    for request in [post("/in", "", &body), chunked(&body, 1000)] {
        let mut sender = server.connect().await;
        sender.send(request).await;
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(sender.is_closed().await);
    }
    let too_large = ("/in".to_owned(), Err(BodyError::TooLarge));
    assert!(server.door.requests() == [too_large.clone(), too_large]);
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_a_byte_of_it_comes() {
    let mut settings = server_settings();
    settings.limits.max_body_bytes = LIMIT;
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    let length = LIMIT + 1;
    sender
        .send(format!("POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    assert_eq!(sender.receive().await.status, 413);
}

#[tokio::test]
async fn a_body_cut_into_single_bytes_is_the_same_body() {
    let server = serve(&server_settings(), Recorder::content());
    for request in [post("/in", "", b"hello"), chunked(b"hello", 2)] {
        let mut sender = server.connect().await;
        for byte in request {
            sender.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(sender.receive().await.status, 200);
    }
    let hello = ("/in".to_owned(), Ok(Bytes::from_static(b"hello")));
    assert_eq!(server.door.requests(), [hello.clone(), hello]);
}
