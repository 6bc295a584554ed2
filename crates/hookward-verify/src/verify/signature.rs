//! What a request says about its signature, and whether one of the keys made it.

use super::genuine::Genuine;
use super::inputs::{Inputs, OneHeader, Piece, body_sha256, one_header};
use super::texts::signed_text;
use super::{elements, freshness, items};
use crate::fault::Fault;
use crate::keys::{Key, Keys, Method, RunningHash};
use crate::request::Request;
use crate::scheme::{Algorithm, SignatureRule};
use crate::sender::Sender;
use hookward_time::UnixMillis;
use std::borrow::Cow;

/// What a request says about its signature, before any of it is checked.
pub(crate) struct SignatureReading<'a> {
    /// Every signature that decodes; never empty.
    signatures: items::Signatures,
    /// The text that was signed.
    pub(super) pieces: Vec<Piece<'a>>,
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

impl<'a> SignatureReading<'a> {
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
    pub(super) fn judge(
        self,
        keys: &Keys,
        fed: Vec<RunningHash>,
        body: &[u8],
    ) -> Result<Genuine, Fault> {
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
    fn has_match(&self, key: &Key, fed: Option<RunningHash>, body: &[u8]) -> bool {
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
