//! Bodies in chunks: where they end, and that no one can make two parsers disagree about it.

use crate::operator::server::testing::{Recorder, post, serve, server_settings};
use crate::request::BodyError;
use bytes::Bytes;

const HEAD: &str = "POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";

#[tokio::test]
async fn the_next_request_starts_exactly_behind_the_body_however_both_are_cut() {
    let request = format!("{HEAD}\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: z\r\n\r\n");
    let both = [request.as_bytes(), &post("/behind", "", b"ok")].concat();
    for trusted in [false, true] {
        let mut settings = server_settings();
        if trusted {
            settings.limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        }
        let server = serve(&settings, Recorder::content());
        let mut sender = server.connect().await;
        for cut in HEAD.len()..both.len() {
            let (first, rest) = both.split_at(cut);
            sender.send(first).await;
            tokio::task::yield_now().await;
            sender.send(rest).await;
            for _ in 0..2 {
                let answer = sender.receive().await;
                assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
            }
        }
        let requests = server.door.requests();
        assert_eq!(requests.len(), 2 * (both.len() - HEAD.len()));
        for pair in requests.chunks(2) {
            assert_eq!(pair[0], ("/in".to_owned(), Ok(Bytes::from_static(b"hello world"))));
            assert_eq!(pair[1], ("/behind".to_owned(), Ok(Bytes::from_static(b"ok"))));
        }
        assert_eq!(server.metrics.body_bytes.get(), 0);
    }
}

#[tokio::test]
async fn chunks_that_two_readers_could_take_differently_are_refused_with_what_stands_behind_them() {
    let server = serve(&server_settings(), Recorder::content());
    let smuggled = String::from_utf8(post("/smuggled", "", b"")).unwrap();
    let all = [
        // Whoever ends the line of a size at a bare line feed sees two requests in other places.
        "5;a=\n\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "\r\n\r\n",
        ";x\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "zz\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: 1\n\r\n\r\n",
        "5\r\nhello\r\n0\r\n folded\r\n\r\n",
    ];
    for chunks in all {
        for at_once in [false, true] {
            let mut sender = server.connect().await;
            if at_once {
                sender.send(format!("{HEAD}\r\n{chunks}{smuggled}")).await;
            } else {
                // The head is read by itself, and the body asked for.
                sender.send(format!("{HEAD}Expect: 100-continue\r\n\r\n")).await;
                assert_eq!(sender.receive().await.status, 100);
                sender.send(format!("{chunks}{smuggled}")).await;
            }
            let answer = sender.receive().await;
            let met = (answer.status, answer.header("connection"));
            assert_eq!(met, (400, Some("close")), "{chunks:?} at once: {at_once}");
            assert!(sender.is_closed().await, "{chunks:?} at once: {at_once}");
        }
    }
    let broken = ("/in".to_owned(), Err(BodyError::Broken));
    assert_eq!(server.door.requests(), vec![broken; 2 * all.len()]);
}

#[tokio::test]
async fn a_body_that_ends_before_its_last_chunk_is_broken() {
    let server = serve(&server_settings(), Recorder::content());
    for chunks in ["", "5", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
        let mut sender = server.connect().await;
        sender.send(format!("{HEAD}\r\n{chunks}")).await;
        tokio::io::AsyncWriteExt::shutdown(&mut sender.stream).await.unwrap();
        assert_eq!(sender.receive().await.status, 400, "{chunks:?}");
        assert!(sender.is_closed().await);
    }
}

#[tokio::test]
async fn framing_without_data_is_refused_before_it_has_cost_much() {
    let server = serve(&server_settings(), Recorder::content());
    let extended = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(100);
    let trailers = format!("0\r\n{}", "X: 1\r\n".repeat(200));
    for chunks in [extended, trailers] {
        let mut sender = server.connect().await;
        sender.send(format!("{HEAD}\r\n{chunks}")).await;
        assert_eq!(sender.receive().await.status, 400);
        assert!(sender.is_closed().await);
    }
}
