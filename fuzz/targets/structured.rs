//! A sender's input → the request that an upstream reads.

use hookward::delivery::headers::{
    Passing, VerifiedFacts, for_upstream, idempotency_key, printable,
};
use hookward::delivery::trace::Trace;
use hookward::field_lines::FieldLines;
use hookward::request::RequestHead;
use hookward_time::UnixMillis;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, Ipv4Addr};

const OURS: [&str; 5] = [
    "hookward-source",
    "hookward-event-id",
    "hookward-event-type",
    "hookward-verified-at",
    "idempotency-key",
];

/// An id and a type, each up to a line end, then header lines. Written to the wire, the headers
/// are one head with each of ours once, and id and type can be read back.
pub(crate) fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (id, kind, lines) = (part(), part(), part());
    let (id, kind) = (String::from_utf8_lossy(id), String::from_utf8_lossy(kind));
    // Line ends cannot stand in the input's own lines; they are what an injection needs.
    let [id, kind] = [id, kind].map(|text| text.replace('^', "\r\n"));
    let mut headers = FieldLines::default();
    for line in lines.split(|byte| *byte == b'\n').take(50) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.push(&name, &value);
        }
    }
    let head = RequestHead {
        method: Method::POST,
        path: "/".to_owned(),
        query: None,
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: id.clone(),
        secure: false,
    };
    let facts = VerifiedFacts {
        source: "shop",
        event_id: &id,
        event_type: &kind,
        verified_at: UnixMillis(1_700_000_000_000),
    };
    let sent = for_upstream(&head, &Passing::default(), Some(&facts), &Trace::of(&head.headers));

    let mut wire = b"POST / HTTP/1.1\r\n".to_vec();
    wire.extend_from_slice(sent.as_bytes());
    wire.extend_from_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut read = httparse::Request::new(&mut fields);
    assert_eq!(read.parse(&wire), Ok(httparse::Status::Complete(wire.len())));
    assert_eq!(read.headers.len(), sent.iter().count(), "no line more and none less");
    let one = |name: &str| {
        let mut named = read.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let field = named.next().expect("ours is there");
        assert!(named.next().is_none(), "{name} appears twice");
        std::str::from_utf8(field.value).expect("ours is ASCII")
    };
    for name in OURS {
        assert!(!one(name).is_empty() || kind.is_empty() || id.is_empty());
    }
    for (name, text) in [("hookward-event-id", &id), ("hookward-event-type", &kind)] {
        let value = one(name);
        assert_eq!(value, printable(text));
        let decoded = percent_decode_str(value).decode_utf8_lossy();
        assert_eq!(decoded, text.as_str(), "{text:?} became {value:?}");
    }
    for name in ["transfer-encoding", "content-length", "connection", "host", "expect"] {
        assert!(!sent.contains(name), "{name} is not the sender's to say");
    }
    assert_eq!(one("idempotency-key"), idempotency_key("shop", &id));
    let key = unquoted(one("idempotency-key"));
    let text = format!("shop:{id}");
    assert_eq!(percent_decode_str(&key).decode_utf8_lossy(), text.as_str());
}

/// Reads a string of RFC 9651, section 4.2.5, to its last byte.
fn unquoted(text: &str) -> String {
    let mut bytes = text.bytes();
    assert_eq!(bytes.next(), Some(b'"'));
    let mut value = String::new();
    loop {
        match bytes.next().expect("a closing quote") {
            b'"' => break,
            b'\\' => {
                let escaped = bytes.next().expect("something escaped");
                assert!(matches!(escaped, b'"' | b'\\'));
                value.push(char::from(escaped));
            }
            byte => {
                assert!(matches!(byte, b' '..=b'~'));
                value.push(char::from(byte));
            }
        }
    }
    assert_eq!(bytes.next(), None);
    value
}
