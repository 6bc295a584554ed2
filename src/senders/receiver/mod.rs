//! A receiver for trials: accepts any request, passes it to an [`ReceivedRequests`], and answers as
//! configured.
//!
//! `hookward receiver` prints what arrives or captures it for `explain` and `discover`; the demo
//! runs two of these as its ERP and CRM. Nothing here verifies anything.

pub mod capture;
pub mod show;

use bytes::{Bytes, BytesMut};
use hookward_time::{Clock, UnixMillis};
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::server::ReusableHttpStream;
use pingora::protocols::l4::stream::Stream as SocketStream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// The largest body that is taken; more is answered 413. Far above what webhooks send.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// How long a kept connection may idle, in seconds; above the idle time of proxies' pools.
const KEEPALIVE_SECONDS: u64 = 120;

/// How long accepting rests after it failed, as with too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its last byte had been read.
    pub at: UnixMillis,
    /// The method.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Header names as the sender wrote them, with the raw values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw body.
    pub body: Bytes,
}

impl Received {
    /// The first value of a header, if it is UTF-8; `name` in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// What is answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReply {
    /// The status; the body is empty.
    pub status: StatusCode,
    /// How long the answer is held back.
    pub delay: Duration,
}

/// Whoever looks at requests and decides their answers.
pub trait ReceivedRequests: Send + Sync + 'static {
    /// Takes one request; called once for each, from several tasks at once.
    fn receive(&self, request: &Received) -> ReceiverReply;
}

/// Serves until it is dropped.
pub async fn serve(
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    inbox: Arc<dyn ReceivedRequests>,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, Arc::clone(&clock), Arc::clone(&inbox)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// All requests of one connection.
async fn converse(stream: TcpStream, clock: Arc<dyn Clock>, inbox: Arc<dyn ReceivedRequests>) {
    let mut next: Option<(Stream, Option<BytesMut>)> =
        Some((Box::new(SocketStream::from(stream)), None));
    while let Some((stream, read_ahead)) = next {
        let mut session = ServerSession::new_http1(stream);
        if let Some(read_ahead) = read_ahead {
            session.set_pipelined_prefix(read_ahead);
        }
        let Ok(true) = exchange(&mut session, &*clock, &*inbox).await else {
            session.shutdown().await;
            return;
        };
        next = session.finish().await.ok().flatten().map(ReusableHttpStream::into_parts);
    }
}

/// One request and its answer; `false` if the connection is over.
async fn exchange(
    session: &mut ServerSession,
    clock: &dyn Clock,
    inbox: &dyn ReceivedRequests,
) -> pingora::Result<bool> {
    if !session.read_request().await? {
        return Ok(false);
    }
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(KEEPALIVE_SECONDS));
    }
    if session.get_header_bytes("expect").eq_ignore_ascii_case(b"100-continue") {
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            session.respond_error(413).await?;
            return Ok(false);
        }
        body.extend_from_slice(&chunk);
    }
    let request = received(session, clock.wall(), body.freeze());
    let reply = inbox.receive(&request);
    tokio::time::sleep(reply.delay).await;
    let mut head = ResponseHeader::build(reply.status, Some(1))?;
    if reply.status != StatusCode::NO_CONTENT && reply.status != StatusCode::NOT_MODIFIED {
        head.insert_header("Content-Length", "0")?;
    }
    session.write_response_header(Box::new(head)).await?;
    Ok(true)
}

fn received(session: &ServerSession, at: UnixMillis, body: Bytes) -> Received {
    let head = session.req_header();
    let headers = head
        .case_header_iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name.as_slice()).into_owned();
            (name, value.as_bytes().to_vec())
        })
        .collect();
    let target = String::from_utf8_lossy(head.raw_path()).into_owned();
    Received { at, method: head.method.to_string(), target, headers, body }
}
