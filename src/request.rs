//! A request as it arrived, before verification: trust nothing in it.

use crate::field_lines::FieldLines;
use bytes::Bytes;
use hookward_verify::request::Request;
use http::{Method, header};
use std::net::IpAddr;

/// The head of a request on the listener, strictly parsed but not verified.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The path exactly as received, without the query; starts with `/`.
    pub path: String,
    /// The query exactly as received, without its `?`; `None` if there was no `?`.
    pub query: Option<String>,
    /// The header lines, in order.
    pub headers: FieldLines,
    /// The sender's address: of the connection, or as reported by a trusted proxy.
    pub client: IpAddr,
    /// The trusted proxy at the other end of the connection, whose `Forwarded` and `X-Forwarded-*`
    /// are trusted; `None`: the sender itself.
    pub via: Option<IpAddr>,
    /// Whether the other end of the connection, which is not a trusted proxy, named another sender.
    pub ignored_forwarding: bool,
    /// `Host`, or `:authority` on HTTP/2, as received.
    pub host: String,
    /// Whether the sender's side is `https`, here or at a trusted proxy.
    pub secure: bool,
}

impl RequestHead {
    /// Whether the body has the signed bytes: no `Content-Encoding`, or only `identity`. A list may
    /// be empty or have empty elements (RFC 9110 section 5.6.1.2).
    #[must_use]
    pub fn has_plain_body(&self) -> bool {
        let lines = self.headers.get_all(header::CONTENT_ENCODING);
        let codings = lines.flat_map(|line| line.split(|byte| *byte == b','));
        codings
            .map(<[u8]>::trim_ascii)
            .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
    }
}

impl RequestHead {
    /// The head in the form for verification.
    #[must_use]
    pub fn view(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

/// Why a body could not be read; each has its reason in `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Over `max_body`.
    TooLarge,
    /// Not complete within `body_timeout`.
    TimedOut,
    /// `body_memory` is used up.
    NoMemory,
    /// One address's share of `body_memory` is used up.
    NoShare,
    /// The sender went away or broke the framing.
    Broken,
}

/// Reads the body of one request, within all limits of the listener.
#[async_trait::async_trait]
pub trait BodySource: Send {
    /// As [`read`](Self::read), of a body that has arrived as a whole. `None`: it is to be read.
    fn at_hand(
        &mut self,
        _seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Option<Result<Body, BodyError>> {
        None
    }

    /// The whole body. Each non-empty chunk is passed to `seen` as it arrives. Sends `100 Continue`
    /// first if the sender waits for it.
    ///
    /// # Errors
    /// The limit that was reached. The rest of the body is then still unread.
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError>;
}

/// The whole body of `source`, as [`BodySource::read`]. Mostly it has arrived with its head, and then
/// there is nothing to wait for.
///
/// # Errors
/// As [`BodySource::read`].
pub async fn read_whole(
    source: &mut dyn BodySource,
    seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
) -> Result<Body, BodyError> {
    match source.at_hand(seen) {
        Some(read) => read,
        None => source.read(seen).await,
    }
}

/// A body in memory, with its share of the listener's `body_memory`.
#[derive(Debug, Default)]
pub struct Body {
    /// The raw bytes as received.
    pub bytes: Bytes,
    /// Releases the memory when dropped; `None` if no budget applies.
    pub held: Option<Box<dyn MemoryShare>>,
}

/// A share of a budget that is released when dropped.
pub trait MemoryShare: Send + Sync + std::fmt::Debug {}
