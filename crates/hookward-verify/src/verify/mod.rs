//! Signature and freshness. This is the only module that makes a [`Genuine`].
//!
//! Every secret is tried on every signature of the request, over the raw bytes, and compared in
//! constant time. The request never chooses the algorithm. Of a JSON body only the members that the
//! signature rule names are read.
//!
//! [`verify()`] checks a whole request. [`SignatureCheck`] hashes a body while it arrives.
//! [`freshness`] judges the time of sending; it is separate because a duplicate is recognised first,
//! however old it is.

mod elements;
mod encoding;
mod explaining;
pub mod freshness;
mod items;
mod signed;
mod texts;
mod url;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use encoding::decode_signature;
pub(crate) use encoding::encode_signature;
pub use explaining::{SignedText, timestamp_text};
pub(crate) use items::{lines, signature_of};
pub use signed::Piece;
pub(crate) use signed::{Inputs, OneHeader, body_sha256, one_header};
pub(crate) use texts::signed_text;

use crate::fault::Fault;
use crate::jwt;
use crate::keys::{Key, Keys, Method, Running};
use crate::message_signatures;
use crate::request::Request;
use crate::scheme::{Algorithm, SignatureRule};
use crate::sender::Sender;
use hookward_time::UnixMillis;
use std::borrow::Cow;
use std::sync::Arc;

/// Proof that a request has a signature that one of the sender's secrets made.
#[derive(Clone, Debug)]
pub struct Genuine {
    secret: usize,
    label: Arc<str>,
    sent: Option<UnixMillis>,
    signed: Option<String>,
    token: Option<Arc<[u8]>>,
    lifetime: Lifetime,
}

/// The time in which a token may be used; an open end has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Its first moment.
    pub not_before: Option<UnixMillis>,
    /// Its end.
    pub expires: Option<UnixMillis>,
}

impl Genuine {
    /// Proof by this key, for schemes that do not compare a list of signatures.
    pub(crate) fn by(key: &Key, sent: Option<UnixMillis>, signed: Option<String>) -> Self {
        let label = Arc::clone(&key.label);
        Self { secret: key.entry, label, sent, signed, token: None, lifetime: Lifetime::default() }
    }

    /// The same with the payload of the token that proves it.
    pub(crate) fn with_token(self, payload: Arc<[u8]>, lifetime: Lifetime) -> Self {
        Self { token: Some(payload), lifetime, ..self }
    }

    /// The same with a time in which it is valid.
    pub(crate) fn with_lifetime(self, lifetime: Lifetime) -> Self {
        Self { lifetime, ..self }
    }

    /// The payload of the token that proves it: JSON, read strictly; `None` if there is no token.
    #[must_use]
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// When the token may be used.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The index of the secret that matched; 0 is the newest.
    #[must_use]
    pub const fn secret(&self) -> usize {
        self.secret
    }

    /// The label of that secret.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// When it was sent according to the sender, if the signed text contains that.
    #[must_use]
    pub const fn sent(&self) -> Option<UnixMillis> {
        self.sent
    }

    /// A fingerprint of the signed text: 32 hex digits. `None` unless [`Sender::replay_guard`] is
    /// set.
    ///
    /// To recognise a delivery that is sent again under another id, compare this and not the
    /// signature. One text can have several signatures, made with several secrets or with an
    /// algorithm whose signatures differ each time.
    #[must_use]
    pub fn signed_fingerprint(&self) -> Option<&str> {
        self.signed.as_deref()
    }
}

/// A check of one request's signature while its body arrives.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use hookward_verify::{Request, Sender, SignatureCheck};
///
/// let sender = Sender::preset("github", ["It's a Secret to Everybody"])?;
/// let mut headers = http::HeaderMap::new();
/// let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
/// headers.insert("x-hub-signature-256", signature.parse()?);
/// let method = http::Method::POST;
/// let request = Request { method: &method, path: "/github", query: None, headers: &headers };
///
/// let mut check = SignatureCheck::begin(&sender, request)?;
/// let mut body = Vec::new();
/// for chunk in [&b"Hello, "[..], b"World!"] {
///     check.update(chunk);
///     body.extend_from_slice(chunk);
/// }
/// check.finish(&body)?;
/// # Ok(())
/// # }
/// ```
pub struct SignatureCheck<'a> {
    source: &'a Sender,
    keys: &'a Keys,
    head: Request<'a>,
    state: State<'a>,
}

enum State<'a> {
    /// The rule needs the body, or it is cheaper to wait for it.
    Waiting,
    /// The body is hashed for each key as it arrives.
    Hashing { reading: Reading<'a>, hashes: Vec<Running>, seen_bytes: usize },
    /// The head alone decides.
    Refused(Fault),
}

/// What a request says about its signature, before any of it is checked.
pub(crate) struct Reading<'a> {
    /// Every signature that decodes; never empty.
    signatures: Vec<Vec<u8>>,
    /// The text that was signed.
    pieces: Vec<Piece<'a>>,
    /// The method, for public keys that support several.
    method: Option<Method>,
    /// Another text that the sender may have signed instead.
    other_pieces: Option<Vec<Piece<'a>>>,
    /// The time of sending, if it is part of the text.
    sent: Option<UnixMillis>,
    /// Which text the source remembers.
    guard: Guard<'a>,
}

/// Which signed text a source remembers, so that it is not delivered again under another id.
enum Guard<'a> {
    /// None.
    Off,
    /// The text that the signature covers.
    Own,
    /// The text of the scheme's older signature, which accompanies every newer one.
    Older(Vec<Piece<'a>>),
}

impl<'a> SignatureCheck<'a> {
    /// Reads the head. [`SignatureCheck::finish`] reports a fault in it, because the limits of the
    /// body are checked first.
    ///
    /// # Errors
    /// [`Fault::SecretUnavailable`]: there is no key to check with, so the body need not be read.
    pub fn begin(source: &'a Sender, head: Request<'a>) -> Result<Self, Fault> {
        let keys = source.ready_keys()?;
        let state = match Inputs::of_head(source, head).map(|inputs| Reading::of(&inputs)) {
            None => State::Waiting,
            Some(Err(fault)) => State::Refused(fault),
            Some(Ok(reading)) => {
                let bodies = reading.pieces.iter().filter(|piece| **piece == Piece::Body).count();
                let hashes = match bodies {
                    1 => keys.iter().filter_map(|key| key.begin(&reading.pieces)).collect(),
                    _ => Vec::new(),
                };
                State::Hashing { reading, hashes, seen_bytes: 0 }
            }
        };
        Ok(Self { source, keys, head, state })
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, chunk: &[u8]) {
        if let State::Hashing { hashes, seen_bytes, .. } = &mut self.state {
            *seen_bytes += chunk.len();
            for hash in hashes {
                hash.update(chunk);
            }
        }
    }

    /// Judges the whole request. `body` must be what was passed to [`SignatureCheck::update`]. If
    /// not all of it was, the body is hashed again.
    ///
    /// # Errors
    /// What is wrong with the signature or with the time that is part of the signed text.
    pub fn finish(self, body: &[u8]) -> Result<Genuine, Fault> {
        let Self { source, keys, head, state } = self;
        match state {
            State::Refused(fault) => Err(fault),
            State::Hashing { reading, hashes, seen_bytes } => {
                let fed = (seen_bytes == body.len()).then_some(hashes);
                reading.judge(keys, fed.unwrap_or_default(), body)
            }
            State::Waiting => check(source, keys, head, body),
        }
    }
}

/// Checks the signature of a whole request. The front page of the crate has an example.
///
/// # Errors
/// As [`SignatureCheck::finish`], and [`Fault::SecretUnavailable`] for a sender without keys.
pub fn verify(source: &Sender, head: Request<'_>, body: &[u8]) -> Result<Genuine, Fault> {
    check(source, source.ready_keys()?, head, body)
}

/// As [`verify()`], with these keys: those that the sender publishes, for a request whose
/// [`demand`](crate::demand::demand) asks for them.
///
/// # Errors
/// As [`verify()`].
pub fn verify_with(
    source: &Sender,
    keys: &Keys,
    head: Request<'_>,
    body: &[u8],
) -> Result<Genuine, Fault> {
    check(source, keys, head, body)
}

/// As [`verify_with`].
pub(crate) fn check(
    source: &Sender,
    keys: &Keys,
    head: Request<'_>,
    body: &[u8],
) -> Result<Genuine, Fault> {
    let inputs = Inputs::whole(source, head, body)?;
    match source.scheme.signature.algorithm {
        Algorithm::Jwt => return jwt::check(&inputs, keys, body),
        Algorithm::HttpMessageSignatures => {
            let genuine = message_signatures::check(&inputs, keys, body)?;
            signed::members_are_right(source, body)?;
            return Ok(genuine);
        }
        _ => {}
    }
    let genuine = Reading::of(&inputs)?.judge(keys, Vec::new(), body)?;
    signed::members_are_right(source, body)?;
    elements::further_tokens_are_right(source, keys, body)?;
    Ok(genuine)
}

impl<'a> Reading<'a> {
    /// Reads signatures, timestamp and signed text, in the order in which faults are reported.
    pub(crate) fn of(inputs: &Inputs<'a>) -> Result<Self, Fault> {
        let scheme = &inputs.source.scheme;
        let rule = &scheme.signature;
        let lines = items::lines(inputs);
        if !lines.is_empty() {
            check_required(inputs)?;
        }
        let older = rule.fallback.as_ref().filter(|_| !items::any_has_prefix(rule, &lines));
        let signatures = match older {
            None => items::signatures(rule, &lines)?,
            Some(older) => {
                let rule = SignatureRule { prefix: older.prefix.clone(), ..rule.clone() };
                items::signatures(&rule, &lines)?
            }
        };
        if rule.algorithm == Algorithm::Token {
            return Ok(Self {
                signatures,
                method: None,
                pieces: Vec::new(),
                other_pieces: None,
                sent: None,
                guard: Guard::Off,
            });
        }
        elements::only_the_first_is_there(inputs)?;
        let (text, sent) = if scheme.signs_timestamp() {
            let (text, sent) = read_timestamp(inputs, &lines)?;
            (Some(text), Some(sent))
        } else {
            (None, None)
        };
        let (pieces, other_pieces) = match older {
            None => (inputs.pieces(text.as_deref())?, inputs.other_pieces(text.as_deref())?),
            Some(older) => (inputs.pieces_of(&older.signed, text.as_deref())?, None),
        };
        // A delivery whose newer signature was removed is remembered under the same text.
        let guard = match (inputs.source.replay_guard, &rule.fallback) {
            (false, _) => Guard::Off,
            (true, None) => Guard::Own,
            (true, Some(older)) => Guard::Older(inputs.pieces_of(&older.signed, text.as_deref())?),
        };
        let method = rule.methods().next();
        Ok(Self { signatures, pieces, method, other_pieces, sent, guard })
    }

    /// Tries every key on every signature. `fed` are the keys' hashes after the body, in the order
    /// of the keys; empty if there are none.
    fn judge(self, keys: &Keys, fed: Vec<Running>, body: &[u8]) -> Result<Genuine, Fault> {
        let mut fed = fed.into_iter();
        let mut matched = None;
        // It does not stop early, so that the time does not reveal which secret or signature
        // matched.
        for key in keys.iter() {
            let found = self.has_match(key, fed.next(), body);
            matched = matched.or(found.then_some(key));
        }
        let Some(key) = matched else {
            return Err(Fault::SignatureMismatch(
                format!("{} signatures, {} secrets, no match", self.signatures.len(), keys.len())
                    .into(),
            ));
        };
        let guarded = match &self.guard {
            Guard::Off => None,
            Guard::Own => Some(&self.pieces),
            Guard::Older(pieces) => Some(pieces),
        };
        let signed = guarded.map(|pieces| {
            let mut fingerprint = body_sha256(&signed_text(pieces, body));
            fingerprint.truncate(32);
            fingerprint
        });
        Ok(Genuine::by(key, self.sent, signed))
    }

    /// Whether this key made one of the signatures, after comparing all of them.
    fn has_match(&self, key: &Key, fed: Option<Running>, body: &[u8]) -> bool {
        let signed = key.signed(self.method, fed, &self.pieces, body);
        let other =
            self.other_pieces.as_deref().map(|pieces| key.signed(self.method, None, pieces, body));
        self.signatures.iter().fold(false, |found, signature| {
            let matches = signed.matches(signature);
            let matches_other = other.as_ref().is_some_and(|other| other.matches(signature));
            found | matches | matches_other
        })
    }
}

/// The timestamp's text and instant, if the scheme has one.
///
/// # Errors
/// [`Fault::TimestampMissing`], [`Fault::TimestampMalformed`].
fn read_timestamp<'a>(
    inputs: &Inputs<'a>,
    lines: &[Option<Cow<'a, str>>],
) -> Result<(Cow<'a, str>, UnixMillis), Fault> {
    let Some(rule) = &inputs.source.scheme.timestamp else {
        return Err(Fault::TimestampMissing("the scheme does not say where".into()));
    };
    let Some(text) = items::timestamp_text(inputs, rule, lines)? else {
        let detail = format!("there is none at `{}`", rule.from);
        return Err(Fault::TimestampMissing(detail.into()));
    };
    match freshness::parse_time(rule.format, &text) {
        Some(sent) => Ok((text, sent)),
        None => Err(Fault::TimestampMalformed(
            format!("what stands at `{}` is not {}", rule.from, rule.format).into(),
        )),
    }
}

/// The time of sending from the head, if the signature does not cover it as a separate text.
///
/// # Errors
/// The same as for a signed one.
pub(crate) fn read_unsigned_timestamp(
    source: &Sender,
    head: Request<'_>,
    body: &[u8],
) -> Result<UnixMillis, Fault> {
    let inputs = Inputs::whole(source, head, body)?;
    read_timestamp(&inputs, &items::lines(&inputs)).map(|(_, sent)| sent)
}

fn check_required(inputs: &Inputs<'_>) -> Result<(), Fault> {
    for (name, wanted) in &inputs.source.scheme.signature.require {
        match one_header(inputs.head, name) {
            OneHeader::Value(value) if value == wanted.as_bytes() => {}
            _ => {
                return Err(Fault::SignatureMalformed(
                    format!("the header `{name}` is not `{wanted}`, which the source requires")
                        .into(),
                ));
            }
        }
    }
    Ok(())
}
