//! HTTP/2 on the TLS listener: the same requests, limits and answers.

use super::tls::Authority;
use crate::config::ServerSettings;
use crate::delivery::answer::{Answer, Success};
use crate::operator::server::testing::{Recorder, Seen, Server, serve, server_settings};
use crate::operator::server::{Drained, Edge};
use crate::outcome::Reason;
use crate::request::BodyError;
use crate::upstream::{BrokenOff, ReplyBody};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Connection = JoinHandle<Result<(), h2::Error>>;

pub(super) fn start(
    change: impl FnOnce(&mut ServerSettings),
    door: Arc<Recorder>,
) -> (Server, Authority) {
    let authority = Authority::new();
    let mut settings = server_settings();
    settings.tls = Some(authority.issue());
    change(&mut settings);
    (serve(&settings, door), authority)
}

async fn connect(server: &Server, authority: &Authority) -> (SendRequest<Bytes>, Connection) {
    let stream = authority.connect(server, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(path: &str) -> http::request::Builder {
    Request::builder().method(Method::POST).uri(format!("https://test{path}"))
}

/// Sends a request with this body, in pieces as flow control allows; the answer and its body.
async fn exchange(
    sender: &mut SendRequest<Bytes>,
    request: http::request::Builder,
    mut body: Bytes,
) -> Result<(Response<()>, Bytes), h2::Error> {
    let request = request.body(()).unwrap();
    let mut ready = sender.clone().ready().await?;
    let (answer, mut stream) = ready.send_request(request, body.is_empty())?;
    let sending = async move {
        while !body.is_empty() {
            stream.reserve_capacity(body.len());
            match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(capacity)) => {
                    let piece = body.split_to(capacity.min(body.len()));
                    if stream.send_data(piece, body.is_empty()).is_err() {
                        break;
                    }
                }
                // The server has seen enough.
                _ => break,
            }
        }
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let (head, mut stream) = answer.await?.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await {
            let piece = piece?;
            stream.flow_control().release_capacity(piece.len())?;
            body.extend_from_slice(&piece);
        }
        Ok((Response::from_parts(head, ()), Bytes::from(body)))
    };
    tokio::select! {
        () = sending => unreachable!("the sending side waits"),
        received = timeout(Duration::from_secs(20), receiving) => received.expect("an answer"),
    }
}

#[tokio::test]
async fn bodies_of_every_size_arrive_with_and_without_a_length() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let (mut sender, _connection) = connect(&server, &authority).await;
    let mut expected = Vec::new();
    for size in [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 700_000, 1024 * 1024] {
        let body: Bytes = (0..size).filter_map(|n| u8::try_from(n % 251).ok()).collect();
        for declared in [false, true] {
            let mut request = request("/in?q=%20");
            if declared {
                request = request.header("content-length", size);
            }
            let (answer, _) = exchange(&mut sender, request, body.clone()).await.unwrap();
            assert_eq!(answer.status(), 200, "{size}");
            assert_eq!(answer.headers()["hookward-outcome"], "delivered");
            assert_eq!(answer.headers()["content-length"], "0");
            expected.push(("/in".to_owned(), Ok(body.clone())));
        }
    }
    assert!(server.door.requests() == expected);
    let Seen::Request { head, .. } = &server.door.seen()[0] else { panic!("a request") };
    assert_eq!((head.host.as_str(), head.query.as_deref()), ("test", Some("q=%20")));
    assert!(head.secure);
    assert_eq!(server.metrics.body_bytes.get(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_declared_or_not_and_the_connection_lives() {
    let (server, authority) =
        start(|settings| settings.limits.max_body_bytes = 1000, Recorder::content());
    let (mut sender, _connection) = connect(&server, &authority).await;
    let body = Bytes::from(vec![b'x'; 1001]);
    let declared = request("/in").header("content-length", 1001);
    for request in [request("/in"), declared] {
        let (answer, problem) = exchange(&mut sender, request, body.clone()).await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(problem.ends_with(br#""reason":"body_too_large"}"#));
    }
    let (answer, _) = exchange(&mut sender, request("/in"), body.slice(1..)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused_after_its_time() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.body_timeout = Duration::from_millis(100);
    };
    let (server, authority) = start(change, Recorder::content());
    let (sender, _connection) = connect(&server, &authority).await;
    let mut ready = sender.ready().await.unwrap();
    let (answer, mut stream) = ready.send_request(request("/in").body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(b"x"), false).unwrap();
    let answer = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(server.door.requests(), [("/in".to_owned(), Err(BodyError::TimedOut))]);
}

#[tokio::test]
async fn a_head_over_the_limits_or_with_a_foreign_expectation_is_refused() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let (mut sender, _connection) = connect(&server, &authority).await;
    let mut many = request("/in");
    for n in 0..101 {
        many = many.header(format!("x-{n}"), "y");
    }
    let large = request("/in").header("x-large", "y".repeat(33 * 1024));
    let expecting = request("/in").header("expect", "tea");
    for (request, status) in [(many, 431), (large, 431), (expecting, 417)] {
        let (answer, _) = exchange(&mut sender, request, Bytes::new()).await.unwrap();
        assert_eq!(answer.status(), status);
    }
    assert_eq!(server.door.requests(), []);
    let (answer, _) = exchange(&mut sender, request("/in"), Bytes::new()).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let script = |head: &crate::request::RequestHead| {
        assert_ne!(head.path, "/panic", "on purpose");
        Answer::empty(Success::Delivered, 200)
    };
    let (server, authority) = start(|_| {}, Recorder::new(true, Box::new(script)));
    let (mut sender, _connection) = connect(&server, &authority).await;
    let mut ready = sender.clone().ready().await.unwrap();
    let (_waiting, _body) = ready.send_request(request("/slow").body(()).unwrap(), false).unwrap();
    assert!(exchange(&mut sender, request("/panic"), Bytes::new()).await.is_err());
    let (answer, _) = exchange(&mut sender, request("/in"), Bytes::new()).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_one_that_ends_is_whole() {
    let script = |head: &crate::request::RequestHead| {
        let (sender, rest) = tokio::sync::mpsc::channel(2);
        sender.try_send(Ok(Bytes::from_static(b"second"))).unwrap();
        if head.path == "/broken" {
            sender.try_send(Err(BrokenOff)).unwrap();
        }
        let body = ReplyBody::Streamed { first: Bytes::from_static(b"first,"), rest };
        Answer { body, ..Answer::empty(Success::Delivered, 200) }
    };
    let (server, authority) = start(|_| {}, Recorder::new(true, Box::new(script)));
    let (mut sender, _connection) = connect(&server, &authority).await;
    let (_, body) = exchange(&mut sender, request("/whole"), Bytes::new()).await.unwrap();
    assert_eq!(body, "first,second");
    let broken = exchange(&mut sender, request("/broken"), Bytes::new()).await.unwrap_err();
    assert!(broken.is_reset());
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let refuse = |_: &_| Answer::refused(Reason::MethodNotAllowed.into());
    let (server, authority) = start(|_| {}, Recorder::new(true, Box::new(refuse)));
    let (mut sender, _connection) = connect(&server, &authority).await;
    let head = request("/in").method(Method::HEAD);
    let (answer, body) = exchange(&mut sender, head, Bytes::new()).await.unwrap();
    assert_eq!((answer.status().as_u16(), body.len()), (405, 0));
    assert_eq!(answer.headers()["allow"], "POST");
}

#[tokio::test]
async fn an_idle_connection_is_said_goodbye_to() {
    let change = |settings: &mut ServerSettings| {
        settings.limits.idle_timeout = Duration::from_millis(100);
    };
    let (server, authority) = start(change, Recorder::content());
    let (mut sender, connection) = connect(&server, &authority).await;
    let (answer, _) = exchange(&mut sender, request("/in"), Bytes::new()).await.unwrap();
    assert_eq!(answer.status(), 200);
    timeout(Duration::from_secs(5), connection).await.expect("closed").unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_then_closes() {
    let (server, authority) = start(|_| {}, Recorder::content());
    let (mut sender, connection) = connect(&server, &authority).await;
    let hold = server.door.gate.write().await;
    let mut waiting = sender.clone();
    let under_way = tokio::spawn(async move {
        exchange(&mut waiting, request("/in"), Bytes::from_static(b"hello")).await
    });
    while server.door.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let edge: Arc<Edge> = Arc::clone(&server.edge);
    let drain = tokio::spawn(server.running.drain());
    while !edge.is_draining() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = exchange(&mut sender, request("/late"), Bytes::new()).await;
    assert!(late.is_err() || late.is_ok_and(|(answer, _)| answer.status() == 503));
    assert!(!drain.is_finished());
    drop(hold);
    let (answer, _) = under_way.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    drop(sender);
    timeout(Duration::from_secs(5), connection).await.expect("closed").unwrap().unwrap();
    let drained = timeout(Duration::from_secs(5), drain).await.expect("over").unwrap();
    assert_eq!(drained, Drained::Finished);
}
