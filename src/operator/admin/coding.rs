//! Compresses answers with gzip for clients that accept it.

use crate::edge::HttpReply;
use crate::field_lines::plain;
use crate::request::RequestHead;
use crate::upstream::ReplyBody;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use std::io::Write as _;

/// The same answer, compressed if the client accepts it.
pub(super) fn coded(head: &RequestHead, mut reply: HttpReply) -> HttpReply {
    reply.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !takes_gzip(head) {
        return reply;
    }
    let ReplyBody::Whole(plain) = &reply.body else { return reply };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
    if let Ok(packed) = packed {
        reply.body = ReplyBody::Whole(packed.into());
        reply.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

/// Whether `Accept-Encoding` names gzip with a weight that is not 0 (RFC 9110 section 12.5.3).
fn takes_gzip(head: &RequestHead) -> bool {
    let lines = head.headers.get_all(ACCEPT_ENCODING);
    let codings = lines.filter_map(plain).flat_map(|line| line.split(','));
    codings.into_iter().any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        is_gzip && weight != Some(0.0)
    })
}
