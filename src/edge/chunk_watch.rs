//! Checks a chunked body while Pingora decodes it.

use super::chunks::Scanner;
use super::watched::{Watch, Watched};
use bytes::BytesMut;
use pingora::protocols::Stream;
use std::io::ErrorKind::InvalidData;
use std::io::{Error, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Returns the bytes of one chunked body and then nothing more; bytes after the body stay here for
/// the next request. Reading fails where the framing is wrong.
#[derive(Debug)]
pub(super) struct ChunkWatch {
    /// Read from the connection and not given out.
    waiting: BytesMut,
    scanner: Scanner,
}

/// A connection that is no longer watched.
pub(super) struct Released {
    pub(super) stream: Stream,
    /// What was read of it behind the body.
    pub(super) behind: BytesMut,
    /// Whether the body was over.
    pub(super) is_at_end: bool,
}

impl ChunkWatch {
    /// Watches `stream`, of which `waiting` was read before and is the start of the body.
    pub(super) fn over(stream: Stream, waiting: BytesMut) -> Stream {
        Box::new(Watched { stream, watch: Self { waiting, scanner: Scanner::default() } })
    }

    /// Takes the watch off a connection, if there is one.
    pub(super) fn released(stream: Stream) -> Option<Released> {
        if !stream.as_any().is::<Watched<Self>>() {
            return Some(Released { stream, behind: BytesMut::new(), is_at_end: true });
        }
        // It is one, as it said; nothing else can come of this.
        let Watched { stream, watch } = *stream.into_any().downcast::<Watched<Self>>().ok()?;
        let is_at_end = watch.scanner.is_at_end();
        Some(Released { stream, behind: watch.waiting, is_at_end })
    }
}

impl Watch for ChunkWatch {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let malformed = |fault| Error::new(InvalidData, fault);
        if self.scanner.is_at_end() {
            // Whoever reads on here has missed the end.
            return Poll::Ready(Err(Error::new(InvalidData, "nothing follows the last chunk")));
        }
        if self.waiting.is_empty() {
            let before = buffer.filled().len();
            ready!(Pin::new(stream).poll_read(context, buffer))?;
            let new = buffer.filled().get(before..).unwrap_or_default();
            let taken = self.scanner.feed(new).map_err(malformed)?;
            if taken < new.len() {
                self.waiting.extend_from_slice(new.get(taken..).unwrap_or_default());
                buffer.set_filled(before + taken);
            }
        } else {
            let here = self.waiting.len().min(buffer.remaining());
            let first = self.waiting.get(..here).unwrap_or_default();
            let taken = self.scanner.feed(first).map_err(malformed)?;
            buffer.put_slice(&self.waiting.split_to(taken));
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, _bytes: &[u8]) {}
}
