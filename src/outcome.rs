//! How a delivery ended, and what its sender is told.
//!
//! Owns the vocabulary of contract section 4 and **the only place where a reason becomes a
//! status, an outcome, a log level or a `Retry-After`**: [`Reason::facets`]. Code that finds a
//! fault names the reason; it never picks a status. Knows no HTTP server, no metric and no clock.

use std::borrow::Cow;
use std::time::Duration;

/// How a delivery ended; exactly one per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every destination of the event has accepted it, and at least one did so for this delivery.
    Delivered,
    /// Every destination had accepted the event before; nothing was forwarded.
    Duplicate,
    /// Genuine, but no route wants this type.
    Ignored,
    /// A handshake of the sender's protocol, answered here.
    Handshake,
    /// Refused; the upstream heard nothing.
    Rejected,
    /// Not refused, but the sender has to come again.
    Held,
    /// Forwarded, and a destination did not accept it.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Duplicate,
        Self::Ignored,
        Self::Handshake,
        Self::Rejected,
        Self::Held,
        Self::Failed,
    ];

    /// The word for header, metric label and log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

/// Why a delivery did not end well. The order is that of contract section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No source has this path.
    UnknownSource,
    /// The source takes `POST` only.
    MethodNotAllowed,
    /// The body is over `max_body`.
    BodyTooLarge,
    /// The header did not arrive within `header_timeout`.
    HeaderTimeout,
    /// The body did not arrive within `body_timeout`.
    BodyTimeout,
    /// The body is compressed, so that its bytes are not what was signed.
    ContentEncoding,
    /// Malformed or ambiguous HTTP.
    BadRequest,
    /// No signature, or no header that the signature covers.
    SignatureMissing,
    /// A signature that cannot be one.
    SignatureMalformed,
    /// A signature that no active secret made.
    SignatureMismatch,
    /// The scheme has a timestamp and the request has none.
    TimestampMissing,
    /// The timestamp is not of the scheme's format.
    TimestampMalformed,
    /// Older than `max_age`.
    TimestampTooOld,
    /// Further ahead than `max_ahead`.
    TimestampInFuture,
    /// The body is not what the scheme says: JSON, UTF-8, a member twice, an id too long.
    PayloadMalformed,
    /// None of the places for the event id holds one.
    EventIdMissing,
    /// None of the places for the event type holds one.
    EventTypeMissing,
    /// No route wants this type, and the source says to refuse such events.
    Unrouted,
    /// The source's `rate_limit` is used up.
    RateLimited,
    /// The sender's address is not in `allow`.
    AddressNotAllowed,
    /// A limit on connections or body memory is reached.
    Overloaded,
    /// The process is draining.
    ShuttingDown,
    /// The source's secret could not be read.
    SecretUnavailable,
    /// The claim store does not answer.
    StoreUnavailable,
    /// Another delivery of the event is still being forwarded.
    InFlight,
    /// `respond_within` ran out while this delivery is being forwarded.
    StillWorking,
    /// An earlier delivery may have been accepted; waiting out the hold.
    Uncertain,
    /// No connection to the destination.
    UpstreamUnreachable,
    /// The destination did not answer within its `timeout`.
    UpstreamTimeout,
    /// The destination answered 5xx.
    UpstreamError,
    /// The destination answered 429.
    UpstreamBusy,
    /// The destination answered 3xx, or a 4xx other than 429.
    UpstreamRefused,
    /// The destination's answer was not valid HTTP, or broke off.
    UpstreamBroken,
}

/// Everything that follows from a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facets {
    /// The word for answer, metric label and log.
    pub label: &'static str,
    /// The outcome that this reason belongs to.
    pub outcome: Outcome,
    /// The status that the sender gets, unless the [`Refusal`] carries a more exact one.
    pub status: u16,
    /// `Retry-After` in seconds, where the sender should come again.
    pub retry_after_seconds: Option<u32>,
    /// One sentence for the sender; says nothing that helps an attacker.
    pub title: &'static str,
    /// Whether the log line is a warning: somebody on the receiver's side may have to act.
    pub needs_attention: bool,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 33] = [
        Self::UnknownSource,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::ContentEncoding,
        Self::BadRequest,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::TimestampMissing,
        Self::TimestampMalformed,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::PayloadMalformed,
        Self::EventIdMissing,
        Self::EventTypeMissing,
        Self::Unrouted,
        Self::RateLimited,
        Self::AddressNotAllowed,
        Self::Overloaded,
        Self::ShuttingDown,
        Self::SecretUnavailable,
        Self::StoreUnavailable,
        Self::InFlight,
        Self::StillWorking,
        Self::Uncertain,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::UpstreamError,
        Self::UpstreamBusy,
        Self::UpstreamRefused,
        Self::UpstreamBroken,
    ];

    /// The word for answer, metric label and log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.facets().label
    }

    /// What follows from this reason. One exhaustive match: a new reason does not compile until
    /// somebody has decided all of it here.
    #[must_use]
    #[rustfmt::skip] // a table reads better as one
    pub const fn facets(self) -> Facets {
        use Outcome::{Failed, Held, Rejected};
        match self {
            Self::UnknownSource       => facets("unknown_source", Rejected, 404, None, false, "No source is configured for this path."),
            Self::MethodNotAllowed    => facets("method_not_allowed", Rejected, 405, None, false, "Events are delivered with POST."),
            Self::BodyTooLarge        => facets("body_too_large", Rejected, 413, None, true, "The body is larger than this receiver accepts."),
            Self::HeaderTimeout       => facets("header_timeout", Rejected, 408, None, false, "The request header did not arrive in time."),
            Self::BodyTimeout         => facets("body_timeout", Rejected, 408, None, false, "The request body did not arrive in time."),
            Self::ContentEncoding     => facets("content_encoding", Rejected, 415, None, true, "Send the body without Content-Encoding."),
            Self::BadRequest          => facets("bad_request", Rejected, 400, None, false, "The request is not well-formed HTTP."),
            Self::SignatureMissing    => facets("signature_missing", Rejected, 401, None, true, "The request carries no signature, or lacks a header that it covers."),
            Self::SignatureMalformed  => facets("signature_malformed", Rejected, 401, None, true, "The signature is not of the form that this source uses."),
            Self::SignatureMismatch   => facets("signature_mismatch", Rejected, 401, None, true, "The signature does not match the request."),
            Self::TimestampMissing    => facets("timestamp_missing", Rejected, 401, None, true, "The request carries no timestamp."),
            Self::TimestampMalformed  => facets("timestamp_malformed", Rejected, 401, None, true, "The timestamp is not of the form that this source uses."),
            Self::TimestampTooOld     => facets("timestamp_too_old", Rejected, 401, None, true, "The timestamp is older than this receiver accepts."),
            Self::TimestampInFuture   => facets("timestamp_in_future", Rejected, 401, None, true, "The timestamp lies in the future."),
            Self::PayloadMalformed    => facets("payload_malformed", Rejected, 422, None, true, "The body is not the JSON that this source sends."),
            Self::EventIdMissing      => facets("event_id_missing", Rejected, 422, None, true, "The event has no id."),
            Self::EventTypeMissing    => facets("event_type_missing", Rejected, 422, None, true, "The event has no type."),
            Self::Unrouted            => facets("unrouted", Rejected, 422, None, true, "This receiver takes no events of this type."),
            Self::RateLimited         => facets("rate_limited", Rejected, 429, Some(1), true, "Too many requests for this source."),
            Self::AddressNotAllowed   => facets("address_not_allowed", Rejected, 403, None, true, "This address may not deliver to this source."),
            Self::Overloaded          => facets("overloaded", Rejected, 503, Some(1), true, "The receiver is overloaded; deliver again later."),
            Self::ShuttingDown        => facets("shutting_down", Rejected, 503, Some(1), false, "The receiver is restarting; deliver again later."),
            Self::SecretUnavailable   => facets("secret_unavailable", Rejected, 503, Some(60), true, "This source is not ready; deliver again later."),
            Self::StoreUnavailable    => facets("store_unavailable", Rejected, 503, Some(5), true, "The receiver cannot check for duplicates now; deliver again later."),
            Self::InFlight            => facets("in_flight", Held, 503, Some(1), false, "Another delivery of this event is under way; deliver again later."),
            Self::StillWorking        => facets("still_working", Held, 503, Some(1), false, "The event is still being processed; deliver again to learn how it ended."),
            Self::Uncertain           => facets("uncertain", Held, 503, Some(1), true, "Whether an earlier delivery was accepted is not known yet; deliver again later."),
            Self::UpstreamUnreachable => facets("upstream_unreachable", Failed, 503, Some(5), true, "A destination cannot be reached; deliver again later."),
            Self::UpstreamTimeout     => facets("upstream_timeout", Failed, 504, None, true, "A destination did not answer in time; deliver again later."),
            Self::UpstreamError       => facets("upstream_error", Failed, 502, None, true, "A destination failed; deliver again later."),
            Self::UpstreamBusy        => facets("upstream_busy", Failed, 429, None, true, "A destination is busy; deliver again later."),
            Self::UpstreamRefused     => facets("upstream_refused", Failed, 502, None, true, "A destination did not accept the event."),
            Self::UpstreamBroken      => facets("upstream_broken", Failed, 502, None, true, "A destination gave no valid answer; deliver again later."),
        }
    }
}

const fn facets(
    label: &'static str,
    outcome: Outcome,
    status: u16,
    retry_after_seconds: Option<u32>,
    needs_attention: bool,
    title: &'static str,
) -> Facets {
    Facets { label, outcome, status, retry_after_seconds, title, needs_attention }
}

/// One delivery's bad end: the reason, and what only this delivery knows about it.
///
/// `detail` is for the log. It may name headers, counts and seconds; never a secret, a computed
/// signature, a body, or text of an unverified request that is not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What the log adds; empty if the reason says it all.
    pub detail: Cow<'static, str>,
    /// A status more exact than the reason's: an upstream's 5xx, or a 4xx that HTTP has for the
    /// particular fault.
    pub status: Option<u16>,
    /// A `Retry-After` in seconds more exact than the reason's, as text: an upstream's is passed on.
    pub retry_after: Option<String>,
}

impl Refusal {
    /// A refusal with nothing to add to its reason.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: Cow::Borrowed(""), status: None, retry_after: None }
    }

    /// A refusal with a sentence for the log.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::new(reason) }
    }

    /// The same refusal under a status more exact than the reason's.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The same refusal with a wait more exact than the reason's, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Self { retry_after: Some(seconds.to_string()), ..self }
    }

    /// The status that the sender gets.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(self.reason.facets().status)
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_stands_in_all_once_and_at_its_own_index() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
        let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }

    #[test]
    fn labels_are_snake_case() {
        for label in Reason::ALL.iter().map(|r| r.label()).chain(Outcome::ALL.map(Outcome::label)) {
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        }
    }

    #[test]
    fn whoever_should_come_again_later_is_told_when() {
        for reason in Reason::ALL {
            let facets = reason.facets();
            if facets.status == 503 {
                assert!(facets.retry_after_seconds.is_some(), "{}", facets.label);
            }
        }
    }

    #[test]
    fn a_wait_is_rounded_up_so_that_nobody_comes_too_early() {
        let refusal = Refusal::new(Reason::Uncertain).retry_after(Duration::from_millis(1001));
        assert_eq!(refusal.retry_after.as_deref(), Some("2"));
        let refusal = Refusal::new(Reason::Uncertain).retry_after(Duration::ZERO);
        assert_eq!(refusal.retry_after.as_deref(), Some("1"));
    }
}
