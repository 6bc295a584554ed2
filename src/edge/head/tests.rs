//! Tests of heads: which are accepted, and that no two parsers differ on those.

use super::*;
use proptest::prelude::*;

fn whole(head: &str) -> Result<JudgedHead, Refusal> {
    let span = HeadScanner::new(32 * 1024).feed(head.as_bytes())?.expect("a whole head");
    judge(&Bytes::copy_from_slice(&head.as_bytes()[span.start..span.end]))
}

/// A head with one more line, and the status that it is refused with (0: let in).
#[test]
fn a_head_that_two_parsers_could_read_differently_is_refused() {
    for (head, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("POST / HTTP/1.0\r\n\r\n", 0),
        ("\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("\r\n\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
        ("POST / HTTP/1.1\nHost: a\n\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 transfer-encoding: chunked\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 Content-Length: 5\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("POST / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("POST / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("POST / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/11\r\nHost: a\r\n\r\n", 400),
        ("POST /\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("POST  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("P(ST / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a\u{7f}b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a?b=\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a?b=<c HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a?b=c> HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a?b=\"c HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /a?b=[\\]^`{|}c HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("POST http://a/x?\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("POST HTTPS://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("POST http://A/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST http:///x HTTP/1.0\r\n\r\n", 400),
        ("POST http://a\\b/x HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400),
        ("POST /a`b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        let met = whole(head).map_or_else(|refusal| refusal.status(), |_| 0);
        assert_eq!(met, status, "{head:?}");
    }
}

#[test]
fn what_no_parser_behind_takes_is_refused_by_its_length() {
    let name = |length| format!("POST / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n", "x".repeat(length));
    let target = |length| format!("POST /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
    let judged = |head: String| judge(&Bytes::from(head)).map_err(|refusal| refusal.status());
    assert!(judged(name(MAX_NAME_BYTES)).is_ok());
    assert_eq!(judged(name(MAX_NAME_BYTES + 1)), Err(400));
    assert!(judged(target(65_000)).is_ok());
    assert_eq!(judged(target(66_000)), Err(400));
}

#[test]
fn a_connection_ends_where_the_sender_says_so() {
    for (lines, closes) in [
        ("HTTP/1.1\r\nHost: a\r\n", false),
        ("HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n", false),
        ("HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n", false),
        ("HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n", true),
        ("HTTP/1.1\r\nHost: a\r\nConnection: TE ,close\r\n", true),
        ("HTTP/1.1\r\nHost: a\r\nconnection: TE\r\nConnection: close\r\n", true),
        ("HTTP/1.0\r\nConnection: keep-alive\r\n", true),
    ] {
        assert_eq!(whole(&format!("GET / {lines}\r\n")).unwrap().closes, closes, "{lines}");
    }
}

#[test]
fn lines_are_found_where_a_second_parser_finds_them() {
    let head = "\r\nPUT /a HTTP/1.1\r\nHost: a\r\nX-A:1\r\nx-a:\t 2 \t\r\nEmpty:\r\nB:  \r\n\r\n";
    let judged = whole(head).unwrap();
    let expected: [(&[u8], &[u8]); 5] =
        [(b"Host", b"a"), (b"X-A", b"1"), (b"x-a", b"2"), (b"Empty", b""), (b"B", b"")];
    assert!(judged.lines.iter().eq(expected), "{:?}", judged.lines);
    assert_eq!(judged.method, Method::PUT);
}

#[test]
fn path_and_query_stay_as_received() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a/../b//c", "/a/../b//c", None),
        ("/a%2Fb?x=%20&y", "/a%2Fb", Some("x=%20&y")),
        ("/a?", "/a", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("/a!$&'()*+,;=:@-._~%zz", "/a!$&'()*+,;=:@-._~%zz", None),
        ("http://h:1/a?b", "/a", Some("b")),
        ("http://h:1", "/", None),
        ("http://h:1?b", "/", Some("b")),
    ] {
        let judged = whole(&format!("POST {target} HTTP/1.1\r\nHost: h:1\r\n\r\n")).unwrap();
        assert_eq!((judged.path.as_str(), judged.query.as_deref()), (path, query), "{target}");
        assert_eq!(judged.host, "h:1");
    }
}

#[test]
fn size_and_number_of_lines_are_limited_to_the_byte_and_line() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    let lines = head.len() - 2;
    assert!(HeadScanner::new(lines).feed(head.as_bytes()).unwrap().is_some());
    assert_eq!(HeadScanner::new(lines - 1).feed(head.as_bytes()).unwrap_err().status(), 431);

    let with = |count: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
    };
    assert!(HeadScanner::new(32 * 1024).feed(with(100).as_bytes()).unwrap().is_some());
    assert_eq!(HeadScanner::new(32 * 1024).feed(with(101).as_bytes()).unwrap_err().status(), 431);
}

#[test]
fn an_endless_line_is_refused_at_the_limit() {
    let mut scanner = HeadScanner::new(1000);
    let mut buffer = b"GET /".to_vec();
    loop {
        match scanner.feed(&buffer) {
            Ok(found) => assert_eq!(found, None),
            Err(refusal) => {
                assert_eq!(refusal.status(), 431);
                assert_eq!(buffer.len(), 1001);
                return;
            }
        }
        buffer.push(b'a');
    }
}

proptest! {
    #[test]
    fn a_head_is_found_alike_however_it_is_cut(
        head in "(\r\n)?(GET|P ST) /[a\r\n]{0,3} HTTP/1.1\r\n(Host: a\r\n|X\n|\r\n){0,4}\r\n.{0,5}",
    ) {
        let bytes = head.as_bytes();
        let at_once = HeadScanner::new(64).feed(bytes);
        let mut scanner = HeadScanner::new(64);
        let mut dripped = Ok(None);
        for end in 1..=bytes.len() {
            dripped = scanner.feed(&bytes[..end]);
            if !matches!(dripped, Ok(None)) {
                break;
            }
        }
        prop_assert_eq!(at_once, dripped);
    }

    #[test]
    fn no_bytes_make_judging_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = HeadScanner::new(100).feed(&bytes);
        let _ = judge(&Bytes::from(bytes));
    }
}
