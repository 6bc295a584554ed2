//! The head of an HTTP/1 request, checked on its raw bytes before anything interprets it.
//!
//! It checks everything that can make a request ambiguous: line ends, framing headers, `Host`, the
//! forms of a request target. Pingora parses the same bytes afterwards, so a request passes only if
//! both find it well-formed. These are pure functions of bytes, without sockets or time.
//!
//! Specification: RFC 9112 (message syntax), RFC 9110 section 7.2 (`Host`) and 10.1.1 (`Expect`).

use crate::outcome::{Malformed, Reason, Refusal};
use http::uri::Authority;

/// The most header lines in a request; no webhook has more.
pub(super) const MAX_HEADER_LINES: usize = 100;

/// How many empty lines before a request line are skipped: RFC 9112 section 2.2 requires one, and
/// some clients send a stray one after a body.
const MAX_LEADING_EMPTY_LINES: usize = 2;

/// Finds the end of a head while its bytes arrive, looking at every byte once.
#[derive(Debug)]
pub struct Scanner {
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

impl Scanner {
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
            buffer.get(self.scanned..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
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
                    return Err(bad("empty lines in place of a request"));
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

/// The facts about a well-formed head that Pingora does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The path exactly as received; starts with `/`.
    pub path: String,
    /// The query exactly as received, without its `?`.
    pub query: Option<String>,
    /// `Host` as received; empty if an HTTP/1.0 request has none.
    pub host: String,
    /// HTTP/1.0, which knows neither `100 Continue` nor chunks.
    pub is_http_10: bool,
    /// `Content-Length`, where there is one.
    pub declared: Option<usize>,
    /// Whether the body comes in chunks.
    pub is_chunked: bool,
    /// Whether the sender waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Judges a whole head, from the request line to the closing empty line.
///
/// # Errors
/// `bad_request` with the status that HTTP has for the fault, or `method_not_allowed` for `CONNECT`.
pub fn judge(head: &[u8]) -> Result<Judged, Refusal> {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    let (target, is_http_10) = judge_request_line(request_line)?;

    let mut fields = Fields::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        fields.take(line)?;
    }

    let host = fields.host(is_http_10)?;
    let (path, query) = judge_target(target, &host)?;
    let declared = fields.framing(is_http_10)?;
    let expects_continue = match fields.expect {
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => !is_http_10,
        Some(_) => return Err(unexpected()),
        None => false,
    };
    let is_chunked = fields.transfer_encoding.is_some();
    Ok(Judged { path, query, host, is_http_10, declared, is_chunked, expects_continue })
}

fn judge_request_line(line: &[u8]) -> Result<(&[u8], bool), Refusal> {
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
    Ok((target, is_http_10))
}

fn judge_target(target: &[u8], host: &str) -> Result<(String, Option<String>), Refusal> {
    let target = judge_target_bytes(target)?;
    let local = if target.starts_with('/') {
        target
    } else {
        let rest = strip_scheme(target)
            .ok_or_else(|| bad("the request target is neither a path nor an http URL"))?;
        let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !authority.eq_ignore_ascii_case(host) {
            return Err(bad("the request target names another host than Host"));
        }
        local
    };
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (local, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Ok((path.to_owned(), query))
}

/// A target of characters that every receiver takes.
///
/// Other bytes have to be percent-encoded in a URL (RFC 3986 section 2). Node and PHP refuse what is not
/// ASCII, Puma and Tomcat `"`, `<` and `>`, all of which every client encodes that follows the URL
/// standard. Passed on, such a delivery would be refused as often as it is retried. A fragment is never
/// sent. The rest of what RFC 3986 leaves out (`[]\^{|}` and the backtick) is in use and passes.
///
/// # Errors
/// `bad_request`.
pub(super) fn judge_target_bytes(target: &[u8]) -> Result<&str, Refusal> {
    let passes = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
    match std::str::from_utf8(target) {
        Ok(text) if target.iter().all(passes) => Ok(text),
        _ => Err(bad("the request target has a character that must be percent-encoded")),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// The header fields that decide about framing and identity.
#[derive(Debug, Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    host_twice: bool,
    content_length: Option<&'a [u8]>,
    content_length_twice: bool,
    transfer_encoding: Option<&'a [u8]>,
    transfer_encoding_twice: bool,
    expect: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a [u8]) -> Result<(), Refusal> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(bad("a header line without a colon"));
        };
        let (name, value) = line.split_at(colon);
        // Also refuses a folded line and a space before the colon, which others read differently.
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(bad("a header name that is not a token"));
        }
        let value = value.get(1..).unwrap_or_default();
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(bad("a control character in a header value"));
        }
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
        Ok(())
    }

    fn host(&self, is_http_10: bool) -> Result<String, Refusal> {
        let value = match self.host {
            _ if self.host_twice => return Err(bad("Host stands twice")),
            Some(value) => value,
            None if is_http_10 => return Ok(String::new()),
            None => return Err(bad("Host is missing")),
        };
        judge_host(value)
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
            // Two that agree are refused as well: whoever sends them is not one sender.
            (Some(_), None) if self.content_length_twice => Err(bad("Content-Length stands twice")),
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

/// `Host` or `:authority`: a name or an address, perhaps with a port, and no user.
///
/// # Errors
/// `bad_request`.
pub(super) fn judge_host(value: &[u8]) -> Result<String, Refusal> {
    let authority =
        Authority::try_from(value).map_err(|_| bad("Host is not a host with an optional port"))?;
    if authority.as_str().contains('@') {
        return Err(bad("Host names a user"));
    }
    Ok(authority.as_str().to_owned())
}

pub(super) fn bad(detail: &'static str) -> Refusal {
    Refusal::because(Reason::BadRequest, detail)
}

pub(super) fn unexpected() -> Refusal {
    Refusal::malformed(Malformed::Expectation, "an Expect that is not 100-continue")
}

pub(super) fn too_large(detail: &'static str) -> Refusal {
    Refusal::malformed(Malformed::HeadTooLarge, detail)
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;
