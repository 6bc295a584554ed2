//! The body of an HTTP/1 request, from the bytes behind its head and those that follow.

use super::body::{Allowance, Pieces};
use super::chunks::ChunkScanner;
use crate::edge::limits::READ_BUFFER_BYTES;
use crate::request::{Body, BodyError, BodySource};
use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::Stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// What the head says of the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// So many bytes; none where the head says nothing.
    Length(usize),
    /// Chunks.
    Chunks,
}

/// How far a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    Unread,
    Read,
    Broken,
}

/// The body of the request that a connection is at.
pub(super) struct WireBody<'a> {
    stream: &'a mut Stream,
    /// What was read behind the head; what is behind the body stays in it.
    buffer: &'a mut BytesMut,
    allowance: Allowance<'a>,
    announced: Announced,
    /// The sender holds the body back until it is told `100 Continue`.
    awaits_continue: bool,
    progress: BodyProgress,
}

impl<'a> WireBody<'a> {
    pub(super) const fn new(
        stream: &'a mut Stream,
        buffer: &'a mut BytesMut,
        allowance: Allowance<'a>,
        announced: Announced,
        awaits_continue: bool,
    ) -> Self {
        let progress = match announced {
            Announced::Length(0) => BodyProgress::Read,
            Announced::Length(_) | Announced::Chunks => BodyProgress::Unread,
        };
        Self { stream, buffer, allowance, announced, awaits_continue, progress }
    }

    /// Whether the connection is exactly behind this body, so that another request may follow.
    pub(super) fn is_read(&self) -> bool {
        self.progress == BodyProgress::Read
    }

    /// What has arrived of a body of this length.
    fn take_length(
        &mut self,
        length: usize,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Pieces, BodyError> {
        let mut pieces = self.allowance.room(Some(length))?;
        if !self.buffer.is_empty() {
            let here = self.buffer.len().min(length);
            pieces.begin(self.buffer.get(..here).unwrap_or_default())?;
            seen(pieces.since(0));
            self.buffer.advance(here);
        }
        Ok(pieces)
    }

    async fn read_length(
        &mut self,
        length: usize,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Body, BodyError> {
        let mut pieces = self.take_length(length, seen)?;
        if pieces.len() == length {
            return Ok(pieces.into_body());
        }
        let started = Instant::now();
        self.send_continue(started).await?;
        while pieces.len() < length {
            let before = pieces.len();
            let deadline = started + self.allowance.time_for(before);
            match timeout_at(deadline, pieces.read_from(self.stream)).await {
                Err(_) => return Err(BodyError::TimedOut),
                Ok(read) => match read? {
                    Ok(1..) => seen(pieces.since(before)),
                    Ok(0) | Err(_) => return Err(BodyError::Broken),
                },
            }
        }
        Ok(pieces.into_body())
    }

    async fn read_chunks(
        &mut self,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Body, BodyError> {
        let mut pieces = self.allowance.room(None)?;
        let mut scanner = ChunkScanner::default();
        self.decode(&mut scanner, &mut pieces, seen)?;
        if scanner.is_at_end() {
            return Ok(pieces.into_body());
        }
        pieces.pay(READ_BUFFER_BYTES)?;
        let started = Instant::now();
        self.send_continue(started).await?;
        while !scanner.is_at_end() {
            self.buffer.reserve(READ_BUFFER_BYTES);
            let deadline = started + self.allowance.time_for(pieces.len());
            let mut room = bytes::BufMut::limit(&mut *self.buffer, READ_BUFFER_BYTES);
            match timeout_at(deadline, self.stream.read_buf(&mut room)).await {
                Err(_) => return Err(BodyError::TimedOut),
                Ok(Ok(1..)) => self.decode(&mut scanner, &mut pieces, seen)?,
                Ok(Ok(0) | Err(_)) => return Err(BodyError::Broken),
            }
        }
        Ok(pieces.into_body())
    }

    /// Takes what of the buffer belongs to the body.
    fn decode(
        &mut self,
        scanner: &mut ChunkScanner,
        pieces: &mut Pieces,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), BodyError> {
        while !self.buffer.is_empty() && !scanner.is_at_end() {
            let decoded = scanner.decode(self.buffer).map_err(|_| BodyError::Broken)?;
            let (looked_at, data) = decoded;
            if !data.is_empty() {
                pieces.push(data)?;
                seen(data);
            }
            self.buffer.advance(looked_at);
        }
        Ok(())
    }

    async fn send_continue(&mut self, started: Instant) -> Result<(), BodyError> {
        if !std::mem::take(&mut self.awaits_continue) {
            return Ok(());
        }
        let sent = async {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            self.stream.flush().await
        };
        let whole: Duration = self.allowance.limits.body_timeout;
        timeout_at(started + whole, sent)
            .await
            .map_err(|_| BodyError::TimedOut)?
            .map_err(|_| BodyError::Broken)
    }
}

#[async_trait]
impl BodySource for WireBody<'_> {
    fn at_hand(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Option<Result<Body, BodyError>> {
        let Announced::Length(length) = self.announced else { return None };
        if self.progress != BodyProgress::Unread || self.buffer.len() < length {
            return None;
        }
        self.progress = BodyProgress::Broken;
        let read = self.take_length(length, seen).map(Pieces::into_body);
        if read.is_ok() {
            self.progress = BodyProgress::Read;
        }
        Some(read)
    }

    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        match self.progress {
            BodyProgress::Unread => {}
            BodyProgress::Read => return Ok(Body::default()),
            BodyProgress::Broken => return Err(BodyError::Broken),
        }
        // Until it is read to its end, nobody knows where the next request starts.
        self.progress = BodyProgress::Broken;
        let read = match self.announced {
            Announced::Length(length) => self.read_length(length, seen).await,
            Announced::Chunks => self.read_chunks(seen).await,
        };
        if read.is_ok() {
            self.progress = BodyProgress::Read;
        }
        read
    }
}
