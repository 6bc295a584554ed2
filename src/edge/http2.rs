//! The life of an HTTP/2 connection, which exists on TLS only.
//!
//! Pingora (the `h2` crate) handles frames, header blocks and flow control. Deadlines, limits and
//! the check of a head are ours, because Pingora has no timeout on this side.
//! [`frame_watch`](super::frame_watch) watches for useless frames.

use super::body::{Allowance, SessionBody};
use super::frame_watch::FrameWatch;
use super::listener::{Connection, Listener, drains};
use super::memory::PARTS;
use super::respond::{BodyEnds, HttpReply, Unsent, within};
use super::traffic::Open;
use super::{Limits, client, head, malformed, target};
use crate::edge::head::MAX_HEADER_LINES;
use crate::field_lines::FieldLines;
use crate::outcome::{Reason, Refusal};
use crate::request::RequestHead;
use crate::upstream::ReplyBody;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Requests at once on a connection.
const MAX_STREAMS: u32 = 100;

/// The flow-control windows for one request and for a whole connection: enough for a body of the
/// default size within a few round trips.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// The most requests under way on a connection. A stream that the sender resets is free for it, but
/// its request may continue; twice as many allow for a sender that resets all of them and retries.
const MAX_UNDER_WAY: usize = 2 * MAX_STREAMS as usize;

/// Streams that `h2` resets by itself (malformed ones, more at once than [`MAX_STREAMS`], windows that
/// overflow) after which it ends a connection: a sender that does not know our settings yet may open
/// that many.
const MAX_RESETS: usize = 2 * MAX_STREAMS as usize;

/// How many malformed requests end a connection.
const MAX_MALFORMED: usize = 32;

/// `ENHANCE_YOUR_CALM` and `REFUSED_STREAM`, RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;
const REFUSED_STREAM: u32 = 0x7;

/// How long a connection may take to end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves requests until the connection is closed by either side.
pub(super) async fn serve(mut connection: Connection<'_>, stream: Stream) {
    let limits = connection.listener.limits.load_full();
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let (watched, fault) = FrameWatch::over(stream, limits.header_timeout);
    let deadline = connection.accepted + limits.header_timeout;
    let greeting = handshake(watched, Some(options(&limits)));
    let Ok(Ok(mut frames)) = timeout_at(deadline, greeting).await else {
        return;
    };
    let active = Arc::new(AtomicUsize::new(0));
    let mut malformed = 0;
    let mut is_closing = false;
    // As on HTTP/1, the first request has to come within the time of a header.
    let mut look_at = deadline;
    loop {
        let accepted = tokio::select! {
            biased;
            () = drains(&mut connection.shutdown), if !is_closing => {
                frames.graceful_shutdown();
                is_closing = true;
                // Streams under way end as they end; the drain has its own limit.
                look_at = Instant::now() + limits.idle_timeout;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut frames, Arc::clone(&digest)) => accepted,
            () = tokio::time::sleep_until(look_at) => {
                if active.load(Ordering::Acquire) > 0 {
                    look_at = Instant::now() + limits.idle_timeout;
                } else if is_closing {
                    return;
                } else {
                    frames.graceful_shutdown();
                    is_closing = true;
                    look_at = Instant::now() + GOODBYE;
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                look_at = Instant::now() + limits.idle_timeout;
                connection.begin(session, &active);
            }
            Ok(Some(H2Accept::Rejected)) => {
                // Pingora has answered or reset it; here it is counted and logged.
                connection.refuse(malformed::bad("an HTTP/2 request with an ambiguous head"));
                malformed += 1;
                if malformed >= MAX_MALFORMED {
                    break;
                }
            }
            Ok(None) => return,
            Err(_) => match fault.get() {
                Some(refusal) => {
                    connection.refuse(refusal.clone());
                    break;
                }
                None => return,
            },
        }
    }
    frames.abrupt_shutdown(ENHANCE_YOUR_CALM.into());
    let farewell = std::future::poll_fn(|context| frames.poll_closed(context));
    // However this ends, the connection is closed now.
    drop(timeout(GOODBYE, farewell).await);
}

impl Connection<'_> {
    /// Serves a request in a task of its own: streams do not wait for each other, and a panic ends
    /// one. Without a place for it, it is refused.
    fn begin(&self, mut session: HttpSession, active: &Arc<AtomicUsize>) {
        let place = match self.place(active) {
            Ok(place) => place,
            Err(refusal) => {
                self.refuse(refusal);
                return session.shutdown_with_reason(REFUSED_STREAM.into());
            }
        };
        let request = StreamRequest {
            listener: Arc::clone(self.listener),
            peer: self.peer,
            shutdown: self.shutdown.clone(),
            _active: ActiveStreams::count(active),
            _place: place,
        };
        tokio::spawn(request.exchange(session));
    }

    /// A place for one request more. Over all connections there are as many as connections may be
    /// open, so that a request costs no more on HTTP/2 than on HTTP/1; one address gets a part.
    fn place(&self, active: &AtomicUsize) -> Result<Open, Refusal> {
        let too_many = |where_to| Refusal::because(Reason::Overloaded, where_to);
        if active.load(Ordering::Acquire) >= MAX_UNDER_WAY {
            return Err(too_many("too many requests under way on a connection"));
        }
        let limits = self.listener.limits.load();
        let max = limits.max_connections.max(MAX_UNDER_WAY);
        let per_address = client::accountable(self.peer, &limits.trusted_proxies)
            .map(|peer| (peer, (max / PARTS).max(MAX_UNDER_WAY)));
        let place = self.listener.traffic.stream(max, per_address);
        place.ok_or_else(|| too_many("too many requests of HTTP/2 under way"))
    }

    /// Counts and logs what gets no answer of ours.
    fn refuse(&self, refusal: Refusal) {
        drop(self.listener.responder.refuse(refusal, self.peer));
    }
}

fn options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .max_local_error_reset_streams(Some(MAX_RESETS))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}

/// One stream of a connection.
struct StreamRequest {
    listener: Arc<Listener>,
    peer: IpAddr,
    shutdown: ShutdownWatch,
    _active: ActiveStreams,
    _place: Open,
}

impl StreamRequest {
    async fn exchange(self, session: HttpSession) {
        let _request = self.listener.traffic.request();
        let limits = self.listener.limits.load_full();
        let mut session = ServerSession::new_http2(session);
        let is_head = session.req_header().method == Method::HEAD;
        let judged = if *self.shutdown.borrow() {
            Err(Refusal::new(Reason::ShuttingDown))
        } else {
            judge(session.req_header(), self.peer, &limits)
        };
        let reply = match judged {
            Ok((head, declared)) => {
                let memory = &self.listener.memory;
                let payer = client::accountable(head.client, &limits.trusted_proxies);
                let allowance = Allowance { limits: &limits, memory, payer };
                let mut body = SessionBody::new(&mut session, allowance, declared);
                self.listener.responder.respond(head, &mut body).await
            }
            Err(refusal) => self.listener.responder.refuse(refusal, self.peer),
        };
        if answer(&mut session, reply, is_head, limits.write_timeout).await.is_err() {
            // A reset, so that what there is of the answer is not taken for all of it.
            session.shutdown().await;
            return;
        }
        drop(timeout(GOODBYE, read_on(&mut session, limits.max_body_bytes)).await);
        // The answer is out; an error here is the sender's leaving.
        drop(session.finish().await);
    }
}

/// Writes an answer whole; each single write may take `limit`.
async fn answer(
    session: &mut ServerSession,
    reply: HttpReply,
    is_head: bool,
    limit: Duration,
) -> Result<(), Unsent> {
    let ends = reply.ends();
    let mut head =
        ResponseHeader::build(reply.status, Some(reply.headers.len() + 3)).map_err(|_| Unsent)?;
    for (name, value) in reply.kept() {
        head.append_header(name, value.clone()).map_err(|_| Unsent)?;
    }
    if let BodyEnds::After(length) = ends {
        head.append_header(CONTENT_LENGTH, HeaderValue::from(length)).map_err(|_| Unsent)?;
    }
    within(limit, session.write_response_header(Box::new(head))).await?;
    let has_body = ends != BodyEnds::Never && !is_head;
    match reply.body {
        ReplyBody::Streamed { first, mut rest } if has_body => {
            within(limit, session.write_response_body(first, false)).await?;
            while let Some(piece) = rest.recv().await {
                // An upstream that breaks off must not look like one that was finished.
                let piece = piece.map_err(|_| Unsent)?;
                within(limit, session.write_response_body(piece, false)).await?;
            }
            within(limit, session.write_response_body(Bytes::new(), true)).await
        }
        ReplyBody::Whole(bytes) if has_body => {
            within(limit, session.write_response_body(bytes, true)).await
        }
        ReplyBody::Whole(_) | ReplyBody::Streamed { .. } => {
            within(limit, session.write_response_body(Bytes::new(), true)).await
        }
    }
}

/// Reads what is left of a refused request, so that the sender gets to its answer.
async fn read_on(session: &mut ServerSession, max_bytes: usize) {
    let mut left = max_bytes;
    while left > 0 && !session.is_body_done() {
        match session.read_request_body().await {
            Ok(Some(piece)) => left = left.saturating_sub(piece.len()),
            Ok(None) | Err(_) => return,
        }
    }
}

fn judge(
    parsed: &RequestHeader,
    peer: IpAddr,
    limits: &Limits,
) -> Result<(RequestHead, Option<usize>), Refusal> {
    if parsed.method == Method::CONNECT {
        return Err(Refusal::because(Reason::MethodNotAllowed, "CONNECT"));
    }
    if parsed.headers.len() > MAX_HEADER_LINES {
        return Err(malformed::too_large("more than 100 header lines"));
    }
    let host = match parsed.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => parsed.headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default(),
    };
    let host = target::judge_host(Bytes::copy_from_slice(host))?;
    let target = parsed.uri.path_and_query().map_or("", |target| target.as_str());
    let target = target::judge_target_bytes(target.as_bytes())?;
    if !target.starts_with('/') {
        return Err(malformed::bad(":path is not a path"));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let declared = declared_length(&parsed.headers)?;
    if parsed
        .headers
        .get(EXPECT)
        .is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(malformed::unexpected());
    }
    let mut headers = FieldLines::from(&parsed.headers);
    join_cookies(&mut headers);
    let sender = client::identify(peer, true, &mut headers, &limits.trusted_proxies);
    let head = RequestHead {
        method: parsed.method.clone(),
        path: path.to_owned(),
        query,
        headers,
        client: sender.address,
        ignored_forwarding: sender.ignored,
        via: sender.via,
        host,
        secure: sender.secure,
    };
    Ok((head, declared))
}

/// Makes one line of the pieces that a cookie may come in on HTTP/2, as HTTP/1 knows one line only
/// (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut FieldLines) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.set(&COOKIE, &whole);
    }
}

fn declared_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => head::content_length(value.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(malformed::bad("Content-Length appears twice")),
    }
}

/// Counts an active stream while it lives.
struct ActiveStreams(Arc<AtomicUsize>);

impl ActiveStreams {
    fn count(active: &Arc<AtomicUsize>) -> Self {
        active.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(active))
    }
}

impl Drop for ActiveStreams {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
