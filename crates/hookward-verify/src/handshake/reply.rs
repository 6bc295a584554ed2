//! The answer to a handshake.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;

/// The answer that the sender's protocol requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    pub(super) fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status: 200, content_type, headers, body }
    }

    pub(super) fn text(text: String) -> Self {
        Self::new("text/plain; charset=utf-8", text.into_bytes())
    }

    pub(super) fn json(value: &Value) -> Self {
        Self::new("application/json", value.to_string().into_bytes())
    }

    /// 200 with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::text(String::new())
    }

    /// 204 with a content type, which Discord requires although there is no body.
    pub(super) fn no_content() -> Self {
        let mut reply = Self { status: 204, ..Self::empty() };
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        reply
    }
}
