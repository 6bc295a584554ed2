//! A watch on an HTTP/2 connection, for what its sender may do without asking for anything.
//!
//! The `h2` crate bounds what it keeps of a header block and of bodies, but neither how long a block
//! may take nor how many frames may come that ask for nothing, resets of the sender's own requests
//! among them. It has no hook for either, so both are judged on the bytes that it reads and writes;
//! [`Frames`] measures them.

use super::frames::Frames;
use super::head;
use crate::outcome::{Reason, Refusal};
use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

const FLOOD: &str = "a flood of HTTP/2 frames";

/// Why reading a connection was given up; set at most once.
pub(super) type Fault = Arc<OnceLock<Refusal>>;

/// A stream whose reader gets an error once its sender breaks a limit.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    frames: Frames,
    header_timeout: Duration,
    /// Runs while a header block is under way.
    alarm: Option<Pin<Box<Sleep>>>,
    is_flooded: bool,
    fault: Fault,
}

impl Watched {
    /// Watches a stream from its first byte on, the connection preface included.
    pub(super) fn new(stream: Stream, header_timeout: Duration) -> (Self, Fault) {
        let fault = Fault::default();
        let watched = Self {
            stream,
            frames: Frames::new(Instant::now()),
            header_timeout,
            alarm: None,
            is_flooded: false,
            fault: Arc::clone(&fault),
        };
        (watched, fault)
    }

    fn give_up(&self, refusal: Refusal) -> io::Error {
        drop(self.fault.set(refusal));
        io::ErrorKind::ConnectionAborted.into()
    }

    /// Measures what was written; a reader hears of a flood, as a writer may not come again.
    fn measure(&mut self, sent: &[u8]) {
        self.is_flooded |= self.frames.send(sent, Instant::now()).is_err();
    }

    fn set_alarm(&mut self) {
        match (self.frames.since(), &mut self.alarm) {
            (None, alarm) => *alarm = None,
            (Some(since), None) => {
                self.alarm = Some(Box::pin(sleep_until(since + self.header_timeout)));
            }
            (Some(since), Some(alarm)) => {
                let by = since + self.header_timeout;
                if alarm.deadline() != by {
                    alarm.as_mut().reset(by);
                }
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_flooded {
            return Poll::Ready(Err(self.give_up(head::bad(FLOOD))));
        }
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer)?;
        if read.is_pending() {
            // A reader polls until there is nothing more, so the alarm is always heard.
            if let Some(alarm) = &mut self.alarm {
                ready!(alarm.as_mut().poll(context));
                let refusal = Refusal::new(Reason::HeaderTimeout);
                return Poll::Ready(Err(self.give_up(refusal)));
            }
            return Poll::Pending;
        }
        let bytes = buffer.filled().get(filled..).unwrap_or_default();
        if self.frames.receive(bytes, Instant::now()).is_err() {
            return Poll::Ready(Err(self.give_up(head::bad(FLOOD))));
        }
        self.set_alarm();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.measure(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let (sent, _) = slice.split_at(left.min(slice.len()));
            self.measure(sent);
            left -= sent.len();
        }
        Poll::Ready(Ok(written))
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
        self.stream.shutdown().await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
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

impl Ssl for Watched {}
impl Peek for Watched {}
