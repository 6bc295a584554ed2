//! Bytes of a connection → an accepted head, or a refusal.

use bytes::Bytes;
use hookward::edge::head::{HeadScanner, Span, judge};

const MAX_HEADER_BYTES: usize = 2048;

/// However the bytes are cut the same head is found; what is let in is read alike by a second
/// parser, has one host and one framing, and is within its limits.
pub(crate) fn run(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let at_once = HeadScanner::new(MAX_HEADER_BYTES).feed(bytes);
    let mut scanner = HeadScanner::new(MAX_HEADER_BYTES);
    let first = bytes.get(..usize::from(*cut)).unwrap_or(bytes);
    let mut in_two = scanner.feed(first);
    if matches!(in_two, Ok(None)) {
        in_two = scanner.feed(bytes);
    }
    let judged = |found: &Result<Option<Span>, _>| match found {
        Ok(Some(span)) => judge(&Bytes::copy_from_slice(&bytes[span.start..span.end])).ok(),
        _ => None,
    };
    // A first byte that no request starts with is told before its line ends, and after.
    assert_eq!(judged(&at_once), judged(&in_two), "cut at {cut}");
    let Ok(Some(span)) = at_once else {
        // What is judged is always whole; judging must stand anything nevertheless.
        let _ = judge(&Bytes::copy_from_slice(bytes));
        return;
    };
    let head = &bytes[span.start..span.end];
    assert!(head.len() <= MAX_HEADER_BYTES + 2);
    let Ok(judged) = judge(&Bytes::copy_from_slice(head)) else { return };

    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut second = httparse::Request::new(&mut fields);
    let parsed = second.parse(head);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())), "both find the same end");
    let is_http_10 = judged.version == http::Version::HTTP_10;
    assert_eq!(second.version, Some(u8::from(!is_http_10)));
    let target = second.path.expect("a target");
    let local = target
        .split_once("://")
        .map_or(target, |(_, rest)| rest.find(['/', '?']).map_or("/", |at| &rest[at..]));
    let (path, query) = local.split_once('?').map_or((local, None), |(p, q)| (p, Some(q)));
    if target.starts_with('/') || !path.is_empty() {
        let whole = target.starts_with('/').then(|| target.split('?').next().unwrap());
        assert_eq!(judged.path, whole.unwrap_or(path));
    }
    if !target.starts_with('/') {
        assert_eq!(judged.query.as_deref(), query);
    }
    let fields = second.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    assert!(judged.lines.iter().eq(fields), "both find the same lines");
    assert_eq!(Some(judged.method.as_str()), second.method);
    let values = |name: &str| {
        let named = second.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "one framing");
    assert_eq!(judged.declared.is_some(), lengths.len() == 1);
    assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked")));
    let hosts = values("host");
    assert!(hosts.len() == 1 || (is_http_10 && hosts.is_empty()));
    assert!(judged.path.starts_with('/') && !judged.path.contains(['\r', '\n', '\0', '#', '?']));
    assert!(second.headers.len() <= 100);
}
