//! One request and the head of its answer on one connection.
//!
//! It controls the order of writing and reading, and determines how much the other side may have
//! seen. It knows neither addresses nor what happens to the answer.

use super::answer_head::{AnswerHead, NotHttp};
use super::connection::UpstreamConnection;
use super::evidence::{ConnectionEnd, SocketCounters};
use bytes::{Buf as _, Bytes};
use http::Method;
use pingora::BError;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What is read at once of a head, and of the short body behind it.
const HEAD_ROOM_BYTES: usize = 2 * 1024;

/// The longest head, as long as Pingora's.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// How long to wait for an answer after the other side stopped accepting the request: it was
/// written before, so it has arrived or will not come.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// The same at the timeout, when anything that arrived is already in this machine.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How many informational answers may precede the real one; more is a defect of the other side.
const MAX_INFORMATIONAL: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ExchangeFault {
    /// The deadline passed.
    TimedOut,
    /// The connection ended or what came is not HTTP.
    Broken(String),
    /// The reused connection had ended before this request could be accepted.
    Stale(String),
}

/// How much of the request was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The last byte of the request was handed to the kernel.
    pub(super) sent_whole: bool,
}

/// A request as it goes out.
pub(super) struct Outgoing<'a> {
    /// What was asked, for the end of the answer depends on it.
    pub(super) method: &'a Method,
    /// Request line and header lines, with the empty line.
    pub(super) head: Vec<u8>,
    pub(super) body: &'a Bytes,
}

/// Writes a request and reads up to the end of the answer's head. Afterwards `progress` says whether
/// the request was written to its end (a destination may answer before). `before`: of a reused
/// connection.
pub(super) async fn exchange(
    connection: &mut UpstreamConnection,
    before: Option<SocketCounters>,
    request: Outgoing<'_>,
    deadline: Instant,
    progress: &mut Progress,
) -> Result<AnswerHead, ExchangeFault> {
    let Outgoing { method, head, body } = request;
    let bytes = head.len().saturating_add(body.len());
    // Where there is no evidence to be had, one write is enough.
    let apart = !body.is_empty() && before.is_some_and(|before| before.fit_in_one(bytes));
    let written = timeout_at(deadline, connection.write(head, body, apart)).await;
    progress.sent_whole = matches!(written, Ok(Ok(())));
    let (write_error, read_until) = match written {
        Ok(Ok(())) => (None, deadline),
        Ok(Err(error)) => (Some(error), deadline.min(Instant::now() + EARLY_ANSWER_WAIT)),
        Err(_) => (None, Instant::now() + LAST_LOOK),
    };
    let read_error = match timeout_at(read_until, read_head(connection, method)).await {
        Ok(Ok(head)) => return Ok(head),
        Ok(Err(error)) => Some(error),
        Err(_) if write_error.is_none() => return Err(ExchangeFault::TimedOut),
        Err(_) => None,
    };
    let end = ending(write_error.as_ref(), read_error.as_ref());
    let detail = match (write_error, read_error) {
        (_, Some(HeadError::Invalid(detail))) => {
            return Err(ExchangeFault::Broken(detail.to_owned()));
        }
        (Some(error), _) => format!("writing the request: {error}"),
        (None, Some(HeadError::Ended)) => "the connection was closed without an answer".to_owned(),
        (None, Some(HeadError::Io(error))) => format!("reading the answer: {error}"),
        (None, None) => String::new(),
    };
    if let Some(before) = before
        && let Some(now) = connection.standing().counters
        && before.prove_unaccepted(now, end, bytes, apart)
    {
        return Err(ExchangeFault::Stale(detail));
    }
    Err(ExchangeFault::Broken(detail))
}

#[derive(Debug)]
enum HeadError {
    /// The end of the stream.
    Ended,
    Io(io::Error),
    Invalid(&'static str),
}

/// Reads to the end of the first head that is not informational.
async fn read_head(
    connection: &mut UpstreamConnection,
    asked: &Method,
) -> Result<AnswerHead, HeadError> {
    for _ in 0..MAX_INFORMATIONAL {
        let head = read_one_head(connection, asked).await?;
        match head.status {
            // Nobody asked for another protocol.
            101 => return Err(HeadError::Invalid("the answer switches protocols")),
            100..200 => {}
            200..600 => return Ok(head),
            _ => return Err(HeadError::Invalid("the answer has no known status")),
        }
    }
    Err(HeadError::Invalid("informational answers without end"))
}

async fn read_one_head(
    connection: &mut UpstreamConnection,
    asked: &Method,
) -> Result<AnswerHead, HeadError> {
    loop {
        let unread = &mut connection.unread;
        if !unread.is_empty() {
            let parsed = AnswerHead::parse(unread, asked);
            if let Some((head, length)) =
                parsed.map_err(|NotHttp| HeadError::Invalid("the answer is not HTTP"))?
            {
                unread.advance(length);
                return Ok(head);
            }
            if unread.len() >= MAX_HEAD_BYTES {
                return Err(HeadError::Invalid("the head of the answer is too long"));
            }
        }
        let room = HEAD_ROOM_BYTES.max(connection.unread.len());
        if connection.read(room).await.map_err(HeadError::Io)? == 0 {
            return Err(HeadError::Ended);
        }
    }
}

/// How the connection ended, by the errors that it gave. A reset is reported once, to whichever
/// operation comes first; after it, reading gives the end of the stream too.
fn ending(write: Option<&io::Error>, read: Option<&HeadError>) -> ConnectionEnd {
    let (is_end, read) = match read {
        Some(HeadError::Ended) => (true, None),
        // A TCP stream ends with zero bytes; a TLS stream that nobody said goodbye on with this.
        Some(HeadError::Io(error)) => (error.kind() == io::ErrorKind::UnexpectedEof, Some(error)),
        Some(HeadError::Invalid(_)) | None => (false, None),
    };
    let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    if [write, read].into_iter().flatten().any(is_reset) {
        ConnectionEnd::Reset
    } else if is_end {
        ConnectionEnd::Closed
    } else {
        ConnectionEnd::Other
    }
}

/// An error of connecting as one line for the log. Nothing was read yet, so its context is ours.
pub(super) fn describe_connecting(error: &BError) -> String {
    let innermost = innermost(error);
    let kind = innermost.etype().as_str();
    let cause = innermost.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    let context = error.context.as_ref().map_or_else(String::new, |c| format!(": {}", c.as_str()));
    format!("{kind}{cause}{context}")
}

/// The last error in the chain that is one of Pingora's.
fn innermost(error: &BError) -> &pingora::Error {
    let mut innermost = &**error;
    while let Some(cause) = &innermost.cause {
        let inner = cause
            .downcast_ref::<pingora::Error>()
            .or_else(|| cause.downcast_ref::<BError>().map(|inner| &**inner));
        match inner {
            Some(inner) => innermost = inner,
            None => break,
        }
    }
    innermost
}
