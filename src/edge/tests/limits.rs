//! Requests that are too slow or too large are refused, counted and answered.

use crate::delivery::answer::{Answer, Success};
use crate::operator::server::Edge;
use crate::operator::server::testing::{Recorder, post, serve, server_settings};
use crate::upstream::ReplyBody;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_header_that_drips_is_refused_after_its_time_on_a_new_and_on_a_used_connection() {
    let mut settings = server_settings();
    settings.limits.header_timeout = Duration::from_millis(200);
    let server = serve(&settings, Recorder::content());
    for used in [false, true] {
        let mut sender = server.connect().await;
        if used {
            sender.send(post("/in", "", b"")).await;
            assert_eq!(sender.receive().await.status, 200);
        }
        let drip = async {
            loop {
                sender.stream.writable().await.unwrap();
                drop(sender.stream.try_write(b"POST"));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        drop(tokio::time::timeout(Duration::from_millis(400), drip).await);
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.reason().as_str()), (408, "header_timeout"), "{used}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(server.door.refusals().len(), 2);
}

#[tokio::test]
async fn a_connection_that_stays_idle_is_closed_without_a_word() {
    let mut settings = server_settings();
    settings.limits.idle_timeout = Duration::from_millis(50);
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"")).await;
    assert_eq!(sender.receive().await.status, 200);
    assert!(sender.is_closed().await);
    assert_eq!(server.door.refusals(), []);
}

#[tokio::test]
async fn empty_lines_behind_a_request_begin_no_other() {
    let mut settings = server_settings();
    settings.limits.header_timeout = Duration::from_millis(50);
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send([post("/in", "", b"x"), b"\r\n".to_vec()].concat()).await;
    assert_eq!(sender.receive().await.status, 200);
    sender.send("\r\n\r\n").await;
    // Longer than a head may take.
    tokio::time::sleep(Duration::from_millis(150)).await;
    sender.send(post("/in", "", b"x")).await;
    assert_eq!(sender.receive().await.status, 200);
    assert_eq!(server.door.refusals(), []);
}

#[tokio::test]
async fn a_body_that_drips_is_refused_after_its_time() {
    let mut settings = server_settings();
    settings.limits.body_timeout = Duration::from_millis(200);
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send("POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 500\r\n\r\n").await;
    for _ in 0..15 {
        sender.send("x").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = sender.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (408, "body_timeout"));
    assert!(sender.is_closed().await);
    assert_eq!(server.metrics.body_bytes.get(), 0);
}

#[tokio::test]
async fn bodies_over_the_memory_of_all_connections_are_refused_and_the_memory_comes_back() {
    let mut settings = server_settings();
    settings.body_memory_bytes = 1000;
    let server = serve(&settings, Recorder::content());
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    let head = "POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 700\r\n\r\n";
    first.send(format!("{head}{}", "x".repeat(699))).await;
    while server.metrics.body_bytes.get() != 700 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    second.send(format!("{head}{}", "x".repeat(700))).await;
    let answer = second.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    first.send("x").await;
    assert_eq!(first.receive().await.status, 200);
    first.send(post("/in", "", &[b'x'; 1000])).await;
    assert_eq!(first.receive().await.status, 200);
    assert_eq!(server.metrics.body_bytes.get(), 0);
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_to_come_again() {
    let mut settings = server_settings();
    settings.limits.max_connections = 2;
    let server = serve(&settings, Recorder::content());
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut sender = server.connect().await;
        sender.send(post("/in", "", b"")).await;
        assert_eq!(sender.receive().await.status, 200);
        kept.push(sender);
    }
    assert_eq!(server.metrics.connections.get(), 2);
    let mut third = server.connect().await;
    let answer = third.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(third.is_closed().await);
    drop(kept);
    while server.metrics.connections.get() != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut fourth = server.connect().await;
    fourth.send(post("/in", "", b"")).await;
    assert_eq!(fourth.receive().await.status, 200);
}

#[tokio::test]
async fn one_address_cannot_take_every_place_unless_it_is_a_trusted_proxy() {
    let mut settings = server_settings();
    settings.limits.max_connections_per_address = Some(1);
    for trusted in [false, true] {
        if trusted {
            settings.limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        }
        let server = serve(&settings, Recorder::content());
        let mut first = server.connect().await;
        first.send(post("/in", "", b"")).await;
        assert_eq!(first.receive().await.status, 200);
        let mut second = server.connect().await;
        if trusted {
            second.send(post("/in", "", b"")).await;
            assert_eq!(second.receive().await.status, 200);
        } else {
            assert_eq!(second.receive().await.reason(), "overloaded");
        }
    }
}

#[tokio::test]
async fn a_body_slower_than_the_least_rate_is_given_up_before_its_time() {
    let mut settings = server_settings();
    settings.limits.body_timeout = Duration::from_mins(10);
    settings.limits.min_body_rate = Some(100_000);
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send("POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 500\r\n\r\nx").await;
    let answer = sender.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (408, "body_timeout"));
}

#[tokio::test]
async fn a_sender_that_does_not_read_its_answer_is_cut_off() {
    let script = |_: &_| {
        let body = ReplyBody::Whole(Bytes::from(vec![b'x'; 16 * 1024 * 1024]));
        Answer { body, ..Answer::empty(Success::Delivered, 200) }
    };
    let settings = server_settings();
    let server = serve(&settings, Recorder::new(true, Box::new(script)));
    let mut prepared = Edge::prepare(&settings).unwrap();
    prepared.limits.write_timeout = Duration::from_millis(100);
    server.edge.take_over(prepared);
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"")).await;
    while server.door.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while server.metrics.connections.get() != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_connection_that_waits_holds_little_memory() {
    let server = serve(&server_settings(), Recorder::content());
    let behind = Arc::new(crate::edge::Public(server.door.clone()));
    let listener = Arc::new(server.edge.listener(behind, None));
    let (stream, _peer) = tokio::io::duplex(1);
    let (_stop, shutdown) = tokio::sync::watch::channel(false);
    let serving = listener.serve(Box::new(stream), shutdown);
    assert!(std::mem::size_of_val(&serving) <= 1024, "{}", std::mem::size_of_val(&serving));
}
