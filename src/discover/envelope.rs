//! Where a request seems to hold its event's id, type and time.

use super::candidates::{format_of, telling_headers, text_at};
use crate::request::RequestHead;
use crate::scheme::{EventRule, Part, Place, Pointer, Template};

const IDS: [&str; 10] = [
    "/event_id",
    "/eventId",
    "/event/id",
    "/id",
    "/uuid",
    "/message_id",
    "/messageId",
    "/notification_id",
    "/notificationId",
    "/webhook_id",
];

const TYPES: [&str; 9] = [
    "/type",
    "/event_type",
    "/eventType",
    "/event/type",
    "/event",
    "/topic",
    "/event_name",
    "/name",
    "/action",
];

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

/// A first rule for the event: what is signed is preferred, as is what names an event over what
/// names a thing.
pub(super) fn guess(head: &RequestHead, body: &[u8], signed: &Template) -> EventRule {
    let signed_header = |words: &[&str]| {
        let named = |name: &str| words.iter().any(|word| name.contains(word));
        signed.0.iter().find_map(|part| match part {
            Part::Header(name) if named(name.as_str()) => Some(Place::Header(name.clone())),
            _ => None,
        })
    };
    let header = |words: &[&str]| {
        let named = |name: &str| words.iter().any(|word| name.contains(word));
        let (name, _) = telling_headers(head).find(|(name, _)| named(name.as_str()))?;
        Some(Place::Header(name.clone()))
    };
    let json = |pointers: &[&str]| {
        let there = pointers.iter().filter(|pointer| text_at(body, pointer).is_some());
        there.filter_map(|pointer| Pointer::parse(pointer).ok()).map(Place::Json).next()
    };
    let id_words = ["event-id", "delivery", "webhook-id", "message-id", "-uuid", "idempotency"];
    let type_words = ["topic", "event-type", "event-name", "-event", "event"];
    let id = signed_header(&["id"]).or_else(|| json(&IDS)).or_else(|| header(&id_words));
    let kind = signed_header(&type_words).or_else(|| json(&TYPES)).or_else(|| header(&type_words));
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
