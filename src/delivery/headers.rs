//! The headers for a destination: section 5 of the contract.
//!
//! It decides which of the sender's headers are passed on or dropped, and how values of an event
//! are encoded, because they may contain any character. It knows no connection: `Host` and
//! `Content-Length` belong to `upstream`.

mod passing;

pub use passing::{Passing, is_withheld, withheld};

use hookward_verify::request::folded;

use crate::delivery::trace::Trace;
use crate::field_lines::FieldLines;
use crate::outgoing_lines::{OutgoingLines, capitalize};
use crate::request::RequestHead;
use hookward_time::UnixMillis;
use http::header::{self, HeaderName};
use passing::Circumstances;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

/// Name of the source.
pub const HOOKWARD_SOURCE: HeaderName = HeaderName::from_static("hookward-source");
/// Event id.
pub const HOOKWARD_EVENT_ID: HeaderName = HeaderName::from_static("hookward-event-id");
/// Event type.
pub const HOOKWARD_EVENT_TYPE: HeaderName = HeaderName::from_static("hookward-event-type");
/// When the signature was verified: RFC 3339, UTC, milliseconds.
pub const HOOKWARD_VERIFIED_AT: HeaderName = HeaderName::from_static("hookward-verified-at");
/// How many requests with this event were sent to the destination, including this one.
pub const HOOKWARD_ATTEMPT: HeaderName = HeaderName::from_static("hookward-attempt");
/// When the inbox accepted the event: RFC 3339, UTC, milliseconds.
pub const HOOKWARD_QUEUED_AT: HeaderName = HeaderName::from_static("hookward-queued-at");
/// `true` on a replay.
pub const HOOKWARD_REPLAY: HeaderName = HeaderName::from_static("hookward-replay");
/// `"<source>:<event id>"`, a structured-field string.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers about one connection and not about the message (RFC 9110 §7.6.1, and headers of older
/// software), [folded].
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];

/// The facts about a verified event.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedFacts<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Event id.
    pub event_id: &'a str,
    /// Event type.
    pub event_type: &'a str,
    /// When it was verified.
    pub verified_at: UnixMillis,
}

/// The headers of a request to a destination: those of the sender that pass, and ours. Without an
/// `event` nothing is said about one.
#[must_use]
pub fn for_upstream(
    head: &RequestHead,
    passing: &Passing,
    event: Option<&VerifiedFacts<'_>>,
    trace: &Trace,
) -> OutgoingLines {
    let trusted = head.via.is_some();
    let circumstances = Circumstances { trusted, traced: trace.inherited };
    let mut lines = OutgoingLines::with_capacity(ROOM_BYTES);
    take_over(&mut lines, &head.headers, |name| passing.takes(name, circumstances));
    passing.join_equal(&mut lines, &head.headers);
    if let Some(event) = event {
        lines.push(&HOOKWARD_SOURCE, printable(event.source).as_bytes());
        lines.push(&HOOKWARD_EVENT_ID, printable(event.event_id).as_bytes());
        lines.push(&HOOKWARD_EVENT_TYPE, printable(event.event_type).as_bytes());
        lines.push(&HOOKWARD_VERIFIED_AT, event.verified_at.to_rfc3339().as_bytes());
        lines.push(&IDEMPOTENCY_KEY, idempotency_key(event.source, event.event_id).as_bytes());
    }
    lines.push_written(X_FORWARDED_FOR.as_ref(), |value| forwarded_for(head, value));
    lines.push(&X_FORWARDED_PROTO, if head.secure { b"https" } else { b"http" });
    match head.headers.get(X_FORWARDED_HOST).filter(|_| trusted) {
        Some(outer_host) => lines.push(&X_FORWARDED_HOST, outer_host),
        None => lines.push(&X_FORWARDED_HOST, printable(&head.host).as_bytes()),
    }
    lines.push(&TRACEPARENT, trace.parent.as_bytes());
    lines
}

/// What the lines of most requests take, those of credentials and attempts included.
const ROOM_BYTES: usize = 1024;

/// A header's name as it goes out.
#[must_use]
pub fn capitalized(name: &str) -> String {
    let mut spelled = Vec::with_capacity(name.len());
    capitalize(&mut spelled, name.as_bytes());
    String::from_utf8(spelled).unwrap_or_default()
}

/// Whether a header, its name in lower case, speaks of one connection, also to readers that take `_`
/// for `-`.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&folded(name).as_ref())
}

/// Adds the lines that concern the other end of the message, of those that `keep` wants, which is
/// asked with the name in lower case: without hop-by-hop ones, what looks like one to some reader,
/// and those that `Connection` names.
fn take_over(lines: &mut OutgoingLines, from: &FieldLines, keep: impl Fn(&str) -> bool) {
    let options =
        from.get_all(header::CONNECTION).flat_map(|line| line.split(|byte| *byte == b','));
    let nominated: Vec<&[u8]> = options.map(<[u8]>::trim_ascii).collect();
    let mut name_buffer = [0; SHORT_NAME_BYTES];
    for (name, value) in from.iter() {
        let is_nominated = || nominated.iter().any(|token| token.eq_ignore_ascii_case(name));
        let is_kept = |name: &str| !is_hop_by_hop(name) && !is_nominated() && keep(name);
        if in_lower_case(name, &mut name_buffer, is_kept) {
            lines.push_written(name, |line| line.extend_from_slice(value));
        }
    }
}

/// Names up to this need no memory of their own to be looked at in lower case.
const SHORT_NAME_BYTES: usize = 64;

/// What `judge` says of a name in lower case; no to one that is no text.
fn in_lower_case(
    name: &[u8],
    buffer: &mut [u8; SHORT_NAME_BYTES],
    judge: impl FnOnce(&str) -> bool,
) -> bool {
    if let Some(short) = buffer.get_mut(..name.len()) {
        short.copy_from_slice(name);
        short.make_ascii_lowercase();
        return std::str::from_utf8(short).is_ok_and(judge);
    }
    std::str::from_utf8(name).is_ok_and(|name| judge(&name.to_ascii_lowercase()))
}

/// Writes the chain of addresses: the sender's alone, or what a trusted proxy says and that proxy.
fn forwarded_for(head: &RequestHead, value: &mut Vec<u8>) {
    let start = value.len();
    for line in head.headers.get_all(X_FORWARDED_FOR).filter(|_| head.via.is_some()) {
        value.extend_from_slice(line);
        value.extend_from_slice(b", ");
    }
    // Writing to a Vec does not fail.
    let _ = match head.via {
        None => write!(value, "{}", head.client),
        Some(proxy) if value.len() == start && head.client != proxy => {
            write!(value, "{}, {proxy}", head.client)
        }
        Some(proxy) => write!(value, "{proxy}"),
    };
}

/// `text` with `%` and whatever cannot stand in a header percent-encoded: decoding gives `text` back,
/// so no two texts look alike.
///
/// Visible ASCII and inner spaces can stand. A space at an end cannot, because it is cut off there.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let ends_in_space = text.starts_with(' ') || text.ends_with(' ');
    if !ends_in_space && text.bytes().all(stays) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(percent_encoded(text, |byte| byte != b' ' || !ends_in_space))
}

/// `"<source>:<event id>"` as a structured-field string (RFC 9651 §3.3.3): percent-encoded as in
/// [`printable`], then between quotes, with `"` and `\` escaped.
#[must_use]
pub fn idempotency_key(source: &str, event_id: &str) -> String {
    let mut key = String::with_capacity(source.len() + event_id.len() + 3);
    key.push('"');
    for part in [source, ":", event_id] {
        if part.bytes().all(|byte| stays(byte) && !matches!(byte, b'"' | b'\\')) {
            key.push_str(part);
            continue;
        }
        for character in percent_encoded(part, |_| true).chars() {
            if matches!(character, '"' | '\\') {
                key.push('\\');
            }
            key.push(character);
        }
    }
    key.push('"');
    key
}

/// Printable characters except the one that begins an encoded byte.
const fn stays(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'%'
}

/// Encodes `%`, whatever is not printable, and whatever `keep` does not want.
fn percent_encoded(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if stays(byte) && keep(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;

    fn head(lines: &[(&'static str, &'static str)]) -> RequestHead {
        let mut headers = FieldLines::default();
        for (name, value) in lines {
            headers.push(&HeaderName::from_static(name), &HeaderValue::from_static(value));
        }
        RequestHead {
            method: Method::POST,
            path: "/webhooks/shop".into(),
            query: None,
            headers,
            client: "203.0.113.7".parse().unwrap(),
            via: None,
            ignored_forwarding: false,
            host: "hooks.example.com".into(),
            secure: true,
        }
    }

    fn facts<'a>(event_id: &'a str, event_type: &'a str) -> VerifiedFacts<'a> {
        VerifiedFacts {
            source: "shop",
            event_id,
            event_type,
            verified_at: UnixMillis(1_773_656_430_123),
        }
    }

    fn sent(head: &RequestHead) -> HeaderMap {
        let facts = facts("evt_1", "order.created");
        let trace = Trace::of(&head.headers);
        HeaderMap::from(&for_upstream(head, &Passing::default(), Some(&facts), &trace))
    }

    #[test]
    fn ours_are_added() {
        let headers = sent(&head(&[]));
        for (name, expected) in [
            ("hookward-source", "shop"),
            ("hookward-event-id", "evt_1"),
            ("hookward-event-type", "order.created"),
            ("hookward-verified-at", "2026-03-16T10:20:30.123Z"),
            ("idempotency-key", r#""shop:evt_1""#),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "hooks.example.com"),
        ] {
            assert_eq!(headers[name], expected, "{name}");
        }
        assert_eq!(headers.len(), 9, "{headers:?}");
    }

    #[test]
    fn what_speaks_of_the_connection_or_could_be_forged_is_dropped_and_the_rest_kept() {
        let headers = sent(&head(&[
            ("connection", "keep-alive, X-Nominated"),
            ("connection", "x-also"),
            ("x-nominated", "1"),
            ("x-also", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
            ("host", "hooks.example.com"),
            ("content-length", "5"),
            ("hookward-source", "forged"),
            ("hookward-outcome", "forged"),
            ("idempotency-key", "\"forged\""),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-port", "1"),
            ("tracestate", "of=nothing"),
            ("x-signature", "sha256=00"),
            ("x-repeated", "one"),
            ("x-repeated", "two"),
            ("content-type", "application/json"),
        ]));
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            [
                "x-signature",
                "x-repeated",
                "content-type",
                "hookward-source",
                "hookward-event-id",
                "hookward-event-type",
                "hookward-verified-at",
                "idempotency-key",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "traceparent",
            ]
        );
        assert_eq!(headers.get_all("x-repeated").iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(headers["hookward-source"], "shop");
        assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_named_last() {
        let mut head = head(&[
            ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
            ("x-forwarded-host", "outer.example.com"),
            ("x-forwarded-port", "443"),
            ("forwarded", "for=203.0.113.7"),
        ]);
        head.via = Some("10.0.0.9".parse().unwrap());
        let headers = sent(&head);
        assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 203.0.113.7, 10.0.0.9");
        assert_eq!(headers["x-forwarded-host"], "outer.example.com");
        assert_eq!(headers["x-forwarded-port"], "443");
        assert_eq!(headers["forwarded"], "for=203.0.113.7");
    }

    #[test]
    fn a_value_is_encoded_where_it_must_be_so_that_no_two_look_alike() {
        for (text, expected) in [
            ("evt_1", "evt_1"),
            ("100% of it", "100%25 of it"),
            ("a%C3%A9", "a%25C3%25A9"),
            ("a\u{e9}", "a%C3%A9"),
            ("año", "a%C3%B1o"),
            ("100% año", "100%25 a%C3%B1o"),
            (" edge", "%20edge"),
            ("a\r\nInjected: 1", "a%0D%0AInjected: 1"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
        for (id, expected) in [
            (r#"say "hi" \ "#, r#""shop:say \"hi\" \\ ""#),
            ("50%", r#""shop:50%25""#),
            ("a%C3%A9", r#""shop:a%25C3%25A9""#),
            ("a\u{e9}", r#""shop:a%C3%A9""#),
            ("50% \u{1}", r#""shop:50%25 %01""#),
        ] {
            assert_eq!(idempotency_key("shop", id), expected, "{id:?}");
        }
    }

    fn decoded(text: &str) -> String {
        percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
    }

    proptest! {
        #[test]
        fn any_id_and_type_make_valid_headers_that_decode_back(id in ".*", kind in ".*") {
            let head = head(&[]);
            let (facts, trace) = (facts(&id, &kind), Trace::of(&head.headers));
            let lines = for_upstream(&head, &Passing::default(), Some(&facts), &trace);
            let headers = HeaderMap::from(&lines);
            for (name, text) in [(HOOKWARD_EVENT_ID, &id), (HOOKWARD_EVENT_TYPE, &kind)] {
                let line = headers[&name].to_str().unwrap();
                prop_assert_eq!(line, line.trim());
                prop_assert_eq!(decoded(line), text.as_str(), "{:?}", line);
            }
            let key = headers[&IDEMPOTENCY_KEY].to_str().unwrap();
            let inner = key.strip_prefix('"').and_then(|k| k.strip_suffix('"')).unwrap();
            let mut unescaped = String::new();
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                prop_assert_ne!(character, '"');
                unescaped.push(if character == '\\' { characters.next().unwrap() } else { character });
            }
            prop_assert_eq!(decoded(&unescaped), format!("shop:{id}"));
        }
    }
}
