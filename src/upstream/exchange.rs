//! One request and the head of its answer on one connection.
//!
//! It controls the order of writing and reading, and determines how much the other side may have
//! seen. It knows neither addresses nor what happens to the answer.

use super::UpstreamRequest;
use super::evidence::{Counters, End, Segments};
use crate::delivery::headers::capitalized;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{BError, ErrorType};
use std::borrow::Cow;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Pieces in which a body is handed to the connection.
const SLICE_BYTES: usize = 64 * 1024;

/// How long to wait for an answer after the other side stopped accepting the request: it was
/// written before, so it has arrived or will not come.
const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// The same at the timeout, when anything that arrived is already in this machine.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How many informational answers may precede the real one; more is a defect of the other side.
const MAX_INFORMATIONAL: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
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

/// Writes `request` and reads up to the end of the answer's head. Afterwards the session's
/// response header is there, and `progress` says whether the request was written to its end (a
/// destination may answer before). `before`: of a reused connection.
pub(super) async fn exchange(
    session: &mut HttpSession,
    before: Option<Counters>,
    header: RequestHeader,
    request: &UpstreamRequest,
    deadline: Instant,
    progress: &mut Progress,
) -> Result<StatusCode, Fault> {
    let written = timeout_at(deadline, write(session, header, &request.body)).await;
    progress.sent_whole = matches!(written, Ok(Ok(())));
    let (write_error, read_until) = match written {
        Ok(Ok(())) => (None, deadline),
        Ok(Err(error)) => (Some(error), deadline.min(Instant::now() + EARLY_ANSWER_WAIT)),
        Err(_) => (None, Instant::now() + LAST_LOOK),
    };
    let read_error = match timeout_at(read_until, read_head(session)).await {
        Ok(Ok(status)) => return Ok(status),
        Ok(Err(error)) => Some(error),
        Err(_) if write_error.is_none() => return Err(Fault::TimedOut),
        Err(_) => None,
    };
    let end = ending(write_error.as_ref(), read_error.as_ref());
    let detail = match (write_error, read_error) {
        (_, Some(HeadError::Invalid(detail))) => return Err(Fault::Broken(detail)),
        (Some(error), _) | (None, Some(HeadError::Connection(error))) => describe(&error),
        (None, None) => String::new(),
    };
    let segments = if request.body.is_empty() { Segments::One } else { Segments::TwoOrMore };
    if before.is_some_and(|before| before.prove_unaccepted(session.digest(), end, segments)) {
        return Err(Fault::Stale(detail));
    }
    Err(Fault::Broken(detail))
}

/// The head of the request as it goes out: one `Host`, one `Content-Length`.
pub(super) fn request_header(
    request: &UpstreamRequest,
    host: &HeaderValue,
    url_path: Option<&str>,
) -> Result<RequestHeader, BError> {
    let path = request.route_path.as_deref().or(url_path).unwrap_or(&request.sender_path);
    let mut target = String::with_capacity(path.len() + 64);
    target.push_str(path);
    if let Some(query) = &request.query {
        target.push(if path.contains('?') { '&' } else { '?' });
        target.push_str(query);
    }
    let mut header = RequestHeader::build(
        request.method.clone(),
        target.as_bytes(),
        Some(request.headers.len() + 2),
    )?;
    header.set_version(Version::HTTP_11);
    header.append_header(HOST, host.clone())?;
    for (name, value) in &request.headers {
        if name != HOST && name != CONTENT_LENGTH {
            match capitalized(name.as_str()) {
                Cow::Borrowed(name) => header.append_header(name, value.clone())?,
                Cow::Owned(name) => header.append_header(name, value.clone())?,
            };
        }
    }
    header.append_header(CONTENT_LENGTH, HeaderValue::from(request.body.len()))?;
    Ok(header)
}

async fn write(
    session: &mut HttpSession,
    header: RequestHeader,
    body: &[u8],
) -> Result<(), BError> {
    session.write_request_header(Box::new(header)).await?;
    for slice in body.chunks(SLICE_BYTES) {
        session.write_body(slice).await?;
    }
    session.finish_body().await?;
    Ok(())
}

#[derive(Debug)]
enum HeadError {
    Connection(BError),
    Invalid(String),
}

/// Reads to the end of the first head that is not informational.
async fn read_head(session: &mut HttpSession) -> Result<StatusCode, HeadError> {
    for _ in 0..MAX_INFORMATIONAL {
        session.read_response().await.map_err(|error| match error.etype() {
            ErrorType::InvalidHTTPHeader => HeadError::Invalid("the answer is not HTTP".into()),
            _ => HeadError::Connection(error),
        })?;
        match session.get_status() {
            // Nobody asked for another protocol.
            Some(StatusCode::SWITCHING_PROTOCOLS) => {
                return Err(HeadError::Invalid("the answer switches protocols".into()));
            }
            Some(status) if status.is_informational() => {}
            Some(status) if status.as_u16() < 600 => return Ok(status),
            _ => return Err(HeadError::Invalid("the answer has no known status".into())),
        }
    }
    Err(HeadError::Invalid("informational answers without end".into()))
}

/// An error of an exchange as one line for the log. What was read stands in the context of some,
/// so it is left out.
pub(super) fn describe(error: &BError) -> String {
    match &innermost(error).cause {
        Some(cause) => format!("{}: {cause}", error.etype().as_str()),
        None => error.etype().as_str().to_owned(),
    }
}

/// An error of connecting as one line for the log, where the context holds the reason and nothing
/// was read yet.
pub(super) fn describe_connecting(error: &BError) -> String {
    match &error.context {
        Some(context) => format!("{}: {}", describe(error), context.as_str()),
        None => describe(error),
    }
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

/// How the connection ended, by the errors that it gave. A reset is reported once, to whichever
/// operation comes first; after it, reading gives the end of the stream too.
fn ending(write: Option<&BError>, read: Option<&HeadError>) -> End {
    let read = match read {
        Some(HeadError::Connection(error)) => Some(error),
        Some(HeadError::Invalid(_)) | None => None,
    };
    if [write, read].into_iter().flatten().any(is_reset) {
        End::Reset
    } else if read.is_some_and(is_end_of_stream) {
        End::Closed
    } else {
        End::Other
    }
}

fn io_cause(error: &BError) -> Option<&io::Error> {
    innermost(error).cause.as_ref()?.downcast_ref::<io::Error>()
}

fn is_reset(error: &BError) -> bool {
    io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset)
}

/// A TCP stream ends with zero bytes; a TLS stream that nobody said goodbye on with this kind.
fn is_end_of_stream(error: &BError) -> bool {
    match io_cause(error) {
        Some(io) => io.kind() == io::ErrorKind::UnexpectedEof,
        None => *error.etype() == ErrorType::ConnectionClosed,
    }
}
