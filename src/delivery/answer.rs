//! The answer to a sender, before it is written to a connection.

use crate::outcome::{Outcome, Reason, Refusal};
use crate::upstream::{ReplyBody, UpstreamAnswer};
use bytes::Bytes;
use hookward_claims::Claim;
use hookward_verify::handshake::Reply;
use http::{HeaderMap, HeaderValue, header};
use std::sync::Arc;

/// The answer to one request; `edge::respond` turns it into bytes.
#[derive(Debug)]
pub struct Answer {
    /// How the delivery ended.
    pub conclusion: Conclusion,
    /// Further headers: those of an upstream's 2xx or of a handshake, `Allow` of a 405.
    pub headers: HeaderMap,
    /// The body of a good end; that of a refusal is the problem document.
    pub body: ReplyBody,
    /// Whether the sender is told the status alone.
    pub is_bare: bool,
}

/// How a delivery ended: successfully, with a status, or with a refusal, which has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Well.
    Good {
        /// How.
        success: Success,
        /// Under which status.
        status: u16,
    },
    /// With a reason.
    Refused(Refusal),
}

/// The outcomes that have no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// [`Outcome::Delivered`].
    Delivered,
    /// [`Outcome::Duplicate`].
    Duplicate,
    /// [`Outcome::Queued`].
    Queued,
    /// [`Outcome::Ignored`].
    Ignored,
    /// [`Outcome::Handshake`].
    Handshake,
}

impl From<Success> for Outcome {
    fn from(success: Success) -> Self {
        match success {
            Success::Delivered => Self::Delivered,
            Success::Duplicate => Self::Duplicate,
            Success::Queued => Self::Queued,
            Success::Ignored => Self::Ignored,
            Success::Handshake => Self::Handshake,
        }
    }
}

impl Answer {
    /// A good end without a body.
    ///
    /// ```
    /// use hookward::delivery::answer::{Answer, Success};
    /// let answer = Answer::empty(Success::Delivered, 200);
    /// ```
    ///
    /// What did not end well has a reason, and only [`refused`](Self::refused) makes it:
    ///
    /// ```compile_fail,E0308
    /// use hookward::delivery::answer::{Answer, Success};
    /// use hookward::outcome::Outcome;
    /// let answer = Answer::empty(Outcome::Rejected, 200);
    /// ```
    #[must_use]
    pub fn empty(success: Success, status: u16) -> Self {
        Self {
            conclusion: Conclusion::Good { success, status },
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Bytes::new()),
            is_bare: false,
        }
    }

    /// The same answer as its status alone, any success as 200; see
    /// [`crate::delivery::source::Answers::Bare`]. `Allow` stays.
    #[must_use]
    pub fn bare(self) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(allow) = self.headers.get(header::ALLOW) {
            headers.insert(header::ALLOW, allow.clone());
        }
        let conclusion = match self.conclusion {
            Conclusion::Good { success, status: 200..300 } => {
                Conclusion::Good { success, status: 200 }
            }
            other => other,
        };
        Self { conclusion, headers, body: ReplyBody::Whole(Bytes::new()), is_bare: true }
    }

    /// A handshake's answer.
    #[must_use]
    pub fn handshake(reply: Reply) -> Self {
        let mut headers = reply.headers;
        if !reply.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        }
        let body = ReplyBody::Whole(reply.body.into());
        Self { headers, body, ..Self::empty(Success::Handshake, reply.status) }
    }

    /// A bad end.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            conclusion: Conclusion::Refused(refusal),
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Bytes::new()),
            is_bare: false,
        }
    }

    /// The `Hookward-Outcome` header.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.conclusion {
            Conclusion::Good { success, .. } => (*success).into(),
            Conclusion::Refused(refusal) => refusal.reason.facets().outcome,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match &self.conclusion {
            Conclusion::Good { status, .. } => *status,
            Conclusion::Refused(refusal) => refusal.status(),
        }
    }

    /// Why it did not succeed, if it did not.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.conclusion {
            Conclusion::Good { .. } => None,
            Conclusion::Refused(refusal) => Some(refusal),
        }
    }
}

/// What a delivery and the copies that waited for it are told about one destination.
#[derive(Debug)]
pub enum DestinationOutcome {
    /// The destination answered 2xx. Copies are told its body only if that was small enough to be
    /// kept whole.
    Accepted(UpstreamAnswer),
    /// The event is durable in the inbox and will be sent from there.
    Queued,
    /// The inbox had the event before, or somebody said that it is never to be sent.
    Stored,
    /// It did not accept the event.
    Failed(Refusal),
    /// The request was sent whole, and nothing valid came back: it may have accepted the event.
    Uncertain(Refusal),
}

impl DestinationOutcome {
    /// The same end for one more copy of the delivery: without a body that only streams.
    #[must_use]
    pub fn copy(&self) -> Self {
        match self {
            Self::Accepted(UpstreamAnswer { status, headers, body }) => {
                let body = match body {
                    ReplyBody::Whole(bytes) => bytes.clone(),
                    ReplyBody::Streamed { .. } => Bytes::new(),
                };
                let (status, headers) = (*status, headers.clone());
                Self::Accepted(UpstreamAnswer { status, headers, body: ReplyBody::Whole(body) })
            }
            Self::Queued => Self::Queued,
            Self::Stored => Self::Stored,
            Self::Failed(refusal) => Self::Failed(refusal.clone()),
            Self::Uncertain(refusal) => Self::Uncertain(refusal.clone()),
        }
    }

    /// Ends the claim that it was met under.
    pub async fn settle(&self, claim: Claim<Self>) {
        let result = Arc::new(self.copy());
        match self {
            Self::Accepted(_) => claim.delivered(result).await,
            Self::Uncertain(_) => claim.uncertain(self.note(), result).await,
            Self::Queued | Self::Stored | Self::Failed(_) => {
                claim.released(self.note(), result).await;
            }
        }
    }

    /// What copies that wait on other instances are told: reason, status, and the wait where it is
    /// not the reason's.
    #[must_use]
    pub fn note(&self) -> String {
        match self {
            Self::Accepted(_) | Self::Queued | Self::Stored => String::new(),
            Self::Failed(refusal) | Self::Uncertain(refusal) => {
                let (label, status) = (refusal.reason.label(), refusal.status());
                match &refusal.retry_after {
                    None => format!("{label} {status}"),
                    Some(wait) => format!("{label} {status} {wait}"),
                }
            }
        }
    }

    /// The refusal that another instance noted with [`DestinationOutcome::note`], if this version knows its
    /// reason.
    #[must_use]
    pub fn refusal_of(note: &str) -> Option<Refusal> {
        let mut parts = note.splitn(3, ' ');
        let (label, status, wait) = (parts.next()?, parts.next()?, parts.next());
        let reason = Reason::ALL.into_iter().find(|reason| reason.label() == label)?;
        let status = status.parse().ok().filter(|status| (400..600).contains(status))?;
        let detail = "as another instance was told";
        let refusal = match reason {
            Reason::UpstreamError => Refusal::passing_on(status, detail),
            reason => Refusal::because(reason, detail),
        };
        Some(refusal.with_retry_after(wait.map(ToOwned::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_elsewhere_are_told_reason_status_and_wait() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (status, wait) in [(500, None), (503, Some("17")), (503, Some(date))] {
            let told = Refusal::passing_on(status, "").with_retry_after(wait.map(str::to_owned));
            let heard =
                DestinationOutcome::refusal_of(&DestinationOutcome::Failed(told.clone()).note())
                    .unwrap();
            assert_eq!((heard.reason, heard.status()), (told.reason, status));
            assert_eq!(heard.retry_after, told.retry_after);
        }
        for note in ["", "upstream_error", "nonsense 500", "upstream_error 200", "upstream_error x"]
        {
            assert_eq!(DestinationOutcome::refusal_of(note).map(|r| r.status()), None, "{note}");
        }
    }
}
