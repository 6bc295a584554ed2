//! Members of a JSON body, read in one pass without building a tree.
//!
//! A body must be one UTF-8 JSON text (RFC 8259) to its last byte, without a byte order mark. A
//! member that is read, or that leads to one, must occur once in its object: two readers that pick
//! different ones would see different events. Everything else is checked for grammar and skipped
//! without recursion or allocation, so deep nesting is accepted.

pub(crate) mod strict;

use crate::scheme::Pointer;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What a pointer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// Nothing, or `null`.
    Absent,
    /// A string, unescaped; borrowed from the body where it has no escapes.
    Text(Cow<'a, str>),
    /// An integer's text as written, of any length.
    Integer(&'a str),
    /// Something else, described in words.
    Unusable(&'static str),
}

impl Member<'_> {
    /// The text of a string or integer.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(digits) => Some(digits),
            Self::Absent | Self::Unusable(_) => None,
        }
    }
}

/// Why a body cannot be read as JSON. It contains nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadFault(pub String);

/// What each of `wanted` leads to, in that order.
///
/// # Errors
/// The body is not one UTF-8 JSON text, or a member on the way to one of `wanted` occurs twice in
/// its object, after `\u` escapes in names are resolved.
pub fn read_members<'a>(
    body: &'a [u8],
    wanted: &[&Pointer],
) -> Result<Vec<Member<'a>>, PayloadFault> {
    let raw = read_raw(body, wanted)?;
    Ok(raw.into_iter().map(|raw| raw.map_or(Member::Absent, Member::of)).collect())
}

/// The text of each value exactly as it is written in the body; `None` where there is none.
///
/// # Errors
/// As [`read_members`].
pub fn read_raw<'a>(
    body: &'a [u8],
    wanted: &[&Pointer],
) -> Result<Vec<Option<&'a str>>, PayloadFault> {
    let text = std::str::from_utf8(body).map_err(|error| {
        PayloadFault(format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if text.starts_with('\u{feff}') {
        return Err(PayloadFault("the body starts with a byte order mark".to_owned()));
    }
    let mut found = vec![None; wanted.len()];
    // A pass represents its pointers as the bits of one word.
    for (pointers, found) in wanted.chunks(64).zip(found.chunks_mut(64)) {
        let mut pass = Pass { pointers, found, doubled: None };
        let all = u64::MAX >> (64 - pointers.len());
        let mut json = serde_json::Deserializer::from_str(text);
        let read = MemberTree { pass: &mut pass, leading: all, depth: 0 }.deserialize(&mut json);
        read.and_then(|()| json.end()).map_err(|error| pass.fault(&error))?;
    }
    Ok(found)
}

impl<'a> Member<'a> {
    /// The value of one valid JSON text.
    pub fn of(raw: &'a str) -> Self {
        match raw.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                let inner = raw.get(1..raw.len() - 1).unwrap_or_default();
                Self::Text(Cow::Borrowed(inner))
            }
            [b'"', ..] => serde_json::from_str(raw)
                .map_or(Self::Unusable("a string with half a surrogate pair"), |text: String| {
                    Self::Text(Cow::Owned(text))
                }),
            [b'-' | b'0'..=b'9', rest @ ..] => {
                if rest.iter().all(u8::is_ascii_digit) {
                    Self::Integer(raw)
                } else {
                    Self::Unusable("a number that is not an integer")
                }
            }
            [b'n', ..] => Self::Absent,
            [b'{', ..] => Self::Unusable("an object"),
            [b'[', ..] => Self::Unusable("an array"),
            _ => Self::Unusable("a boolean"),
        }
    }
}

/// One pass over a text for at most 64 pointers.
struct Pass<'p, 'a> {
    pointers: &'p [&'p Pointer],
    found: &'p mut [Option<&'a str>],
    /// The pointer that two members lead to.
    doubled: Option<usize>,
}

impl<'a> Pass<'_, 'a> {
    fn pointers_in(&self, mask: u64) -> impl Iterator<Item = (usize, &Pointer)> {
        let bits = self.pointers.iter().enumerate();
        bits.filter(move |(bit, _)| mask >> bit & 1 == 1).map(|(bit, pointer)| (bit, *pointer))
    }

    /// The pointers in `leading` whose token at `depth` satisfies `fits`.
    fn step(&self, leading: u64, depth: usize, fits: impl Fn(&str) -> bool) -> u64 {
        self.pointers_in(leading)
            .filter(|(_, pointer)| pointer.tokens().get(depth).is_some_and(|token| fits(token)))
            .fold(0, |mask, (bit, _)| mask | 1 << bit)
    }

    /// The pointers in `leading` that end at `depth`.
    fn ending(&self, leading: u64, depth: usize) -> u64 {
        self.pointers_in(leading)
            .filter(|(_, pointer)| pointer.tokens().len() == depth)
            .fold(0, |mask, (bit, _)| mask | 1 << bit)
    }

    fn keep(&mut self, ending: u64, raw: &'a str) {
        for (bit, found) in self.found.iter_mut().enumerate() {
            if ending >> bit & 1 == 1 {
                *found = Some(raw);
            }
        }
    }

    fn fault(&self, error: &serde_json::Error) -> PayloadFault {
        if let Some(pointer) = self.doubled.and_then(|bit| self.pointers.get(bit)) {
            return PayloadFault(format!("a member on the way to `{pointer}` appears twice"));
        }
        let (line, column) = (error.line(), error.column());
        PayloadFault(if error.is_eof() {
            format!("the body ends inside its JSON text, at line {line} column {column}")
        } else {
            format!("the body is not JSON at line {line} column {column}")
        })
    }
}

/// A value that the first `depth` tokens of the pointers in `leading` lead to.
struct MemberTree<'w, 'p, 'a> {
    pass: &'w mut Pass<'p, 'a>,
    leading: u64,
    depth: usize,
}

impl<'a> DeserializeSeed<'a> for MemberTree<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, value: D) -> Result<(), D::Error> {
        let ending = self.pass.ending(self.leading, self.depth);
        if ending == 0 {
            return value.deserialize_any(self);
        }
        let raw: &'a RawValue = serde::Deserialize::deserialize(value)?;
        self.pass.keep(ending, raw.get());
        let leading = self.leading & !ending;
        if leading == 0 {
            return Ok(());
        }
        // Some pointers end here and others continue, which is rare, so the value is read again.
        let mut again = serde_json::Deserializer::from_str(raw.get());
        again.deserialize_any(Self { leading, ..self }).map_err(D::Error::custom)
    }
}

impl<'a> Visitor<'a> for MemberTree<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<(), M::Error> {
        let Self { pass, leading, depth } = self;
        let mut seen = 0;
        loop {
            let name = Name { pass: &*pass, leading, depth };
            match members.next_key_seed(name)? {
                None => return Ok(()),
                Some(0) => {
                    members.next_value::<IgnoredAny>()?;
                }
                Some(next) if next & seen != 0 => {
                    pass.doubled = usize::try_from(next.trailing_zeros()).ok();
                    return Err(M::Error::custom("a member appears twice"));
                }
                Some(next) => {
                    seen |= next;
                    let pass = &mut *pass;
                    members.next_value_seed(MemberTree {
                        pass,
                        leading: next,
                        depth: depth + 1,
                    })?;
                }
            }
        }
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut elements: S) -> Result<(), S::Error> {
        let Self { pass, leading, depth } = self;
        for index in 0_usize.. {
            let next = pass.step(leading, depth, |token| is_index(token, index));
            let more = if next == 0 {
                elements.next_element::<IgnoredAny>()?.is_some()
            } else {
                let pass = &mut *pass;
                let node = MemberTree { pass, leading: next, depth: depth + 1 };
                elements.next_element_seed(node)?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // A scalar on the way to a member: the member is absent.

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether `token` is `index` as RFC 6901 writes it: no sign, no leading zero.
fn is_index(token: &str, index: usize) -> bool {
    let canonical = token == "0" || token.starts_with(|first| matches!(first, '1'..='9'));
    canonical && token.bytes().all(|byte| byte.is_ascii_digit()) && token.parse() == Ok(index)
}

/// A member's name, read as the set of pointers that continue through it. Names are compared as
/// bytes, so that an unwanted name may contain anything that the grammar allows. If asked for bytes
/// directly, the parser would accept bare control characters, which the grammar forbids.
struct Name<'w, 'p, 'a> {
    pass: &'w Pass<'p, 'a>,
    leading: u64,
    depth: usize,
}

impl<'a> DeserializeSeed<'a> for Name<'_, '_, '_> {
    type Value = u64;

    fn deserialize<D: serde::Deserializer<'a>>(self, name: D) -> Result<u64, D::Error> {
        let raw: &'a RawValue = serde::Deserialize::deserialize(name)?;
        match raw.get().as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => self.visit_bytes(inner),
            _ => {
                let mut escaped = serde_json::Deserializer::from_str(raw.get());
                escaped.deserialize_bytes(self).map_err(D::Error::custom)
            }
        }
    }
}

impl Visitor<'_> for Name<'_, '_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<u64, E> {
        Ok(self.pass.step(self.leading, self.depth, |token| token.as_bytes() == name))
    }
}

#[cfg(test)]
mod tests;
