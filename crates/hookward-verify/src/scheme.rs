//! How a sender signs, as data.
//!
//! A [`Scheme`] is the `signature`, `timestamp`, `event` and `handshake` tables of a preset or of a
//! configuration, read and checked. Nothing here computes anything: [`verify`](mod@crate::verify) reads
//! a scheme to judge a request, [`sign`](mod@crate::sign) to make one.

mod algorithm;
mod handshake;
mod headers;
mod notation;
mod place;
mod pointer;
mod published;
mod signature;
mod template;
mod timestamp;

pub use algorithm::{Algorithm, Encoding, KeyForm};
pub use handshake::{Handshake, HandshakeKind};
pub use place::{Place, Segment};
pub use pointer::Pointer;
pub(crate) use published::SNS_MEMBERS;
pub use published::{
    CertificateRule, ClaimRule, HostPattern, JwtAlgorithm, PathPattern, TokenRule,
};
pub use signature::{Fallback, SignatureRule};
pub use template::{Part, Template, UrlForm};
pub use timestamp::{TimeFormat, TimestampPlace, TimestampRule};

/// Everything about one sender's scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// How the signature is made, and where it is.
    pub signature: SignatureRule,
    /// Where the time of sending is; `None` if the scheme does not have one.
    pub timestamp: Option<TimestampRule>,
    /// Where id, type and time of the event are.
    pub event: EventRule,
    /// The handshake that the endpoint has to answer, if there is one.
    pub handshake: Option<Handshake>,
}

impl Scheme {
    /// Whether the timestamp's text is part of what is signed, so that it is judged together with
    /// the signature.
    #[must_use]
    pub fn signs_timestamp(&self) -> bool {
        let is_header = |rule: &TimestampRule| matches!(rule.from, TimestampPlace::Header(_));
        self.signature.algorithm != Algorithm::Token
            && self.signature.signed.any(|part| match part {
                Part::Timestamp => true,
                // Such a list must name the timestamp header.
                Part::HeaderList(_) => self.timestamp.as_ref().is_some_and(is_header),
                _ => false,
            })
    }
}

/// The `event` table. In each list the first place that exists and is not empty wins.
#[derive(Clone, Debug, Default)]
pub struct EventRule {
    /// Where the event id is.
    pub id: Vec<Place>,
    /// Where the event type is.
    pub kind: Vec<Place>,
    /// Where the time of the event is (RFC 3339 or unix). It is only for measuring how late events
    /// arrive.
    pub time: Vec<Place>,
}
