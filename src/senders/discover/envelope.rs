//! Guesses where a request has its event's id, type and time.

use super::candidates::{format_of, text_at};
use super::naming;
use crate::request::RequestHead;
use hookward_verify::scheme::{EventRule, Place, Pointer, Template};
use http::HeaderName;

/// Members that name an event, and nothing else.
const EVENT_IDS: [&str; 7] = [
    "/event_id",
    "/eventId",
    "/event/id",
    "/message_id",
    "/messageId",
    "/notification_id",
    "/notificationId",
];

/// Members that name whatever the body is.
const BODY_IDS: [&str; 2] = ["/id", "/uuid"];

/// Members that name the type of an event, and nothing else.
const EVENT_TYPES: [&str; 6] =
    ["/event_type", "/eventType", "/event/type", "/event", "/topic", "/event_name"];

/// The type of an event, or of a thing.
const BODY_TYPES: [&str; 1] = ["/type"];

/// Members that may name a type, or what the event is about.
const VAGUE_TYPES: [&str; 2] = ["/action", "/name"];

const TIMES: [&str; 9] = [
    "/created_at",
    "/createdAt",
    "/occurred_at",
    "/occurredAt",
    "/timestamp",
    "/created",
    "/time",
    "/sent_at",
    "/date",
];

/// A first rule for the event. Signed places are preferred, unless a header is unambiguous while
/// the body's member may name the object that the event is about: an object's id is the same on
/// every change of it, and those events would count as copies.
pub(super) fn guess(head: &RequestHead, body: &[u8], signed: &Template) -> EventRule {
    let header = |name: Option<HeaderName>| name.map(Place::Header);
    let json = |pointers: &[&str]| {
        let there = pointers.iter().find(|pointer| text_at(body, pointer).is_some())?;
        Pointer::parse(there).ok().map(Place::Json)
    };
    // The body's word, unless the header that says it plainly says another.
    let json_beside = |pointers: &[&str], plain: Option<HeaderName>| {
        let there = pointers.iter().find(|pointer| text_at(body, pointer).is_some())?;
        let agrees = plain
            .and_then(|name| head.headers.get(name))
            .is_none_or(|value| text_at(body, there).is_some_and(|text| text.as_bytes() == value));
        Pointer::parse(there).ok().map(Place::Json).filter(|_| agrees)
    };
    let typed_body =
        json(&EVENT_TYPES).or_else(|| json_beside(&BODY_TYPES, naming::plain_kind(head)));
    let kind = header(naming::signed_kind(head, signed))
        .or_else(|| typed_body.clone())
        .or_else(|| header(naming::kind(head)))
        .or_else(|| json(&VAGUE_TYPES));
    let is_event = typed_body.is_some() || kind.is_none();
    let id = header(naming::signed_id(head, signed))
        .or_else(|| json(&EVENT_IDS))
        .or_else(|| json_beside(&BODY_IDS, naming::plain_id(head)).filter(|_| is_event))
        .or_else(|| header(naming::id(head)));
    let is_time = |pointer: &&str| text_at(body, pointer).is_some_and(|t| format_of(&t).is_some());
    let time = TIMES.into_iter().find(|pointer| is_time(pointer));
    EventRule {
        id: vec![id.unwrap_or(Place::BodySha256)],
        kind: kind.into_iter().collect(),
        time: time
            .and_then(|time| Pointer::parse(time).ok())
            .map(Place::Json)
            .into_iter()
            .collect(),
    }
}

/// Webround publishes its envelope but not its signature.
pub(super) fn is_webround(body: &[u8]) -> bool {
    ["/eventId", "/eventType", "/occurredAt", "/storeId"]
        .iter()
        .all(|pointer| text_at(body, pointer).is_some())
}
