//! The header lines of a request, kept as the bytes that arrived.
//!
//! One buffer, and where in it each name and each value lies. A look-up compares bytes, so nothing is
//! copied or hashed that nobody asks for. A request has at most a hundred lines, and few of them are
//! asked for.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::ops::Range;

/// Header lines in the order in which they arrived. Names are tokens and keep their case, values have
/// no control characters except tabs, and no white space around them. Several lines may have one name.
#[derive(Clone, Default)]
pub struct FieldLines {
    bytes: Bytes,
    lines: Vec<LineSpan>,
}

/// Where a line lies in the buffer: a head has at most 1 MiB.
#[derive(Clone, Copy, Debug)]
struct LineSpan {
    name: (u32, u32),
    value: (u32, u32),
}

impl FieldLines {
    /// No lines yet, but the buffer that holds them, with room for `count`.
    pub(crate) fn within(bytes: Bytes, count: usize) -> Self {
        Self { bytes, lines: Vec::with_capacity(count) }
    }

    /// Adds the line that lies here in the buffer. The caller has checked that it is a header line.
    pub(crate) fn mark(&mut self, name: Range<usize>, value: Range<usize>) {
        let span = |range: Range<usize>| {
            let end = |at| u32::try_from(at).unwrap_or(u32::MAX);
            (end(range.start), end(range.end))
        };
        self.lines.push(LineSpan { name: span(name), value: span(value) });
    }

    /// Name and value of each line, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.lines.iter().map(|line| (self.slice(line.name), self.slice(line.value)))
    }

    /// As [`Self::iter`], with values that share the buffer.
    pub fn shared(&self) -> impl Iterator<Item = (&[u8], Bytes)> {
        self.iter().map(|(name, value)| (name, self.bytes.slice_ref(value)))
    }

    /// The value of the first line of this name, in whatever case.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first line of this name as text, if it is visible ASCII, spaces and tabs.
    #[must_use]
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<&str> {
        self.get(name).and_then(plain)
    }

    /// The values of all lines of this name, in order.
    pub fn get_all<N: AsRef<[u8]>>(
        &self,
        name: N,
    ) -> impl DoubleEndedIterator<Item = &[u8]> + use<'_, N> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_ref()))
            .map(|(_, value)| value)
    }

    /// Whether there is a line of this name.
    #[must_use]
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }

    /// Each name once, in lower case, in the order in which they came first.
    #[must_use]
    pub fn names(&self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for name in self.iter().filter_map(|(name, _)| HeaderName::from_bytes(name).ok()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line behind the others.
    pub fn push(&mut self, name: &HeaderName, value: &HeaderValue) {
        let (name, value): (&[u8], &[u8]) = (name.as_ref(), value.as_bytes().trim_ascii());
        let mut bytes = std::mem::take(&mut self.bytes)
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let start = bytes.len();
        bytes.reserve(name.len() + value.len());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        let middle = start + name.len();
        self.mark(start..middle, middle..bytes.len());
        self.bytes = bytes.freeze();
    }

    /// Makes this the only line of its name.
    pub fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes all lines of this name away.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref();
        self.retain(|other| !other.eq_ignore_ascii_case(name));
    }

    /// Keeps the lines with a name that is wanted. The bytes of the others stay in the buffer.
    pub fn retain(&mut self, is_wanted: impl Fn(&[u8]) -> bool) {
        let Self { bytes, lines } = self;
        lines.retain(|line| is_wanted(slice(bytes, line.name)));
    }

    fn slice(&self, span: (u32, u32)) -> &[u8] {
        slice(&self.bytes, span)
    }
}

fn slice(bytes: &Bytes, (start, end): (u32, u32)) -> &[u8] {
    let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    bytes.get(at(start)..at(end)).unwrap_or_default()
}

/// A value as text, if it is visible ASCII, spaces and tabs.
#[must_use]
pub fn plain(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| is_plain)
}

impl From<&HeaderMap> for FieldLines {
    fn from(map: &HeaderMap) -> Self {
        let size = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let mut bytes = BytesMut::with_capacity(size);
        let mut all = Self::within(Bytes::new(), map.len());
        for (name, value) in map {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_ref());
            let middle = bytes.len();
            bytes.extend_from_slice(value.as_bytes().trim_ascii());
            all.mark(start..middle, middle..bytes.len());
        }
        all.bytes = bytes.freeze();
        all
    }
}

impl PartialEq for FieldLines {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FieldLines {}

impl fmt::Debug for FieldLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be credentials.
        f.debug_set().entries(self.iter().map(|(name, _)| name.escape_ascii().to_string())).finish()
    }
}

impl hookward_verify::Headers for FieldLines {
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        self.get_all(name).nth(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_verify::Headers as _;
    use proptest::prelude::*;

    #[test]
    fn names_keep_their_case_and_are_found_in_any() {
        let mut lines = FieldLines::within(Bytes::from_static(b"X-A: 1\r\nx-a: 2\r\nB:\r\n"), 3);
        for (name, value) in [(0..3, 5..6), (8..11, 13..14), (16..17, 18..18)] {
            lines.mark(name, value);
        }
        let all: [(&[u8], &[u8]); 3] = [(b"X-A", b"1"), (b"x-a", b"2"), (b"B", b"")];
        assert!(lines.iter().eq(all));
        assert_eq!(lines.get("x-A"), Some(&b"1"[..]));
        assert_eq!(lines.get_all("X-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!((lines.text("b"), lines.text("c"), lines.contains("b")), (Some(""), None, true));
        assert_eq!(lines.names(), ["x-a", "b"]);
        let shared: Vec<_> = lines.shared().map(|(_, value)| value).collect();
        assert_eq!(shared, ["1", "2", ""]);
        assert_eq!(format!("{lines:?}"), r#"{"X-A", "x-a", "B"}"#);
    }

    #[test]
    fn a_line_outside_the_buffer_is_empty() {
        let mut lines = FieldLines::within(Bytes::from_static(b"a"), 1);
        lines.mark(0..1, 1..usize::MAX);
        assert_eq!(lines.get("a"), Some(&b""[..]));
    }

    #[test]
    fn a_line_can_be_added_to_lines_that_are_shared() {
        let mut lines = FieldLines::default();
        let name = HeaderName::from_static("a");
        lines.push(&name, &HeaderValue::from_static(" 1 "));
        let before = lines.clone();
        lines.set(&name, &HeaderValue::from_static("2"));
        assert_eq!((before.text("a"), lines.text("a"), lines.len()), (Some("1"), Some("2"), 1));
    }

    /// What is done to lines and to a map alike.
    #[derive(Clone, Debug)]
    enum Step {
        Push(usize, Vec<u8>),
        Set(usize, Vec<u8>),
        Remove(usize),
        Copy,
    }

    const NAMES: [&str; 5] = ["host", "x-a", "x-b", "content-type", "x-webhook-signature"];

    fn step() -> impl Strategy<Value = Step> {
        let value = || proptest::collection::vec(b'!'..=255_u8, 0..20);
        prop_oneof![
            5 => (0..NAMES.len(), value()).prop_map(|(name, value)| Step::Push(name, value)),
            1 => (0..NAMES.len(), value()).prop_map(|(name, value)| Step::Set(name, value)),
            1 => (0..NAMES.len()).prop_map(Step::Remove),
            1 => Just(Step::Copy),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_done_look_ups_find_what_a_header_map_finds(
            steps in proptest::collection::vec(step(), 0..40),
        ) {
            let (mut lines, mut map) = (FieldLines::default(), HeaderMap::new());
            let mut copies = Vec::new();
            for step in steps {
                match step {
                    Step::Push(name, value) | Step::Set(name, value) if value.contains(&0x7f) => {
                        let _ = name;
                    }
                    Step::Push(name, value) => {
                        let name = HeaderName::from_static(NAMES[name]);
                        let value = HeaderValue::from_bytes(&value).unwrap();
                        lines.push(&name, &value);
                        map.append(name, value);
                    }
                    Step::Set(name, value) => {
                        let name = HeaderName::from_static(NAMES[name]);
                        let value = HeaderValue::from_bytes(&value).unwrap();
                        lines.set(&name, &value);
                        map.insert(name, value);
                    }
                    Step::Remove(name) => {
                        lines.remove(NAMES[name]);
                        map.remove(NAMES[name]);
                    }
                    Step::Copy => copies.push((lines.clone(), map.clone())),
                }
            }
            copies.push((lines, map));
            for (lines, map) in &copies {
                prop_assert_eq!(lines.len(), map.len());
                prop_assert_eq!(lines.is_empty(), map.is_empty());
                prop_assert_eq!(lines.names().len(), map.keys_len());
                for name in NAMES {
                    let upper = name.to_ascii_uppercase();
                    let values: Vec<_> = map.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                    prop_assert_eq!(&lines.get_all(&upper).collect::<Vec<_>>(), &values);
                    prop_assert_eq!(lines.get(&upper), values.first().copied());
                    prop_assert_eq!(lines.contains(name), map.contains_key(name));
                    let text = map.get(name).and_then(|value| value.to_str().ok());
                    prop_assert_eq!(lines.text(name), text);
                    let name = HeaderName::from_static(name);
                    for index in 0..=values.len() {
                        prop_assert_eq!(lines.value(&name, index), map.value(&name, index));
                    }
                }
                let again = FieldLines::from(map);
                for name in NAMES {
                    prop_assert!(again.get_all(name).eq(lines.get_all(name)));
                }
            }
        }
    }
}
