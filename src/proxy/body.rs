//! Reading a request body whole, within size, time and memory.

use crate::proxy::limits::{Limits, SLOW_START};
use crate::proxy::memory::{BodyMemory, Share};
use crate::request::{Body, BodyError, BodySource};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The least that is reserved when a body comes in several pieces.
const GROWTH_BYTES: usize = 128 * 1024;

/// The body of the request that `session` is at.
pub(super) struct SessionBody<'a> {
    session: &'a mut ServerSession,
    limits: &'a Limits,
    memory: &'a Arc<BodyMemory>,
    declared: Option<usize>,
    awaits_continue: bool,
    is_broken: bool,
}

impl<'a> SessionBody<'a> {
    /// `awaits_continue`: the sender holds the body back until it is told `100 Continue`.
    pub(super) fn new(
        session: &'a mut ServerSession,
        limits: &'a Limits,
        memory: &'a Arc<BodyMemory>,
        declared: Option<usize>,
        awaits_continue: bool,
    ) -> Self {
        Self { session, limits, memory, declared, awaits_continue, is_broken: false }
    }

    /// Whether the connection is exactly behind this body, so that another request may follow.
    /// Pingora also calls a body done whose framing broke.
    pub(super) fn is_read(&mut self) -> bool {
        !self.is_broken && self.session.is_body_done()
    }

    async fn read_within_limits(
        &mut self,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Body, BodyError> {
        let max = self.limits.max_body_bytes;
        if self.declared.is_some_and(|bytes| bytes > max) {
            return Err(BodyError::TooLarge);
        }
        if self.session.is_body_done() {
            return Ok(Body::default());
        }
        let started = Instant::now();
        let mut share = self.memory.share();
        let mut pieces = Pieces::new(self.declared);
        if self.awaits_continue {
            let allowed = timeout_at(started + self.limits.body_timeout, self.send_continue());
            allowed.await.map_err(|_| BodyError::TimedOut)?.map_err(|_| BodyError::Broken)?;
        }
        loop {
            let deadline = started + self.time_for(pieces.len());
            let piece = match timeout_at(deadline, self.session.read_request_body()).await {
                Err(_) => return Err(BodyError::TimedOut),
                Ok(Err(_)) => return Err(BodyError::Broken),
                Ok(Ok(None)) => return Ok(pieces.into_body(share)),
                // Pingora shows a chunk boundary as an empty piece.
                Ok(Ok(Some(piece))) if piece.is_empty() => continue,
                Ok(Ok(Some(piece))) => piece,
            };
            if pieces.len() + piece.len() > max {
                return Err(BodyError::TooLarge);
            }
            if !share.grow(piece.len()) {
                return Err(BodyError::NoMemory);
            }
            seen(&piece);
            pieces.push(piece);
        }
    }

    /// How long after the start the next byte may come when `received` bytes are there.
    fn time_for(&self, received: usize) -> Duration {
        let whole = self.limits.body_timeout;
        match self.limits.min_body_rate {
            None | Some(0) => whole,
            Some(rate) => {
                let received = u64::try_from(received).unwrap_or(u64::MAX);
                let earned = Duration::from_millis(received.saturating_mul(1000) / rate);
                whole.min(SLOW_START + earned)
            }
        }
    }

    async fn send_continue(&mut self) -> pingora::Result<()> {
        // Pingora gives up keep-alive for any answer that precedes the end of the body, this
        // interim one included.
        self.session.set_close_on_response_before_downstream_finish(false);
        let sent = self.session.write_continue_response().await;
        self.session.set_close_on_response_before_downstream_finish(true);
        sent
    }
}

#[async_trait]
impl BodySource for SessionBody<'_> {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        let read = self.read_within_limits(seen).await;
        self.is_broken |= read.is_err();
        read
    }
}

/// What has arrived. A body that comes in one piece, as most do, is not copied again.
struct Pieces {
    declared: Option<usize>,
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn new(declared: Option<usize>) -> Self {
        Self { declared, first: Bytes::new(), all: BytesMut::new() }
    }

    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if !self.first.is_empty() {
            let ahead = self.declared.unwrap_or(GROWTH_BYTES).min(GROWTH_BYTES);
            self.all.reserve(ahead.max(self.first.len() + piece.len()));
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn into_body(self, share: Share) -> Body {
        let bytes = if self.all.is_empty() { self.first } else { self.all.freeze() };
        Body { bytes, held: Some(Box::new(share)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_in_order() {
        for sizes in [&[][..], &[3], &[1, 2, 3], &[64 * 1024, 1], &[200_000, 100_000, 7]] {
            let text: Vec<u8> = (0..sizes.iter().sum::<usize>())
                .filter_map(|n| u8::try_from(n % 251).ok())
                .collect();
            let mut pieces = Pieces::new(None);
            let mut rest = text.as_slice();
            for size in sizes {
                let (piece, behind) = rest.split_at(*size);
                pieces.push(Bytes::copy_from_slice(piece));
                rest = behind;
            }
            assert_eq!(pieces.len(), text.len());
            let memory = BodyMemory::new(0, None);
            assert!(pieces.into_body(memory.share()).bytes == text, "{sizes:?}");
        }
    }
}
