//! The signed text of a request, for users who want to know why a signature does not match.

use super::inputs::{Inputs, Piece};
use super::items;
use crate::fault::Fault;
use crate::json::read_members;
use crate::keys::Key;
use crate::request::Request;
use crate::scheme::{Algorithm, SignatureRule, TimestampPlace};
use crate::sender::Sender;

/// The text that a request's signature covers, by the parts of the scheme's template.
///
/// It proves nothing: use it to show what was signed, or to try keys on it. To verify a request,
/// call [`verify`](crate::verify::verify).
pub struct SignedText<'a> {
    pieces: Vec<Piece<'a>>,
    body: &'a [u8],
}

impl<'a> SignedText<'a> {
    /// The text of this request. It is empty for a scheme that signs nothing, because its secret is
    /// a token.
    ///
    /// # Errors
    /// Which part of the text is missing in the request, or is ambiguous.
    pub fn of(sender: &'a Sender, request: Request<'a>, body: &'a [u8]) -> Result<Self, Fault> {
        let algorithm = sender.scheme.signature.algorithm;
        if matches!(algorithm, Algorithm::Token | Algorithm::Jwt | Algorithm::HttpMessageSignatures)
        {
            return Ok(Self { pieces: Vec::new(), body });
        }
        let timestamp = timestamp_text(sender, request, body);
        Self::with_timestamp(sender, request, body, timestamp.as_deref())
    }

    /// The text of this request, with this timestamp instead of the request's own.
    ///
    /// # Errors
    /// As [`SignedText::of`].
    pub fn with_timestamp(
        sender: &'a Sender,
        request: Request<'a>,
        body: &'a [u8],
        timestamp: Option<&str>,
    ) -> Result<Self, Fault> {
        let pieces = Inputs::whole(sender, request, body)?.pieces(timestamp)?;
        Ok(Self { pieces, body })
    }

    /// A piece for each part of the template, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// The first of these signatures that the key, under `rule`, made for this text. The text is
    /// hashed only once.
    pub fn find_signature<'s>(
        &self,
        key: &Key,
        rule: &SignatureRule,
        mut signatures: impl Iterator<Item = &'s [u8]>,
    ) -> Option<&'s [u8]> {
        let signed = key.signed(rule.methods().next(), None, &self.pieces, self.body);
        signatures.find(|signature| signed.matches(signature))
    }
}

/// The text of the timestamp as received, wherever the scheme has it.
#[must_use]
pub fn timestamp_text(sender: &Sender, request: Request<'_>, body: &[u8]) -> Option<String> {
    let rule = sender.scheme.timestamp.as_ref()?;
    if let TimestampPlace::Json(pointer) = &rule.from {
        let members = read_members(body, &[pointer]).ok()?;
        return members.first()?.text().map(str::to_owned);
    }
    let inputs = Inputs::whole(sender, request, body).ok()?;
    let text = items::timestamp_text(&inputs, rule, &items::lines(&inputs)).ok()??;
    Some(text.into_owned())
}
