//! The head of an HTTP/1 request, checked on its raw bytes before anything interprets it.
//!
//! Owns everything that makes a request ambiguous: line ends, framing headers, `Host`, the forms of
//! a request target. No other parser reads the head afterwards; the tests and the fuzz target hold
//! what passes against a second one. Pure functions of bytes: no socket, no time.
//!
//! Specification: RFC 9112 (message syntax), RFC 9110 section 7.2 (`Host`) and 10.1.1 (`Expect`).

use super::malformed::{bad, is_token, too_large, unexpected};
use super::target::{judge_host, judge_target};
use crate::field_lines::FieldLines;
use crate::outcome::{Malformed, Reason, Refusal};
use bytes::Bytes;
use http::{Method, Version, header};
use std::ops::Range;

/// The most header lines in a request; no webhook has more.
pub(super) const MAX_HEADER_LINES: usize = 100;

/// Bytes in the name of a header, which is as many as the `http` crate takes.
const MAX_NAME_BYTES: usize = 65_535;

/// Header lines that most requests do not have more of.
const USUAL_LINES: usize = 16;

/// How many empty lines before a request line are skipped: RFC 9112 section 2.2 requires one, and
/// some clients send a stray one after a body.
const MAX_LEADING_EMPTY_LINES: usize = 2;

/// Finds the end of a head while its bytes arrive, looking at every byte once.
#[derive(Debug)]
pub struct HeadScanner {
    max_bytes: usize,
    /// Where the request line starts.
    start: usize,
    line_start: usize,
    scanned: usize,
    lines: usize,
    empty_lines: usize,
}

/// The position of a complete head in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte; empty lines may precede it.
    pub start: usize,
    /// Behind its closing empty line.
    pub end: usize,
}

impl HeadScanner {
    /// Accepts request line and header lines of up to `max_bytes` in total.
    pub const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, start: 0, line_start: 0, scanned: 0, lines: 0, empty_lines: 0 }
    }

    /// Looks at what was appended to `buffer`; the span once the head is whole.
    ///
    /// # Errors
    /// As soon as the bytes so far cannot become a head that is let in.
    pub fn feed(&mut self, buffer: &[u8]) -> Result<Option<Span>, Refusal> {
        while let Some(distance) =
            buffer.get(self.scanned..).and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let line_feed = self.scanned + distance;
            self.scanned = line_feed + 1;
            let line = buffer.get(self.line_start..line_feed).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(bad("a line ends without a carriage return"));
            };
            self.line_start = line_feed + 1;
            if !line.is_empty() {
                self.lines += 1;
                if self.lines > 1 + MAX_HEADER_LINES {
                    return Err(too_large("more than 100 header lines"));
                }
                self.check_size(self.line_start)?;
            } else if self.lines > 0 {
                return Ok(Some(Span { start: self.start, end: self.line_start }));
            } else {
                self.empty_lines += 1;
                if self.empty_lines > MAX_LEADING_EMPTY_LINES {
                    return Err(bad("empty lines instead of a request"));
                }
                self.start = self.line_start;
            }
        }
        self.scanned = buffer.len();
        // Whoever speaks TLS or something else here is told at once and not after a timeout.
        if buffer.get(self.start).is_some_and(|first| !is_token(*first) && *first != b'\r') {
            return Err(bad("no request line"));
        }
        // A lone CR may be the start of the closing empty line, which does not count.
        let pending = buffer.len().saturating_sub(usize::from(buffer.ends_with(b"\r")));
        self.check_size(pending)?;
        Ok(None)
    }

    fn check_size(&self, end: usize) -> Result<(), Refusal> {
        if end.saturating_sub(self.start) > self.max_bytes {
            return Err(too_large("over max_header"));
        }
        Ok(())
    }
}

/// What a well-formed head says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedHead {
    /// The method, anything but `CONNECT`.
    pub method: Method,
    /// The path exactly as received; starts with `/`.
    pub path: String,
    /// The query exactly as received, without its `?`.
    pub query: Option<String>,
    /// `Host` as received; empty if an HTTP/1.0 request has none.
    pub host: String,
    /// HTTP/1.1, or HTTP/1.0, which knows neither `100 Continue` nor chunks.
    pub version: Version,
    /// `Content-Length`, where there is one.
    pub declared: Option<usize>,
    /// Whether the body comes in chunks.
    pub is_chunked: bool,
    /// Whether the sender waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether the connection ends with the answer: the sender says so, or speaks HTTP/1.0.
    pub closes: bool,
    /// All header lines, in the buffer of the head.
    pub lines: FieldLines,
}

/// Judges a whole head, from the request line to the closing empty line.
///
/// # Errors
/// `bad_request` with the status that HTTP has for the fault, or `method_not_allowed` for `CONNECT`.
pub fn judge(head: &Bytes) -> Result<JudgedHead, Refusal> {
    let mut spans = lines_of(head);
    let request_line = head.get(spans.next().unwrap_or_default()).unwrap_or_default();
    let (method, target, is_http_10) = judge_request_line(request_line)?;

    let mut fields = HeadFields::default();
    let mut lines = FieldLines::within(head.clone(), USUAL_LINES);
    for span in spans.take_while(|span| !span.is_empty()) {
        let (name, value) = fields.take(head.get(span.clone()).unwrap_or_default())?;
        let absolute = |part: Range<usize>| span.start + part.start..span.start + part.end;
        lines.mark(absolute(name), absolute(value));
    }

    let host = fields.host(head, is_http_10)?;
    let (path, query) = judge_target(head, target, &host)?;
    let declared = fields.framing(is_http_10)?;
    let expects_continue = match fields.expect {
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => !is_http_10,
        Some(_) => return Err(unexpected()),
        None => false,
    };
    let is_chunked = fields.transfer_encoding.is_some();
    let mut options = lines
        .get_all(header::CONNECTION)
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let closes = is_http_10 || options.any(|option| option.eq_ignore_ascii_case(b"close"));
    drop(options);
    Ok(JudgedHead {
        method,
        path,
        query,
        host,
        version: if is_http_10 { Version::HTTP_10 } else { Version::HTTP_11 },
        declared,
        is_chunked,
        expects_continue,
        closes,
        lines,
    })
}

/// Where each line lies, without its end.
fn lines_of(head: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let ends = memchr::memchr_iter(b'\n', head).chain([head.len()]);
    ends.scan(0, |next, end| {
        let start = std::mem::replace(next, end + 1);
        let line = head.get(start..end).unwrap_or_default();
        Some(start..start + line.strip_suffix(b"\r").unwrap_or(line).len())
    })
}

fn judge_request_line(line: &[u8]) -> Result<(Method, &[u8], bool), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("the request line is not method, target and version"));
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(bad("the method is not a token"));
    }
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::malformed(
                Malformed::Version,
                "a version of HTTP that is not spoken here",
            ));
        }
        _ => return Err(bad("the request line does not end with a version of HTTP")),
    };
    if method == b"CONNECT" {
        return Err(Refusal::because(Reason::MethodNotAllowed, "CONNECT"));
    }
    let method = Method::from_bytes(method).map_err(|_| bad("the method is not a token"))?;
    Ok((method, target, is_http_10))
}

/// The header fields that decide about framing and identity.
#[derive(Debug, Default)]
struct HeadFields<'a> {
    host: Option<&'a [u8]>,
    host_twice: bool,
    content_length: Option<&'a [u8]>,
    content_length_twice: bool,
    transfer_encoding: Option<&'a [u8]>,
    transfer_encoding_twice: bool,
    expect: Option<&'a [u8]>,
}

impl<'a> HeadFields<'a> {
    /// Where the line's name and value lie in it.
    fn take(&mut self, line: &'a [u8]) -> Result<(Range<usize>, Range<usize>), Refusal> {
        // Also refuses a folded line and a space before the colon, which others read differently.
        let colon = match line.iter().position(|byte| !is_token(*byte)) {
            Some(end @ 1..) if line.get(end) == Some(&b':') => end,
            _ => return Err(bad("a header line without a token and a colon")),
        };
        let (name, value) = line.split_at(colon);
        if name.len() > MAX_NAME_BYTES {
            return Err(bad("a header name that is too long"));
        }
        let value = value.get(1..).unwrap_or_default();
        // Without an early end, so that many bytes are looked at together.
        let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(bad("a control character in a header value"));
        }
        let start = line.len() - value.trim_ascii_start().len();
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.host_twice |= self.host.replace(value).is_some();
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length_twice |= self.content_length.replace(value).is_some();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.transfer_encoding_twice |= self.transfer_encoding.replace(value).is_some();
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expect = Some(value);
        }
        Ok((0..colon, start..start + value.len()))
    }

    fn host(&self, head: &Bytes, is_http_10: bool) -> Result<String, Refusal> {
        let value = match self.host {
            _ if self.host_twice => return Err(bad("Host appears twice")),
            Some(value) => value,
            None if is_http_10 => return Ok(String::new()),
            None => return Err(bad("Host is missing")),
        };
        judge_host(head.slice_ref(value))
    }

    fn framing(&self, is_http_10: bool) -> Result<Option<usize>, Refusal> {
        match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(_)) => Err(bad("Content-Length and Transfer-Encoding together")),
            (None, Some(_)) if is_http_10 => Err(bad("Transfer-Encoding on HTTP/1.0")),
            (None, Some(coding)) => {
                if self.transfer_encoding_twice || !coding.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::malformed(
                        Malformed::TransferCoding,
                        "a Transfer-Encoding that is not chunked",
                    ));
                }
                Ok(None)
            }
            // Two that agree are refused as well: one sender does not send both.
            (Some(_), None) if self.content_length_twice => {
                Err(bad("Content-Length appears twice"))
            }
            (Some(value), None) => content_length(value).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A length in digits and nothing else: `+5`, `5, 5` and `0x5` are read differently by others.
pub(super) fn content_length(value: &[u8]) -> Result<usize, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| bad("a Content-Length that is not a number of bytes"))
}

#[cfg(test)]
mod tests;
