//! A request as far as it is known, and the members of its body that a signature rule names.

use crate::fault::Fault;
use crate::json::{Member, read_raw};
use crate::keys::sha256;
use crate::request::Request;
use crate::scheme::{Algorithm, Part, Place, Pointer, SNS_MEMBERS, Scheme, TimestampPlace};
use crate::sender::Sender;
use http::HeaderName;
use std::borrow::Cow;

/// One piece of the text that a sender signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(Cow<'a, [u8]>),
    /// The raw body.
    Body,
    /// The text of the secret that is tried.
    Secret,
}

/// The known part of a request: its head, and its body once that is complete.
pub(crate) struct Inputs<'a> {
    pub(crate) source: &'a Sender,
    pub(crate) head: Request<'a>,
    body: Option<&'a [u8]>,
    /// The JSON values that the signature rule itself names.
    values: Vec<(&'a Pointer, Option<&'a str>)>,
}

impl<'a> Inputs<'a> {
    /// A request whose body has not arrived; `None` if the rule needs the body.
    pub(crate) fn of_head(source: &'a Sender, head: Request<'a>) -> Option<Self> {
        let rule = &source.scheme.signature;
        let needs_body =
            matches!(rule.algorithm, Algorithm::Jwt | Algorithm::HttpMessageSignatures)
                || rule.certificate.is_some()
                || !rule.claims.is_empty()
                || !named_pointers(&source.scheme).is_empty()
                || rule.signed_texts().any(|text| {
                    text.any(|part| matches!(part, Part::FormSorted | Part::Crc32 | Part::Sns))
                });
        (!needs_body).then(|| Self { source, head, body: None, values: Vec::new() })
    }

    /// A whole request.
    ///
    /// # Errors
    /// [`Fault::PayloadMalformed`], if the rule names a JSON member and the body is not JSON.
    pub(crate) fn whole(
        source: &'a Sender,
        head: Request<'a>,
        body: &'a [u8],
    ) -> Result<Self, Fault> {
        let pointers = named_pointers(&source.scheme);
        let values = if pointers.is_empty() {
            Vec::new()
        } else {
            let raw = read_raw(body, &pointers)?;
            pointers.into_iter().zip(raw).collect()
        };
        Ok(Self { source, head, body: Some(body), values })
    }

    /// The body, once it is complete.
    pub(super) fn body(&self) -> Option<&'a [u8]> {
        self.body
    }

    /// The value at a JSON pointer that the rule names.
    pub(crate) fn member(&self, pointer: &Pointer) -> Member<'a> {
        self.raw(pointer).map_or(Member::Absent, Member::of)
    }

    pub(super) fn raw(&self, pointer: &Pointer) -> Option<&'a str> {
        self.values.iter().find(|(named, _)| *named == pointer).and_then(|(_, raw)| *raw)
    }
}

/// The hex SHA-256 of a body.
pub(crate) fn body_sha256(body: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&sha256(body))
}

/// The value of a header, if it is unambiguous.
pub(crate) enum OneHeader<'a> {
    /// One line, or several with the same value.
    Value(&'a [u8]),
    /// No line.
    Absent,
    /// Lines that differ: a receiver that reads the other one would see another request.
    Ambiguous,
}

/// Reads a header that must not have two values.
pub(crate) fn one_header<'a>(head: Request<'a>, name: &HeaderName) -> OneHeader<'a> {
    let mut lines = head.values(name);
    match lines.next() {
        None => OneHeader::Absent,
        Some(first) if lines.all(|line| line == first) => OneHeader::Value(first),
        Some(_) => OneHeader::Ambiguous,
    }
}

/// The JSON members that must be read before a signature can be judged.
fn named_pointers(scheme: &Scheme) -> Vec<&Pointer> {
    let rule = &scheme.signature;
    let parts = rule.signed_texts().flat_map(|text| &text.0);
    let in_text = parts.filter_map(|part| match part.unfolded() {
        Part::Json(pointer) | Part::JsonRaw(pointer) => Some(pointer),
        _ => None,
    });
    let in_places = rule.places.iter().filter_map(|place| match place {
        Place::Json(pointer) => Some(pointer),
        _ => None,
    });
    let timestamp = scheme.timestamp.as_ref().and_then(|timestamp| match &timestamp.from {
        TimestampPlace::Json(pointer) if scheme.signs_timestamp() => Some(pointer),
        _ => None,
    });
    let certificate = rule.certificate.iter().filter_map(|rule| match &rule.url {
        Place::Json(pointer) => Some(pointer),
        _ => None,
    });
    let is_sns = rule.signed_texts().any(|text| text.any(|part| *part == Part::Sns));
    let sns = SNS_MEMBERS.iter().filter(|_| is_sns);
    let all = in_text.chain(in_places).chain(timestamp).chain(certificate).chain(sns);
    let mut once: Vec<&Pointer> = Vec::new();
    for pointer in all {
        if !once.contains(&pointer) {
            once.push(pointer);
        }
    }
    once
}
