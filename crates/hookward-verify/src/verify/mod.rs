//! Signature and freshness. This is where a [`Genuine`] comes from.
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
mod genuine;
mod inputs;
mod items;
mod signature;
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
pub use genuine::{Genuine, Lifetime};
pub use inputs::Piece;
pub(crate) use inputs::{Inputs, OneHeader, body_sha256, one_header};
pub(crate) use items::{lines, signature_of};
pub(crate) use signature::{SignatureReading, read_unsigned_timestamp};
pub(crate) use texts::signed_text;

use crate::fault::Fault;
use crate::jwt;
use crate::keys::{Keys, RunningHash};
use crate::message_signatures;
use crate::request::Request;
use crate::scheme::Algorithm;
use crate::sender::Sender;

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
    state: CheckState<'a>,
}

enum CheckState<'a> {
    /// The rule needs the body, or it is cheaper to wait for it.
    Waiting,
    /// The body is hashed for each key as it arrives.
    Hashing { reading: SignatureReading<'a>, hashes: Vec<RunningHash>, seen_bytes: usize },
    /// The head alone decides.
    Refused(Fault),
}

impl<'a> SignatureCheck<'a> {
    /// Reads the head. [`SignatureCheck::finish`] reports a fault in it, because the limits of the
    /// body are checked first.
    ///
    /// # Errors
    /// [`Fault::SecretUnavailable`]: there is no key to check with, so the body need not be read.
    pub fn begin(source: &'a Sender, head: Request<'a>) -> Result<Self, Fault> {
        let keys = source.ready_keys()?;
        let state = match Inputs::of_head(source, head).map(|inputs| SignatureReading::of(&inputs))
        {
            None => CheckState::Waiting,
            Some(Err(fault)) => CheckState::Refused(fault),
            Some(Ok(reading)) => {
                let bodies = reading.pieces.iter().filter(|piece| **piece == Piece::Body).count();
                let hashes = match bodies {
                    1 => keys.iter().filter_map(|key| key.begin(&reading.pieces)).collect(),
                    _ => Vec::new(),
                };
                CheckState::Hashing { reading, hashes, seen_bytes: 0 }
            }
        };
        Ok(Self { source, keys, head, state })
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, chunk: &[u8]) {
        if let CheckState::Hashing { hashes, seen_bytes, .. } = &mut self.state {
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
            CheckState::Refused(fault) => Err(fault),
            CheckState::Hashing { reading, hashes, seen_bytes } => {
                let fed = (seen_bytes == body.len()).then_some(hashes);
                reading.judge(keys, fed.unwrap_or_default(), body)
            }
            CheckState::Waiting => check(source, keys, head, body),
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
    let genuine = SignatureReading::of(&inputs)?.judge(keys, Vec::new(), body)?;
    signed::members_are_right(source, body)?;
    elements::further_tokens_are_right(source, keys, body)?;
    Ok(genuine)
}
