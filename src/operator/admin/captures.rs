//! `GET /captures/{source}` and `GET /captures/{source}/{id}`.

use super::backend::AdminBackend;
use super::reply::{document, fault, text};
use crate::edge::HttpReply;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The captures of a source, or one of them as a request; `rest` is the path behind `/captures/`.
pub(super) fn answer(backend: &dyn AdminBackend, rest: &str) -> HttpReply {
    let (source, id) = match rest.split_once('/') {
        Some((source, id)) => (source, Some(id)),
        None => (rest, None),
    };
    let Ok(source) = percent_decode_str(source).decode_utf8() else {
        return fault(400, "the source is percent-encoded UTF-8");
    };
    let Some(captures) = backend.captures(&source) else {
        return fault(404, "no source has this name");
    };
    let Some(id) = id else {
        let list: Vec<Value> = captures
            .iter()
            .map(|capture| {
                json!({
                    "id": capture.id,
                    "at": capture.at.to_rfc3339(),
                    "reason": capture.reason.label(),
                    "client": capture.client.to_string(),
                    "body_bytes": capture.body_bytes,
                })
            })
            .collect();
        return document(200, &Value::Array(list));
    };
    match captures.iter().find(|capture| capture.id.to_string() == id) {
        Some(capture) => text(200, "message/http", capture.message.clone()),
        None => fault(404, "there is no such capture, or none any more"),
    }
}
