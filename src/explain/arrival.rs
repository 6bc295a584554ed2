//! What ends a delivery before its signature is looked at.
//!
//! The order is that of `lifecycle`; what only a running proxy has (addresses, rates, memory) is
//! named, not judged.

use super::{Question, escape};
use crate::handshake;
use crate::outcome::{Reason, Refusal};
use crate::request::BodyError;
use crate::source::Mode;
use crate::verify::freshness;
use http::{Method, header};

impl Question<'_> {
    /// What the request is, in a line or several.
    pub(super) fn says(&self) -> Vec<String> {
        let Self { source, head, body, .. } = *self;
        let path = escape(head.path.as_bytes());
        let mut lines = vec![format!(
            "{} {path} for the source `{}`, {} bytes of body",
            head.method,
            source.name,
            body.len()
        )];
        if let Some(declared) = self.declared_bytes().filter(|declared| *declared != body.len()) {
            lines.push(format!(
                "its Content-Length is {declared}, so the body in the file is not the one that \
                 arrived"
            ));
        }
        if !source.allow.is_empty() {
            lines.push(
                "not looked at: whether `allow` has the sender's address; a capture does not \
                 tell it"
                    .to_owned(),
            );
        }
        if source.mode == Mode::Shadow {
            lines.push(
                "in shadow mode the proxy forwards what its signature, event or time is against, \
                 all the same"
                    .to_owned(),
            );
        }
        lines
    }

    /// Whether the request is a handshake that is answered before its signature matters.
    ///
    /// # Errors
    /// The first thing that the proxy refuses it for.
    pub(super) fn is_handshake(&self) -> Result<bool, Refusal> {
        let Self { source, head, body, .. } = *self;
        if head.path != source.path {
            return Err(Refusal::because(Reason::UnknownSource, self.astray()));
        }
        if !source.methods().any(|method| method == head.method) {
            let methods: Vec<_> = source.methods().map(|method| method.to_string()).collect();
            let detail = format!("the source takes {} only", methods.join(", "));
            return Err(Refusal::because(Reason::MethodNotAllowed, detail));
        }
        let kind = source.scheme.handshake.as_ref();
        if let Some(answer) = kind.and_then(|kind| handshake::answer_head(kind, source, head)) {
            return Ok(answer.map(|_| true)?);
        }
        if head.method != Method::POST {
            let detail = format!("{} is for handshakes, and this is none", head.method);
            return Err(Refusal::because(Reason::MethodNotAllowed, detail));
        }
        // A source without a secret reads no body; the next step says so.
        if kind.is_none() && source.mode == Mode::Enforce && source.keys.is_err() {
            return Ok(false);
        }
        self.body_is_taken()?;
        let Some(kind) = kind else { return Ok(false) };
        let timestamp = source.scheme.timestamp.as_ref();
        let verified = self
            .verified()
            .and_then(|genuine| freshness::judge_any(timestamp, genuine.sent(), self.at));
        let verified = verified.as_ref().copied();
        let answer = handshake::answer_body(kind, source, head, body, verified);
        Ok(answer.map_or(Ok(false), |answer| answer.map(|_| true))?)
    }

    fn astray(&self) -> String {
        let Self { source, all, head, .. } = *self;
        let (path, own) = (escape(head.path.as_bytes()), &source.path);
        let what_to_do = if let Some(other) = all.iter().find(|other| other.path == head.path) {
            format!("it is that of the source `{}`", other.name)
        } else if head.path.trim_end_matches('/') == own.trim_end_matches('/') {
            "a slash at the end counts".to_owned()
        } else {
            "without the request line it is judged as if it had come there".to_owned()
        };
        format!("it came to {path}, and the source's path is {own}; {what_to_do}")
    }

    /// The length that was declared comes first, then how the body is written, then its real length.
    /// A capture without a length had one on the wire, unless it came in chunks.
    fn body_is_taken(&self) -> Result<(), Refusal> {
        let most = self.max_body_bytes;
        let too_large = |bytes: usize| {
            let reason = Refusal::from(BodyError::TooLarge).reason;
            Refusal::because(reason, format!("{bytes} bytes of body; `max_body` is {most}"))
        };
        let is_chunked = self.head.headers.contains_key(header::TRANSFER_ENCODING);
        let declared = self.declared_bytes().or((!is_chunked).then_some(self.body.len()));
        if let Some(bytes) = declared.filter(|bytes| *bytes > most) {
            return Err(too_large(bytes));
        }
        let mut encodings = self.head.headers.get_all(header::CONTENT_ENCODING).iter();
        if !encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "these are not the bytes that were signed";
            return Err(Refusal::because(Reason::ContentEncoding, detail));
        }
        if self.body.len() > most { Err(too_large(self.body.len())) } else { Ok(()) }
    }

    fn declared_bytes(&self) -> Option<usize> {
        self.head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}
