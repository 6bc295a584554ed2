//! The results of an event's requests.

use crate::clock::Millis;
use std::fmt;
use std::time::Duration;

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryOutcome {
    /// The receiver answered with this status.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// No connection; the request was never sent.
    Unreachable,
    /// The connection broke, or what came was no HTTP.
    Broken,
}

impl TryOutcome {
    /// Whether the receiver has the event.
    #[must_use]
    pub fn is_delivered(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// Whether it counts towards `refused_after`: a 4xx that more patience does not cure.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::Status(400..=499)) && !matches!(self, Self::Status(408 | 425 | 429))
    }

    /// Whether it says that the receiver as a whole is down or overloaded, not just this event bad.
    pub(crate) fn is_outage(self) -> bool {
        !self.is_delivered() && !matches!(self, Self::Status(300..=407 | 409..=428 | 430..=499))
    }

    pub(crate) fn to_code(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::Timeout => 1,
            Self::Unreachable => 2,
            Self::Broken => 3,
        }
    }

    pub(crate) fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Timeout,
            2 => Self::Unreachable,
            3 => Self::Broken,
            status => Self::Status(status),
        }
    }
}

impl fmt::Display for TryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Broken => f.write_str("broken"),
        }
    }
}

/// One finished request, as history shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// When it began.
    pub at: Millis,
    /// How it ended.
    pub outcome: TryOutcome,
    /// How long it took, in milliseconds.
    pub ms: u32,
}

/// One finished request, with what the next one depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// When it began.
    pub at: Millis,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: TryOutcome,
    /// The receiver may have accepted it although no valid answer came: the next request waits for
    /// `uncertain_hold`.
    pub uncertain: bool,
    /// What the receiver asked for by `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Tried {
    /// A request that began at `at` and ended so at once.
    #[must_use]
    pub fn new(at: Millis, outcome: TryOutcome) -> Self {
        Self { at, took: Duration::ZERO, outcome, uncertain: false, retry_after: None }
    }
}
