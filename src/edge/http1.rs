//! The life of an HTTP/1 connection.
//!
//! The head is read and checked here, as raw bytes and within our own deadline. Then the same bytes
//! go to a Pingora session, which parses them, reads the body and frames the answer. Pingora alone
//! would buffer up to 1 MiB of header without an overall deadline, and accept several ambiguities.

use super::body::{Announced, SessionBody};
use super::chunk_watch::{ChunkWatch, Released};
use super::head::{self, Judged, Scanner, Span};
use super::respond::{self, Framing};
use super::{Connection, Limits, Listener, client};
use crate::outcome::{Reason, Refusal};
use crate::request::RequestHead;
use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// The buffer of a waiting connection; it grows only when bytes arrive.
const FIRST_READ_BYTES: usize = 2 * 1024;

/// How long the rest of a refused request is read, so that the sender receives the answer: closing
/// a connection with unread bytes resets it, and a reset discards sent data.
const LINGER: Duration = Duration::from_secs(2);

/// The read buffer for that. Every refused connection may have one.
const LINGER_BYTES: usize = 4 * 1024;

/// How long a request that crosses with the stop signal is still accepted, so that it gets an
/// answer instead of a reset.
const LAST_CALL: Duration = Duration::from_millis(20);

/// Serves requests until the connection is closed by either side.
pub(super) async fn serve(mut connection: Connection<'_>, mut stream: Stream) {
    let mut buffer = BytesMut::new();
    let mut is_first = true;
    loop {
        let limits = connection.listener.limits.load_full();
        let read = if is_first {
            let deadline = connection.accepted + limits.header_timeout;
            connection.read_head(&mut stream, &mut buffer, &limits, Some(deadline)).await
        } else {
            connection.read_head(&mut stream, &mut buffer, &limits, None).await
        };
        is_first = false;
        let span = match read {
            Ok(span) => span,
            Err(NoHead::Gone) => return,
            Err(NoHead::Refused(refusal)) => {
                let refused = refuse(connection.listener, stream, refusal, connection.peer);
                return Box::pin(refused).await;
            }
        };
        // Boxed, so that a connection that waits does not hold the room of one that works.
        match Box::pin(connection.exchange(stream, &mut buffer, span, &limits)).await {
            Some(reusable) => stream = reusable,
            None => return,
        }
    }
}

/// Answers what did not become a request, and closes.
pub(super) async fn refuse(listener: &Listener, stream: Stream, refusal: Refusal, peer: IpAddr) {
    let limits = listener.limits.load_full();
    let reply = listener.responder.refuse(refusal, peer);
    let mut session = ServerSession::new_http1(stream);
    let sent = respond::write(&mut session, reply, Framing::UNKNOWN, limits.write_timeout).await;
    if sent.is_ok() {
        linger(session, limits.max_body_bytes).await;
    }
}

/// Why there is no head.
enum NoHead {
    /// Nothing is owed: the sender left, or had nothing to say.
    Gone,
    /// The sender gets an answer.
    Refused(Refusal),
}

impl Connection<'_> {
    /// Reads until the head is whole. Without a `deadline` the connection may first be idle, and
    /// the time for the head counts from its first byte.
    async fn read_head(
        &mut self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        limits: &Limits,
        deadline: Option<Instant>,
    ) -> Result<Span, NoHead> {
        if buffer.is_empty() {
            let idle = deadline.unwrap_or_else(|| Instant::now() + limits.idle_timeout);
            buffer.reserve(FIRST_READ_BYTES);
            let mut is_draining = false;
            let read = tokio::select! {
                biased;
                read = timeout_at(idle, stream.read_buf(buffer)) => read,
                () = drains(&mut self.shutdown) => {
                    is_draining = true;
                    timeout(LAST_CALL, stream.read_buf(buffer)).await
                }
            };
            match read {
                Ok(Ok(1..)) => {}
                Err(_) if deadline.is_some() && !is_draining => return Err(header_timeout()),
                Ok(Ok(0) | Err(_)) | Err(_) => return Err(NoHead::Gone),
            }
        }
        let deadline = deadline.unwrap_or_else(|| Instant::now() + limits.header_timeout);
        let mut scanner = Scanner::new(limits.max_header_bytes);
        loop {
            if let Some(span) = scanner.feed(buffer).map_err(NoHead::Refused)? {
                return Ok(span);
            }
            if buffer.len() == buffer.capacity() {
                buffer.reserve(buffer.len());
            }
            match timeout_at(deadline, stream.read_buf(buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(NoHead::Gone),
                Err(_) => return Err(header_timeout()),
            }
        }
    }

    /// Answers the request whose head is `span` of `buffer`. The stream comes back if another
    /// request may follow, and what is there of it already is left in `buffer`.
    async fn exchange(
        &self,
        stream: Stream,
        buffer: &mut BytesMut,
        span: Span,
        limits: &Limits,
    ) -> Option<Stream> {
        let listener = self.listener;
        let _request = listener.traffic.request();
        let judged = match head::judge(buffer.get(span.start..span.end).unwrap_or_default()) {
            Ok(judged) => judged,
            Err(refusal) => {
                refuse(listener, stream, refusal, self.peer).await;
                return None;
            }
        };
        let is_chunked = judged.is_chunked;
        let here = buffer.len() - span.end;
        let awaits_continue = judged.expects_continue && here == 0;
        let announced = if is_chunked || judged.declared.is_some() {
            Announced::on_http1(judged.declared, here, awaits_continue)
        } else {
            Announced::default()
        };

        buffer.advance(span.start);
        let stream = if is_chunked {
            ChunkWatch::over(stream, buffer.split_off(span.end - span.start))
        } else {
            stream
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelining_enabled(true);
        session.set_read_timeout(None); // ours covers the whole body
        session.set_pipelined_prefix(std::mem::take(buffer));
        // The head is whole, so this waits only if Pingora should read it differently.
        if !matches!(timeout(limits.header_timeout, session.read_request()).await, Ok(Ok(true))) {
            let refusal = head::bad("not a head to the second parser");
            let reply = listener.responder.refuse(refusal, self.peer);
            session.set_keepalive(None);
            let sent =
                respond::write(&mut session, reply, Framing::UNKNOWN, limits.write_timeout).await;
            if sent.is_ok() {
                linger(session, limits.max_body_bytes).await;
            }
            return None;
        }
        if judged.is_http_10 {
            session.set_keepalive(None);
        }

        let head = self.request_head(&session, judged, limits);
        let payer = client::accountable(head.client, &limits.trusted_proxies);
        let mut body = SessionBody::new(&mut session, limits, &listener.memory, payer, announced);
        let reply = if self.is_draining() {
            listener.responder.refuse(Refusal::new(Reason::ShuttingDown), head.client)
        } else {
            listener.responder.respond(head, &mut body).await
        };
        let is_body_read = body.is_read();
        if !is_body_read || self.is_draining() {
            session.set_keepalive(None);
        }
        let framing = Framing::of(session.req_header());
        respond::write(&mut session, reply, framing, limits.write_timeout).await.ok()?;
        if !is_body_read {
            linger(session, limits.max_body_bytes).await;
            return None;
        }
        reclaim(session, buffer, is_chunked, limits).await
    }

    fn request_head(
        &self,
        session: &ServerSession,
        judged: Judged,
        limits: &Limits,
    ) -> RequestHead {
        let parsed = session.req_header();
        let mut headers = parsed.headers.clone();
        let sender = client::identify(self.peer, self.tls, &mut headers, &limits.trusted_proxies);
        RequestHead {
            method: parsed.method.clone(),
            path: judged.path,
            query: judged.query,
            headers,
            client: sender.address,
            ignored_forwarding: sender.ignored,
            via: sender.via,
            host: judged.host,
            secure: sender.secure,
        }
    }
}

/// Waits for the signal to stop, or for the end of the one who would give it.
pub(super) async fn drains(shutdown: &mut ShutdownWatch) {
    drop(shutdown.wait_for(|is_draining| *is_draining).await);
}

fn header_timeout() -> NoHead {
    NoHead::Refused(Refusal::new(Reason::HeaderTimeout))
}

/// Says that nothing more comes, and reads on for a while what the sender still sends. Pingora would
/// read it into a large buffer that is counted nowhere, and does not always know where the request
/// ends, so only the sender's own end is one.
async fn linger(session: ServerSession, max_bytes: usize) {
    let ServerSession::H1(session) = session else {
        return;
    };
    let Some(Released { mut stream, .. }) = ChunkWatch::released(session.into_inner()) else {
        return;
    };
    let read_on = async {
        AsyncWriteExt::shutdown(&mut stream).await?;
        let mut scratch = BytesMut::with_capacity(LINGER_BYTES);
        let mut left = max_bytes;
        loop {
            scratch.clear();
            match stream.read_buf(&mut scratch).await? {
                0 => return Ok::<(), std::io::Error>(()),
                read => left = left.saturating_sub(read),
            }
            if left == 0 {
                return Ok(());
            }
        }
    };
    // However this ends, the connection is closed now.
    drop(timeout(LINGER, read_on).await);
}

/// The connection behind an exchange that is over, with the bytes that came after it in `buffer`;
/// nothing if its end is in doubt.
async fn reclaim(
    session: ServerSession,
    buffer: &mut BytesMut,
    is_chunked: bool,
    limits: &Limits,
) -> Option<Stream> {
    let finished = timeout(limits.write_timeout, session.finish()).await;
    let (stream, next) = finished.ok()?.ok()??.into_parts();
    let next = next.unwrap_or_default();
    if !is_chunked {
        *buffer = next;
        return Some(stream);
    }
    let released = ChunkWatch::released(stream)?;
    *buffer = released.behind;
    // Both readers have to find the same end.
    (released.is_at_end && next.is_empty()).then_some(released.stream)
}
