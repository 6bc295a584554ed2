//! Floods of frames: what happens to a sender of many useless frames.

use super::http2::start;
use super::http2_frames::*;
use super::tls::Authority;
use crate::config::ServerSettings;
use crate::operator::server::testing::{Recorder, Server};
use crate::outcome::Reason;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// More than any limit of a connection.
const MANY: u32 = 20_000;

/// What is sent for a stream, or for the nth time.
type Framed = fn(u32) -> Vec<u8>;

/// What `MAX_UNDER_WAY` and `MAX_RESETS` allow a connection.
const TWO_HUNDRED: usize = 200;

/// Deadlines that no flood here meets.
fn patient(settings: &mut ServerSettings) {
    settings.limits.header_timeout = Duration::from_mins(5);
    settings.limits.idle_timeout = Duration::from_mins(5);
    settings.limits.body_timeout = Duration::from_mins(5);
}

fn reasons(server: &Server) -> Vec<Reason> {
    server.door.refusals().into_iter().map(|refusal| refusal.reason).collect()
}

/// Sends as fast as it goes until the connection ends; the reason that was given.
async fn flood(sender: &mut Sender, next: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    for n in 0..MANY {
        if !sender.send(next(n)).await {
            break;
        }
    }
    sender.goodbye().await
}

/// A server where requests wait for their upstream, and what provokes the end of each, sent only
/// once the request is under way. Returns when the connection has ended.
async fn one_by_one(server: &Server, authority: &Authority, open: Framed, end: Framed) -> usize {
    let mut sender = Sender::connect(server, authority).await;
    let started = Instant::now();
    for n in 0..MANY {
        let before = server.door.seen().len();
        if !sender.send(open(stream(n))).await {
            return n as usize;
        }
        while server.door.seen().len() == before {
            if sender.is_over() {
                return n as usize;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{n} is not seen");
            sleep(Duration::from_micros(100)).await;
        }
        let under_way = server.edge.traffic().requests();
        assert!(under_way <= TWO_HUNDRED, "{under_way} under way");
        sender.send(end(stream(n))).await;
    }
    panic!("a flood without end");
}

#[tokio::test]
async fn a_rapid_reset_ends_the_connection_and_leaves_nothing() {
    let (server, authority) = start(patient, Recorder::content());
    let with_body = |id| [opened(id), frame(DATA, 0, id, b"x")].concat();
    for open in [request, with_body, opened] {
        let mut sender = Sender::connect(&server, &authority).await;
        let reason = flood(&mut sender, |n| [open(stream(n)), reset(stream(n))].concat()).await;
        assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
        others_are_served(&server, &authority).await;
        all_is_over(&server).await;
    }
    let seen = server.door.seen().len();
    assert!(seen < 3 * 260, "{seen} requests and refusals");
}

#[tokio::test]
async fn requests_that_are_reset_once_they_wait_for_an_upstream_do_not_pile_up() {
    let (server, authority) = start(patient, Recorder::content());
    let hold = server.door.gate.write().await;
    let sent = one_by_one(&server, &authority, request, reset).await;
    assert!((TWO_HUNDRED..300).contains(&sent), "{sent}");
    assert_eq!(server.edge.traffic().requests(), TWO_HUNDRED);
    let refused = reasons(&server);
    assert!(refused.contains(&Reason::Overloaded), "over two hundred");
    assert_eq!(refused.last(), Some(&Reason::BadRequest), "the flood");
    drop(hold);
    others_are_served(&server, &authority).await;
    all_is_over(&server).await;
}

#[tokio::test]
async fn resets_that_the_sender_provokes_count_as_its_own() {
    let overflow = |id| frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes());
    let no_update = |id| frame(WINDOW_UPDATE, 0, id, &[0; 4]);
    let data = |id| frame(DATA, 0, id, b"after the end");
    let head = |id| frame(HEADERS, END_HEADERS, id, &delivery(&[]));
    let own_parent = |id: u32| frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[1]].concat());
    let ends: [(Framed, usize); 5] = [
        // These `h2` does not count; our budget grows while they come.
        (overflow, 1100),
        (no_update, 1),
        (data, TWO_HUNDRED),
        (head, TWO_HUNDRED),
        (own_parent, TWO_HUNDRED),
    ];
    for (case, (end, most)) in ends.into_iter().enumerate() {
        let (server, authority) = start(patient, Recorder::content());
        let hold = server.door.gate.write().await;
        let sent = one_by_one(&server, &authority, request, end).await;
        assert!(sent <= most + 1, "case {case}: {sent}");
        assert!(server.edge.traffic().requests() <= TWO_HUNDRED);
        drop(hold);
        others_are_served(&server, &authority).await;
        all_is_over(&server).await;
    }
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_the_connection() {
    let floods: [(&str, Framed); 9] = [
        ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS that move every window", |n| frame(SETTINGS, 0, 0, &setting(4, n % 2 * 9999))),
        ("SETTINGS acknowledged", |_| frame(SETTINGS, 1, 0, &[])),
        ("PING", |_| frame(PING, 0, 0, &[0; 8])),
        ("PING acknowledged", |_| frame(PING, 1, 0, &[0; 8])),
        ("PRIORITY", |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("a kind that nobody knows", |_| frame(0x42, 0, 0, b"?")),
    ];
    let (server, authority) = start(patient, Recorder::content());
    for (name, next) in floods {
        let mut sender = Sender::connect(&server, &authority).await;
        // A stream that stays open takes no part in it.
        assert!(sender.send(opened(1)).await);
        let reason = flood(&mut sender, next).await;
        assert!(matches!(reason, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR)), "{name}: {reason:?}");
        all_is_over(&server).await;
    }
    others_are_served(&server, &authority).await;
}

#[tokio::test]
async fn data_without_bytes_ends_the_connection() {
    let (server, authority) = start(patient, Recorder::content());
    let empty = frame(DATA, 0, 1, &[]);
    let padded = frame(DATA, 8, 1, &[[9].as_slice(), &[0; 9]].concat());
    for data in [empty, padded] {
        let mut sender = Sender::connect(&server, &authority).await;
        assert!(sender.send(opened(1)).await);
        assert_eq!(flood(&mut sender, |_| data.clone()).await, Some(ENHANCE_YOUR_CALM));
        all_is_over(&server).await;
    }
    others_are_served(&server, &authority).await;
}

#[tokio::test]
async fn a_flood_whose_answers_are_not_read_ends_as_well() {
    let (server, authority) = start(patient, Recorder::content());
    let (mut sender, _unread) = Sender::open(&server, &authority, &[]).await;
    let flood = async { while sender.send(frame(PING, 0, 0, &[0; 8]).repeat(1000)).await {} };
    timeout(Duration::from_secs(20), flood).await.expect("an end");
    others_are_served(&server, &authority).await;
    while server.metrics.connections.get() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_header_block_without_end_is_cut_off_at_the_limits_of_a_header() {
    let literal = delivery(&[("x", &"y".repeat(16_000))]);
    let unfinished = [&[0, 1, b'x', 127, 0xff, 0xff, 0x7f][..], &[b'y'; 16_000]].concat();
    let fields = block(&[("x", "y")]).repeat(1000);
    let (server, authority) = start(patient, Recorder::content());
    for (case, more) in [Vec::new(), literal, unfinished, fields].into_iter().enumerate() {
        let mut sender = Sender::connect(&server, &authority).await;
        assert!(sender.send(frame(HEADERS, 0, 1, &delivery(&[]))).await);
        let mut sent = 0;
        while sender.send(frame(CONTINUATION, 0, 1, &more)).await && !sender.is_over() {
            sent += 1;
            // So that what is sent is what is read, and nothing of it waits in a socket.
            sleep(Duration::from_millis(5)).await;
        }
        assert!(sent < 20, "case {case}: {sent}");
        all_is_over(&server).await;
    }
    assert!(server.door.requests().is_empty());
    others_are_served(&server, &authority).await;
}

#[tokio::test]
async fn a_small_block_that_means_a_huge_list_is_refused_and_not_kept() {
    let (server, authority) = start(patient, Recorder::content());
    let mut sender = Sender::connect(&server, &authority).await;
    // An entry of nearly the whole table, and then a byte for each time that it is meant.
    let mut bomb = delivery(&[]);
    bomb.extend_from_slice(&[0x40, 1, b'x', 127, 0xa0, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 127 + 0x20 + 0x1e * 128]);
    bomb.extend_from_slice(&[0x80 | 0x3e; 10_000]);
    assert!(sender.send(frame(HEADERS, WHOLE, 1, &bomb)).await);
    assert_eq!(sender.end_of(1).await, Ended::Gone(Some(ENHANCE_YOUR_CALM)));
    // One that is over the limit, and not as wide of it.
    let mut sender = Sender::connect(&server, &authority).await;
    bomb.truncate(bomb.len() - 10_000 + 9);
    assert!(sender.send(frame(HEADERS, WHOLE, 1, &bomb)).await);
    assert_eq!(sender.end_of(1).await, answer(431));
    assert!(sender.send(request(3)).await);
    assert_eq!(sender.end_of(3).await, answer(200));
    assert_eq!(server.door.requests().len(), 1);
}
