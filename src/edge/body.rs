//! Reading a request body whole, within size, time and memory: what both versions of HTTP share, and
//! HTTP/2. HTTP/1 is in [`wire_body`](super::wire_body).

use crate::edge::limits::{Limits, READ_BUFFER_BYTES, SLOW_START};
use crate::edge::memory::{BodyMemory, Share};
use crate::request::{Body, BodyError, BodySource};
use async_trait::async_trait;
use bytes::{BufMut as _, Bytes};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

/// The smallest buffer for a body in several pieces, up to its declared length.
const LEAST_ROOM_BYTES: usize = 512;

/// What a body may use.
pub(super) struct Allowance<'a> {
    pub(super) limits: &'a Limits,
    pub(super) memory: &'a Arc<BodyMemory>,
    /// The address that its memory is counted for.
    pub(super) payer: Option<IpAddr>,
}

impl Allowance<'_> {
    /// Nothing of a body that has this length, if the head declares one.
    ///
    /// # Errors
    /// It is over `max_body`.
    pub(super) fn room(&self, declared: Option<usize>) -> Result<Pieces, BodyError> {
        let max = self.limits.max_body_bytes;
        if declared.is_some_and(|bytes| bytes > max) {
            return Err(BodyError::TooLarge);
        }
        Ok(Pieces::new(self.memory.share(self.payer), declared, max))
    }

    /// How long after the start the next byte may come when `received` bytes are there.
    pub(super) fn time_for(&self, received: usize) -> Duration {
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
}

/// The body of the request that an HTTP/2 `session` is at. There is no `100 Continue`, which Pingora
/// cannot send there, and its windows bound what waits to be read.
pub(super) struct SessionBody<'a> {
    session: &'a mut ServerSession,
    allowance: Allowance<'a>,
    declared: Option<usize>,
}

impl<'a> SessionBody<'a> {
    pub(super) const fn new(
        session: &'a mut ServerSession,
        allowance: Allowance<'a>,
        declared: Option<usize>,
    ) -> Self {
        Self { session, allowance, declared }
    }
}

#[async_trait]
impl BodySource for SessionBody<'_> {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        let mut pieces = self.allowance.room(self.declared)?;
        if self.session.is_body_done() {
            return Ok(Body::default());
        }
        let started = Instant::now();
        loop {
            let deadline = started + self.allowance.time_for(pieces.len());
            let piece = match timeout_at(deadline, self.session.read_request_body()).await {
                Err(_) => return Err(BodyError::TimedOut),
                Ok(Err(_)) => return Err(BodyError::Broken),
                Ok(Ok(None)) => return Ok(pieces.into_body()),
                Ok(Ok(Some(piece))) if piece.is_empty() => continue,
                Ok(Ok(Some(piece))) => piece,
            };
            pieces.push(&piece)?;
            seen(&piece);
        }
    }
}

/// The received bytes, in memory that is accounted for before it is reserved. Each piece is copied,
/// because a piece can keep the whole buffer alive that it was cut from.
pub(super) struct Pieces {
    share: Share,
    declared: Option<usize>,
    max: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    const fn new(share: Share, declared: Option<usize>, max: usize) -> Self {
        Self { share, declared, max, bytes: Vec::new() }
    }

    /// How many bytes have arrived.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds bytes that were read already.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        self.make_room(piece.len(), LEAST_ROOM_BYTES)?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// As [`Self::push`], of a body whose rest is read from a stream.
    pub(super) fn begin(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        self.make_room(piece.len(), READ_BUFFER_BYTES)?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Adds what `stream` has next, at most up to the declared length; how many bytes those are, and
    /// none at its end.
    pub(super) async fn read_from(
        &mut self,
        stream: &mut Stream,
    ) -> Result<std::io::Result<usize>, BodyError> {
        let left = self.declared.unwrap_or(self.max).saturating_sub(self.len());
        self.make_room(left.min(1), READ_BUFFER_BYTES)?;
        let room = self.bytes.capacity() - self.len();
        Ok(stream.read_buf(&mut (&mut self.bytes).limit(room.min(left))).await)
    }

    /// What has arrived from the byte with this number on.
    pub(super) fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Counts room that is reserved elsewhere to read this body.
    pub(super) fn pay(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.share.grow(bytes)
    }

    /// Makes room for so many bytes more, and reserves at least `least` for a body of that length.
    fn make_room(&mut self, more: usize, least: usize) -> Result<(), BodyError> {
        let needed = self.len() + more;
        if needed > self.max {
            return Err(BodyError::TooLarge);
        }
        let room = self.bytes.capacity();
        if needed > room {
            // Twice what has arrived, so that a body is copied a few times and not once a piece.
            let most = self.declared.unwrap_or(self.max).max(needed);
            let larger = room.saturating_mul(2).max(least).max(needed).min(most);
            self.share.grow(larger - room)?;
            self.bytes.reserve_exact(larger - self.bytes.len());
        }
        Ok(())
    }

    pub(super) fn into_body(self) -> Body {
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
