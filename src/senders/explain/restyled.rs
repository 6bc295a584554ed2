//! JSON in the styles of other writers.
//!
//! Parsing and re-serialising JSON changes its bytes: spaces, the order of members, escapes, the
//! form of numbers. This module writes a body in each style of common libraries.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Write as _};

/// A JSON value that remembers the order of its members and the text of its numbers.
pub(super) enum JsonNode<'a> {
    Object(Vec<(String, JsonNode<'a>)>),
    Array(Vec<JsonNode<'a>>),
    Text(String),
    Raw(&'a str),
}

/// Deeper ones are not tried: this is for people's eyes, and recursion has an end.
const MAX_DEPTH: usize = 64;

impl<'a> JsonNode<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(body).ok()?;
        Self::of(raw.get(), MAX_DEPTH)
    }

    fn of(raw: &'a str, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        match raw.as_bytes().first()? {
            b'{' => {
                let Members(members) = serde_json::from_str(raw).ok()?;
                let read =
                    |(name, raw): (String, &'a RawValue)| Some((name, Self::of(raw.get(), depth)?));
                members.into_iter().map(read).collect::<Option<_>>().map(Self::Object)
            }
            b'[' => {
                let elements: Vec<&'a RawValue> = serde_json::from_str(raw).ok()?;
                let nodes = elements.into_iter().map(|raw| Self::of(raw.get(), depth));
                nodes.collect::<Option<_>>().map(Self::Array)
            }
            b'"' => serde_json::from_str(raw).ok().map(Self::Text),
            _ => Some(Self::Raw(raw)),
        }
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        value.deserialize_map(InOrder).map(Members)
    }
}

/// How a JSON writer writes.
#[derive(Clone, Copy)]
pub(super) struct JsonStyle {
    spacing: Spacing,
    escapes: Escapes,
    sorted: bool,
    /// Numbers as JavaScript prints them, `1.10` as `1.1`.
    short_numbers: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spacing {
    Compact,
    AfterCommaAndColon,
    Indented(usize),
}

/// What is escaped beyond what must be.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Escapes {
    /// Letters beyond ASCII, with digits of which case.
    letters: Option<Digits>,
    /// `/` as `\/`.
    slash: bool,
    /// `<`, `>`, `&` and the line separators of JavaScript.
    markup: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Digits {
    Lower,
    Upper,
}

impl JsonStyle {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        const NONE: Escapes = Escapes { letters: None, slash: false, markup: false };
        const ESCAPES: [Escapes; 7] = [
            NONE,
            Escapes { letters: Some(Digits::Lower), ..NONE },
            Escapes { letters: Some(Digits::Lower), slash: true, ..NONE },
            Escapes { letters: Some(Digits::Upper), ..NONE },
            Escapes { slash: true, ..NONE },
            Escapes { markup: true, ..NONE },
            Escapes { letters: Some(Digits::Upper), markup: true, ..NONE },
        ];
        let spacings = [
            Spacing::Compact,
            Spacing::AfterCommaAndColon,
            Spacing::Indented(2),
            Spacing::Indented(4),
        ];
        spacings.into_iter().flat_map(|spacing| {
            ESCAPES.into_iter().flat_map(move |escapes| {
                [(false, false), (true, false), (false, true), (true, true)]
                    .map(|(sorted, short_numbers)| Self { spacing, escapes, sorted, short_numbers })
            })
        })
    }

    pub(super) fn write(self, node: &JsonNode<'_>, depth: usize, out: &mut String) {
        match node {
            JsonNode::Raw(raw) => out.push_str(&self.number(raw)),
            JsonNode::Text(text) => self.write_text(text, out),
            JsonNode::Array(elements) => {
                self.write_list('[', ']', elements, depth, out, |element, out| {
                    self.write(element, depth + 1, out);
                });
            }
            JsonNode::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if self.sorted {
                    members.sort_by(|(one, _), (other, _)| one.cmp(other));
                }
                self.write_list('{', '}', &members, depth, out, |(name, value), out| {
                    self.write_text(name, out);
                    out.push_str(if self.spacing == Spacing::Compact { ":" } else { ": " });
                    self.write(value, depth + 1, out);
                });
            }
        }
    }

    fn write_list<T>(
        self,
        open: char,
        close: char,
        items: &[T],
        depth: usize,
        out: &mut String,
        mut write: impl FnMut(&T, &mut String),
    ) {
        out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            match self.spacing {
                Spacing::Indented(width) => {
                    out.push('\n');
                    out.push_str(&" ".repeat(width * (depth + 1)));
                }
                Spacing::AfterCommaAndColon if index > 0 => out.push(' '),
                Spacing::AfterCommaAndColon | Spacing::Compact => {}
            }
            write(item, out);
        }
        if let Spacing::Indented(width) = self.spacing
            && !items.is_empty()
        {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
        out.push(close);
    }

    fn write_text(self, text: &str, out: &mut String) {
        let Escapes { letters, slash, markup } = self.escapes;
        let unit = |out: &mut String, unit: u16| {
            let _ = match letters {
                Some(Digits::Upper) => write!(out, "\\u{unit:04X}"),
                Some(Digits::Lower) | None => write!(out, "\\u{unit:04x}"),
            };
        };
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '/' if slash => out.push_str("\\/"),
                '\0'..' ' => unit(out, u16::try_from(u32::from(character)).unwrap_or_default()),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if markup => {
                    unit(out, u16::try_from(u32::from(character)).unwrap_or_default());
                }
                other if letters.is_some() && !other.is_ascii() => {
                    other.encode_utf16(&mut [0; 2]).iter().for_each(|&half| unit(out, half));
                }
                other => out.push(other),
            }
        }
        out.push('"');
    }

    fn number(self, raw: &str) -> String {
        let is_plain = !raw.contains(['.', 'e', 'E']);
        match raw.parse::<f64>() {
            Ok(number) if self.short_numbers && !is_plain => format!("{number}"),
            _ => raw.to_owned(),
        }
    }
}

impl fmt::Display for JsonStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spacing {
            Spacing::Compact => f.write_str("without spaces")?,
            Spacing::AfterCommaAndColon => f.write_str("with spaces after commas and colons")?,
            Spacing::Indented(width) => write!(f, "indented by {width}")?,
        }
        if self.sorted {
            f.write_str(", keys sorted")?;
        }
        if let Some(digits) = self.escapes.letters {
            let case = if digits == Digits::Upper { "upper" } else { "lower" };
            write!(f, ", non-ASCII letters as \\u escapes in {case} case")?;
        }
        if self.escapes.slash {
            f.write_str(", slashes as \\/")?;
        }
        if self.escapes.markup {
            f.write_str(", <, > and & as \\u escapes")?;
        }
        if self.short_numbers {
            f.write_str(", numbers shortened")?;
        }
        Ok(())
    }
}
