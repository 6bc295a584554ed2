//! The body of an answer, piece by piece as it comes, up to the end that its head has announced.

use super::connection::UpstreamConnection;
use crate::edge::chunks::ChunkScanner;
use bytes::{Buf as _, Bytes};
use std::io;

/// What is read at once, and what a piece is at most.
const PIECE_BYTES: usize = 64 * 1024;

/// The same of a body of which nobody knows how much is still to come.
const UNKNOWN_PIECE_BYTES: usize = 16 * 1024;

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// By so many bytes.
    Length(u64),
    /// By a chunk without data.
    Chunked,
    /// By the end of the connection.
    UntilEnd,
}

/// How much of a body is still to come.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// So many bytes.
    Left(u64),
    /// Chunks, up to the last one.
    Chunks(Box<ChunkScanner>),
    /// Whatever comes before the connection ends.
    UntilEnd,
}

impl AnswerBody {
    pub(super) fn framed(framing: BodyEnd) -> Self {
        match framing {
            BodyEnd::Length(length) => Self::Left(length),
            BodyEnd::Chunked => Self::Chunks(Box::new(ChunkScanner::of_answer())),
            BodyEnd::UntilEnd => Self::UntilEnd,
        }
    }

    /// Whether it was read to its end.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Left(left) => *left == 0,
            Self::Chunks(scanner) => scanner.is_at_end(),
            Self::UntilEnd => false,
        }
    }

    /// The next piece; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// The connection ended too early or broke, or the chunks are none.
    pub(super) async fn piece(
        &mut self,
        connection: &mut UpstreamConnection,
    ) -> io::Result<Option<Bytes>> {
        loop {
            if self.is_done() {
                return Ok(None);
            }
            let room = match self {
                Self::Left(left) => usize::try_from(*left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES),
                Self::Chunks(_) | Self::UntilEnd => UNKNOWN_PIECE_BYTES,
            };
            if connection.unread.is_empty() && connection.read(room).await? == 0 {
                if matches!(self, Self::UntilEnd) {
                    *self = Self::Left(0);
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let unread = &mut connection.unread;
            match self {
                Self::Left(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(unread.len());
                    *left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                    return Ok(Some(unread.split_to(here).freeze()));
                }
                Self::Chunks(scanner) => {
                    let (seen, data) = scanner
                        .decode(unread)
                        .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                    let framing = seen.saturating_sub(data.len());
                    let mut piece = unread.split_to(seen);
                    if piece.len() > framing {
                        piece.advance(framing);
                        return Ok(Some(piece.freeze()));
                    }
                }
                Self::UntilEnd => return Ok(Some(unread.split().freeze())),
            }
        }
    }
}
