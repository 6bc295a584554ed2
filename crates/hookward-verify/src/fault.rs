//! What is wrong with a request, judged by the request itself and the secrets.
//!
//! Verification, events and handshakes find faults. The caller decides what to tell the sender, and
//! with which status: this crate knows no HTTP status, log or metric.

use crate::json::PayloadFault;
use std::borrow::Cow;
use std::fmt;

/// A sentence for the log. It may name headers, counts and seconds; never a secret, a computed
/// signature or a body.
pub type Detail = Cow<'static, str>;

/// Why a request is not accepted as genuine, fresh and readable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No signature, or no header that the signature covers.
    #[error("{0}")]
    SignatureMissing(Detail),
    /// A signature that cannot be one.
    #[error("{0}")]
    SignatureMalformed(Detail),
    /// A signature that no active secret made.
    #[error("{0}")]
    SignatureMismatch(Detail),
    /// The scheme has a timestamp and the request has none.
    #[error("{0}")]
    TimestampMissing(Detail),
    /// The timestamp is not of the scheme's format.
    #[error("{0}")]
    TimestampMalformed(Detail),
    /// Sent longer ago than `max_age`.
    #[error("{} old, {} more than max_age", Seconds(*age_millis), Seconds(*over_millis))]
    TimestampTooOld {
        /// How long ago, in milliseconds.
        age_millis: i64,
        /// How much more than `max_age` that is, in milliseconds.
        over_millis: i64,
    },
    /// Sent further ahead than `max_ahead`.
    #[error("{} ahead, {} more than max_ahead", Seconds(*ahead_millis), Seconds(*over_millis))]
    TimestampInFuture {
        /// How far ahead, in milliseconds.
        ahead_millis: i64,
        /// How much more than `max_ahead` that is, in milliseconds.
        over_millis: i64,
    },
    /// The body is not as the scheme requires: not JSON, not UTF-8, a repeated member, an id that
    /// is too long.
    #[error("{0}")]
    PayloadMalformed(Detail),
    /// None of the places for the event id has one.
    #[error("{0}")]
    EventIdMissing(Detail),
    /// None of the places for the event type has one.
    #[error("{0}")]
    EventTypeMissing(Detail),
    /// The secret that is needed could not be read.
    #[error("{0}")]
    SecretUnavailable(Detail),
}

/// The kind of a [`Fault`], without the details of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the variant of `Fault` of the same name")]
pub enum FaultKind {
    SignatureMissing,
    SignatureMalformed,
    SignatureMismatch,
    TimestampMissing,
    TimestampMalformed,
    TimestampTooOld,
    TimestampInFuture,
    PayloadMalformed,
    EventIdMissing,
    EventTypeMissing,
    SecretUnavailable,
}

impl Fault {
    /// A signature that does not read.
    pub(crate) fn malformed(what: &str) -> Self {
        Self::SignatureMalformed(what.to_owned().into())
    }

    /// A signature, or what it covers, that is not what it has to be.
    pub(crate) fn mismatch(what: String) -> Self {
        Self::SignatureMismatch(what.into())
    }

    /// Which fault it is.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::SignatureMissing(_) => FaultKind::SignatureMissing,
            Self::SignatureMalformed(_) => FaultKind::SignatureMalformed,
            Self::SignatureMismatch(_) => FaultKind::SignatureMismatch,
            Self::TimestampMissing(_) => FaultKind::TimestampMissing,
            Self::TimestampMalformed(_) => FaultKind::TimestampMalformed,
            Self::TimestampTooOld { .. } => FaultKind::TimestampTooOld,
            Self::TimestampInFuture { .. } => FaultKind::TimestampInFuture,
            Self::PayloadMalformed(_) => FaultKind::PayloadMalformed,
            Self::EventIdMissing(_) => FaultKind::EventIdMissing,
            Self::EventTypeMissing(_) => FaultKind::EventTypeMissing,
            Self::SecretUnavailable(_) => FaultKind::SecretUnavailable,
        }
    }
}

impl From<PayloadFault> for Fault {
    fn from(fault: PayloadFault) -> Self {
        Self::PayloadMalformed(fault.0.into())
    }
}

/// Milliseconds, written as seconds.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1000, self.0 % 1000)
    }
}
