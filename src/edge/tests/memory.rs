//! How bodies are accounted for, and that a flood from one address leaves room for the others.

use super::http2::start;
use super::http2_frames::*;
use crate::config::ServerSettings;
use crate::operator::server::testing::{self, Recorder, post, serve, server_settings};
use crate::outcome::Reason;
use crate::request::BodyError;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

/// What a body of HTTP/1 is read into at first, and the least room of one in several pieces.
const READ_BUFFER: i64 = 64 * 1024;
const LEAST_ROOM: i64 = 512;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn two_bytes_on_each_of_many_http2_streams_are_counted_with_all_that_they_reserve() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let mut senders = Vec::new();
    for _ in 0..3 {
        let mut sender = Sender::connect(&server, &authority).await;
        for n in 0..100 {
            let byte = frame(DATA, 0, stream(n), b"x");
            assert!(sender.send([opened(stream(n)), byte.clone(), byte].concat()).await);
        }
        senders.push(sender);
    }
    let counted = || server.metrics.body_bytes.get();
    until("all 300 have room", || counted() == 300 * LEAST_ROOM).await;
    drop(senders);
    all_is_over(&server).await;
}

#[tokio::test]
async fn a_body_of_http1_is_counted_with_the_buffer_that_it_is_read_into() {
    let server = serve(&server_settings(), Recorder::content());
    let head = "POST /in HTTP/1.1\r\nHost: test\r\n";
    let counted = || server.metrics.body_bytes.get();
    for (lines, expected) in [
        ("Content-Length: 1000000\r\n\r\n", READ_BUFFER),
        ("Content-Length: 1000000\r\n\r\nx", READ_BUFFER),
        ("Content-Length: 10\r\n\r\nx", 10),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", READ_BUFFER + LEAST_ROOM),
    ] {
        let mut sender = server.connect().await;
        sender.send(format!("{head}{lines}")).await;
        until(lines, || counted() == expected).await;
        drop(sender);
        until("it is given back", || counted() == 0).await;
    }
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"whole")).await;
    assert_eq!(sender.receive().await.status, 200);
}

async fn from(source: [u8; 4], to: SocketAddr) -> testing::Sender {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    testing::Sender::over(socket.connect(to).await.unwrap())
}

/// Unfinished bodies, more than the memory has room for. Of each the answer, if it has one.
async fn flood(source: [u8; 4], to: SocketAddr, count: usize) -> Vec<testing::Sender> {
    let mut flood = Vec::new();
    for _ in 0..count {
        let mut sender = from(source, to).await;
        let lines = "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        sender.send(format!("POST /in HTTP/1.1\r\nHost: test\r\n{lines}")).await;
        flood.push(sender);
    }
    flood
}

fn small(settings: &mut ServerSettings) {
    settings.limits.max_body_bytes = 1000;
    settings.body_memory_bytes = 1024 * 1024;
}

#[tokio::test]
async fn a_flood_of_bodies_from_one_address_leaves_room_for_the_others() {
    let mut settings = server_settings();
    small(&mut settings);
    let server = serve(&settings, Recorder::content());
    let _flood = flood([127, 0, 0, 2], server.address(), 40).await;
    // Three of 64.5 KiB fit in a quarter of 1 MiB.
    until("37 are refused", || server.door.requests().len() == 37).await;
    assert!(server.door.requests().iter().all(|(_, body)| *body == Err(BodyError::NoShare)));
    assert_eq!(server.metrics.body_bytes.get(), 3 * (READ_BUFFER + LEAST_ROOM));
    let mut genuine = flood([127, 0, 0, 3], server.address(), 1).await;
    genuine[0].send("0\r\n\r\n").await;
    assert_eq!(genuine[0].receive().await.status, 200);
}

#[tokio::test]
async fn bodies_that_a_trusted_proxy_brings_are_counted_for_their_senders() {
    let mut settings = server_settings();
    small(&mut settings);
    settings.limits.trusted_proxies = vec!["127.0.0.2/32".parse().unwrap()];
    let server = serve(&settings, Recorder::content());
    let mut kept = Vec::new();
    for number in 0..10 {
        let mut proxy = from([127, 0, 0, 2], server.address()).await;
        let lines = "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        // Five of one sender, then one of each of five others.
        let sender = format!("X-Forwarded-For: 203.0.113.{}", u32::saturating_sub(number, 4));
        proxy.send(format!("POST /in HTTP/1.1\r\nHost: test\r\n{sender}\r\n{lines}")).await;
        kept.push(proxy);
    }
    until("two are refused", || server.door.requests().len() == 2).await;
    assert!(server.door.requests().iter().all(|(_, body)| *body == Err(BodyError::NoShare)));
    let eight = 8 * (READ_BUFFER + LEAST_ROOM);
    until("eight have room", || server.metrics.body_bytes.get() == eight).await;
}

#[tokio::test]
async fn requests_of_http2_are_bounded_over_all_connections() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.max_connections = 10;
        settings.limits.body_timeout = Duration::from_mins(1);
    };
    let (server, authority) = start(change, Recorder::content());
    let mut senders = Vec::new();
    for _ in 0..3 {
        let mut sender = Sender::connect(&server, &authority).await;
        let all: Vec<u8> = (0..100).flat_map(|n| opened(stream(n))).collect();
        assert!(sender.send(all).await);
        senders.push(sender);
    }
    until("100 are refused", || server.door.refusals().len() == 100).await;
    assert!(server.door.refusals().iter().all(|refusal| refusal.reason == Reason::Overloaded));
    assert_eq!(server.edge.traffic().requests(), 200);
    drop(senders);
    all_is_over(&server).await;
    others_are_served(&server, &authority).await;
}
