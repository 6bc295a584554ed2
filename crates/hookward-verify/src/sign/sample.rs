//! Sample events: bodies with id, type and times where the scheme reads them.

use super::SignError;
use crate::demand::pinned;
use crate::json::{Member, read_raw};
use crate::scheme::{CertificateRule, Part, Place, Pointer, TimeFormat, TimestampPlace};
use crate::sender::Sender;
use crate::verify::freshness::print_time;
use hookward_time::UnixMillis;
use serde_json::{Map, Value};

/// A random id in the shape of a UUID, version 4.
#[must_use]
pub fn new_id() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

/// A body for a sample event: `base` (or an empty object) with id, type, time of sending and
/// everything else that the scheme signs or reads, at the place that the scheme reads first. Other
/// members do not change. A scheme that reads no JSON gets `base` unchanged.
///
/// # Errors
/// [`SignError::Body`] if something must be set and `base` is not JSON or has a scalar on the way.
pub fn sample_body(
    source: &Sender,
    base: Option<&[u8]>,
    id: &str,
    event_type: &str,
    at: UnixMillis,
) -> Result<Vec<u8>, SignError> {
    let scheme = &source.scheme;
    let mut settings: Vec<(&Pointer, Value)> = Vec::new();
    let kind: Vec<&Pointer> = first_pointers(&scheme.event.kind).collect();
    let own = first_pointers(&scheme.event.id).find(|pointer| !kind.contains(pointer));
    settings.extend(own.map(|pointer| (pointer, id.into())));
    settings.extend(kind.first().map(|pointer| (*pointer, event_type.into())));
    if let Some(rule) = &scheme.timestamp
        && let TimestampPlace::Json(pointer) = &rule.from
    {
        let time = print_time(rule.format, at);
        let value = match rule.format {
            TimeFormat::Unix | TimeFormat::UnixMs => time.parse::<i64>().map(Value::from).ok(),
            TimeFormat::Rfc3339 => None,
        };
        settings.push((pointer, value.unwrap_or_else(|| time.into())));
    }
    let base = base.unwrap_or_default();
    let url;
    if let Some(rule) = &scheme.signature.certificate
        && let Place::Json(pointer) = &rule.url
        && !names_a_pinned_url(base, pointer, rule)
    {
        url = rule.example_url();
        settings.push((pointer, url.as_str().into()));
    }
    let is_set = |pointer: &Pointer, settings: &[(&Pointer, Value)]| {
        settings.iter().any(|(set, _)| *set == pointer)
    };
    let mut defaults: Vec<(&Pointer, Value)> = Vec::new();
    if let Some(Place::Json(pointer)) = scheme.event.time.first()
        && !is_set(pointer, &settings)
    {
        defaults.push((pointer, at.to_rfc3339().into()));
    }
    // All parts of a joined place must exist, or the place does not.
    let joined = first_pointers(&scheme.event.id).chain(kind.iter().copied());
    for pointer in joined.filter(|pointer| !is_set(pointer, &settings)) {
        defaults.push((pointer, id.into()));
    }
    for part in &scheme.signature.signed.0 {
        if let Part::Json(pointer) | Part::JsonRaw(pointer) = part.unfolded()
            && !is_set(pointer, &settings)
        {
            defaults.push((pointer, id.into()));
        }
    }
    if settings.is_empty() && defaults.is_empty() {
        return Ok(if base.is_empty() { b"{}" } else { base }.to_vec());
    }
    let mut root = read(base)?;
    for (pointer, value) in settings {
        put(&mut root, pointer, value)?;
    }
    for (pointer, value) in defaults {
        if root.pointer(&pointer.to_string()).is_none() {
            put(&mut root, pointer, value)?;
        }
    }
    Ok(root.to_string().into_bytes())
}

/// Whether the body names a certificate that may be fetched.
fn names_a_pinned_url(body: &[u8], pointer: &Pointer, rule: &CertificateRule) -> bool {
    let member = read_raw(body, &[pointer]).ok().and_then(|mut found| found.pop().flatten());
    member.is_some_and(|raw| Member::of(raw).text().is_some_and(|url| pinned(url, rule).is_some()))
}

/// The JSON members that the first of `places` reads.
fn first_pointers(places: &[Place]) -> impl Iterator<Item = &Pointer> {
    places.first().into_iter().flat_map(Place::singles).filter_map(|single| match single {
        Place::Json(pointer) => Some(pointer),
        _ => None,
    })
}

/// `body` with a string set at `pointer`.
pub(super) fn put_text(body: &[u8], pointer: &Pointer, text: &str) -> Result<Vec<u8>, SignError> {
    let mut root = read(body)?;
    put(&mut root, pointer, text.into())?;
    Ok(root.to_string().into_bytes())
}

fn read(body: &[u8]) -> Result<Value, SignError> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        SignError::Body(format!("the body must be JSON, as its id or type stand in it: {error}"))
    })
}

/// Sets a value, and creates missing objects and arrays on the way.
fn put(root: &mut Value, pointer: &Pointer, value: Value) -> Result<(), SignError> {
    let mut at = root;
    for token in pointer.tokens() {
        if at.is_null() {
            let is_first = token == "0";
            *at = if is_first { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        let next = match at {
            Value::Object(members) => Some(members.entry(token.as_str()).or_insert(Value::Null)),
            Value::Array(elements) => match token.parse::<usize>() {
                Ok(index) if index == elements.len() => {
                    elements.push(Value::Null);
                    elements.last_mut()
                }
                Ok(index) => elements.get_mut(index),
                Err(_) => None,
            },
            _ => None,
        };
        at = next.ok_or_else(|| {
            SignError::Body(format!("the body has no room for `{pointer}`: a scalar is in the way"))
        })?;
    }
    *at = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::verify::fixture::{NOW, places, signed_by, source, template};
    use crate::verify::verify;

    #[test]
    fn a_sample_has_everything_where_the_scheme_looks_for_it() {
        let mut source = source("X-Sig")
            .with_id(&["json:/event/id", "json:/id"])
            .with_type(&["json:/events/0/type"])
            .with_timestamp("json:/created", TimeFormat::UnixMs);
        source.scheme.event.time = places(&["json:/happened"]);
        let body = sample_body(&source, None, "evt_7", "order.paid", NOW).expect("a body");
        let (head, body) = signed_by(&source, &body);
        let genuine = verify(&source, head.view(), &body).expect("genuine");
        let event = Event::read(&source, head.view(), &body, &genuine).expect("an event");
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_7", "order.paid"));
        assert_eq!((event.sent, event.time), (Some(NOW), Some(NOW)));
    }

    #[test]
    fn a_sample_has_every_member_that_a_joined_place_reads() {
        let source = source("X-Sig")
            .with_id(&["{header:X-Topic}:{json:/type}:{json:/id}:{json:/version}"])
            .with_type(&["{json:/type}.{json:/action}"]);
        let base = br#"{"version":3}"#;
        let body = sample_body(&source, Some(base), "evt_7", "order", NOW).expect("a body");
        let (head, body) = signed_by(&source, &body);
        let genuine = verify(&source, head.view(), &body).expect("genuine");
        let event = Event::read(&source, head.view(), &body, &genuine).expect("an event");
        assert_eq!((event.id.as_str(), &*event.kind), ("evt_1:order:evt_7:3", "order.evt_7"));
    }

    #[test]
    fn other_members_stay() {
        let base = br#"{"data":{"total":"1.10"},"id":"old"}"#;
        let body = sample_body(&source("X-Sig"), Some(base), "new", "t", NOW).expect("a body");
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(value["data"]["total"], "1.10");
        assert_eq!((&value["id"], &value["type"]), (&"new".into(), &"t".into()));
        assert!(sample_body(&source("X-Sig"), Some(b"7"), "new", "t", NOW).is_err());
        assert!(sample_body(&source("X-Sig"), Some(b"{"), "new", "t", NOW).is_err());
    }

    #[test]
    fn a_scheme_that_reads_no_json_gets_its_body_untouched() {
        let source = source("X-Sig").with_id(&["header:X-Id"]).with_type(&["header:X-Type"]);
        let body = sample_body(&source, Some(b"a=b&c"), "1", "t", NOW).expect("a body");
        assert_eq!(body, b"a=b&c");
    }

    #[test]
    fn what_is_signed_of_the_body_is_there() {
        let source = source("json:/signature/signature")
            .with_timestamp("json:/signature/timestamp", TimeFormat::Unix)
            .with_rule(|rule| rule.signed = template("{timestamp}{json:/signature/token}"));
        let body = sample_body(&source, None, "evt_1", "t", NOW).expect("a body");
        let (head, body) = signed_by(&source, &body);
        assert!(verify(&source, head.view(), &body).is_ok());
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
