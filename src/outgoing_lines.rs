//! The header lines of a request to a destination, as the bytes that go out.
//!
//! They are written once, line behind line, and copied whole into the request. A request has some
//! twenty lines, so that looking one up is a walk over a few hundred bytes.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// Header lines in the order in which they go out: `Name: value`, each with its line end. Names are
/// spelled as people write them. Several lines may have one name. There is no `Host` and no
/// `Content-Length` among them: authority and framing are the connection's to say.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OutgoingLines(Vec<u8>);

impl OutgoingLines {
    /// No lines, and room for so many bytes of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a line behind the others; none of `Host` or `Content-Length`.
    pub fn push(&mut self, name: &HeaderName, value: &[u8]) {
        self.push_written(name.as_str().as_bytes(), |line| line.extend_from_slice(value));
    }

    /// Adds a line of this name, which is a token, with the value that `write` appends. A value that
    /// could end its line early would be a defect here, and is left empty rather than sent.
    pub fn push_written(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if is_of_connection(name) {
            return;
        }
        capitalize(&mut self.0, name);
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        write(&mut self.0);
        // All bytes are looked at, many at a time: stopping at the first one would be slower.
        let is_forbidden = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        let value = self.0.get(start..).unwrap_or_default();
        if value.iter().fold(false, |found, byte| found | is_forbidden(*byte)) {
            self.0.truncate(start);
        }
        self.0.extend_from_slice(b"\r\n");
    }

    /// Makes this the only line of its name.
    pub fn set(&mut self, name: &HeaderName, value: &[u8]) {
        self.retain(|other| !other.eq_ignore_ascii_case(name.as_ref()));
        self.push(name, value);
    }

    /// Keeps the lines with a name that is wanted.
    pub fn retain(&mut self, is_wanted: impl Fn(&[u8]) -> bool) {
        if self.iter().all(|(name, _)| is_wanted(name)) {
            return;
        }
        let mut kept = Vec::with_capacity(self.0.capacity());
        for line in self.lines() {
            if is_wanted(parts(line).0) {
                kept.extend_from_slice(line);
            }
        }
        self.0 = kept;
    }

    /// Name and value of each line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().map(parts)
    }

    /// The value of the first line of this name, in whatever case.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether there is a line of this name.
    #[must_use]
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }

    /// All lines, each with its line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The lines with their line ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        // No value holds a line feed.
        self.0.split_inclusive(|byte| *byte == b'\n')
    }
}

fn is_of_connection(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-length")
}

/// Name and value of a line.
fn parts(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
    (name, value.strip_prefix(b": ").unwrap_or_default())
}

/// A header's name as people write it: `x-acme-signature` is `X-Acme-Signature`. The case means
/// nothing in HTTP, but not everybody who reads headers knows that.
pub(crate) fn capitalize(text: &mut Vec<u8>, name: &[u8]) {
    let start = text.len();
    text.extend_from_slice(name);
    let written = text.get_mut(start..).unwrap_or_default();
    written.make_ascii_lowercase();
    for word in written.split_mut(|byte| *byte == b'-') {
        if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
}

/// Writes a number as a value has it. `write!` takes ten times as long.
pub(crate) fn write_decimal(number: usize, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

impl From<&HeaderMap> for OutgoingLines {
    fn from(map: &HeaderMap) -> Self {
        let bytes = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut lines = Self::with_capacity(bytes);
        for (name, value) in map {
            lines.push(name, value.as_bytes());
        }
        lines
    }
}

impl From<&OutgoingLines> for HeaderMap {
    fn from(lines: &OutgoingLines) -> Self {
        let mut map = Self::new();
        for (name, value) in lines.iter() {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

impl fmt::Debug for OutgoingLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be credentials.
        f.debug_set().entries(self.iter().map(|(name, _)| name.escape_ascii().to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_go_out_as_people_write_them() {
        let mut lines = OutgoingLines::default();
        lines.push(&name("x-acme-signature"), b"sha256=00");
        lines.push(&name("te--2nd-a"), b"");
        lines.push_written(b"-A", |value| value.extend_from_slice(b"1: 2"));
        assert_eq!(lines.as_bytes(), b"X-Acme-Signature: sha256=00\r\nTe--2nd-A: \r\n-A: 1: 2\r\n");
        let all: Vec<_> = lines.iter().collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"X-Acme-Signature", b"sha256=00"), (b"Te--2nd-A", b""), (b"-A", b"1: 2")];
        assert_eq!(all, expected);
        assert_eq!((lines.get("-a"), lines.contains("te")), (Some(&b"1: 2"[..]), false));
    }

    #[test]
    fn a_value_does_not_end_its_line_early() {
        let mut lines = OutgoingLines::default();
        for value in [&b"a\r\nInjected: 1"[..], b"a\nb", b"a\rb", b"a\0b", b"a\x7fb"] {
            lines.push(&name("x-a"), value);
        }
        lines.push(&name("x-a"), b"\xff\tb");
        assert_eq!(
            lines.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(),
            [0, 0, 0, 0, 0, 3]
        );
    }

    #[test]
    fn what_is_the_connections_to_say_is_not_among_them() {
        let mut lines = OutgoingLines::default();
        for of_connection in ["host", "content-length"] {
            lines.push(&name(of_connection), b"1");
            lines.set(&name(of_connection), b"1");
        }
        lines.push_written(b"HOST", |value| value.extend_from_slice(b"1"));
        assert_eq!(lines, OutgoingLines::default());
    }

    const NAMES: [&str; 4] = ["hosts", "x-a", "x-b", "content-type"];

    proptest! {
        #[test]
        fn whatever_is_done_a_header_map_holds_the_same(
            steps in proptest::collection::vec(
                (0..3, 0..NAMES.len(), "[!-~\u{e9}]?([ -~\t]{0,8}[!-~])?"),
                0..30,
            ),
        ) {
            let (mut lines, mut map) = (OutgoingLines::default(), HeaderMap::new());
            for (step, at, value) in &steps {
                let name = name(NAMES[*at]);
                let header = HeaderValue::from_str(value).unwrap();
                match step {
                    0 => {
                        lines.push(&name, value.as_bytes());
                        map.append(name, header);
                    }
                    1 => {
                        lines.set(&name, value.as_bytes());
                        map.insert(name, header);
                    }
                    _ => {
                        lines.retain(|other| !other.eq_ignore_ascii_case(name.as_ref()));
                        map.remove(name);
                    }
                }
            }
            prop_assert_eq!(&HeaderMap::from(&lines), &map);
            prop_assert_eq!(&HeaderMap::from(&OutgoingLines::from(&map)), &map);
            for name in NAMES {
                prop_assert_eq!(lines.get(name), map.get(name).map(HeaderValue::as_bytes));
            }
        }
    }
}
