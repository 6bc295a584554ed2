//! The head of a request as it is stored: everything except the body that a later attempt needs.

use bytes::Bytes;
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The first byte of the encoding, which identifies the version.
const FORMAT: u8 = 1;

/// A request to a destination, without credentials and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHead {
    /// The sender's method.
    pub method: Method,
    /// The path that the sender used.
    pub path: String,
    /// The sender's query without its `?`.
    pub query: Option<String>,
    /// The route's `path` when the event was accepted.
    pub route_path: Option<String>,
    /// End-to-end headers, including those of the event.
    pub headers: HeaderMap,
    /// When the signature was verified.
    pub verified_at: UnixMillis,
    /// Another name under which the event must not be accepted again.
    pub alias: Option<String>,
}

impl StoredHead {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.verified_at.0.to_le_bytes());
        put(&mut bytes, self.method.as_str().as_bytes());
        put(&mut bytes, self.path.as_bytes());
        for text in [&self.query, &self.route_path, &self.alias] {
            bytes.push(u8::from(text.is_some()));
            put(&mut bytes, text.as_deref().unwrap_or_default().as_bytes());
        }
        for (name, value) in &self.headers {
            put(&mut bytes, name.as_str().as_bytes());
            put(&mut bytes, value.as_bytes());
        }
        bytes.into()
    }

    /// Decodes it; `None` if [`encode`](Self::encode) did not write it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes.strip_prefix(&[FORMAT])?;
        let (verified_at, after) = rest.split_first_chunk()?;
        let verified_at = UnixMillis(i64::from_le_bytes(*verified_at));
        *rest = after;
        let method = Method::from_bytes(take(rest)?).ok()?;
        let path = text(rest)?;
        let (query, route_path, alias) = (optional(rest)?, optional(rest)?, optional(rest)?);
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let name = HeaderName::from_bytes(take(rest)?).ok()?;
            headers.append(name, HeaderValue::from_bytes(take(rest)?).ok()?);
        }
        Some(Self { method, path, query, route_path, headers, verified_at, alias })
    }
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    // A head is far smaller than 4 GiB: `max_header` bounds it.
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(take(rest)?).ok().map(str::to_owned)
}

#[expect(clippy::option_option, reason = "not readable and not there are two things")]
fn optional(rest: &mut &[u8]) -> Option<Option<String>> {
    let (is_there, after) = rest.split_first()?;
    *rest = after;
    let text = text(rest)?;
    Some((*is_there == 1).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> StoredHead {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", &b"1"[..]), ("x-a", b"2"), ("x-b", b"\xff\xfe"), ("x-c", b"")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        StoredHead {
            method: Method::POST,
            path: "/webhooks/shop".to_owned(),
            query: Some(String::new()),
            route_path: None,
            headers,
            verified_at: UnixMillis(1_700_000_000_123),
            alias: Some("sig".to_owned()),
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_a_part_of_it_is_not() {
        let bytes = head().encode();
        assert_eq!(StoredHead::decode(&bytes), Some(head()));
        let end_of_headers: Vec<usize> =
            (0..bytes.len()).filter(|end| StoredHead::decode(&bytes[..*end]).is_some()).collect();
        assert!(
            end_of_headers.iter().all(|end| *end > 40),
            "only whole headers: {end_of_headers:?}"
        );
        assert_eq!(StoredHead::decode(&[2]), None, "another version");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            _ = StoredHead::decode(&bytes);
        }
    }
}
