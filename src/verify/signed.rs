//! From a request to the text that its sender signed, piece by piece.
//!
//! Owns what each hole of a template stands for. The body is left out as [`Piece::Body`], so that
//! it can be hashed while it arrives and is never copied; nothing of it is re-formatted.

use crate::fault::Fault;
use crate::json::{Member, read_raw};
use crate::keys::sha256;
use crate::request::RequestHead;
use crate::scheme::{Part, Place, Pointer, Scheme, TimestampPlace};
use crate::source::Source;
use http::HeaderName;
use std::borrow::Cow;

/// One piece of the text that a sender signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// These bytes.
    Bytes(Cow<'a, [u8]>),
    /// The raw body.
    Body,
    /// The text of whichever secret is tried.
    Secret,
}

/// A request as far as it is known: its head, and its body once that is whole.
pub(crate) struct Inputs<'a> {
    pub(crate) source: &'a Source,
    pub(crate) head: &'a RequestHead,
    body: Option<&'a [u8]>,
    /// The JSON values that the signature rule itself names.
    values: Vec<(&'a Pointer, Option<&'a str>)>,
}

impl<'a> Inputs<'a> {
    /// A request whose body has not arrived; `None` where the rule cannot be read without it.
    pub(crate) fn of_head(source: &'a Source, head: &'a RequestHead) -> Option<Self> {
        let needs_body = !named_pointers(&source.scheme).is_empty()
            || source.scheme.signature.signed.any(|part| matches!(part, Part::FormSorted));
        (!needs_body).then(|| Self { source, head, body: None, values: Vec::new() })
    }

    /// A whole request.
    ///
    /// # Errors
    /// [`Fault::PayloadMalformed`], where the rule names JSON and the body is none.
    pub(crate) fn whole(
        source: &'a Source,
        head: &'a RequestHead,
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

    /// What stands at a JSON pointer that the rule names.
    pub(crate) fn member(&self, pointer: &Pointer) -> Member<'a> {
        self.raw(pointer).map_or(Member::Absent, Member::of)
    }

    fn raw(&self, pointer: &Pointer) -> Option<&'a str> {
        self.values.iter().find(|(named, _)| *named == pointer).and_then(|(_, raw)| *raw)
    }

    /// The pieces of the signed text; `timestamp` is what stands for `{timestamp}`.
    ///
    /// # Errors
    /// [`Fault::SignatureMissing`] where a header that is signed is absent,
    /// [`Fault::SignatureMalformed`] where it stands twice with different values,
    /// [`Fault::PayloadMalformed`] where a signed JSON member is an object or array.
    pub(crate) fn pieces(&self, timestamp: Option<&str>) -> Result<Vec<Piece<'a>>, Fault> {
        let parts = &self.source.scheme.signature.signed.0;
        parts.iter().map(|part| self.piece(part, timestamp)).collect()
    }

    fn piece(&self, part: &'a Part, timestamp: Option<&str>) -> Result<Piece<'a>, Fault> {
        let text: Cow<'a, str> = match part {
            Part::Body => return Ok(Piece::Body),
            Part::Secret => return Ok(Piece::Secret),
            Part::Literal(text) => text.into(),
            Part::Timestamp => timestamp.unwrap_or_default().to_owned().into(),
            Part::Header(name) => return self.signed_header(name),
            Part::Json(pointer) => self.signed_member(pointer)?,
            Part::JsonRaw(pointer) => self.raw(pointer).unwrap_or_default().into(),
            Part::Method => self.head.method.as_str().into(),
            Part::Url => self.url()?.into(),
            Part::Path => self.head.path.as_str().into(),
            Part::Query => self.head.query.as_deref().unwrap_or_default().into(),
            Part::QueryParameter(name) => self.query_parameter(name).unwrap_or_default(),
            Part::FormSorted => self.sorted_form()?.into(),
            Part::Lowercase(inner) => {
                return Ok(match self.piece(inner, timestamp)? {
                    Piece::Bytes(bytes) => Piece::Bytes(bytes.to_ascii_lowercase().into()),
                    other => other,
                });
            }
        };
        Ok(Piece::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }))
    }

    fn signed_header(&self, name: &HeaderName) -> Result<Piece<'a>, Fault> {
        match one_header(self.head, name) {
            OneHeader::Value(value) => Ok(Piece::Bytes(value.into())),
            OneHeader::Absent => Err(Fault::SignatureMissing(
                format!("the signature covers the header `{name}`, which is absent").into(),
            )),
            OneHeader::Ambiguous => Err(Fault::SignatureMalformed(
                format!("the header `{name}`, which is signed, has several values").into(),
            )),
        }
    }

    fn signed_member(&self, pointer: &Pointer) -> Result<Cow<'a, str>, Fault> {
        match self.member(pointer) {
            Member::Text(text) => Ok(text),
            Member::Integer(digits) => Ok(digits.into()),
            Member::Absent => Ok("".into()),
            Member::Unusable(what) => {
                let raw = self.raw(pointer).unwrap_or_default();
                if raw.starts_with(['{', '[', '"']) {
                    return Err(Fault::PayloadMalformed(
                        format!("`{pointer}`, which is signed, is {what}").into(),
                    ));
                }
                Ok(raw.into())
            }
        }
    }

    fn url(&self) -> Result<String, Fault> {
        let Some(public_url) = &self.source.public_url else {
            return Err(Fault::SignatureMismatch(
                "the sender signs its URL, and the source has no `public_url`".into(),
            ));
        };
        Ok(match &self.head.query {
            Some(query) => format!("{public_url}?{query}"),
            None => public_url.clone(),
        })
    }

    fn query_parameter(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let query = self.head.query.as_deref()?.as_bytes();
        form_urlencoded::parse(query).find(|(name, _)| name == wanted).map(|(_, value)| value)
    }

    /// Fields in order of name, then value, each once; names and values run together.
    ///
    /// A body that is no form is not part of such a text. Its sender (Twilio) puts the body's hash
    /// into the query in its place, and that must then be right.
    fn sorted_form(&self) -> Result<String, Fault> {
        let body = self.body.unwrap_or_default();
        let content_type = self.head.headers.get(http::header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|value| {
            let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if is_form {
            let mut fields: Vec<_> = form_urlencoded::parse(body).collect();
            fields.sort_unstable();
            fields.dedup();
            return Ok(fields.iter().flat_map(|(name, value)| [&**name, &**value]).collect());
        }
        let claimed = self.query_parameter("bodySHA256");
        if claimed.is_some_and(|hash| hash.eq_ignore_ascii_case(&body_sha256(body))) {
            return Ok(String::new());
        }
        Err(Fault::SignatureMismatch(
            "the body is no form, and the query's `bodySHA256` is not its hash".into(),
        ))
    }
}

/// The hex SHA-256 of a body.
pub(crate) fn body_sha256(body: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&sha256(body))
}

/// A header that has one meaning, if it has.
pub(crate) enum OneHeader<'a> {
    /// One line, or several that say the same.
    Value(&'a [u8]),
    /// No line.
    Absent,
    /// Lines that differ: whoever reads the other one would see another request.
    Ambiguous,
}

/// Reads a header that must not say two things.
pub(crate) fn one_header<'a>(head: &'a RequestHead, name: &HeaderName) -> OneHeader<'a> {
    let mut lines = head.headers.get_all(name).iter();
    match lines.next() {
        None => OneHeader::Absent,
        Some(first) if lines.all(|line| line == first) => OneHeader::Value(first.as_bytes()),
        Some(_) => OneHeader::Ambiguous,
    }
}

/// The JSON members that must be read before a signature can be judged.
fn named_pointers(scheme: &Scheme) -> Vec<&Pointer> {
    let rule = &scheme.signature;
    let in_text = rule.signed.0.iter().filter_map(|part| match part.unfolded() {
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
    in_text.chain(in_places).chain(timestamp).collect()
}
