//! Bodies that list several events although the signature covers only the first.
//!
//! Without this check, anything that is added after a genuine first element would pass with it.

use super::inputs::Inputs;
use crate::fault::Fault;
use crate::json::{Member, PayloadFault, read_members, read_raw};
use crate::keys::{Key, Keys};
use crate::scheme::{Algorithm, Part, Place, Pointer};
use crate::sender::Sender;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Checks that an array has no further element if members of its first element are signed, unless
/// the whole body is signed. Adyen signs eight members of the one item that it sends.
///
/// # Errors
/// [`Fault::SignatureMismatch`] if there are more; [`Fault::PayloadMalformed`].
pub(super) fn only_the_first_is_there(inputs: &Inputs<'_>) -> Result<(), Fault> {
    let rule = &inputs.source.scheme.signature;
    if rule.signed.covers_body() {
        return Ok(());
    }
    let signed = rule.signed.0.iter().filter_map(|part| match part.unfolded() {
        Part::Json(pointer) | Part::JsonRaw(pointer) => Some(pointer),
        _ => None,
    });
    let placed = rule.places.iter().filter_map(|place| match place {
        Place::Json(pointer) => Some(pointer),
        _ => None,
    });
    let mut arrays: Vec<Pointer> = Vec::new();
    for (array, _) in signed.chain(placed).filter_map(Pointer::split_at_first_element) {
        if !arrays.contains(&array) {
            arrays.push(array);
        }
    }
    let body = inputs.body().unwrap_or_default();
    for array in arrays {
        let raw = read_raw(body, &[&array]).map_err(malformed)?.pop().flatten();
        let elements = raw.and_then(|raw| serde_json::from_str::<Vec<IgnoredAny>>(raw).ok());
        // An object with a member `0` is not an array.
        let count = elements.map_or(1, |elements| elements.len());
        if count != 1 {
            return Err(Fault::SignatureMismatch(
                format!(
                    "`{array}` holds {count} elements, and the signature covers the first alone"
                )
                .into(),
            ));
        }
    }
    Ok(())
}

/// Checks that every element has a correct token, if the first element of an array has one
/// (Microsoft Graph, Business Central). Called only after the first token was correct, so that no
/// one else can make us read the others.
///
/// # Errors
/// [`Fault::SignatureMissing`] or [`Fault::SignatureMismatch`] if one has none or a wrong one;
/// [`Fault::PayloadMalformed`].
pub(super) fn further_tokens_are_right(
    source: &Sender,
    keys: &Keys,
    body: &[u8],
) -> Result<(), Fault> {
    let rule = &source.scheme.signature;
    if rule.algorithm != Algorithm::Token {
        return Ok(());
    }
    for place in &rule.places {
        let Place::Json(pointer) = place else { continue };
        let Some((array, rest)) = pointer.split_at_first_element() else { continue };
        let raw = read_raw(body, &[&array]).map_err(malformed)?.pop().flatten();
        let elements = raw.and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw).ok());
        for element in elements.unwrap_or_default().into_iter().skip(1) {
            let members = read_members(element.get().as_bytes(), &[&rest]).map_err(malformed)?;
            let Some(token) = members.first().and_then(Member::text) else {
                let detail = format!("an element of `{array}` has no `{rest}`");
                return Err(Fault::SignatureMissing(detail.into()));
            };
            let is_right = |key: &Key| key.signed(None, None, &[], &[]).matches(token.as_bytes());
            if !keys.iter().any(is_right) {
                let detail =
                    format!("`{rest}` of the first element of `{array}` is right, another is not");
                return Err(Fault::SignatureMismatch(detail.into()));
            }
        }
    }
    Ok(())
}

fn malformed(fault: PayloadFault) -> Fault {
    fault.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use crate::verify::fixture::{Head, head, signed_by, source, template};
    use crate::verify::verify;

    fn reason(source: &Sender, head: &Head, body: &str) -> Option<FaultKind> {
        let judged = verify(source, head.view(), body.as_bytes());
        judged.err().map(|fault| fault.kind())
    }

    #[test]
    fn nothing_unsigned_passes_behind_a_signed_first_element() {
        // Like Adyen: a signature in the first item over some of its members.
        let adyen = source("json:/items/0/sig").with_rule(|rule| {
            rule.signed = template("{json:/items/0/ref}:{json:/items/0/amount/value}");
        });
        let body = br#"{"items":[{"ref":"a","amount":{"value":7}}]}"#;
        let (request, body) = signed_by(&adyen, body);
        let body = String::from_utf8(body).expect("text");
        assert_eq!(reason(&adyen, &request, &body), None);
        let first = body.trim_start_matches(r#"{"items":["#).trim_end_matches("]}");
        let forged = r#"{"ref":"b","amount":{"value":9}}"#;
        for (what, body) in [
            ("a forged item behind", format!(r#"{{"items":[{first},{forged}]}}"#)),
            ("the same item again", format!(r#"{{"items":[{first},{first}]}}"#)),
            ("anything behind", format!(r#"{{"items":[{first},null]}}"#)),
        ] {
            assert_eq!(
                reason(&adyen, &request, &body),
                Some(FaultKind::SignatureMismatch),
                "{what}"
            );
        }
        let twice = format!(r#"{{"items":[{first}],"items":[{forged}]}}"#);
        assert_eq!(reason(&adyen, &request, &twice), Some(FaultKind::PayloadMalformed));
        // A member that happens to be named `0` is not an array.
        let object = source("json:/items/0/sig")
            .with_rule(|rule| rule.signed = template("{json:/items/0/ref}"));
        let (request, body) = signed_by(&object, br#"{"items":{"0":{"ref":"a"},"1":{}}}"#);
        let body = String::from_utf8(body).expect("text");
        assert_eq!(reason(&object, &request, &body), None);
    }

    #[test]
    fn a_body_that_is_signed_whole_may_list_as_much_as_it_likes() {
        let whole = source("X-Sig").with_rule(|rule| {
            rule.signed = template("{json:/items/0/id}.{body}");
        });
        let body = r#"{"items":[{"id":"1"},{"id":"2"}]}"#;
        let (request, _) = signed_by(&whole, body.as_bytes());
        assert_eq!(reason(&whole, &request, body), None);
    }

    #[test]
    fn every_element_has_a_token_of_its_own() {
        let graph = source("json:/value/0/clientState")
            .with_secrets(&["first", "second"])
            .with_rule(|rule| rule.algorithm = Algorithm::Token);
        let request = head(&[("a", "b")]);
        for (states, expected) in [
            (r#""first""#, None),
            (r#""first","first""#, None),
            (r#""first","second""#, None),
            (r#""first","third""#, Some(FaultKind::SignatureMismatch)),
            (r#""first",null"#, Some(FaultKind::SignatureMissing)),
            (r#""third","first""#, Some(FaultKind::SignatureMismatch)),
        ] {
            let elements: Vec<String> =
                states.split(',').map(|state| format!(r#"{{"clientState":{state}}}"#)).collect();
            let body = format!(r#"{{"value":[{}]}}"#, elements.join(","));
            assert_eq!(reason(&graph, &request, &body), expected, "{states}");
        }
    }
}
