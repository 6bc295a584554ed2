//! Bodies of handshakes.

use crate::json::{Member, read_raw};
use crate::scheme::Pointer;
use serde_json::{Map, Value};

pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

/// Whether a body without an event is of this type. Discord's two protocols share a signature, and
/// what is a PING in one is an EVENT in the other.
pub(super) fn is_ping(body: &[u8], kind: u8) -> Option<bool> {
    let message = object(body)?;
    let carries_more = message.contains_key("event") || message.contains_key("data");
    Some(*message.get("type")? == kind && !carries_more)
}

/// Whether the body is empty, or an object in which `list` is absent or empty.
pub(super) fn lists_nothing(body: &[u8], list: &str) -> bool {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    body.trim_ascii().is_empty()
        || object(body).is_some_and(|members| {
            members.iter().all(|(name, value)| name == list && is_empty(value))
        })
}

/// Whether the form has one field, `mandrill_events`, and no event in it.
pub(super) fn mandrill_has_no_events(body: &[u8]) -> bool {
    let mut fields = form_urlencoded::parse(body);
    let events = fields.next().filter(|(name, _)| name == "mandrill_events");
    let is_empty = events.is_some_and(|(_, events)| {
        serde_json::from_str::<Vec<Value>>(&events).is_ok_and(|events| events.is_empty())
    });
    is_empty && fields.next().is_none()
}

/// Whether `events` exists and is empty.
pub(super) fn has_no_events(body: &[u8]) -> bool {
    let events = Pointer::parse("/events").ok();
    let raw = events.and_then(|events| read_raw(body, &[&events]).ok()?.pop()?);
    raw.is_some_and(|raw| {
        matches!(Member::of(raw), Member::Unusable(_))
            && raw.starts_with('[')
            && raw.bytes().all(|byte| b"[] \t\r\n".contains(&byte))
            && raw.matches('[').count() == 1
    })
}
