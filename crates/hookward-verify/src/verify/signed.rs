//! From a request to the text that its sender signed, piece by piece.
//!
//! Fills each placeholder of a template. The body is represented by [`Piece::Body`], so that it can
//! be hashed while it arrives, without copying or re-formatting it.

use super::inputs::{Inputs, OneHeader, Piece, body_sha256, one_header};
use super::{items, url};
use crate::fault::Fault;
use crate::json::{Member, read_raw};
use crate::jwt::is_one_of;
use crate::request::folded;
use crate::scheme::{ClaimRule, Part, Pointer, SNS_MEMBERS, Template, TimestampPlace, UrlForm};
use crate::sender::Sender;
use http::HeaderName;
use std::borrow::Cow;

impl<'a> Inputs<'a> {
    /// The pieces of the signed text; `timestamp` replaces `{timestamp}`.
    ///
    /// # Errors
    /// [`Fault::SignatureMissing`] if a signed header is absent, [`Fault::SignatureMalformed`] if
    /// it or a signed query parameter occurs twice with different values,
    /// [`Fault::PayloadMalformed`] if a signed JSON member is an object or array.
    pub(crate) fn pieces(&self, timestamp: Option<&str>) -> Result<Vec<Piece<'a>>, Fault> {
        self.pieces_of(&self.source.scheme.signature.signed, timestamp)
    }

    /// The pieces of another of the rule's texts.
    ///
    /// # Errors
    /// As [`Inputs::pieces`].
    pub(super) fn pieces_of(
        &self,
        text: &'a Template,
        timestamp: Option<&str>,
    ) -> Result<Vec<Piece<'a>>, Fault> {
        text.0.iter().map(|part| self.piece(part, timestamp)).collect()
    }

    /// The pieces of the other text that the sender may have signed: with its URL's port if the URL
    /// was given without one, or the reverse. `None` if the sender does not do that.
    ///
    /// # Errors
    /// As [`Inputs::pieces`].
    pub(crate) fn other_pieces(
        &self,
        timestamp: Option<&str>,
    ) -> Result<Option<Vec<Piece<'a>>>, Fault> {
        let signed = &self.source.scheme.signature.signed;
        if !signed.any(|part| *part == Part::Url(UrlForm::AnyPort)) {
            return Ok(None);
        }
        let other = |part: &'a Part| match part {
            Part::Url(UrlForm::AnyPort) => {
                Ok(Piece::Bytes(url::with_other_port(&self.url()?).into_bytes().into()))
            }
            part => self.piece(part, timestamp),
        };
        signed.0.iter().map(other).collect::<Result<_, _>>().map(Some)
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
            Part::Url(UrlForm::AsGiven | UrlForm::AnyPort) => self.url()?.into(),
            Part::Url(UrlForm::Decoded) => url::decoded(&self.url()?).into(),
            Part::Path => self.head.path.into(),
            Part::Query => self.head.query.unwrap_or_default().into(),
            Part::QueryParameter(name) => self.query_parameter(name)?.unwrap_or_default(),
            Part::FormSorted => self.sorted_form()?.into(),
            Part::Listed(prefix) => return self.listed_headers(prefix),
            Part::HeaderList(name) => return self.header_list(name),
            Part::Crc32 => crc32fast::hash(self.body().unwrap_or_default()).to_string().into(),
            Part::Sns => self.sns_text()?.into(),
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
        self.signed_value(name).map(|value| Piece::Bytes(value.into()))
    }

    fn signed_value(&self, name: &HeaderName) -> Result<&'a [u8], Fault> {
        match one_header(self.head, name) {
            OneHeader::Value(value) => Ok(value),
            OneHeader::Absent => Err(Fault::SignatureMissing(
                format!("the signature covers the header `{name}`, which is absent").into(),
            )),
            OneHeader::Ambiguous => Err(Fault::SignatureMalformed(
                format!("the header `{name}`, which is signed, has several values").into(),
            )),
        }
    }

    /// The names that an item of the signature header lists, and the values of those headers. The
    /// list is signed with them, so only the sender chooses it.
    fn listed_headers(&self, prefix: &str) -> Result<Piece<'a>, Fault> {
        let malformed = |what: String| Fault::SignatureMalformed(what.into());
        let rule = &self.source.scheme.signature;
        let lines = items::lines(self);
        let mut all = lines.iter().flatten().flat_map(|line| items::items(rule, line));
        let list = all
            .find_map(|item| item.strip_prefix(prefix))
            .ok_or_else(|| malformed(format!("no item starts with `{prefix}`")))?;
        let mut text = list.as_bytes().to_vec();
        let mut named = Vec::new();
        for name in list.split(' ').filter(|name| !name.is_empty()) {
            let name = HeaderName::try_from(name)
                .map_err(|_| malformed(format!("`{prefix}` lists what is no header's name")))?;
            // If listed repeatedly, one long header would make a text of any length.
            if named.contains(&name) {
                return Err(malformed(format!("`{prefix}` lists a header twice")));
            }
            let Piece::Bytes(value) = self.signed_header(&name)? else { continue };
            text.push(b'.');
            text.extend_from_slice(&value);
            named.push(name);
        }
        Ok(Piece::Bytes(text.into()))
    }

    /// The names that a header lists, each with the value of that header. The list names itself, so
    /// only the sender chooses it.
    fn header_list(&self, list: &HeaderName) -> Result<Piece<'a>, Fault> {
        let malformed =
            |what: &str| Fault::SignatureMalformed(format!("the header `{list}` {what}").into());
        let mut text = Vec::new();
        let mut named = Vec::new();
        for name in self.signed_value(list)?.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let name = HeaderName::from_bytes(name)
                .map_err(|_| malformed("lists what is no header's name"))?;
            // If listed repeatedly, one long header would make a text of any length.
            if named.contains(&name) {
                return Err(malformed("lists a header twice"));
            }
            let value = self.signed_value(&name)?;
            if !text.is_empty() {
                text.push(b';');
            }
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.trim_ascii());
            named.push(name);
        }
        let time = self.source.scheme.timestamp.as_ref().and_then(|rule| match &rule.from {
            TimestampPlace::Header(name) => Some(name),
            _ => None,
        });
        if std::iter::once(list).chain(time).any(|name| !named.contains(name)) {
            return Err(malformed("does not list itself and the header of the time"));
        }
        Ok(Piece::Bytes(text.into()))
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

    /// The text that Amazon SNS signs: names and values on separate lines, in the order of the
    /// names (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>). A
    /// line break in a value would let one message be read as another, and only a message's own
    /// text may contain any.
    fn sns_text(&self) -> Result<String, Fault> {
        let is_notification = self.member(&Pointer::of(&["Type"])).text() == Some("Notification");
        let mut text = String::new();
        for pointer in SNS_MEMBERS.iter() {
            let name = pointer.tokens().first().map_or("", String::as_str);
            let is_signed = match name {
                "Subject" => is_notification,
                "SubscribeURL" | "Token" => !is_notification,
                _ => true,
            };
            if !is_signed {
                continue;
            }
            let value = self.signed_member(pointer)?;
            if name == "Subject" && self.raw(pointer).is_none_or(|raw| raw == "null") {
                continue;
            }
            if name != "Message" && value.contains(['\n', '\r']) {
                return Err(Fault::SignatureMismatch(
                    format!("`{name}`, which is signed, holds a line break").into(),
                ));
            }
            text.extend([name, "\n", &value, "\n"]);
        }
        Ok(text)
    }

    fn url(&self) -> Result<String, Fault> {
        let Some(public_url) = &self.source.public_url else {
            return Err(Fault::SignatureMismatch(
                "the sender signs its URL, and the source has no `public_url`".into(),
            ));
        };
        Ok(match self.head.query {
            Some(query) => format!("{public_url}?{query}"),
            None => public_url.clone(),
        })
    }

    /// Several parameters that a receiver may treat as one must agree: PHP uses the last of them,
    /// and reads `data_id` and `data.id` as the same name.
    ///
    /// # Errors
    /// [`Fault::SignatureMalformed`] if they differ.
    fn query_parameter(&self, wanted: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        let query = self.head.query.unwrap_or_default().as_bytes();
        let is_alike = |name: &str| folded(name) == folded(wanted);
        let mut alike = form_urlencoded::parse(query).filter(|(name, _)| is_alike(name));
        let mut values = alike.clone().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        let Some(first) = values.next() else { return Ok(None) };
        if alike.any(|(_, value)| value != first) {
            return Err(Fault::SignatureMalformed(
                format!("the query parameter `{wanted}`, which is signed, has several values")
                    .into(),
            ));
        }
        Ok(Some(first))
    }

    /// Fields in order of name, then value, each once; names and values are concatenated.
    ///
    /// A body that is not a form is not part of such a text. Its sender (Twilio) puts the hash of the
    /// body into the query instead, and that must be right.
    fn sorted_form(&self) -> Result<String, Fault> {
        let body = self.body().unwrap_or_default();
        // Two different values count as none, because the receiver might use the other one.
        let is_form = match one_header(self.head, &http::header::CONTENT_TYPE) {
            OneHeader::Value(value) => {
                let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
                essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
            }
            OneHeader::Absent | OneHeader::Ambiguous => false,
        };
        if is_form {
            let mut fields: Vec<_> = form_urlencoded::parse(body).collect();
            fields.sort_unstable();
            fields.dedup();
            return Ok(fields.iter().flat_map(|(name, value)| [&**name, &**value]).collect());
        }
        let claimed = self.query_parameter("bodySHA256")?;
        if claimed.is_some_and(|hash| hash.eq_ignore_ascii_case(&body_sha256(body))) {
            return Ok(String::new());
        }
        Err(Fault::SignatureMismatch(
            "the body is no form, and the query's `bodySHA256` is not its hash".into(),
        ))
    }
}

/// Checks that a genuine body belongs to an account from which the source accepts events.
///
/// # Errors
/// [`Fault::SignatureMismatch`], naming the member; [`Fault::PayloadMalformed`].
pub(super) fn members_are_right(source: &Sender, body: &[u8]) -> Result<(), Fault> {
    let claims = &source.scheme.signature.claims;
    if claims.is_empty() {
        return Ok(());
    }
    let pointers: Vec<_> = claims.iter().map(|claim| &claim.pointer).collect();
    for (claim, raw) in claims.iter().zip(read_raw(body, &pointers)?) {
        let value = raw.and_then(|raw| serde_json::from_str::<serde_json::Value>(raw).ok());
        let here = ClaimRule { pointer: Pointer::of(&[]), values: claim.values.clone() };
        if !value.is_some_and(|value| is_one_of(&value, &here)) {
            let detail = format!("`{}` of the body is not what the source wants", claim.pointer);
            return Err(Fault::SignatureMismatch(detail.into()));
        }
    }
    Ok(())
}
