//! Watches an HTTP/2 connection for frames that do not request anything.
//!
//! The `h2` crate limits how much of a header block and of bodies it keeps, but neither how long a
//! block may take nor how many useless frames may arrive, including resets of the sender's own
//! requests. It has no hook for either, so both are checked on the bytes that it reads and writes;
//! [`Frames`] measures them.

use super::frames::Frames;
use super::malformed;
use super::watched::{Watch, Watched};
use crate::outcome::{Reason, Refusal};
use pingora::protocols::Stream;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

const FLOOD: &str = "a flood of HTTP/2 frames";
const FRAGMENT: &str = "an HTTP/2 :path with a fragment";

/// Why reading a connection was ended; set at most once.
pub(super) type Fault = Arc<OnceLock<Refusal>>;

/// Gives the reader an error once the sender breaks a limit.
#[derive(Debug)]
pub(super) struct FrameWatch {
    frames: Frames,
    header_timeout: Duration,
    /// Runs while a header block is under way.
    alarm: Option<Pin<Box<Sleep>>>,
    is_flooded: bool,
    fault: Fault,
}

impl FrameWatch {
    /// Watches a stream from its first byte on, the connection preface included.
    pub(super) fn over(stream: Stream, header_timeout: Duration) -> (Stream, Fault) {
        let fault = Fault::default();
        let watch = Self {
            frames: Frames::new(Instant::now()),
            header_timeout,
            alarm: None,
            is_flooded: false,
            fault: Arc::clone(&fault),
        };
        (Box::new(Watched { stream, watch }), fault)
    }

    fn give_up(&self, refusal: Refusal) -> io::Error {
        drop(self.fault.set(refusal));
        io::ErrorKind::ConnectionAborted.into()
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

impl Watch for FrameWatch {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_flooded {
            return Poll::Ready(Err(self.give_up(malformed::bad(FLOOD))));
        }
        let filled = buffer.filled().len();
        let read = Pin::new(stream).poll_read(context, buffer)?;
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
            return Poll::Ready(Err(self.give_up(malformed::bad(FLOOD))));
        }
        if self.frames.has_fragment() {
            return Poll::Ready(Err(self.give_up(malformed::bad(FRAGMENT))));
        }
        self.set_alarm();
        Poll::Ready(Ok(()))
    }

    /// A reader hears of a flood, as a writer may not come again.
    fn sent(&mut self, bytes: &[u8]) {
        self.is_flooded |= self.frames.send(bytes, Instant::now()).is_err();
    }
}
