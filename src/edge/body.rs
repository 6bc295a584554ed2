//! Reads a complete request body, within limits of size, time and memory.

use crate::config::READ_BUFFER_BYTES;
use crate::edge::limits::{Limits, SLOW_START};
use crate::edge::memory::{BodyMemory, Share};
use crate::request::{Body, BodyError, BodySource};
use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The smallest buffer for a body in several pieces, up to its declared length.
const LEAST_ROOM_BYTES: usize = 512;

/// What a head says about its body, and what reading it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announced {
    /// Its length in bytes, where the head says it.
    pub(super) declared: Option<usize>,
    /// The sender holds the body back until it is told `100 Continue`.
    pub(super) awaits_continue: bool,
    /// What the session reserves to read it.
    pub(super) read_buffer_bytes: usize,
}

impl Announced {
    /// On HTTP/1, with `here` bytes of it read already. Chunks are read from their first byte on.
    pub(super) fn on_http1(declared: Option<usize>, here: usize, awaits_continue: bool) -> Self {
        let to_come = declared.map_or(READ_BUFFER_BYTES, |bytes| bytes.saturating_sub(here));
        Self { declared, awaits_continue, read_buffer_bytes: to_come.min(READ_BUFFER_BYTES) }
    }

    /// On HTTP/2. There is no `100 Continue`, which Pingora cannot send there, and its windows bound
    /// what waits to be read.
    pub(super) fn on_http2(declared: Option<usize>) -> Self {
        Self { declared, ..Self::default() }
    }
}

/// The body of the request that `session` is at.
pub(super) struct SessionBody<'a> {
    session: &'a mut ServerSession,
    limits: &'a Limits,
    memory: &'a Arc<BodyMemory>,
    payer: Option<IpAddr>,
    announced: Announced,
    is_broken: bool,
}

impl<'a> SessionBody<'a> {
    /// `payer`: the address that its memory is counted for.
    pub(super) fn new(
        session: &'a mut ServerSession,
        limits: &'a Limits,
        memory: &'a Arc<BodyMemory>,
        payer: Option<IpAddr>,
        announced: Announced,
    ) -> Self {
        Self { session, limits, memory, payer, announced, is_broken: false }
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
        let Announced { declared, awaits_continue, read_buffer_bytes } = self.announced;
        if declared.is_some_and(|bytes| bytes > max) {
            return Err(BodyError::TooLarge);
        }
        if self.session.is_body_done() {
            return Ok(Body::default());
        }
        let started = Instant::now();
        let mut share = self.memory.share(self.payer);
        share.grow(read_buffer_bytes)?;
        let mut pieces = Pieces::new(share, declared, max);
        if awaits_continue {
            let allowed = timeout_at(started + self.limits.body_timeout, self.send_continue());
            allowed.await.map_err(|_| BodyError::TimedOut)?.map_err(|_| BodyError::Broken)?;
        }
        loop {
            let deadline = started + self.time_for(pieces.len());
            let piece = match timeout_at(deadline, self.session.read_request_body()).await {
                Err(_) => return Err(BodyError::TimedOut),
                Ok(Err(_)) => return Err(BodyError::Broken),
                Ok(Ok(None)) => return Ok(pieces.into_body()),
                // Pingora shows a chunk boundary as an empty piece.
                Ok(Ok(Some(piece))) if piece.is_empty() => continue,
                Ok(Ok(Some(piece))) => piece,
            };
            pieces.push(&piece)?;
            seen(&piece);
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

/// The received bytes, in memory that is accounted for before it is reserved. Each piece is copied,
/// because a piece can keep the whole buffer alive that it was cut from.
struct Pieces {
    share: Share,
    declared: Option<usize>,
    max: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    const fn new(share: Share, declared: Option<usize>, max: usize) -> Self {
        Self { share, declared, max, bytes: Vec::new() }
    }

    const fn len(&self) -> usize {
        self.bytes.len()
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        let needed = self.len() + piece.len();
        if needed > self.max {
            return Err(BodyError::TooLarge);
        }
        let room = self.bytes.capacity();
        if needed > room {
            // Twice what has arrived, so that a body is copied a few times and not once a piece.
            let most = self.declared.unwrap_or(self.max).max(needed);
            let larger = room.saturating_mul(2).max(LEAST_ROOM_BYTES).max(needed).min(most);
            self.share.grow(larger - room)?;
            self.bytes.reserve_exact(larger - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn into_body(self) -> Body {
        Body { bytes: Bytes::from(self.bytes), held: Some(Box::new(self.share)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::IntGauge;

    const MAX: usize = 1024 * 1024;

    /// A body of these pieces, and what is counted for it at the end.
    fn body_of(
        declared: Option<usize>,
        sizes: &[usize],
    ) -> (Result<Body, BodyError>, usize, usize) {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let memory = BodyMemory::new(usize::MAX, MAX, Some(gauge.clone()));
        let mut pieces = Pieces::new(memory.share(None), declared, MAX);
        for size in sizes {
            if let Err(fault) = pieces.push(&pattern(pieces.len(), *size)) {
                return (Err(fault), 0, 0);
            }
        }
        let room = pieces.bytes.capacity();
        (Ok(pieces.into_body()), room, usize::try_from(gauge.get()).unwrap())
    }

    fn pattern(from: usize, size: usize) -> Vec<u8> {
        (from..from + size).filter_map(|n| u8::try_from(n % 251).ok()).collect()
    }

    #[test]
    fn pieces_make_the_whole_in_order() {
        for sizes in [&[][..], &[3], &[1, 2, 3], &[64 * 1024, 1], &[200_000, 100_000, 7]] {
            let whole = pattern(0, sizes.iter().sum());
            let (body, ..) = body_of(None, sizes);
            assert!(body.unwrap().bytes == whole, "{sizes:?}");
        }
    }

    #[test]
    fn what_is_counted_is_what_is_reserved_and_that_is_paid_for() {
        for (declared, sizes, most) in [
            (None, &[1, 1][..], LEAST_ROOM_BYTES),
            (Some(2), &[1, 1], 2),
            (Some(MAX), &[1, 1], LEAST_ROOM_BYTES),
            (Some(MAX), &[1000, 1], 2000),
            (Some(1001), &[1000, 1], 1001),
            (None, &[700_000, 1], MAX),
            (None, &[64 * 1024], 64 * 1024),
        ] {
            let (body, room, counted) = body_of(declared, sizes);
            assert_eq!(counted, room, "{declared:?} {sizes:?}");
            assert!(counted <= most, "{counted} for {declared:?} {sizes:?}");
            drop(body);
        }
    }

    #[test]
    fn a_body_is_given_back_when_it_is_dropped_and_one_over_the_limit_is_refused() {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let memory = BodyMemory::new(1000, 1000, Some(gauge.clone()));
        let mut pieces = Pieces::new(memory.share(None), None, 2000);
        assert_eq!(pieces.push(&[0; 600]), Ok(()));
        assert_eq!(pieces.push(&[0; 401]), Err(BodyError::NoMemory));
        assert_eq!(pieces.push(&[0; 1401]), Err(BodyError::TooLarge));
        drop(pieces.into_body());
        assert_eq!(gauge.get(), 0);
    }
}
