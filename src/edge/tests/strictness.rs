//! Ambiguous or too large requests are refused, counted and answered.

use crate::delivery::answer::{Answer, Success};
use crate::operator::server::testing::{Recorder, Seen, Server, post, serve, server_settings};
use crate::outcome::Reason;
use bytes::Bytes;
use std::time::Duration;

fn start() -> Server {
    serve(&server_settings(), Recorder::content())
}

/// Sends bytes on a connection of their own; the answer's status and reason. The connection must
/// then be closed, and nothing may have reached the door as a request.
async fn refused(bytes: &[u8]) -> (u16, String) {
    let server = start();
    let mut sender = server.connect().await;
    sender.send(bytes).await;
    let answer = sender.receive().await;
    assert_eq!(answer.header("hookward-outcome"), Some("rejected"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(sender.is_closed().await);
    assert_eq!(server.door.requests(), []);
    assert_eq!(server.door.refusals().len(), 1, "counted once");
    (answer.status, answer.reason())
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused_and_the_connection_closed() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    for (head, status) in [
        ("POST /in HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /in HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 400),
        (
            "POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        (
            "POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        ("POST /in HTTP/1.1\nHost: test\nContent-Length: 0\n\n", 400),
        ("POST /in HTTP/1.1\r\nHost: test\r\nX: a\n\r\n\r\n", 400),
        ("POST /in HTTP/1.1\r\nHost: test\r\n folded: x\r\n\r\n", 400),
        ("POST /in HTTP/1.1\r\nHost: test\r\nX : y\r\n\r\n", 400),
        ("GET /in\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("POST http://other/in HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        ("POST /in#x HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        ("POST /in HTTP/1.1\r\nHost: test\r\nExpect: tea\r\n\r\n", 417),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", 400),
    ] {
        let met = refused(format!("{head}{smuggled}").as_bytes()).await;
        assert_eq!(met, (status, "bad_request".to_owned()), "{head:?}");
    }
    let met = refused(b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n").await;
    assert_eq!(met, (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_header_over_its_limits_is_refused_without_being_kept() {
    let lines = "X-Filler: y\r\n".repeat(100);
    let met = refused(format!("POST /in HTTP/1.1\r\nHost: test\r\n{lines}\r\n").as_bytes()).await;
    assert_eq!(met, (431, "bad_request".to_owned()));
    let line = "a".repeat(32 * 1024);
    let met = refused(format!("POST /{line} HTTP/1.1\r\n").as_bytes()).await;
    assert_eq!(met, (431, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_header_of_exactly_the_limit_is_let_in() {
    let server = start();
    let start = "POST /in HTTP/1.1\r\nHost: test\r\nX: ";
    let filler = "x".repeat(32 * 1024 - start.len() - 2);
    let mut sender = server.connect().await;
    sender.send(format!("{start}{filler}\r\n\r\n")).await;
    assert_eq!(sender.receive().await.status, 200);
    sender.send(format!("{start}{filler}y\r\n\r\n")).await;
    assert_eq!(sender.receive().await.status, 431);
}

#[tokio::test]
async fn method_path_query_headers_and_sender_arrive_as_they_were_sent() {
    let server = start();
    let mut sender = server.connect().await;
    sender
        .send(
            "PATCH http://TEST/a%2Fb//c?d=%20&e HTTP/1.1\r\nHost: TEST\r\nX-A: 1\r\n\
             X-A:\t2 \r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        )
        .await;
    assert_eq!(sender.receive().await.status, 200);
    let [Seen::Request { head, .. }] = &server.door.seen()[..] else { panic!("one request") };
    assert_eq!(head.method, "PATCH");
    assert_eq!(head.path, "/a%2Fb//c");
    assert_eq!(head.query.as_deref(), Some("d=%20&e"));
    assert_eq!(head.host, "TEST");
    assert_eq!(head.headers.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert!(!head.headers.contains("x-forwarded-for"));
    assert_eq!(head.client, sender.stream.local_addr().unwrap().ip());
    assert!(!head.secure);
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_sender_is() {
    let mut settings = server_settings();
    settings.limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    let lines = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    sender.send(post("/in", lines, b"")).await;
    assert_eq!(sender.receive().await.status, 200);
    let [Seen::Request { head, .. }] = &server.door.seen()[..] else { panic!("one request") };
    assert_eq!((head.client.to_string().as_str(), head.secure), ("203.0.113.7", true));
    assert_eq!(head.via, Some(sender.stream.local_addr().unwrap().ip()));
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed_even_if_it_asks_to_stay() {
    let server = start();
    for lines in ["", "Connection: keep-alive\r\n"] {
        let mut sender = server.connect().await;
        let request = format!("POST /in HTTP/1.0\r\n{lines}Content-Length: 2\r\n\r\nok");
        sender.send(request).await;
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(sender.is_closed().await);
    }
}

#[tokio::test]
async fn an_upgrade_is_not_taken_up() {
    let server = start();
    let mut sender = server.connect().await;
    for _ in 0..2 {
        sender.send(post("/in", "Connection: Upgrade\r\nUpgrade: websocket\r\n", b"x")).await;
        assert_eq!(sender.receive().await.status, 200);
    }
    assert_eq!(server.door.requests().len(), 2, "still HTTP/1.1");
}

#[tokio::test]
async fn continue_is_said_when_the_body_is_wanted_and_the_connection_stays() {
    let server = start();
    let mut sender = server.connect().await;
    for _ in 0..2 {
        let head = "POST /in HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\
                    Content-Length: 5\r\n\r\n";
        sender.send(head).await;
        assert_eq!(sender.receive().await.status, 100);
        sender.send("hello").await;
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
    // Whoever has sent the body already is not told to.
    sender.send(post("/in", "Expect: 100-continue\r\n", b"hello")).await;
    assert_eq!(sender.receive().await.status, 200);
    assert_eq!(server.door.requests().len(), 3);
}

#[tokio::test]
async fn continue_is_not_said_when_the_body_is_not_wanted() {
    let refuse = |_: &_| Answer::refused(Reason::UnknownSource.into());
    let server = serve(&server_settings(), Recorder::new(false, Box::new(refuse)));
    let mut sender = server.connect().await;
    sender
        .send(
            "POST /in HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\
             Content-Length: 5\r\n\r\n",
        )
        .await;
    let answer = sender.receive().await;
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_large_body_is_received() {
    let refuse = |_: &_| Answer::refused(Reason::UnknownSource.into());
    let server = serve(&server_settings(), Recorder::new(false, Box::new(refuse)));
    let mut sender = server.connect().await;
    // More than the sockets hold: without reading on, the answer would be lost to a reset.
    sender.send(post("/in", "", &vec![b'x'; 1024 * 1024])).await;
    assert_eq!(sender.receive().await.status, 404);
    assert!(sender.is_closed().await);
}

#[tokio::test]
async fn a_refusal_after_a_body_that_was_read_keeps_the_connection() {
    let refuse = |_: &_| Answer::refused(Reason::SignatureMismatch.into());
    let server = serve(&server_settings(), Recorder::new(true, Box::new(refuse)));
    let mut sender = server.connect().await;
    for _ in 0..3 {
        sender.send(post("/in", "", b"forged")).await;
        let answer = sender.receive().await;
        assert_eq!((answer.status, answer.header("connection")), (401, Some("keep-alive")));
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start();
    let mut sender = server.connect().await;
    let mut bytes = Vec::new();
    for n in 0..5 {
        bytes.extend(post(&format!("/{n}"), "", format!("body {n}").as_bytes()));
    }
    sender.send(bytes).await;
    for _ in 0..5 {
        assert_eq!(sender.receive().await.status, 200);
    }
    let seen: Vec<_> = server.door.requests().into_iter().map(|(path, _)| path).collect();
    assert_eq!(seen, ["/0", "/1", "/2", "/3", "/4"]);
}

#[tokio::test]
async fn what_stands_behind_the_last_chunk_becomes_no_header() {
    let server = start();
    let mut sender = server.connect().await;
    for _ in 0..2 {
        let head = "POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        sender.send(format!("{head}2;x=y\r\nok\r\n0\r\nX-Trailer: z\r\n\r\n")).await;
        assert_eq!(sender.receive().await.status, 200);
    }
    for seen in server.door.seen() {
        let Seen::Request { head, body } = seen else { panic!("a request") };
        assert_eq!(body, Ok(Bytes::from_static(b"ok")));
        assert!(!head.headers.contains("x-trailer"));
    }
}

#[tokio::test]
async fn a_sender_that_half_closes_gets_its_answer() {
    let server = start();
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"hello")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut sender.stream).await.unwrap();
    assert_eq!(sender.receive().await.status, 200);
    assert_eq!(server.door.requests().len(), 1);
}

#[tokio::test]
async fn a_sender_that_hangs_up_leaves_nothing_behind() {
    let server = start();
    for bytes in
        [&b""[..], b"POST /in", b"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"]
    {
        let mut sender = server.connect().await;
        sender.send(bytes).await;
        while server.metrics.connections.get() != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(sender);
        while server.metrics.connections.get() != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(server.edge.traffic().requests(), 0);
    assert_eq!(server.metrics.body_bytes.get(), 0);
}

#[tokio::test]
async fn a_panic_costs_its_connection_and_nothing_else() {
    let panics = |head: &crate::request::RequestHead| {
        assert_ne!(head.path, "/panic", "on purpose");
        Answer::empty(Success::Delivered, 200)
    };
    let server = serve(&server_settings(), Recorder::new(true, Box::new(panics)));
    let mut sender = server.connect().await;
    sender.send(post("/panic", "", b"hello")).await;
    assert!(sender.is_closed().await);
    while server.metrics.connections.get() != 0 || server.metrics.body_bytes.get() != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(server.edge.traffic().requests(), 0);
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"hello")).await;
    assert_eq!(sender.receive().await.status, 200);
}
