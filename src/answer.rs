//! What a sender is told, before it is written to a connection.

use crate::handshake::Reply;
use crate::outcome::{Outcome, Refusal};
use crate::upstream::ReplyBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// The answer to one request; `proxy::respond` turns it into bytes.
#[derive(Debug)]
pub struct Answer {
    /// How the delivery ended: the `Hookward-Outcome` header.
    pub outcome: Outcome,
    /// Why, if it did not end well: status, `Retry-After` and problem body follow from it.
    pub refusal: Option<Refusal>,
    /// The status of a good end; a refusal brings its own.
    pub status: u16,
    /// Further headers: those of an upstream's 2xx or of a handshake, `Allow` of a 405.
    pub headers: HeaderMap,
    /// The body of a good end; that of a refusal is the problem document.
    pub body: ReplyBody,
}

impl Answer {
    /// A good end without a body.
    #[must_use]
    pub fn empty(outcome: Outcome, status: u16) -> Self {
        Self {
            outcome,
            refusal: None,
            status,
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Bytes::new()),
        }
    }

    /// A handshake's answer.
    #[must_use]
    pub fn handshake(reply: Reply) -> Self {
        let mut headers = reply.headers;
        if !reply.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        }
        let body = ReplyBody::Whole(reply.body.into());
        Self { headers, body, ..Self::empty(Outcome::Handshake, reply.status) }
    }

    /// A bad end.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        let outcome = refusal.reason.facets().outcome;
        let status = refusal.status();
        Self { refusal: Some(refusal), ..Self::empty(outcome, status) }
    }
}
