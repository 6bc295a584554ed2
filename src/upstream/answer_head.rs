//! The head of an answer: its status, what of its headers the sender may be given, how its body is
//! framed, and whether the connection may serve again. A function of bytes: no socket, no time.
//!
//! Specification: RFC 9112 sections 4, 6.3 and 9.3.

use super::answer_body::BodyEnd;
use crate::delivery::headers::is_hop_by_hop;
use hookward_verify::request::folded;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use httparse::{ParserConfig, Response, Status};
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// Header lines of an answer; more is a defect of the other side.
const MAX_LINES: usize = 256;

/// What was read is not the head of an answer, or not one whose body has one end to all readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotHttp;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct AnswerHead {
    /// 3 digits as they came.
    pub(super) status: u16,
    /// What the sender may be given of the headers.
    pub(super) headers: HeaderMap,
    /// How the body ends.
    pub(super) framing: BodyEnd,
    /// Neither side wants the connection closed after this answer.
    pub(super) keeps_alive: bool,
    /// For how many seconds the other side keeps an idle connection, if it says so.
    pub(super) idle_seconds: Option<u64>,
}

impl AnswerHead {
    /// The head at the start of `bytes` and how long it is, if it is whole; `asked` is the method of
    /// the request.
    pub(super) fn parse(bytes: &[u8], asked: &Method) -> Result<Option<(Self, usize)>, NotHttp> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
        let mut response = Response::new(&mut []);
        let mut parser = ParserConfig::default();
        // Old servers do so, and no two readers of an answer take it for different things.
        parser.allow_spaces_after_header_name_in_responses(true);
        parser.allow_obsolete_multiline_headers_in_responses(true);
        let parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut lines);
        match parsed {
            Ok(Status::Complete(length)) => Ok(Some((Self::of(&response, asked)?, length))),
            Ok(Status::Partial) => Ok(None),
            Err(_) => Err(NotHttp),
        }
    }

    fn of(response: &Response<'_, '_>, asked: &Method) -> Result<Self, NotHttp> {
        let status = response.code.ok_or(NotHttp)?;
        let is_http_11 = response.version == Some(1);
        let mut said = LineFacts::default();
        let mut headers = HeaderMap::new();
        for line in response.headers.iter() {
            said.hear(line.name, line.value)?;
        }
        for line in response.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| NotHttp)?;
            if is_for_the_sender(&name) && !said.nominates(line.name) {
                let value = HeaderValue::from_bytes(&unfolded(line.value)).map_err(|_| NotHttp)?;
                headers.append(name, value);
            }
        }
        let framing = match (status, said.transfer_coding, said.length) {
            (100..200 | 204 | 304, ..) => BodyEnd::Length(0),
            _ if asked == Method::HEAD => BodyEnd::Length(0),
            (_, Some(coding), _) if ends_in_chunked(coding) => BodyEnd::Chunked,
            (_, None, Some(length)) => BodyEnd::Length(length),
            _ => BodyEnd::UntilEnd,
        };
        // One that says two lengths, or codes for a reader that does not know codings, is not trusted
        // with another request.
        let is_doubtful = said.transfer_coding.is_some() && (said.length.is_some() || !is_http_11);
        let keeps_alive = !said.closes
            && !is_doubtful
            && (is_http_11 || said.keeps_alive)
            && !matches!(framing, BodyEnd::UntilEnd);
        Ok(Self { status, headers, framing, keeps_alive, idle_seconds: said.idle_seconds })
    }
}

/// What the lines say of the connection and of the body's end.
#[derive(Default)]
struct LineFacts<'a> {
    /// Values of `Connection`.
    connection: Vec<&'a [u8]>,
    closes: bool,
    keeps_alive: bool,
    /// The last `Transfer-Encoding`.
    transfer_coding: Option<&'a [u8]>,
    length: Option<u64>,
    idle_seconds: Option<u64>,
}

impl<'a> LineFacts<'a> {
    fn hear(&mut self, name: &str, value: &'a [u8]) -> Result<(), NotHttp> {
        if name.eq_ignore_ascii_case("connection") {
            self.connection.push(value);
            self.closes |= elements(value).any(|option| option.eq_ignore_ascii_case(b"close"));
            self.keeps_alive |=
                elements(value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.transfer_coding = Some(value);
        } else if name.eq_ignore_ascii_case("content-length") {
            for element in value.split(|byte| *byte == b',') {
                let length = number(element.trim_ascii()).ok_or(NotHttp)?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(NotHttp);
                }
            }
        } else if name.eq_ignore_ascii_case("keep-alive") && self.idle_seconds.is_none() {
            self.idle_seconds = elements(value)
                .filter_map(|parameter| parameter.strip_prefix(b"timeout="))
                .find_map(|seconds| number(seconds.trim_ascii()));
        }
        Ok(())
    }

    /// Whether `Connection` names a header as one of the connection alone.
    fn nominates(&self, name: &str) -> bool {
        self.connection
            .iter()
            .flat_map(|line| elements(line))
            .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn ends_in_chunked(codings: &[u8]) -> bool {
    elements(codings).last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// Framing and date are the listener's, and nothing behind us speaks in Hookward's name, in no
/// spelling that some reader takes for it.
fn is_for_the_sender(name: &HeaderName) -> bool {
    if *name == CONTENT_LENGTH || *name == DATE || is_hop_by_hop(name.as_str()) {
        return false;
    }
    let name = folded(name.as_str());
    *name != *"content-length" && *name != *"date" && !name.starts_with("hookward-")
}

/// A value over several lines as one (RFC 9112 section 5.2).
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Cow::Borrowed(value);
    }
    let mut unfolded = Vec::with_capacity(value.len());
    let lines = value.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !line.is_empty()) {
        if !unfolded.is_empty() {
            unfolded.push(b' ');
        }
        unfolded.extend_from_slice(line);
    }
    Cow::Owned(unfolded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Option<(AnswerHead, usize)>, NotHttp> {
        AnswerHead::parse(text.as_bytes(), &Method::POST)
    }

    fn head(text: &str) -> AnswerHead {
        let text = format!("{text}\r\n\r\n");
        let (head, length) = parse(&text).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn a_body_has_one_end_to_all_readers_or_the_answer_is_none() {
        let (none, all) = (Ok(BodyEnd::Length(0)), Ok(BodyEnd::UntilEnd));
        for (lines, expected) in [
            ("200 OK\r\nContent-Length: 5", Ok(BodyEnd::Length(5))),
            ("200 OK\r\nContent-Length: 5, 5\r\ncontent-length: 5", Ok(BodyEnd::Length(5))),
            ("200 OK\r\nContent-Length: 5, 6", Err(NotHttp)),
            ("200 OK\r\nContent-Length: 5\r\nContent-Length: 6", Err(NotHttp)),
            ("200 OK\r\nContent-Length: +5", Err(NotHttp)),
            ("200 OK\r\nContent-Length: -1", Err(NotHttp)),
            ("200 OK\r\nContent-Length: 5,", Err(NotHttp)),
            ("200 OK\r\nContent-Length: 99999999999999999999", Err(NotHttp)),
            ("200 OK\r\nTransfer-Encoding: chunked", Ok(BodyEnd::Chunked)),
            ("200 OK\r\nTransfer-Encoding: gzip, Chunked", Ok(BodyEnd::Chunked)),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", Ok(BodyEnd::Chunked)),
            ("200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5", all),
            ("200 OK", all),
            ("204 No Content\r\nContent-Length: 5", none),
            ("304 Not Modified\r\nTransfer-Encoding: chunked", none),
            ("103 Early Hints\r\nContent-Length: 5", none),
        ] {
            let parsed = parse(&format!("HTTP/1.1 {lines}\r\n\r\n"));
            assert_eq!(parsed.map(|head| head.unwrap().0.framing), expected, "{lines}");
        }
        let asked =
            AnswerHead::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &Method::HEAD);
        assert_eq!(asked.unwrap().unwrap().0.framing, BodyEnd::Length(0));
    }

    #[test]
    fn a_connection_serves_again_only_if_both_sides_know_where_the_answer_ends() {
        for (lines, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0", true),
            ("HTTP/1.1 204 OK", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close", false),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nConnection: close",
                false,
            ),
            ("HTTP/1.1 200 OK", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive", true),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive", false),
        ] {
            assert_eq!(head(lines).keeps_alive, keeps_alive, "{lines}");
        }
    }

    #[test]
    fn what_the_other_side_says_of_idle_connections_is_heard() {
        for (line, expected) in [
            ("X: 1", None),
            ("Keep-Alive: timeout=5, max=1000", Some(5)),
            ("Keep-Alive: max=10, timeout= 3", Some(3)),
            ("Keep-Alive: timeout=soon", None),
        ] {
            assert_eq!(
                head(&format!("HTTP/1.1 200 OK\r\n{line}")).idle_seconds,
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn values_over_several_lines_are_one() {
        let head = head("HTTP/1.1 200 OK\r\nX-A : one\r\n  two\r\n\t three\r\nX-B: \r\n x");
        assert_eq!(
            (head.headers["x-a"].as_bytes(), head.headers["x-b"].as_bytes()),
            (&b"one two three"[..], &b"x"[..])
        );
    }

    #[test]
    fn what_is_no_head_is_none_at_once_and_what_may_become_one_is_waited_for() {
        for text in
            ["SSH-2.0-x\r\n", "HTTP/1.1 two\r\n", "HTTP/2 200\r\n", "HTTP/1.1 200 OK\r\na b\r\n"]
        {
            assert_eq!(parse(text).unwrap_err(), NotHttp, "{text}");
        }
        let whole = "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n";
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let many = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(count));
        assert_eq!(parse(&many(MAX_LINES)).unwrap().unwrap().0.headers.len(), MAX_LINES);
        assert_eq!(parse(&many(MAX_LINES + 1)).unwrap_err(), NotHttp);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            lines in "(Connection|Content-Length|Transfer-Encoding|Keep-Alive|X-\u{e9}|A): ?[ -~]{0,20}(\r\n|\n|\r\n )",
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut text = format!("HTTP/1.1 200 OK\r\n{lines}").into_bytes();
            text.extend_from_slice(&bytes);
            _ = AnswerHead::parse(&text, &Method::POST);
            text.extend_from_slice(b"\r\n\r\n");
            _ = AnswerHead::parse(&text, &Method::POST);
        }
    }
}
