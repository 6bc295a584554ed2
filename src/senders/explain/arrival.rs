//! Checks that end a delivery before its signature is checked.
//!
//! It uses the checks of [`arrival`]. Limits that only a running proxy has (addresses, rates,
//! memory) are mentioned, but not checked.

use super::{Question, escape};
use crate::delivery::arrival::{self, Opened};
use crate::delivery::headers::Passing;
use crate::delivery::source::Mode;
use crate::outcome::{Reason, Refusal};
use crate::request::BodyError;
use http::header;

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
        if let Some(declared) =
            arrival::declared_bytes(head).filter(|declared| *declared != body.len())
        {
            lines.push(format!(
                "its Content-Length is {declared}, so the body in the file is not the body that \
                 arrived"
            ));
        }
        if !source.allow.is_empty() {
            lines.push(
                "not checked: whether `allow` contains the sender's address, which a capture does \
                 not show"
                    .to_owned(),
            );
        }
        if source.mode == Mode::Shadow {
            lines.push(
                "in shadow mode the proxy forwards the request even if signature, event or time \
                 are wrong"
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
        // A capture without a length had one on the wire, unless it came in chunks.
        let is_chunked = head.headers.contains(header::TRANSFER_ENCODING);
        let declared = arrival::declared_bytes(head).or((!is_chunked).then_some(body.len()));
        let passing = Passing::of(&source.sender.scheme, &source.pass_headers);
        let admit = || passing.judge_connection(&head.headers);
        let opened = arrival::open(source, head, declared, self.max_body_bytes, admit)
            .map_err(|refusal| self.detailed(refusal, declared))?;
        match opened {
            Opened::Handshake(_) => return Ok(true),
            // The next step says so.
            Opened::Secretless(_) => return Ok(false),
            Opened::Body(_) => {}
        }
        if body.len() > self.max_body_bytes {
            return Err(self.detailed(BodyError::TooLarge.into(), Some(body.len())));
        }
        match arrival::handshake_in_body(source, head, body, &self.verified(), self.at) {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(fault)) => Err(fault.into()),
        }
    }

    /// The same refusal, with what a reader of a capture wants to know.
    fn detailed(&self, refusal: Refusal, bytes: Option<usize>) -> Refusal {
        let Self { source, head, .. } = *self;
        let detail = if refusal.reason == Reason::MethodNotAllowed {
            if source.sender.methods().any(|method| method == head.method) {
                format!("{} is only for handshakes, and this is not one", head.method)
            } else {
                let methods: Vec<_> =
                    source.sender.methods().map(|method| method.to_string()).collect();
                format!("the source accepts only {}", methods.join(", "))
            }
        } else if refusal.reason == Reason::BodyTooLarge {
            let bytes = bytes.unwrap_or(self.body.len());
            format!("{bytes} bytes of body; `max_body` is {}", self.max_body_bytes)
        } else if refusal.reason == Reason::ContentEncoding {
            "these are not the signed bytes".to_owned()
        } else {
            return refusal;
        };
        Refusal::because(refusal.reason, detail)
    }

    fn astray(&self) -> String {
        let Self { source, all, head, .. } = *self;
        let (path, own) = (escape(head.path.as_bytes()), &source.path);
        let what_to_do = if let Some(other) = all.iter().find(|other| other.path == head.path) {
            format!("that is the path of the source `{}`", other.name)
        } else if head.path.trim_end_matches('/') == own.trim_end_matches('/') {
            "a final slash matters".to_owned()
        } else {
            "without a request line, `explain` assumes the source's path".to_owned()
        };
        format!("it was sent to {path}, but the source's path is {own}; {what_to_do}")
    }
}
