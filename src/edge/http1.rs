//! The life of an HTTP/1 connection, from the bytes of its stream to those of its answers.
//!
//! A head is read against our own deadline into a buffer that grows only when bytes come, judged as raw
//! bytes, and kept as those. No other parser comes after it.

use super::body::Allowance;
use super::head::{self, HeadScanner, JudgedHead, Span};
use super::listener::{Connection, Listener, drains};
use super::wire_answer::{self, AnswerTerms};
use super::wire_body::{Announced, WireBody};
use super::{Limits, client};
use crate::outcome::{Reason, Refusal};
use crate::request::RequestHead;
use bytes::{Buf, BytesMut};
use http::{Method, Version};
use pingora::protocols::Stream;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

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
    let header_timeout = connection.listener.limits.load().header_timeout;
    let mut deadline = Some(connection.accepted + header_timeout);
    // One for all waits of the connection: to move its end on is cheaper than to start another.
    let mut timer = pin!(sleep_until(connection.accepted));
    loop {
        let limits = connection.listener.limits.load_full();
        let wait = Wait { timer: timer.as_mut(), deadline: deadline.take() };
        let read = connection.read_head(&mut stream, &mut buffer, &limits, wait).await;
        let span = match read {
            Ok(span) => span,
            Err(NoHead::Gone) => return,
            Err(NoHead::Refused(refusal)) => {
                let refused = refuse(connection.listener, &mut stream, refusal, connection.peer);
                return Box::pin(refused).await;
            }
        };
        // Boxed, so that a connection that waits does not hold the room of one that works.
        let after = Box::pin(connection.exchange(&mut stream, &mut buffer, span, &limits)).await;
        if after == AfterExchange::Closed {
            return;
        }
    }
}

/// Answers what did not become a request, and closes.
pub(super) async fn refuse(
    listener: &Listener,
    stream: &mut Stream,
    refusal: Refusal,
    peer: IpAddr,
) {
    let limits = listener.limits.load_full();
    let reply = listener.responder.refuse(refusal, peer);
    let sent =
        wire_answer::write(stream, reply, AnswerTerms::UNREADABLE, limits.write_timeout).await;
    if sent.is_ok() {
        linger(stream, limits.max_body_bytes).await;
    }
}

/// What becomes of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterExchange {
    /// It is exactly behind the request, and another may follow.
    Open,
    Closed,
}

/// Why there is no head.
enum NoHead {
    /// Nothing is owed: the sender left, or had nothing to say.
    Gone,
    /// The sender gets an answer.
    Refused(Refusal),
}

/// How long to wait for a head.
struct Wait<'a> {
    timer: Pin<&'a mut Sleep>,
    /// Without one the connection may first be idle, and the time for the head counts from its first
    /// byte.
    deadline: Option<Instant>,
}

impl Connection<'_> {
    /// Reads until the head is whole.
    async fn read_head(
        &mut self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        limits: &Limits,
        Wait { mut timer, mut deadline }: Wait<'_>,
    ) -> Result<Span, NoHead> {
        if deadline.is_none() {
            skip_empty_lines(buffer);
        }
        timer.as_mut().reset(deadline.unwrap_or_else(|| Instant::now() + limits.idle_timeout));
        let mut is_draining = false;
        while buffer.is_empty() {
            buffer.reserve(FIRST_READ_BYTES);
            let read = tokio::select! {
                biased;
                read = stream.read_buf(buffer) => Some(read),
                () = timer.as_mut() => None,
                () = drains(&mut self.shutdown), if !is_draining => {
                    is_draining = true;
                    timer.as_mut().reset(Instant::now() + LAST_CALL);
                    continue;
                }
            };
            match read {
                Some(Ok(1..)) => {}
                None if deadline.is_some() && !is_draining => return Err(header_timeout()),
                Some(Ok(0) | Err(_)) | None => return Err(NoHead::Gone),
            }
            if deadline.is_none() {
                skip_empty_lines(buffer);
            }
        }
        let mut scanner = HeadScanner::new(limits.max_header_bytes);
        loop {
            if let Some(span) = scanner.feed(buffer).map_err(NoHead::Refused)? {
                return Ok(span);
            }
            if buffer.len() == buffer.capacity() {
                buffer.reserve(buffer.len());
            }
            let until = *deadline.get_or_insert_with(|| Instant::now() + limits.header_timeout);
            match timeout_at(until, stream.read_buf(buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(NoHead::Gone),
                Err(_) => return Err(header_timeout()),
            }
        }
    }

    /// Answers the request whose head is `span` of `buffer`. What is there of the next request is left
    /// in `buffer`.
    async fn exchange(
        &self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        span: Span,
        limits: &Limits,
    ) -> AfterExchange {
        let listener = self.listener;
        let _request = listener.traffic.request();
        buffer.advance(span.start);
        let head = buffer.split_to(span.end - span.start).freeze();
        let judged = match head::judge(&head) {
            Ok(judged) => judged,
            Err(refusal) => {
                refuse(listener, stream, refusal, self.peer).await;
                return AfterExchange::Closed;
            }
        };
        drop(head);
        let announced = match judged.declared {
            _ if judged.is_chunked => Announced::Chunks,
            declared => Announced::Length(declared.unwrap_or(0)),
        };
        let awaits_continue = judged.expects_continue && buffer.is_empty();
        let (closes, is_http_10) = (judged.closes, judged.version == Version::HTTP_10);
        let is_head = judged.method == Method::HEAD;

        let head = self.request_head(judged, limits);
        let payer = client::accountable(head.client, &limits.trusted_proxies);
        let allowance = Allowance { limits, memory: &listener.memory, payer };
        let mut body = WireBody::new(stream, buffer, allowance, announced, awaits_continue);
        let reply = if self.is_draining() {
            listener.responder.refuse(Refusal::new(Reason::ShuttingDown), head.client)
        } else {
            listener.responder.respond(head, &mut body).await
        };
        let body_is_read = body.is_read();
        let stays = body_is_read && !closes && !self.is_draining();
        let asked = AnswerTerms { is_head, is_http_10, stays };
        // What a large request took is not kept while it is answered, nor until the next one. What
        // is left of one that is not read to its end is never read.
        if !body_is_read {
            *buffer = BytesMut::new();
        } else if announced == Announced::Chunks || span.end > FIRST_READ_BYTES {
            *buffer = BytesMut::from(buffer.as_ref());
        }
        if wire_answer::write(stream, reply, asked, limits.write_timeout).await.is_err() {
            return AfterExchange::Closed;
        }
        if !body_is_read {
            linger(stream, limits.max_body_bytes).await;
        } else if !stays {
            say_goodbye(stream, limits.write_timeout).await;
        }
        if stays { AfterExchange::Open } else { AfterExchange::Closed }
    }

    fn request_head(&self, judged: JudgedHead, limits: &Limits) -> RequestHead {
        let mut headers = judged.lines;
        let sender = client::identify(self.peer, self.tls, &mut headers, &limits.trusted_proxies);
        RequestHead {
            method: judged.method,
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

/// Empty lines behind a request begin no other one (RFC 9112 section 2.2): the connection stays idle.
fn skip_empty_lines(buffer: &mut BytesMut) {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
}

fn header_timeout() -> NoHead {
    NoHead::Refused(Refusal::new(Reason::HeaderTimeout))
}

/// Says that nothing more comes. What has arrived by now, as a line break behind the body, is read: a
/// connection that is closed over unread bytes is reset, and the sender may lose its answer.
async fn say_goodbye(stream: &mut Stream, within: Duration) {
    // However this ends, the connection is closed now.
    drop(timeout(within, AsyncWriteExt::shutdown(stream)).await);
    let mut scratch = BytesMut::with_capacity(LINGER_BYTES);
    drop(timeout(Duration::ZERO, stream.read_buf(&mut scratch)).await);
}

/// Says that nothing more comes, and reads on for a while what the sender still sends. Where the
/// request ends is in doubt here, so only the sender's own end is one.
async fn linger(stream: &mut Stream, max_bytes: usize) {
    let read_on = async {
        AsyncWriteExt::shutdown(stream).await?;
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
