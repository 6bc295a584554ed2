//! The signatures in a request, and a timestamp among them.
//!
//! This module splits a signature header into items. An item without a signature does not end the
//! search, because senders also put other versions, key ids and garbage there.

use super::encoding::decode_signature;
use super::inputs::{Inputs, OneHeader, one_header};
use crate::fault::Fault;
use crate::json::Member;
use crate::scheme::{Algorithm, Encoding, Place, SignatureRule, TimestampPlace, TimestampRule};
use http::header::AUTHORIZATION;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The most public-key signatures that are checked. A check costs about a thousand times as much as
/// a comparison, and anyone can cause one; no sender rotates through more keys than this.
const MAX_PUBLIC_KEY_SIGNATURES: usize = 8;

/// The lines with signatures, of which a request mostly has one.
pub(crate) type Lines<'a> = SmallVec<[Option<Cow<'a, str>>; 1]>;

/// The signatures in them.
pub(crate) type Signatures = SmallVec<[Vec<u8>; 1]>;

/// The texts at the rule's places, line by line; `None` for a line that is not UTF-8.
pub(crate) fn lines<'a>(inputs: &Inputs<'a>) -> Lines<'a> {
    let mut lines = Lines::new();
    for place in &inputs.source.scheme.signature.places {
        match place {
            Place::Header(name) => {
                let values = inputs.head.values(name);
                lines.extend(values.map(|value| std::str::from_utf8(value).ok().map(Cow::from)));
            }
            Place::Json(pointer) => match inputs.member(pointer) {
                Member::Text(text) => lines.push(Some(text)),
                Member::Integer(digits) => lines.push(Some(digits.into())),
                Member::Unusable(_) => lines.push(None),
                Member::Absent => {}
            },
            Place::BodySha256 | Place::Claim(_) | Place::Joined(_) => {}
        }
    }
    lines
}

/// The items of one line, without spaces around them.
pub(crate) fn items<'t>(rule: &SignatureRule, line: &'t str) -> impl Iterator<Item = &'t str> {
    let separator = rule.separator.as_deref().filter(|separator| !separator.is_empty());
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (item, next) = match separator.and_then(|separator| text.split_once(separator)) {
            Some((item, next)) => (item, Some(next)),
            None => (text, None),
        };
        rest = next;
        Some(item.trim_matches([' ', '\t']))
    })
}

/// The part of an item that contains a signature; `None` if the prefix says that there is none.
pub(crate) fn signature_of<'t>(rule: &SignatureRule, item: &'t str) -> Option<&'t str> {
    let text = if is_auth_scheme(rule) {
        strip_auth_scheme(&rule.prefix, item)
    } else {
        strip_pattern(&rule.prefix, item)
    };
    text.or(rule.prefix_optional.then_some(item))
}

/// Whether some item has the rule's prefix.
pub(super) fn any_has_prefix(rule: &SignatureRule, lines: &[Option<Cow<'_, str>>]) -> bool {
    let mut items = lines.iter().flatten().flat_map(|line| items(rule, line));
    items.any(|item| signature_of(rule, item).is_some())
}

/// Whether the prefix is the name of an HTTP authentication scheme, as in `Authorization: Basic …`.
fn is_auth_scheme(rule: &SignatureRule) -> bool {
    rule.prefix.ends_with(' ') && rule.places.contains(&Place::Header(AUTHORIZATION))
}

/// Removes the scheme's name in either case, and the spaces after it (RFC 9110, section 11.4).
fn strip_auth_scheme<'t>(prefix: &str, item: &'t str) -> Option<&'t str> {
    let (scheme, credentials) = item.split_at_checked(prefix.len())?;
    scheme.eq_ignore_ascii_case(prefix).then(|| credentials.trim_start_matches(' '))
}

/// Removes a prefix in which `*` matches any run of characters, the shortest that fits.
fn strip_pattern<'t>(pattern: &str, item: &'t str) -> Option<&'t str> {
    let (first, others) = match pattern.split_once('*') {
        Some((first, others)) => (first, Some(others)),
        None => (pattern, None),
    };
    let mut rest = item.strip_prefix(first)?;
    for piece in others.into_iter().flat_map(|others| others.split('*')) {
        rest = rest.get(rest.find(piece)? + piece.len()..)?;
    }
    Some(rest)
}

/// Every signature in the lines that can be one.
///
/// # Errors
/// [`Fault::SignatureMissing`] if there is no line, [`Fault::SignatureMalformed`] if none of them
/// contains anything that decodes.
pub(crate) fn signatures(
    rule: &SignatureRule,
    lines: &[Option<Cow<'_, str>>],
) -> Result<Signatures, Fault> {
    if lines.is_empty() {
        let names: Vec<_> = rule.places.iter().map(|place| format!("`{place}`")).collect();
        let detail = format!("there is no {}", names.join(" and no "));
        return Err(Fault::SignatureMissing(detail.into()));
    }
    let (mut seen, mut prefixed) = (0_usize, 0_usize);
    let mut found = Signatures::new();
    for item in lines.iter().flatten().flat_map(|line| items(rule, line)) {
        seen += 1;
        let Some(text) = signature_of(rule, item) else { continue };
        prefixed += 1;
        found.extend(decode(rule, text));
    }
    if found.is_empty() {
        let detail = if prefixed == 0 {
            format!("none of {seen} items starts with `{}`", rule.prefix)
        } else {
            format!("none of {prefixed} items decodes as {}", expected_form(rule))
        };
        return Err(Fault::SignatureMalformed(detail.into()));
    }
    if rule.algorithm.is_public_key() {
        found.truncate(MAX_PUBLIC_KEY_SIGNATURES);
    }
    Ok(found)
}

fn decode(rule: &SignatureRule, text: &str) -> Option<Vec<u8>> {
    match (rule.algorithm, rule.encoding) {
        // A token is compared as written; only Basic credentials are encoded in base64.
        (Algorithm::Token, Encoding::Hex) => (!text.is_empty()).then(|| text.as_bytes().to_vec()),
        (Algorithm::EcdsaP256Sha256, encoding) => decode_signature(encoding, text)
            .filter(|bytes| p256::ecdsa::Signature::from_der(bytes).is_ok()),
        (algorithm, Encoding::Hex) => decode_signature(Encoding::Hex, text)
            .filter(|bytes| algorithm.signature_len().is_none_or(|len| bytes.len() == len)),
        (_, encoding) => decode_signature(encoding, text),
    }
}

fn expected_form(rule: &SignatureRule) -> String {
    match (rule.encoding, rule.algorithm.signature_len()) {
        (Encoding::Hex, Some(len)) => format!("hex of {} digits", 2 * len),
        (Encoding::Hex, None) => "hex".to_owned(),
        (Encoding::Base64, _) => "canonical base64".to_owned(),
        (Encoding::Base64Url, _) => "canonical base64url".to_owned(),
    }
}

/// The text of the timestamp as received; `None` if it is absent or empty.
///
/// # Errors
/// [`Fault::TimestampMalformed`] if a header has two values, or a value is not a text.
pub(crate) fn timestamp_text<'a>(
    inputs: &Inputs<'a>,
    rule: &TimestampRule,
    lines: &[Option<Cow<'a, str>>],
) -> Result<Option<Cow<'a, str>>, Fault> {
    let malformed = |what: &str| Fault::TimestampMalformed(what.to_owned().into());
    let signature = &inputs.source.scheme.signature;
    let text = match &rule.from {
        TimestampPlace::Header(name) => match one_header(inputs.head, name) {
            OneHeader::Absent => None,
            OneHeader::Ambiguous => return Err(malformed("its header has several values")),
            OneHeader::Value(value) => Some(Cow::Borrowed(
                std::str::from_utf8(value).map_err(|_| malformed("its header is not UTF-8"))?,
            )),
        },
        TimestampPlace::Item(prefix) => lines
            .iter()
            .flatten()
            .flat_map(|line| items(signature, line))
            .find_map(|item| item.strip_prefix(prefix.as_str()))
            .map(|text| Cow::Owned(text.to_owned())),
        TimestampPlace::ItemAt(index) => lines
            .iter()
            .flatten()
            .find_map(|line| items(signature, line).nth(*index))
            .map(|text| Cow::Owned(text.to_owned())),
        TimestampPlace::Json(pointer) => match inputs.member(pointer) {
            Member::Text(text) => Some(text),
            Member::Integer(digits) => Some(digits.into()),
            Member::Absent => None,
            Member::Unusable(what) => return Err(malformed(&format!("it is {what}"))),
        },
        // Only a token has claims, and its own check reads them.
        TimestampPlace::Claim(_) => None,
    };
    Ok(text.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_auth_scheme_is_read_in_either_case_and_no_other_prefix_is() {
        let rule = |header: &str, prefix: &str| {
            let mut rule = crate::verify::fixture::source(header).scheme.signature;
            prefix.clone_into(&mut rule.prefix);
            rule
        };
        let basic = rule("Authorization", "Basic ");
        for item in ["Basic YTpi", "basic YTpi", "BASIC   YTpi"] {
            assert_eq!(signature_of(&basic, item), Some("YTpi"), "{item}");
        }
        for item in ["Basi", "BasicYTpi", "Bearer YTpi", ""] {
            assert_eq!(signature_of(&basic, item), None, "{item}");
        }
        let other = rule("X-Signature", "Basic ");
        assert_eq!(signature_of(&other, "basic YTpi"), None);
        assert_eq!(signature_of(&rule("Authorization", "sha256="), "SHA256=00"), None);
    }

    #[test]
    fn a_star_in_a_prefix_stands_for_the_shortest_run() {
        for (pattern, item, expected) in [
            ("", "abc", Some("abc")),
            ("v1=", "v1=abc", Some("abc")),
            ("v1=", "v0=abc", None),
            ("*/SHA256/", "1/SHA256/ab/SHA256/c", Some("ab/SHA256/c")),
            ("*/SHA256/", "/SHA256/x", Some("x")),
            ("*/SHA256/", "1/SHA1/x", None),
            ("k*/*/", "k1/SHA256/x", Some("x")),
            ("k*/", "1/x", None),
        ] {
            assert_eq!(strip_pattern(pattern, item), expected, "{pattern} {item}");
        }
    }
}
