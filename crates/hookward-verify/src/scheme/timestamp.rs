//! Where the time of sending is, and how old it may be.

use super::pointer::Pointer;
use http::HeaderName;
use std::fmt;
use std::time::Duration;

/// The `timestamp` table.
#[derive(Clone, Debug)]
pub struct TimestampRule {
    /// Where it is.
    pub from: TimestampPlace,
    /// How it is written.
    pub format: TimeFormat,
    /// How old a request may be, inclusive; `None` for any age.
    pub max_age: Option<Duration>,
    /// How far ahead of the receiver's clock the time may be, inclusive.
    pub max_ahead: Duration,
}

/// Where a timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampPlace {
    /// The value of a header.
    Header(HeaderName),
    /// What follows this prefix in an item of the signature header.
    Item(String),
    /// The item of the signature header at this index, from 0.
    ItemAt(usize),
    /// A string or integer in the JSON body.
    Json(Pointer),
    /// A member of the payload of the token that proves the request genuine, or a parameter of its
    /// signature of RFC 9421.
    Claim(Pointer),
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Whole seconds since 1970.
    Unix,
    /// Whole milliseconds since 1970.
    UnixMs,
    /// RFC 3339, any offset, any fraction.
    Rfc3339,
}

impl TimeFormat {
    /// Every format with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("unix", Self::Unix), ("unix-ms", Self::UnixMs), ("rfc3339", Self::Rfc3339)];
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "unix",
            Self::UnixMs => "unix-ms",
            Self::Rfc3339 => "rfc3339",
        })
    }
}
