//! The head of a request to a destination, as the bytes that go out.

use super::UpstreamRequest;
use crate::outgoing_lines::write_decimal;
use http::HeaderValue;

/// What request line, `Host` and `Content-Length` take beside path and host.
const FIXED_BYTES: usize = 80;

/// Why a request cannot be written: its path would end the request line early.
pub(super) const UNSENDABLE_PATH: &str = "the path holds a space or a control character";

/// The head: one `Host`, one `Content-Length`, names as people write them. There is room behind it
/// for `more` bytes.
pub(super) fn written(
    request: &UpstreamRequest,
    host: &HeaderValue,
    url_path: Option<&str>,
    more: usize,
) -> Result<Vec<u8>, &'static str> {
    let path = request.route_path.as_deref().or(url_path).unwrap_or(&request.sender_path);
    let query = request.query.as_deref();
    let mut parts = path.bytes().chain(query.unwrap_or_default().bytes());
    if parts.any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(UNSENDABLE_PATH);
    }
    let lines = request.headers.as_bytes();
    let target = path.len() + query.map_or(0, str::len);
    let mut head = Vec::with_capacity(FIXED_BYTES + target + host.len() + lines.len() + more);
    head.extend_from_slice(request.method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(path.as_bytes());
    if let Some(query) = query {
        head.push(if path.contains('?') { b'&' } else { b'?' });
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    head.extend_from_slice(host.as_bytes());
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(lines);
    head.extend_from_slice(b"Content-Length: ");
    write_decimal(request.body.len(), &mut head);
    head.extend_from_slice(b"\r\n\r\n");
    Ok(head)
}
