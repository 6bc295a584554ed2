//! Captured requests: the headers of one delivery as a file.
//!
//! Reads what `hookward receiver --capture` writes, what `hookward sign` and `curl -v` print: an
//! optional request line, then one `Name: value` a line.

use crate::field_lines::FieldLines;
use crate::request::RequestHead;
use http::{HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};

/// Reads the head of a request. Without a request line it is a `POST` to `path`. Of a whole request
/// the body is passed over, and of what `curl -v` prints all but what it sent.
///
/// # Errors
/// The first line that is neither a header nor a request line, in words.
pub fn read_head(text: &[u8], path: &str) -> Result<RequestHead, String> {
    let mut head = RequestHead {
        method: Method::POST,
        path: path.to_owned(),
        query: None,
        headers: FieldLines::default(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: String::new(),
        secure: true,
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut is_first, mut is_whole_request) = (true, false);
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let Some(line) = sent(line) else { continue };
        if line.is_empty() {
            // After a request line the end of the head, else a slip.
            if is_whole_request {
                break;
            }
            continue;
        }
        if std::mem::take(&mut is_first) && read_request_line(line, &mut head) {
            is_whole_request = true;
            continue;
        }
        if read_pseudo_header(line, &mut head) {
            continue;
        }
        let (name, value) = read_header(line).ok_or_else(|| {
            format!("line {} is not `Name: value`: {}", index + 1, line.escape_ascii())
        })?;
        if name == http::header::HOST {
            head.host = String::from_utf8_lossy(value.as_bytes()).into_owned();
        }
        head.headers.push(&name, &value);
    }
    Ok(head)
}

/// The line as it was sent: `curl -v` puts `> ` before it, and other marks before its own remarks
/// and what it received.
fn sent(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_end();
    let is_remark = [&b"* "[..], b"< ", b"{ [", b"} ["].iter().any(|mark| line.starts_with(mark));
    if is_remark || line == b"<" {
        return None;
    }
    Some(line.strip_prefix(b">").unwrap_or(line).trim_ascii())
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
    head.method = method;
    take_target(target, head);
    true
}

/// Takes the pseudo-headers that replace the request line in HTTP/2.
fn read_pseudo_header(line: &[u8], head: &mut RequestHead) -> bool {
    let pseudo = line.strip_prefix(b":").and_then(|line| std::str::from_utf8(line).ok());
    let Some((name, value)) = pseudo.and_then(|line| line.split_once(':')) else { return false };
    let value = value.trim();
    match name {
        "method" => match Method::from_bytes(value.as_bytes()) {
            Ok(method) => head.method = method,
            Err(_) => return false,
        },
        "path" if value.starts_with('/') => take_target(value, head),
        "authority" => value.clone_into(&mut head.host),
        "scheme" => {}
        _ => return false,
    }
    true
}

fn take_target(target: &str, head: &mut RequestHead) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    (head.path, head.query) = (path.to_owned(), query);
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
        let values: Vec<_> = head.headers.get_all("x-sig").collect();
        assert_eq!(values, [&b"v1=a: b"[..], b"v1=c"]);

        let head = read_head(b"X-Sig: abc\nX-Empty:\n", "/other").expect("a head");
        assert_eq!((head.path.as_str(), head.query), ("/other", None));
        assert_eq!(head.headers.text("x-empty"), Some(""));
        let head = read_head(b"> GET /x HTTP/1.1\n> X-Sig: abc\n", "/").expect("a head");
        assert_eq!((&head.method, head.headers.text("x-sig")), (&Method::GET, Some("abc")));
    }

    #[test]
    fn what_people_paste_is_read() {
        let curl =
            b"* Connected to x (10.0.0.1) port 443\n> POST /a?b HTTP/2\r\n> Host: x.example\r\n\
            > X-Sig: abc\r\n>\r\n} [12 bytes data]\n* done\n< HTTP/2 200\n< x-sig: other\n<\n";
        let whole = b"POST /a?b HTTP/1.1\r\nHost: x.example\r\nX-Sig: abc\r\n\r\n{\"id\":\"1\"}\n";
        let second = b"\xef\xbb\xbf:method: POST\n:scheme: https\n:path: /a?b\n:authority: x.example\nx-sig: abc\n";
        for text in [&curl[..], whole, second] {
            let head = read_head(text, "/other").expect("a head");
            assert_eq!((head.method, head.path.as_str()), (Method::POST, "/a"));
            assert_eq!((head.query.as_deref(), head.host.as_str()), (Some("b"), "x.example"));
            let values: Vec<_> = head.headers.get_all("x-sig").collect();
            assert_eq!(values, [b"abc"], "{}", text.escape_ascii());
        }
        // Between headers alone an empty line is a slip.
        let head = read_head(b"X-A: 1\n\nX-Sig: abc\n", "/other").expect("a head");
        assert_eq!(head.headers.text("x-sig"), Some("abc"));
    }

    #[test]
    fn what_is_no_header_is_named_by_its_line() {
        let fault = read_head(b"X-Sig: abc\nno header\n", "/").expect_err("no header");
        assert!(fault.contains("line 2"), "{fault}");
    }
}
