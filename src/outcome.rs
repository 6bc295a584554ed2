//! How a delivery ended, and what its sender is told.
//!
//! It defines the vocabulary of section 4 of the contract. The table of [`Reason`] and
//! [`Reason::facets`] is **the only place where a reason becomes a status, an outcome, a log level
//! or a `Retry-After`**. Code that finds a fault names the reason and never chooses a status. This
//! module knows no HTTP server, metric or clock.

use hookward_verify::fault::{Fault, FaultKind};
use std::borrow::Cow;
use std::time::Duration;

/// How a delivery ended; exactly one per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every destination of the event has accepted it, and at least one did so for this delivery.
    Delivered,
    /// Every destination had accepted the event before; nothing was forwarded.
    Duplicate,
    /// It is durable in the inbox, but not yet accepted everywhere.
    Queued,
    /// Genuine, but no route takes this type.
    Ignored,
    /// A handshake of the sender's protocol, answered here.
    Handshake,
    /// Refused; the upstream got nothing.
    Rejected,
    /// Not refused, but the sender has to retry.
    Held,
    /// Forwarded, and a destination did not accept it.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Duplicate,
        Self::Queued,
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
            Self::Queued => "queued",
            Self::Ignored => "ignored",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

/// Generates [`Reason`], its list and its facets from one table, so that no reason can exist
/// without all three.
macro_rules! reasons {
    ($(
        $(#[$doc:meta])+
        $reason:ident => $label:literal, $outcome:ident, $status:literal, $retry:expr, $level:ident,
            $concern:ident, $title:literal;
    )+) => {
        /// Why a delivery did not succeed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])+ $reason,)+
        }

        impl Reason {
            /// Every reason, in the order of the table; each at the index `reason as usize`.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$reason),+];

            /// What follows from this reason.
            #[must_use]
            pub const fn facets(self) -> Facets {
                match self {
                    $(Self::$reason => Facets {
                        label: $label,
                        outcome: Outcome::$outcome,
                        status: $status,
                        retry_after_seconds: $retry,
                        level: Level::$level,
                        concern: Concern::$concern,
                        title: $title,
                    },)+
                }
            }
        }
    };
}

// Each row: label, outcome, status, `Retry-After` in seconds, log level, concern, title.
#[rustfmt::skip] // one reason, one row
reasons! {
    /// No source has this path.
    UnknownSource => "unknown_source", Rejected, 404, None, Info, Request, "No source is configured for this path.";
    /// The source takes `POST` only.
    MethodNotAllowed => "method_not_allowed", Rejected, 405, None, Info, Request, "Events are delivered with POST.";
    /// The body is over `max_body`.
    BodyTooLarge => "body_too_large", Rejected, 413, None, Warn, Request, "The body is larger than this receiver accepts.";
    /// The header did not arrive within `header_timeout`.
    HeaderTimeout => "header_timeout", Rejected, 408, None, Info, Request, "The request header did not arrive in time.";
    /// The body did not arrive within `body_timeout`.
    BodyTimeout => "body_timeout", Rejected, 408, None, Info, Request, "The request body did not arrive in time.";
    /// The body is compressed, so its bytes are not the signed ones.
    ContentEncoding => "content_encoding", Rejected, 415, None, Warn, Request, "Send the body without Content-Encoding.";
    /// Malformed or ambiguous HTTP.
    BadRequest => "bad_request", Rejected, 400, None, Info, Request, "The request is not well-formed HTTP.";
    /// No signature, or no header that the signature covers.
    SignatureMissing => "signature_missing", Rejected, 401, None, Warn, Signature, "The request has no signature, or lacks a header that it covers.";
    /// A signature that cannot be one.
    SignatureMalformed => "signature_malformed", Rejected, 401, None, Warn, Signature, "The signature does not have the format of this source.";
    /// A signature that no active secret made.
    SignatureMismatch => "signature_mismatch", Rejected, 401, None, Warn, Signature, "The signature does not match the request.";
    /// The scheme has a timestamp and the request has none.
    TimestampMissing => "timestamp_missing", Rejected, 401, None, Warn, Timestamp, "The request has no timestamp.";
    /// The timestamp is not of the scheme's format.
    TimestampMalformed => "timestamp_malformed", Rejected, 401, None, Warn, Timestamp, "The timestamp does not have the format of this source.";
    /// Older than `max_age`.
    TimestampTooOld => "timestamp_too_old", Rejected, 401, None, Warn, Age, "The timestamp is older than this receiver accepts.";
    /// Further ahead than `max_ahead`.
    TimestampInFuture => "timestamp_in_future", Rejected, 401, None, Warn, Age, "The timestamp is in the future.";
    /// The body is not as the scheme requires: not JSON, not UTF-8, a repeated member, an id that
    /// is too long.
    PayloadMalformed => "payload_malformed", Rejected, 422, None, Warn, Event, "The body is not the JSON that this source sends.";
    /// None of the places for the event id has one.
    EventIdMissing => "event_id_missing", Rejected, 422, None, Warn, Event, "The event has no id.";
    /// None of the places for the event type has one.
    EventTypeMissing => "event_type_missing", Rejected, 422, None, Warn, Event, "The event has no type.";
    /// No route takes this type, and the source refuses such events.
    Unrouted => "unrouted", Rejected, 422, None, Warn, Route, "This receiver does not accept events of this type.";
    /// The source's `rate_limit` is used up.
    RateLimited => "rate_limited", Rejected, 429, Some(1), Warn, Capacity, "Too many requests for this source.";
    /// The sender's address is not in `allow`.
    AddressNotAllowed => "address_not_allowed", Rejected, 403, None, Warn, Request, "This address may not deliver to this source.";
    /// A limit on connections or body memory is reached.
    Overloaded => "overloaded", Rejected, 503, Some(1), Warn, Capacity, "The receiver is overloaded; deliver again later.";
    /// The process is draining.
    ShuttingDown => "shutting_down", Rejected, 503, Some(1), Info, Capacity, "The receiver is restarting; deliver again later.";
    /// The source's secret could not be read.
    SecretUnavailable => "secret_unavailable", Rejected, 503, Some(60), Warn, Secret, "This source is not ready; deliver again later.";
    /// The claim store does not answer.
    StoreUnavailable => "store_unavailable", Rejected, 503, Some(5), Warn, Claim, "The receiver cannot check for duplicates now; deliver again later.";
    /// Another delivery of the event is still being forwarded.
    InFlight => "in_flight", Held, 503, Some(1), Info, Claim, "Another delivery of this event is under way; deliver again later.";
    /// `respond_within` ran out while this delivery was being forwarded.
    StillWorking => "still_working", Held, 503, Some(1), Info, Destination, "The event is still being processed; deliver again to learn the result.";
    /// An earlier delivery may have been accepted, so this one is held.
    Uncertain => "uncertain", Held, 503, Some(1), Warn, Claim, "It is not known yet whether an earlier delivery was accepted; deliver again later.";
    /// The inbox has no room, and earlier events of its order key still wait.
    InboxFull => "inbox_full", Held, 503, Some(5), Warn, Capacity, "There is no room to store the event; deliver again later.";
    /// No connection to the destination.
    UpstreamUnreachable => "upstream_unreachable", Failed, 503, Some(5), Warn, Destination, "A destination cannot be reached; deliver again later.";
    /// The destination did not answer within its `timeout`.
    UpstreamTimeout => "upstream_timeout", Failed, 504, None, Warn, Destination, "A destination did not answer in time; deliver again later.";
    /// The destination answered 5xx.
    UpstreamError => "upstream_error", Failed, 502, None, Warn, Destination, "A destination failed; deliver again later.";
    /// The destination answered 429.
    UpstreamBusy => "upstream_busy", Failed, 429, None, Warn, Destination, "A destination is busy; deliver again later.";
    /// The destination answered 3xx, or a 4xx other than 429.
    UpstreamRefused => "upstream_refused", Failed, 502, None, Warn, Destination, "A destination did not accept the event.";
    /// The destination's answer was not valid HTTP, or broke off.
    UpstreamBroken => "upstream_broken", Failed, 502, None, Warn, Destination, "A destination gave no valid answer; deliver again later.";
}

/// Everything that follows from a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facets {
    /// The word for answer, metric label and log.
    pub label: &'static str,
    /// The outcome that this reason belongs to.
    pub outcome: Outcome,
    /// The status that the sender gets, unless the [`Refusal`] has a more specific one.
    pub status: u16,
    /// `Retry-After` in seconds, if the sender should retry.
    pub retry_after_seconds: Option<u32>,
    /// The level of the log line.
    pub level: Level,
    /// What the reason is about.
    pub concern: Concern,
    /// One sentence for the sender that does not help an attacker.
    pub title: &'static str,
}

/// The level at which a delivery is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The receiver's operators need not act.
    Info,
    /// They may have to.
    Warn,
}

/// What a reason is about. Code that treats some reasons differently matches on this without a
/// wildcard, so a new reason is classified by its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The request as the listener and the source's limits see it.
    Request,
    /// The available resources.
    Capacity,
    /// Its signature.
    Signature,
    /// The secrets to check the signature with.
    Secret,
    /// Its time of sending, as text.
    Timestamp,
    /// Its age.
    Age,
    /// The event that it carries.
    Event,
    /// The route of the event.
    Route,
    /// The claim on the event.
    Claim,
    /// What a destination did.
    Destination,
}

impl Reason {
    /// The word for answer, metric label and log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.facets().label
    }
}

/// The kinds of malformed request for which HTTP has a status of its own. The reason of all of
/// them is [`Reason::BadRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// An `Expect` other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
    /// A head over the listener's limits (RFC 6585 section 5).
    HeadTooLarge,
    /// A transfer coding that is not implemented (RFC 9112 section 6.1).
    TransferCoding,
    /// A version of HTTP that is not spoken (RFC 9110 section 15.6.6).
    Version,
}

impl Malformed {
    /// Its status.
    const fn status(self) -> u16 {
        match self {
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::TransferCoding => 501,
            Self::Version => 505,
        }
    }
}

/// The negative end of one delivery: the reason, with the details of this delivery.
///
/// Its status follows from the reason, and no other code can choose one:
///
/// ```compile_fail,E0451
/// use hookward::outcome::{Reason, Refusal};
/// let refusal = Refusal { status: Some(200), ..Refusal::new(Reason::BadRequest) };
/// ```
///
/// `detail` is for the log. It may name headers, counts and seconds; never a secret, a computed
/// signature, a body, or text of an unverified request that is not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Details for the log; empty if the reason is enough.
    pub detail: Cow<'static, str>,
    /// A more specific status than the reason's. It is private, because the code that finds a fault
    /// must not choose it: see [`Refusal::malformed`] and [`Refusal::passing_on`].
    status: Option<u16>,
    /// A more specific `Retry-After` in seconds than the reason's, as text: an upstream's is passed
    /// on.
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

    /// `bad_request` of a kind that has its own HTTP status.
    #[must_use]
    pub fn malformed(kind: Malformed, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Some(kind.status()), ..Self::because(Reason::BadRequest, detail) }
    }

    /// `upstream_error` under the upstream's own status, 500 to 599. Any other status is not
    /// passed on.
    #[must_use]
    pub fn passing_on(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = Some(status).filter(|status| (500..600).contains(status));
        Self { status, ..Self::because(Reason::UpstreamError, detail) }
    }

    /// The same refusal with `wait` as the text of `Retry-After`, if given.
    #[must_use]
    pub fn with_retry_after(self, wait: Option<String>) -> Self {
        Self { retry_after: wait.or(self.retry_after), ..self }
    }

    /// The same refusal with a more specific wait than the reason's, rounded up to whole seconds.
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

/// The only place where a fault of a request becomes a reason.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let reason = match fault.kind() {
            FaultKind::SignatureMissing => Reason::SignatureMissing,
            FaultKind::SignatureMalformed => Reason::SignatureMalformed,
            FaultKind::SignatureMismatch => Reason::SignatureMismatch,
            FaultKind::TimestampMissing => Reason::TimestampMissing,
            FaultKind::TimestampMalformed => Reason::TimestampMalformed,
            FaultKind::TimestampTooOld => Reason::TimestampTooOld,
            FaultKind::TimestampInFuture => Reason::TimestampInFuture,
            FaultKind::PayloadMalformed => Reason::PayloadMalformed,
            FaultKind::EventIdMissing => Reason::EventIdMissing,
            FaultKind::EventTypeMissing => Reason::EventTypeMissing,
            FaultKind::SecretUnavailable => Reason::SecretUnavailable,
        };
        Self::because(reason, fault.to_string())
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests;
