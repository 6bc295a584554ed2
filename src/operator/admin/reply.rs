//! The answers that all paths of the admin listener share.

use crate::edge::HttpReply;
use crate::request::RequestHead;
use crate::upstream::ReplyBody;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

/// The refusal of a method that is none of these.
pub(super) fn only(allowed: &[Method], head: &RequestHead) -> Option<HttpReply> {
    if allowed.contains(&head.method) {
        return None;
    }
    let mut reply = fault(405, "this is not a method for this path");
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        reply.headers.insert(ALLOW, value);
    }
    Some(reply)
}

pub(super) fn unauthorized() -> HttpReply {
    let mut reply = fault(401, "the bearer token of the admin listener is missing or wrong");
    reply.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

pub(super) fn fault(status: u16, title: &str) -> HttpReply {
    let problem = json!({ "type": "about:blank", "title": title, "status": status });
    text(status, "application/problem+json", problem.to_string())
}

pub(super) fn document(status: u16, body: &Value) -> HttpReply {
    text(status, "application/json", format!("{body}\n"))
}

pub(super) fn text(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> HttpReply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    HttpReply { status, outcome: None, headers, body: ReplyBody::Whole(body.into()) }
}
