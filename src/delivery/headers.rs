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
use crate::outgoing_lines::{OutgoingLines, capitalize, write_decimal};
use crate::request::RequestHead;
use hookward_time::UnixMillis;
use http::header::{self, HeaderName};
use passing::Circumstances;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

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

/// Whether a header, its name [folded], is about one connection and not about the message (RFC 9110
/// §7.6.1, and headers of older software).
fn is_folded_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

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
    take_over(&mut lines, &head.headers, |name, folded| passing.takes(name, folded, circumstances));
    passing.join_equal(&mut lines, &head.headers);
    if let Some(event) = event {
        lines.push(&HOOKWARD_SOURCE, printable(event.source).as_bytes());
        lines.push(&HOOKWARD_EVENT_ID, printable(event.event_id).as_bytes());
        lines.push(&HOOKWARD_EVENT_TYPE, printable(event.event_type).as_bytes());
        lines.push_written(HOOKWARD_VERIFIED_AT.as_ref(), |value| {
            event.verified_at.write_rfc3339(value);
        });
        lines.push_written(IDEMPOTENCY_KEY.as_ref(), |value| {
            write_idempotency_key(event.source, event.event_id, value);
        });
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
    is_folded_hop_by_hop(&folded(name))
}

/// Adds the lines that concern the other end of the message, of those that `keep` wants, which is
/// asked with the name in lower case, and with the same [folded]: without hop-by-hop ones, what looks
/// like one to some reader, and those that `Connection` names.
fn take_over(lines: &mut OutgoingLines, from: &FieldLines, keep: impl Fn(&str, &str) -> bool) {
    let options =
        from.get_all(header::CONNECTION).flat_map(|line| line.split(|byte| *byte == b','));
    let nominated: Vec<&[u8]> = options.map(<[u8]>::trim_ascii).collect();
    let mut name_buffer = [0; SHORT_NAME_BYTES];
    for (name, value) in from.iter() {
        let is_nominated = || nominated.iter().any(|token| token.eq_ignore_ascii_case(name));
        let is_kept = |name: &str| {
            let folded = folded(name);
            !is_folded_hop_by_hop(&folded) && !is_nominated() && keep(name, &folded)
        };
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
    match head.via {
        None => write_address(head.client, value),
        Some(proxy) => {
            if value.len() == start && head.client != proxy {
                write_address(head.client, value);
                value.extend_from_slice(b", ");
            }
            write_address(proxy, value);
        }
    }
}

/// Writes an address. The standard library's formatting takes twenty times as long for one of IPv4.
fn write_address(address: IpAddr, text: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let [first, others @ ..] = address.octets();
            write_decimal(first.into(), text);
            for octet in others {
                text.push(b'.');
                write_decimal(octet.into(), text);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a Vec does not fail.
            let _ = write!(text, "{address}");
        }
    }
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
    let mut key = Vec::with_capacity(source.len() + event_id.len() + 3);
    write_idempotency_key(source, event_id, &mut key);
    String::from_utf8(key).unwrap_or_default()
}

fn write_idempotency_key(source: &str, event_id: &str, key: &mut Vec<u8>) {
    key.push(b'"');
    for part in [source, ":", event_id] {
        if part.bytes().all(|byte| stays(byte) && !matches!(byte, b'"' | b'\\')) {
            key.extend_from_slice(part.as_bytes());
            continue;
        }
        for byte in percent_encoded(part, |_| true).bytes() {
            if matches!(byte, b'"' | b'\\') {
                key.push(b'\\');
            }
            key.push(byte);
        }
    }
    key.push(b'"');
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
mod tests;
