//! A connection to a destination, as bytes: how a request goes out, and what has come and was not
//! looked at yet. Connecting and TLS are Pingora's.

use super::evidence::SocketState;
use super::segments::send_apart;
use bytes::{Bytes, BytesMut};
use pingora::protocols::{ALPN, SocketDigest, Stream};
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bodies up to this are copied behind their head; beyond it a copy costs more than a second buffer.
const JOINED_BYTES: usize = 32 * 1024;

/// How many bytes of a body of this length are written behind the head in one buffer.
pub(super) const fn joined(length: usize) -> usize {
    if length <= JOINED_BYTES { length } else { 0 }
}

/// A connection that is in use.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    stream: Stream,
    socket: Option<Arc<SocketDigest>>,
    /// Where bytes can be sent past the stream: not with TLS.
    plain: Option<RawFd>,
    /// What has come and belongs to nothing yet.
    pub(super) unread: BytesMut,
}

impl UpstreamConnection {
    pub(super) fn over(stream: Stream) -> Self {
        let socket = stream.get_socket_digest();
        let is_plain = socket.is_some() && stream.get_ssl_digest().is_none();
        let plain = is_plain.then(|| stream.id());
        Self { stream, socket, plain, unread: BytesMut::new() }
    }

    /// The transport, for the next exchange.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Whether the other side showed this certificate, by its SHA-256.
    pub(super) fn shows(&self, certificate: &[u8]) -> bool {
        self.stream.get_ssl_digest().is_some_and(|tls| tls.cert_digest == certificate)
    }

    /// Whether HTTP/1 was agreed on, or nothing.
    pub(super) fn speaks_http1(&self) -> bool {
        matches!(self.stream.selected_alpn_proto(), None | Some(ALPN::H1))
    }

    /// What the kernel says of it now.
    pub(super) fn standing(&self) -> SocketState {
        SocketState::of(self.socket.as_deref())
    }

    /// Writes a request to its end. `apart` sends the head as a segment of its own.
    pub(super) async fn write(
        &mut self,
        mut head: Vec<u8>,
        body: &Bytes,
        apart: bool,
    ) -> io::Result<()> {
        if apart {
            // Nothing waits in the stream's buffer: every write ends with a flush.
            let sent = self.plain.map_or(Ok(0), |socket| send_apart(socket, &head, body))?;
            if let Some(rest) = head.get(sent..) {
                self.stream.write_all(rest).await?;
                self.stream.flush().await?;
            }
            let of_body = sent.saturating_sub(head.len());
            self.stream.write_all(body.get(of_body..).unwrap_or_default()).await?;
        } else if body.len() <= JOINED_BYTES {
            head.extend_from_slice(body);
            self.stream.write_all(&head).await?;
        } else {
            let both = [IoSlice::new(&head), IoSlice::new(body)];
            let written = self.stream.write_vectored(&both).await?;
            if let Some(rest) = head.get(written..) {
                self.stream.write_all(rest).await?;
            }
            let of_body = written.saturating_sub(head.len());
            self.stream.write_all(body.get(of_body..).unwrap_or_default()).await?;
        }
        self.stream.flush().await
    }

    /// Reads what has come, about `room` bytes at most; how much that was: 0 at the end.
    pub(super) async fn read(&mut self, room: usize) -> io::Result<usize> {
        self.unread.reserve(room);
        self.stream.read_buf(&mut self.unread).await
    }
}
