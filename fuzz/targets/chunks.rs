//! Bytes after the head of a chunked request → where the body ends, or a refusal.

use hookward::edge::chunks::ChunkScanner;

/// However the bytes are cut the same end is found, and a second parser that decodes chunk by chunk
/// finds it in the same place.
pub(crate) fn run(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let mut decoded = Vec::new();
    let mut scanner = ChunkScanner::default();
    let at_once = scanner.feed(bytes).map(|seen| scanner.is_at_end().then_some(seen));
    let mut scanner = ChunkScanner::default();
    let (first, rest) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let in_two = scanner.feed(first).and_then(|seen| {
        let seen = if scanner.is_at_end() { seen } else { seen + scanner.feed(rest)? };
        Ok(scanner.is_at_end().then_some(seen))
    });
    assert_eq!(at_once, in_two, "cut at {cut}");
    if let Ok(Some(end)) = at_once {
        assert_eq!(decoded_end(bytes, &mut decoded), Some(end), "both find the same end");
        assert_eq!(data_of(bytes), decoded, "both find the same data");
    }
}

/// The data of a well-formed body.
fn data_of(bytes: &[u8]) -> Vec<u8> {
    let (mut scanner, mut seen, mut all) = (ChunkScanner::default(), 0, Vec::new());
    while !scanner.is_at_end() {
        let (looked_at, data) = scanner.decode(&bytes[seen..]).expect("it is well-formed");
        seen += looked_at;
        all.extend_from_slice(data);
    }
    all
}

/// Where the body ends, by httparse, with its data.
fn decoded_end(bytes: &[u8], data: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..])
        else {
            return None;
        };
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let trailers = httparse::parse_headers(&bytes[at..], &mut fields);
            let Ok(httparse::Status::Complete((length, fields))) = trailers else { return None };
            assert!(fields.len() <= 100);
            return Some(at + length);
        }
        let size = usize::try_from(size).ok()?;
        data.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        assert_eq!(bytes.get(at..at + 2), Some(&b"\r\n"[..]), "a chunk ends where it says");
        at += 2;
    }
}
