//! Reads the rest of an answer after its head, and returns its connection to the pool.
//!
//! A 2xx body is collected up to [`WHOLE_BYTES`] and [`WHOLE_TIME`], and streamed beyond. Of other
//! answers only the head counts, and for the log the beginning of the body, if configured. A short
//! body is read and discarded, so that the connection can be used again.

use super::address::{Address, PendingRequest};
use super::answer_body::AnswerBody;
use super::answer_head::AnswerHead;
use super::connection::UpstreamConnection;
use super::{BrokenOff, ReplyBody, UpstreamAnswer};
use bytes::{Bytes, BytesMut};
use http::header;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

/// Bodies up to this size are collected completely.
const WHOLE_BYTES: usize = 64 * 1024;

/// How long collecting a body may take. The event is accepted with the head of the answer, and must
/// be settled without waiting for the whole body.
const WHOLE_TIME: Duration = Duration::from_secs(1);

/// How many pieces of a streamed body may wait for the sender's side: at most 512 KiB per answer.
const PIECES_AHEAD: usize = 8;

/// How much of an answer other than 2xx is read and discarded, and for how long.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// An answer whose head has arrived.
pub(super) struct ArrivedReply {
    pub(super) connection: UpstreamConnection,
    pub(super) head: AnswerHead,
    pub(super) body: AnswerBody,
    /// The request was written to its end, so the connection is in a known state afterwards.
    pub(super) request_complete: bool,
    /// Where its connection goes back to.
    pub(super) address: Arc<Address>,
    /// How long the connection is kept afterwards; `None`: not at all.
    pub(super) keep_alive: Option<Duration>,
    /// How much of a body other than a 2xx's is read, for the log.
    pub(super) error_bytes: usize,
    /// Places that are taken until the answer was read.
    pub(super) _held: Held,
}

impl ArrivedReply {
    /// Makes the answer of it. A 2xx that breaks off or stalls after its head stays a 2xx: the
    /// destination took the event. Its body is then empty, or cut where it was being streamed.
    pub(super) async fn into_answer(mut self, deadline: Instant) -> UpstreamAnswer {
        let status = self.head.status;
        let mut headers = std::mem::take(&mut self.head.headers);
        if !(200..300).contains(&status) {
            let told = self.first_bytes(deadline).await;
            if self.request_complete && self.body.is_done() {
                self.release();
            } else if self.request_complete {
                tokio::spawn(self.drain());
            }
            return UpstreamAnswer { status, headers, body: ReplyBody::Whole(told) };
        }
        let body = match self.collect(deadline).await {
            Collected::Whole(body) => {
                self.release();
                ReplyBody::Whole(body)
            }
            Collected::More(first) => self.stream(first, deadline),
            Collected::BrokenOff => {
                // The destination took the event, and that is what the sender has to know; a body
                // that is not whole is worth nothing to anybody.
                tracing::warn!(status, "an upstream accepted an event, but its answer broke off");
                headers.remove(header::CONTENT_TYPE);
                headers.remove(header::CONTENT_ENCODING);
                ReplyBody::Whole(Bytes::new())
            }
        };
        UpstreamAnswer { status, headers, body }
    }

    /// The beginning of the body, for the log alone: nothing if none of it is wanted.
    async fn first_bytes(&mut self, deadline: Instant) -> Bytes {
        let mut first = BytesMut::new();
        let until = deadline.min(Instant::now() + DRAIN_TIME);
        while first.len() < self.error_bytes {
            let Ok(Ok(Some(piece))) =
                timeout_at(until, self.body.piece(&mut self.connection)).await
            else {
                break;
            };
            first.extend_from_slice(&piece);
        }
        first.truncate(self.error_bytes);
        first.freeze()
    }

    async fn collect(&mut self, deadline: Instant) -> Collected {
        let until = deadline.min(Instant::now() + WHOLE_TIME);
        let mut first = Bytes::new();
        let mut collected = BytesMut::new();
        loop {
            match timeout_at(until, self.body.piece(&mut self.connection)).await {
                Ok(Ok(Some(piece))) if collected.is_empty() && first.is_empty() => first = piece,
                Ok(Ok(Some(piece))) => {
                    if collected.is_empty() {
                        collected = BytesMut::from(first.as_ref());
                    }
                    collected.extend_from_slice(&piece);
                }
                Ok(Ok(None)) => return Collected::Whole(joined(first, collected)),
                Err(_) if until < deadline => return Collected::More(joined(first, collected)),
                Ok(Err(_)) | Err(_) => return Collected::BrokenOff,
            }
            if first.len().max(collected.len()) > WHOLE_BYTES {
                return Collected::More(joined(first, collected));
            }
        }
    }

    /// Goes on reading in a task of its own, as fast as the pieces are taken.
    fn stream(self, first: Bytes, deadline: Instant) -> ReplyBody {
        // One place more, kept for the word that the body broke off: a full channel must not make
        // a cut body look complete.
        let (sender, rest) = mpsc::channel(PIECES_AHEAD + 1);
        if let Ok(last_word) = sender.clone().try_reserve_owned() {
            let ending = StreamEnding(Some(last_word));
            tokio::spawn(self.relay(sender, ending, deadline));
        }
        ReplyBody::Streamed { first, rest }
    }

    async fn relay(
        mut self,
        sender: mpsc::Sender<Result<Bytes, BrokenOff>>,
        mut ending: StreamEnding,
        deadline: Instant,
    ) {
        loop {
            match timeout_at(deadline, self.body.piece(&mut self.connection)).await {
                Ok(Ok(Some(piece))) if piece.is_empty() => {}
                Ok(Ok(Some(piece))) => {
                    if !matches!(timeout_at(deadline, sender.send(Ok(piece))).await, Ok(Ok(()))) {
                        return;
                    }
                }
                Ok(Ok(None)) => {
                    ending.0 = None;
                    self.release();
                    return;
                }
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Reads past a short body; a long or slow one costs the connection.
    async fn drain(mut self) {
        let whole = async {
            let mut read = 0;
            while let Ok(Some(piece)) = self.body.piece(&mut self.connection).await {
                read += piece.len();
                if read > DRAIN_BYTES {
                    return false;
                }
            }
            self.body.is_done()
        };
        if timeout(DRAIN_TIME, whole).await == Ok(true) {
            self.release();
        }
    }

    /// Gives the connection back, if both sides are through with their message and nothing came
    /// behind the answer.
    fn release(self) {
        let serves_again = self.request_complete
            && self.head.keeps_alive
            && self.body.is_done()
            && self.connection.unread.is_empty();
        let idle = self.keep_alive.and_then(|longest| idle_time(self.head.idle_seconds, longest));
        if let Some(idle) = idle.filter(|_| serves_again) {
            self.address.idle.keep(self.connection.into_stream(), idle);
        }
    }
}

enum Collected {
    Whole(Bytes),
    More(Bytes),
    BrokenOff,
}

/// Most answers come in one piece, which is not copied again.
fn joined(first: Bytes, collected: BytesMut) -> Bytes {
    if collected.is_empty() { first } else { collected.freeze() }
}

/// Reports that the body broke off unless it is told otherwise, even if the task is dropped.
struct StreamEnding(Option<mpsc::OwnedPermit<Result<Bytes, BrokenOff>>>);

impl Drop for StreamEnding {
    fn drop(&mut self) {
        if let Some(last_word) = self.0.take() {
            last_word.send(Err(BrokenOff));
        }
    }
}

/// How long to keep an idle connection: `longest`, and a second less than the destination says it
/// does (`Keep-Alive: timeout=5`), so that it is rarely closed while a request is on its way.
/// `None`: not at all.
fn idle_time(stated_seconds: Option<u64>, longest: Duration) -> Option<Duration> {
    match stated_seconds {
        Some(seconds) => {
            Some(Duration::from_secs(seconds).saturating_sub(Duration::from_secs(1)).min(longest))
                .filter(|idle| !idle.is_zero())
        }
        None => Some(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_given_up_before_the_destination_does() {
        for (stated, expected) in [
            (None, Some(20)),
            (Some(5), Some(4)),
            (Some(600), Some(20)),
            (Some(1), None),
            (Some(0), None),
        ] {
            let idle = idle_time(stated, Duration::from_secs(20));
            assert_eq!(idle, expected.map(Duration::from_secs), "{stated:?}");
        }
    }
}

/// Places that an exchange occupies until its answer has been read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _pending: PendingRequest,
    pub(super) _place: Option<OwnedSemaphorePermit>,
}
