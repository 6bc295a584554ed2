//! What arrived, before anybody has judged it: nothing in here is to be believed.

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
    /// The sender's address: of the connection, or what a trusted proxy says it is.
    pub client: IpAddr,
    /// The trusted proxy at the other end of the connection, whose `Forwarded` and `X-Forwarded-*`
    /// are believed; `None`: the sender itself.
    pub via: Option<IpAddr>,
    /// Whether the other end of the connection, which is no trusted proxy, named another sender.
    pub ignored_forwarding: bool,
    /// `Host`, or `:authority` on HTTP/2, as received.
    pub host: String,
    /// Whether the sender's side is `https`, here or at a trusted proxy.
    pub secure: bool,
}

impl RequestHead {
    /// Whether the body is what was signed, and not coded: no `Content-Encoding`, or none but
    /// `identity`. A list may be empty or have empty elements (RFC 9110 section 5.6.1.2).
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
    /// The head as verification takes it.
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
    /// Not whole within `body_timeout`.
    TimedOut,
    /// `body_memory` is used up.
    NoMemory,
    /// What one address gets of `body_memory` is used up.
    NoShare,
    /// The sender went away or broke the framing.
    Broken,
}

/// Reads the body of one request, within all limits that the listener has.
#[async_trait::async_trait]
pub trait BodySource: Send {
    /// The whole body, each chunk shown to `seen` once as it arrives (empty chunks apart).
    /// Sends `100 Continue` first where the sender waits for it.
    ///
    /// # Errors
    /// The limit that was hit. The rest of the body is then still unread.
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError>;
}

/// A body in memory, with the hold it has on the listener's `body_memory` budget.
#[derive(Debug, Default)]
pub struct Body {
    /// The raw bytes as received.
    pub bytes: Bytes,
    /// Gives the memory back when dropped; `None` where no budget applies.
    pub held: Option<Box<dyn MemoryShare>>,
}

/// A share of a budget that is given back by dropping it.
pub trait MemoryShare: Send + Sync + std::fmt::Debug {}
