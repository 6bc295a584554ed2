//! Finds everything in a request that could be a signature, a time, or a token.

use crate::request::RequestHead;
use hookward_verify::json::{Member, read_raw};
use hookward_verify::scheme::{Encoding, Place, Pointer, TimeFormat, TimestampPlace};
use hookward_verify::verify::decode_signature;
use hookward_verify::verify::freshness::parse_time;
use http::HeaderName;

/// Bytes that could be a signature, and how they are written.
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) separator: Option<String>,
    pub(super) prefix: String,
    pub(super) encoding: Encoding,
    pub(super) bytes: Vec<u8>,
}

/// A text that could be the time of sending.
pub(super) struct Time {
    pub(super) from: TimestampPlace,
    pub(super) format: TimeFormat,
    pub(super) text: String,
}

/// Headers that every request has, from any sender.
const ORDINARY: [&str; 24] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "origin",
    "pragma",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// The headers that the sender's protocol may have put there, with their texts.
pub(super) fn telling_headers(head: &RequestHead) -> impl Iterator<Item = (HeaderName, &str)> {
    head.headers
        .iter()
        .filter_map(|(name, value)| Some((HeaderName::from_bytes(name).ok()?, value)))
        .filter(|(name, _)| !ORDINARY.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)))
}

/// The longest text that is tried as a signature: of an RSA key of 8,192 bits, in hex.
const LONGEST_SIGNATURE: usize = 2048 + 64;

/// Every text in headers and body that decodes to as many bytes as a signature has, the plainest
/// reading first.
pub(super) fn signatures(head: &RequestHead, body: &[u8]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (name, value) in telling_headers(head) {
        read_line(&Place::Header(name.clone()), value, &mut found);
    }
    for (pointer, text) in strings_in(body, LONGEST_SIGNATURE) {
        read_line(&Place::Json(pointer), &text, &mut found);
    }
    found.sort_by_key(|candidate| {
        (candidate.separator.is_some(), matches!(candidate.place, Place::Json(_)))
    });
    found
}

fn read_line(place: &Place, line: &str, found: &mut Vec<Candidate>) {
    for (separator, items) in splits(line) {
        for item in items {
            for prefix in prefixes(item) {
                let text = item.get(prefix.len()..).unwrap_or_default();
                found.extend(decodings(text).map(|(encoding, bytes)| {
                    let (separator, prefix) = as_configured(separator, prefix);
                    Candidate { place: place.clone(), separator, prefix, encoding, bytes }
                }));
            }
        }
    }
}

/// The line as one item, then as a list where it can be one.
fn splits(line: &str) -> impl Iterator<Item = (Option<&'static str>, Vec<&str>)> {
    let lists =
        [",", ";", " "].into_iter().filter(|separator| line.contains(separator)).map(|separator| {
            let items = line.split(separator).map(|item| item.trim_matches([' ', '\t']));
            (Some(separator), items.collect())
        });
    [(None, vec![line])].into_iter().chain(lists)
}

/// The beginnings of an item that may not belong to the signature.
fn prefixes(item: &str) -> impl Iterator<Item = &str> {
    const LONGEST: usize = 40;
    let after = |mark: char| item.find(mark).and_then(|at| item.get(..=at));
    let after_last_slash = item.rfind('/').and_then(|at| item.get(..=at));
    [Some(""), after('='), after(','), after(':'), after(' '), after_last_slash]
        .into_iter()
        .flatten()
        .filter(|prefix| prefix.len() <= LONGEST)
}

/// `v1,` marks the items of a list that is split by spaces, and `key/ALGORITHM/` names a key.
fn as_configured(separator: Option<&str>, prefix: &str) -> (Option<String>, String) {
    let separator = match (separator, prefix.ends_with(',')) {
        (None, true) => Some(" "),
        (separator, _) => separator,
    };
    let slashed = prefix.strip_suffix('/').and_then(|inner| inner.split_once('/'));
    let prefix = match slashed {
        Some((_, algorithm)) => format!("*/{algorithm}/"),
        None => prefix.to_owned(),
    };
    (separator.map(str::to_owned), prefix)
}

fn decodings(text: &str) -> impl Iterator<Item = (Encoding, Vec<u8>)> {
    Encoding::NAMES.into_iter().filter_map(|(_, encoding)| {
        let bytes = decode_signature(encoding, text)?;
        let is_signature = matches!(bytes.len(), 20 | 32 | 48 | 64)
            // Of RSA keys of 2,048, 3,072 and 4,096 bits.
            || matches!(bytes.len(), 256 | 384 | 512)
            || p256::ecdsa::Signature::from_der(&bytes).is_ok();
        is_signature.then_some((encoding, bytes))
    })
}

/// Every text in the headers that reads as a time of this century.
pub(super) fn times(head: &RequestHead) -> Vec<Time> {
    let mut times: Vec<Time> = Vec::new();
    for (name, value) in telling_headers(head) {
        if let Some(format) = format_of(value) {
            let from = TimestampPlace::Header(name.clone());
            times.push(Time { from, format, text: value.to_owned() });
        }
        for (_, items) in splits(value).skip(1) {
            for (index, item) in items.iter().enumerate() {
                let (prefix, text) = match item.split_once('=') {
                    Some((prefix, text)) => (format!("{prefix}="), text),
                    None => (String::new(), *item),
                };
                let Some(format) = format_of(text) else { continue };
                let from = match prefix.as_str() {
                    "" => TimestampPlace::ItemAt(index),
                    _ => TimestampPlace::Item(prefix),
                };
                times.push(Time { from, format, text: text.to_owned() });
            }
        }
    }
    times
}

/// How a time is written, if it lies between 2001 and 2100.
pub(super) fn format_of(text: &str) -> Option<TimeFormat> {
    const CENTURY: std::ops::Range<i64> = 1_000_000_000_000..4_102_444_800_000;
    TimeFormat::NAMES
        .into_iter()
        .map(|(_, format)| format)
        .find(|&format| parse_time(format, text).is_some_and(|time| CENTURY.contains(&time.0)))
}

/// Ways to write the secret itself into a header.
pub(super) fn tokens(head: &RequestHead) -> Vec<(Place, String, Encoding)> {
    let mut tokens = Vec::new();
    for (name, value) in telling_headers(head) {
        for prefix in prefixes(value) {
            for encoding in [Encoding::Hex, Encoding::Base64] {
                tokens.push((Place::Header(name.clone()), prefix.to_owned(), encoding));
            }
        }
    }
    tokens
}

/// No URL first, then what the request says about its own.
pub(super) fn urls(head: &RequestHead) -> Vec<Option<String>> {
    let forwarded = head.headers.text("x-forwarded-host");
    let hosts = forwarded.into_iter().chain([head.host.as_str()]).filter(|host| !host.is_empty());
    let of_host = |host| ["https", "http"].map(|scheme| format!("{scheme}://{host}{}", head.path));
    [None].into_iter().chain(hosts.flat_map(of_host).map(Some)).collect()
}

/// The strings of a JSON body that stand no deeper than signatures do and are shorter than `longest`,
/// with their pointers.
pub(super) fn strings_in(body: &[u8], longest: usize) -> Vec<(Pointer, String)> {
    const DEEPEST: usize = 5;
    const MOST: usize = 500;
    let mut found = Vec::new();
    let Ok(root) = serde_json::from_slice::<serde_json::Value>(body) else { return found };
    let mut open = vec![(String::new(), &root, 0)];
    while let Some((path, value, depth)) = open.pop() {
        let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
        match value {
            serde_json::Value::String(text) if text.len() < longest => {
                found.extend(Pointer::parse(&path).ok().map(|pointer| (pointer, text.clone())));
            }
            serde_json::Value::Object(members) if depth < DEEPEST => {
                open.extend(
                    members.iter().map(|(name, value)| {
                        (format!("{path}/{}", escape(name)), value, depth + 1)
                    }),
                );
            }
            serde_json::Value::Array(elements) if depth < DEEPEST => {
                open.extend(
                    elements.iter().take(1).map(|value| (format!("{path}/0"), value, depth + 1)),
                );
            }
            _ => {}
        }
        if found.len() >= MOST {
            break;
        }
    }
    found
}

/// The text at a pointer of a JSON body.
pub(super) fn text_at(body: &[u8], pointer: &str) -> Option<String> {
    let pointer = Pointer::parse(pointer).ok()?;
    let raw = read_raw(body, &[&pointer]).ok()?.pop()??;
    Member::of(raw).text().filter(|text| !text.is_empty()).map(str::to_owned)
}
