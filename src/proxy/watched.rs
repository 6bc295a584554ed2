//! A connection whose chunked body is judged while Pingora reads it.

use super::chunks::Scanner;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID,
};
use std::io::ErrorKind::InvalidData;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives out the bytes of one chunked body and then nothing more; what is behind the body stays here
/// for the next request. Reading fails where the framing does.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    /// Read from the connection and not given out.
    waiting: BytesMut,
    scanner: Scanner,
}

impl Watched {
    /// `stream`, of which `waiting` was read before and is the start of the body.
    pub(super) fn boxed(stream: Stream, waiting: BytesMut) -> Stream {
        Box::new(Self { stream, waiting, scanner: Scanner::default() })
    }

    /// Takes the watch off a connection, if there is one.
    pub(super) fn released(stream: Stream) -> Option<Released> {
        if !stream.as_any().is::<Self>() {
            return Some(Released { stream, behind: BytesMut::new(), is_at_end: true });
        }
        // It is one, as it said; nothing else can come of this.
        let Self { stream, waiting, scanner } = *stream.into_any().downcast::<Self>().ok()?;
        Some(Released { stream, behind: waiting, is_at_end: scanner.is_at_end() })
    }

    /// Judges what `buffer` got behind `before`, and keeps what belongs to no body.
    fn judge(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let new = buffer.filled().get(before..).unwrap_or_default();
        let taken = self.scanner.feed(new).map_err(|fault| io::Error::new(InvalidData, fault))?;
        if taken < new.len() {
            self.waiting.extend_from_slice(new.get(taken..).unwrap_or_default());
            buffer.set_filled(before + taken);
        }
        Ok(())
    }
}

/// A connection that is no longer watched.
pub(super) struct Released {
    pub(super) stream: Stream,
    /// What was read of it behind the body.
    pub(super) behind: BytesMut,
    /// Whether the body was over.
    pub(super) is_at_end: bool,
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        if watched.scanner.is_at_end() {
            // Whoever reads on here has missed the end.
            return Poll::Ready(Err(io::Error::new(InvalidData, "nothing follows the last chunk")));
        }
        let before = buffer.filled().len();
        if watched.waiting.is_empty() {
            ready!(Pin::new(&mut watched.stream).poll_read(context, buffer))?;
            return Poll::Ready(watched.judge(buffer, before));
        }
        let mut first = watched.waiting.split_to(watched.waiting.len().min(buffer.remaining()));
        let taken =
            watched.scanner.feed(&first).map_err(|fault| io::Error::new(InvalidData, fault))?;
        let behind = first.split_off(taken);
        buffer.put_slice(&first);
        if !behind.is_empty() {
            let rest = std::mem::replace(&mut watched.waiting, behind);
            watched.waiting.unsplit(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> i32 {
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

// Looking ahead would go past the judgement, so it is not offered.
impl Peek for Watched {}
