//! Captured requests: the headers of one delivery as a file.
//!
//! Reads what `hookward receiver --capture` writes, what `hookward sign` and `curl -v` print: an
//! optional request line, then one `Name: value` a line.

use crate::request::RequestHead;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};

/// Reads the head of a request. Without a request line it is a `POST` to `path`.
///
/// # Errors
/// The first line that is neither a header nor a request line, in words.
pub fn read_head(text: &[u8], path: &str) -> Result<RequestHead, String> {
    let mut head = RequestHead {
        method: Method::POST,
        path: path.to_owned(),
        query: None,
        headers: HeaderMap::new(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        host: String::new(),
        secure: true,
    };
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        // `curl -v` puts `> ` before what it sent.
        let line = line.strip_prefix(b"> ").unwrap_or(line).trim_ascii();
        if line.is_empty() || (index == 0 && read_request_line(line, &mut head)) {
            continue;
        }
        let (name, value) = read_header(line).ok_or_else(|| {
            format!("line {} is no `Name: value`: {}", index + 1, line.escape_ascii())
        })?;
        if name == http::header::HOST {
            head.host = String::from_utf8_lossy(value.as_bytes()).into_owned();
        }
        head.headers.append(name, value);
    }
    Ok(head)
}

/// Takes `POST /path?query HTTP/1.1`, if the line is one.
fn read_request_line(line: &[u8], head: &mut RequestHead) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return false };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return false };
    if !words.next().is_none_or(|version| version.starts_with("HTTP/")) || !target.starts_with('/')
    {
        return false;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    (head.method, head.path, head.query) = (method, path.to_owned(), query);
    true
}

fn read_header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = HeaderName::from_bytes(name).ok()?;
    let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_head_is_read_with_or_without_its_request_line() {
        let text =
            b"POST /a/b?c=d HTTP/1.1\r\nHost: x.example\r\nX-Sig: v1=a: b\r\nX-Sig: v1=c\r\n\r\n";
        let head = read_head(text, "/other").expect("a head");
        assert_eq!((head.path.as_str(), head.query.as_deref()), ("/a/b", Some("c=d")));
        assert_eq!(head.host, "x.example");
        let values: Vec<_> = head.headers.get_all("x-sig").iter().collect();
        assert_eq!(values, ["v1=a: b", "v1=c"]);

        let head = read_head(b"X-Sig: abc\nX-Empty:\n", "/other").expect("a head");
        assert_eq!((head.path.as_str(), head.query), ("/other", None));
        assert_eq!(head.headers["x-empty"], "");
        let head = read_head(b"> GET /x HTTP/1.1\n> X-Sig: abc\n", "/").expect("a head");
        assert_eq!((head.method, head.headers["x-sig"].as_bytes()), (Method::GET, &b"abc"[..]));
    }

    #[test]
    fn what_is_no_header_is_named_by_its_line() {
        let fault = read_head(b"X-Sig: abc\nno header\n", "/").expect_err("no header");
        assert!(fault.contains("line 2"), "{fault}");
    }
}
