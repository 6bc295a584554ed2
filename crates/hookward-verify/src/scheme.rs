//! How a sender signs, as data.
//!
//! A [`Scheme`] is the `signature`, `timestamp`, `event` and `handshake` tables of a preset or of a
//! configuration, read and checked. Nothing here computes anything: [`verify`](mod@crate::verify) reads
//! a scheme to judge a request, [`sign`](mod@crate::sign) to make one.

mod handshake;
mod headers;
mod notation;
mod pointer;
mod published;

pub use handshake::{Handshake, HandshakeKind};
pub use pointer::Pointer;
pub(crate) use published::SNS_MEMBERS;
pub use published::{
    CertificateRule, ClaimRule, HostPattern, JwtAlgorithm, PathPattern, TokenRule,
};

use http::HeaderName;
use std::fmt;
use std::time::Duration;

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

/// What computes a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-1, for senders that offer nothing better.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Plain SHA-256 of a signed text that contains `{secret}`.
    Sha256,
    /// Plain SHA-1 of a signed text that contains `{secret}`.
    Sha1,
    /// Ed25519; the secrets are public keys of 32 bytes.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, DER signatures; the secrets are public keys (SPKI).
    EcdsaP256Sha256,
    /// A fixed token that is compared with the secret itself; nothing is signed.
    Token,
    /// RSA, PKCS #1 v1.5 with SHA-1, for senders that offer nothing better.
    RsaSha1,
    /// RSA, PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// A JSON Web Token (RFC 7519) in compact form.
    Jwt,
    /// HTTP Message Signatures (RFC 9421).
    HttpMessageSignatures,
}

impl Algorithm {
    /// Every algorithm with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("hmac-sha1", Self::HmacSha1),
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
        ("sha256", Self::Sha256),
        ("sha1", Self::Sha1),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256-sha256", Self::EcdsaP256Sha256),
        ("token", Self::Token),
        ("rsa-sha1", Self::RsaSha1),
        ("rsa-sha256", Self::RsaSha256),
        ("jwt", Self::Jwt),
        ("http-message-signatures", Self::HttpMessageSignatures),
    ];

    /// Whether signatures are checked with a public key, so that a check costs more than a hash.
    #[must_use]
    pub const fn is_public_key(self) -> bool {
        match self {
            Self::Ed25519
            | Self::EcdsaP256Sha256
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::Jwt
            | Self::HttpMessageSignatures => true,
            Self::HmacSha1
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512
            | Self::Sha256
            | Self::Sha1
            | Self::Token => false,
        }
    }

    /// How many bytes a signature has; `None` if it varies.
    #[must_use]
    pub const fn signature_len(self) -> Option<usize> {
        match self {
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 | Self::Ed25519 => Some(64),
            Self::EcdsaP256Sha256
            | Self::Token
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::Jwt
            | Self::HttpMessageSignatures => None,
        }
    }
}

/// How bytes are written as text in a signature header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Either case, right length.
    Hex,
    /// RFC 4648 section 4; canonical, with or without padding.
    Base64,
    /// RFC 4648 section 5; canonical, with or without padding.
    Base64Url,
}

impl Encoding {
    /// Every encoding with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];
}

/// How the text of a secret becomes the bytes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The text is the key.
    Text,
    /// Hex, either case.
    Hex,
    /// Base64 or base64url, leniently: padding may be missing and spare bits may be set.
    Base64,
}

impl KeyForm {
    /// Every form with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("text", Self::Text), ("hex", Self::Hex), ("base64", Self::Base64)];
}

/// The `signature` table.
#[derive(Clone, Debug)]
pub struct SignatureRule {
    /// What computes the signature; the request never chooses it.
    pub algorithm: Algorithm,
    /// Where signatures are; one place with a match is enough. Never empty.
    pub places: Vec<Place>,
    /// Splits the text into items and trims spaces around them; `None`: the text is one item.
    pub separator: Option<String>,
    /// An item that starts with this contains a signature; empty: every item does.
    pub prefix: String,
    /// Whether an item without the prefix contains a signature as well.
    pub prefix_optional: bool,
    /// How the signature is encoded.
    pub encoding: Encoding,
    /// What is signed.
    pub signed: Template,
    /// How a secret becomes a key.
    pub key: KeyForm,
    /// Removed from the start of the secret, if present; empty: nothing is removed.
    pub key_prefix: String,
    /// Headers that must have exactly this value.
    pub require: Vec<(HeaderName, String)>,
    /// The rule for requests in which no item has the prefix.
    pub fallback: Option<Fallback>,
    /// The rules for a token, if the algorithm is `jwt`.
    pub token: TokenRule,
    /// Where the request names the certificate that its signature is checked with, if it does.
    pub certificate: Option<CertificateRule>,
    /// What an RFC 9421 signature must cover.
    pub components: Vec<String>,
    /// Members that must have one of these values.
    pub claims: Vec<ClaimRule>,
}

/// An older version of a signature, for requests that carry no newer one (Hook0's `v0`).
#[derive(Clone, Debug)]
pub struct Fallback {
    /// An item that starts so holds a signature.
    pub prefix: String,
    /// What is signed.
    pub signed: Template,
}

impl SignatureRule {
    /// Every text that a signature of this rule may cover.
    pub fn signed_texts(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.signed).chain(self.fallback.iter().map(|older| &older.signed))
    }
}

/// A place in a request that contains a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The value of a header.
    Header(HeaderName),
    /// A string or integer in the JSON body.
    Json(Pointer),
    /// The hex SHA-256 of the body: an id for events that carry none.
    BodySha256,
    /// A member of the payload of the token that proves the request genuine.
    Claim(Pointer),
    /// Several places joined by text. It is absent if one of them is.
    Joined(Vec<Segment>),
}

/// One piece of a [`Place::Joined`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Literal text.
    Literal(String),
    /// A place; never a joined one.
    Place(Place),
}

impl Place {
    /// The single places that the text is read from: those of a joined place, else the place itself.
    pub fn singles(&self) -> impl Iterator<Item = &Self> {
        let (own, segments) = match self {
            Self::Joined(segments) => (None, segments.as_slice()),
            single => (Some(single), [].as_slice()),
        };
        own.into_iter().chain(segments.iter().filter_map(|segment| match segment {
            Segment::Place(place) => Some(place),
            Segment::Literal(_) => None,
        }))
    }
}

/// A signed text with placeholders, such as `{timestamp}.{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// One piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Literal(String),
    /// The raw bytes of the body.
    Body,
    /// The timestamp's text as received.
    Timestamp,
    /// The secret's text, without `key_prefix`.
    Secret,
    /// The value of a header.
    Header(HeaderName),
    /// A string or integer in the JSON body; empty if it is absent.
    Json(Pointer),
    /// A JSON value of the body, exactly as it is written there.
    JsonRaw(Pointer),
    /// The request method.
    Method,
    /// The source's `public_url`, plus `?` and the query if there is one.
    Url(UrlForm),
    /// The path as received, without the query.
    Path,
    /// The query without its `?`; empty if there is none.
    Query,
    /// The body as a form: fields sorted by name, with names and values decoded and concatenated.
    FormSorted,
    /// The value of a query parameter, percent-decoded.
    QueryParameter(String),
    /// The headers that the item with this prefix names: the names as listed there, then the value of
    /// each, joined by dots (Hook0).
    Listed(String),
    /// The headers that this header names, separated by commas: `name:value` of each in that order,
    /// joined by semicolons (Contentful). The list must name itself and the timestamp header.
    HeaderList(HeaderName),
    /// The CRC-32 of the body, in decimal (`PayPal`).
    Crc32,
    /// The members of a message of Amazon SNS that its signature covers, as names and values on
    /// separate lines.
    Sns,
    /// A part whose ASCII letters are folded to lower case.
    Lowercase(Box<Part>),
}

/// How a sender writes the URL that it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlForm {
    /// As given to the sender.
    AsGiven,
    /// With or without its port: Twilio is not consistent, so its SDKs try both.
    AnyPort,
    /// With the escapes decoded that `HubSpot` decodes before it signs (v3), and no others:
    /// `%3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B`.
    Decoded,
}

impl Part {
    /// The part itself, or the part inside a lower-case fold.
    #[must_use]
    pub(crate) fn unfolded(&self) -> &Self {
        match self {
            Self::Lowercase(inner) => inner,
            other => other,
        }
    }
}

impl Template {
    /// Whether some part of the text satisfies `wanted`; of a folded part, the part inside.
    #[must_use]
    pub fn any(&self, wanted: impl Fn(&Part) -> bool) -> bool {
        self.0.iter().any(|part| wanted(part.unfolded()))
    }

    /// Whether the raw body is part of what is signed.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.any(|part| matches!(part, Part::Body | Part::FormSorted | Part::Sns))
    }

    /// Whether a change of the text at `place` breaks the signature.
    ///
    /// A lower-case fold does not cover the case, and a sorted form does not cover the order and
    /// escapes of its fields, so neither covers the exact bytes.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        let signs = |wanted: &dyn Fn(&Part) -> bool| self.0.iter().any(wanted);
        match place {
            Place::Header(name) => signs(&|part| matches!(part, Part::Header(h) if h == name)),
            Place::Json(pointer) => signs(&|part| match part {
                Part::Body => true,
                Part::Json(signed) => signed == pointer,
                Part::JsonRaw(signed) => signed.leads_to(pointer),
                Part::Sns => published::SNS_MEMBERS.contains(pointer),
                _ => false,
            }),
            Place::BodySha256 => signs(&|part| *part == Part::Body),
            Place::Claim(_) => true,
            Place::Joined(_) => place.singles().all(|single| self.covers(single)),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_body_covers_its_members_but_no_header() {
        let template = Template(vec![Part::Timestamp, Part::Literal(".".to_owned()), Part::Body]);
        let id = Place::Json(Pointer::parse("/id").expect("a pointer"));
        let header = Place::Header(HeaderName::from_static("x-id"));
        assert!(template.covers(&id) && template.covers(&Place::BodySha256));
        assert!(!template.covers(&header));
    }

    #[test]
    fn a_joined_place_is_covered_only_if_all_of_its_places_are() {
        let place = |text| Place::parse(text).expect("a place");
        let signed = |text| Template::parse(text).expect("a template");
        assert!(signed("{body}").covers(&place("{json:/a}:{json:/b}:{body-sha256}")));
        assert!(!signed("{body}").covers(&place("{header:X-Topic}:{json:/b}")));
        assert!(signed("{header:X-Topic}{body}").covers(&place("{header:X-Topic}:{json:/b}")));
    }

    #[test]
    fn what_can_be_written_in_two_ways_is_not_covered() {
        let place = |text| Place::parse(text).expect("a place");
        let signed = |text| Template::parse(text).expect("a template");
        assert!(!signed("{lower:header:X-Id}").covers(&place("header:X-Id")));
        assert!(!signed("{lower:json:/data/id}").covers(&place("json:/data/id")));
        assert!(!signed("{url}{form}").covers(&Place::BodySha256));
    }
}
