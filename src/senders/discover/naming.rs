//! What the name of a header says about its content.
//!
//! The words of each list are in order of reliability, so that of two headers the one with the
//! clearest name is used, wherever it is in the request.

use super::candidates::{format_of, telling_headers};
use crate::request::RequestHead;
use hookward_verify::scheme::{Part, Template};
use http::HeaderName;

/// Ends of names, less their hyphens, that hold the id of an event and cannot mean another thing.
const PLAIN_IDS: [&str; 2] = ["eventid", "eventuuid"];

/// The same for the type of an event.
const PLAIN_TYPES: [&str; 3] = ["eventtype", "topic", "eventname"];

/// Ends of names that may hold the id of an event, or of its delivery.
const IDS: [&str; 12] = [
    "eventid",
    "eventuuid",
    "deliveryid",
    "deliveryuuid",
    "delivery",
    "messageid",
    "msgid",
    "notificationid",
    "webhookid",
    "idempotencykey",
    "uuid",
    "guid",
];

/// Ends of names that may hold the type of an event.
const TYPES: [&str; 10] = [
    "eventtype",
    "topic",
    "eventname",
    "event",
    "messagetype",
    "webhooktype",
    "notificationtype",
    "eventkey",
    "type",
    "action",
];

/// Whose ids stay the same from event to event.
const OWNERS: [&str; 16] = [
    "account",
    "app",
    "application",
    "client",
    "customer",
    "endpoint",
    "key",
    "merchant",
    "org",
    "organization",
    "shop",
    "site",
    "store",
    "subscription",
    "tenant",
    "user",
];

/// The header whose name says plainly that it holds an event's id.
pub(super) fn plain_id(head: &RequestHead) -> Option<HeaderName> {
    best(telling_headers(head), &PLAIN_IDS, |value| !value.is_empty())
}

/// The same for a type.
pub(super) fn plain_kind(head: &RequestHead) -> Option<HeaderName> {
    best(telling_headers(head), &PLAIN_TYPES, names_a_type)
}

/// The header whose name says best that it holds an id.
pub(super) fn id(head: &RequestHead) -> Option<HeaderName> {
    best(telling_headers(head), &IDS, |value| !value.is_empty())
}

/// The same for a type.
pub(super) fn kind(head: &RequestHead) -> Option<HeaderName> {
    best(telling_headers(head), &TYPES, names_a_type)
}

/// The header for an id among those that are signed. Who signs a header that is called an id means
/// this very message, if it is not the id of who sent it.
pub(super) fn signed_id(head: &RequestHead, signed: &Template) -> Option<HeaderName> {
    best(signed_headers(head, signed), &IDS, |value| !value.is_empty()).or_else(|| {
        let is_id = |name: &HeaderName| {
            compact(name)
                .strip_suffix("id")
                .is_some_and(|whose| !OWNERS.iter().any(|owner| whose.ends_with(owner)))
        };
        signed_headers(head, signed).map(|(name, _)| name).find(|name| is_id(name))
    })
}

/// The header for a type among those that are signed.
pub(super) fn signed_kind(head: &RequestHead, signed: &Template) -> Option<HeaderName> {
    best(signed_headers(head, signed), &TYPES, names_a_type)
}

fn signed_headers<'a>(
    head: &'a RequestHead,
    signed: &Template,
) -> impl Iterator<Item = (HeaderName, &'a str)> {
    telling_headers(head)
        .filter(|(name, _)| signed.any(|part| matches!(part, Part::Header(one) if one == name)))
}

fn best<'a>(
    headers: impl Iterator<Item = (HeaderName, &'a str)>,
    words: &[&str],
    fits: impl Fn(&str) -> bool,
) -> Option<HeaderName> {
    let rank = |name: &HeaderName| {
        let name = compact(name);
        words.iter().position(|word| name.ends_with(word))
    };
    let ranked =
        headers.filter(|(_, value)| fits(value)).filter_map(|(name, _)| Some((rank(&name)?, name)));
    // Of equals the first.
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

fn compact(name: &HeaderName) -> String {
    name.as_str().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A word, not a number, a time or a row of hex digits.
fn names_a_type(value: &str) -> bool {
    const LONGEST_WORD: usize = 15;
    let has_letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    has_letter && !(is_hex && value.len() > LONGEST_WORD) && format_of(value).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::fixture::{head, template};

    #[test]
    fn the_name_that_says_it_best_is_taken_wherever_it_stands() {
        let uuid = "0b5b6d7e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
        for (lines, id_is, kind_is) in [
            (vec![("X-Event-Id", "77"), ("X-Event-Type", "a.b")], "x-event-id", "x-event-type"),
            (vec![("X-Event-Type", "a.b"), ("X-Event-Id", "77")], "x-event-id", "x-event-type"),
            (
                vec![("X-Shop-Event-Id", "e"), ("X-Shop-Topic", "a/b")],
                "x-shop-event-id",
                "x-shop-topic",
            ),
            (
                vec![("X-Wc-Webhook-Id", "3"), ("X-Wc-Webhook-Delivery-Id", "d")],
                "x-wc-webhook-delivery-id",
                "",
            ),
            (vec![("X-Event", uuid), ("X-Delivery", uuid)], "x-delivery", ""),
            (vec![("X-EventType", "a"), ("X-EventId", "b")], "x-eventid", "x-eventtype"),
            (vec![("X-Event-Time", "1700000000"), ("X-Event-Version", "v2")], "", ""),
            (vec![("X-Shop-Id", "s"), ("X-Request-Id", "r")], "", ""),
            (vec![("X-Event-Id", ""), ("X-Event-Type", "1700000000")], "", ""),
        ] {
            let head = head(&lines);
            let name = |found: Option<HeaderName>| found.map_or(String::new(), |n| n.to_string());
            assert_eq!(
                (name(id(&head)), name(kind(&head))),
                (id_is.into(), kind_is.into()),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_signed_id_is_that_of_the_message_and_not_of_its_owner() {
        let head = head(&[("X-Shop-Id", "s"), ("X-Wr-Id", "m")]);
        for (signed, expected) in [
            ("{header:x-shop-id}.{header:x-wr-id}.{body}", Some("x-wr-id")),
            ("{header:x-shop-id}.{body}", None),
            ("{body}", None),
        ] {
            assert_eq!(
                signed_id(&head, &template(signed)).as_ref().map(HeaderName::as_str),
                expected
            );
        }
    }
}
