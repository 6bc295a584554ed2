//! Senders that wait: for a header to end, for a body to come, for an answer to be read.

use super::http2::start;
use super::http2_frames::*;
use crate::config::ServerSettings;
use crate::delivery::answer::{Answer, Success};
use crate::operator::server::testing::{Recorder, Server};
use crate::outcome::Reason;
use crate::request::RequestHead;
use crate::upstream::ReplyBody;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SHORT: Duration = Duration::from_millis(200);
/// Between a deadline that holds and one that does not.
const LONG: Duration = Duration::from_mins(2);

fn short_headers(settings: &mut ServerSettings) {
    settings.limits.header_timeout = SHORT;
    settings.limits.idle_timeout = LONG;
}

async fn is_empty(server: &Server) {
    let wait = async {
        while server.metrics.connections.get() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("closed in time");
}

#[tokio::test]
async fn a_header_block_that_drips_is_cut_off_after_the_time_of_a_header() {
    let (server, authority) = start(short_headers, Recorder::content());
    let dripping_frame = |n: usize| request(3).get(n..=n).map(<[u8]>::to_vec);
    let empty_continuations = |n: usize| match n {
        0 => Some(frame(HEADERS, 0, 3, &delivery(&[]))),
        _ => Some(frame(CONTINUATION, 0, 3, &[])),
    };
    let nothing_more = |n: usize| (n == 0).then(|| frame(HEADERS, 0, 3, &delivery(&[])));
    let dripping_ping = |n: usize| frame(PING, 0, 0, &[0; 8]).get(n..=n).map(<[u8]>::to_vec);
    let drips: [&dyn Fn(usize) -> Option<Vec<u8>>; 4] =
        [&dripping_frame, &empty_continuations, &nothing_more, &dripping_ping];
    for (case, drip) in drips.into_iter().enumerate() {
        let mut sender = Sender::connect(&server, &authority).await;
        // The time is that of this block, not of the connection, and another stream saves nobody.
        assert!(sender.send(request(1)).await);
        assert_eq!(sender.end_of(1).await, answer(200));
        let started = Instant::now();
        let mut n = 0;
        while !sender.is_over() {
            if let Some(bytes) = drip(n) {
                sender.send(bytes).await;
            }
            n += 1;
            sleep(SHORT / 4).await;
            assert!(started.elapsed() < LONG / 10, "case {case}");
        }
        assert!(started.elapsed() >= SHORT, "case {case}");
        all_is_over(&server).await;
        assert_eq!(server.door.refusals().len(), case + 1);
    }
    let reasons = server.door.refusals().into_iter().map(|refusal| refusal.reason);
    assert!(reasons.into_iter().all(|reason| reason == Reason::HeaderTimeout));
    assert_eq!(server.door.requests().len(), drips.len());
}

#[tokio::test]
async fn a_connection_without_a_first_request_ends_after_the_time_of_a_header() {
    let (server, authority) = start(short_headers, Recorder::content());
    let _silent = Sender::connect(&server, &authority).await;
    let mut pinging = Sender::connect(&server, &authority).await;
    let started = Instant::now();
    while !pinging.is_over() {
        pinging.send(frame(PING, 0, 0, &[0; 8])).await;
        sleep(SHORT / 4).await;
        assert!(started.elapsed() < LONG / 10);
    }
    is_empty(&server).await;
}

#[tokio::test]
async fn neither_a_slow_body_nor_an_idle_connection_falls_under_the_time_of_a_header() {
    let (server, authority) = start(short_headers, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    let all = [opened(1), frame(DATA, END_STREAM, 1, b"hello")].concat();
    let (start, body) = all.split_at(all.len() - b"hello".len());
    assert!(sender.send(start).await);
    for byte in body {
        sleep(SHORT / 2).await;
        assert!(sender.send([*byte]).await);
    }
    assert_eq!(sender.end_of(1).await, answer(200));
    sleep(SHORT * 2).await;
    assert!(sender.send(request(3)).await);
    assert_eq!(sender.end_of(3).await, answer(200));
    assert_eq!(server.door.requests()[0].1, Ok("hello".into()));
}

#[tokio::test]
async fn streams_without_a_body_hold_their_slots_no_longer_than_the_time_of_a_body() {
    let change = |settings: &mut ServerSettings| settings.limits.body_timeout = SHORT * 5;
    let (server, authority) = start(change, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    let all: Vec<u8> = (0..100).flat_map(|n| opened(stream(n))).collect();
    assert!(sender.send(all).await);
    assert!(sender.send(request(stream(100))).await);
    assert_eq!(sender.end_of(stream(100)).await, Ended::Reset(REFUSED_STREAM));
    assert_eq!(server.edge.traffic().requests(), 100);
    others_are_served(&server, &authority).await;
    assert_eq!(sender.end_of(stream(0)).await, answer(408));
    all_is_over(&server).await;
    assert!(sender.send(request(stream(101))).await);
    assert_eq!(sender.end_of(stream(101)).await, answer(200));
}

fn large(_: &RequestHead) -> Answer {
    let body = ReplyBody::Whole(Bytes::from(vec![b'x'; 16 * 1024 * 1024]));
    Answer { body, ..Answer::empty(Success::Delivered, 200) }
}

#[tokio::test]
async fn an_answer_whose_window_is_not_opened_is_reset_after_the_time_of_a_write() {
    // No window from the start, and one that the first frames of an answer use up.
    for settings in [setting(4, 0), Vec::new()] {
        let door = Recorder::new(true, Box::new(large));
        let (server, authority) = start_with(|limits| limits.write_timeout = SHORT, door);
        let mut sender = Sender::connect_with(&server, &authority, &settings).await;
        let all: Vec<u8> = (0..50).flat_map(|n| request(stream(n))).collect();
        assert!(sender.send(all).await);
        let mut resets = 0;
        while resets < 50 {
            let frame = sender.receive().await.expect("a frame");
            resets += usize::from(frame.kind == RST_STREAM);
        }
        all_is_over(&server).await;
        assert_eq!(server.door.requests().len(), 50);
    }
}

#[tokio::test]
async fn a_sender_whose_socket_is_never_read_is_cut_off() {
    let door = Recorder::new(true, Box::new(large));
    let short = |limits: &mut crate::edge::Limits| {
        limits.write_timeout = SHORT;
        limits.idle_timeout = SHORT;
    };
    let (server, authority) = start_with(short, door);
    let windows = setting(4, 0x7fff_ffff);
    let (mut sender, _unread) = Sender::open(&server, &authority, &windows).await;
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let all = (0..50).flat_map(|n| request(stream(n)));
    assert!(sender.send(window.into_iter().chain(all).collect::<Vec<u8>>()).await);
    while server.door.requests().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    all_is_over(&server).await;
    is_empty(&server).await;
}
