//! W3C Trace Context: the id that ties a delivery to what sender and receiver logged about it.
//!
//! A valid `traceparent` is passed on unchanged; otherwise a new one is created. The id is only a
//! label for people, so an attacker who chooses it does no harm.
//!
//! <https://www.w3.org/TR/trace-context/>

use crate::field_lines::{FieldLines, plain};
use data_encoding::HEXLOWER;
use http::HeaderName;
use std::sync::Arc;

/// The header's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a delivery belongs to (W3C Trace Context level 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The whole `traceparent` for the destinations.
    pub parent: Arc<str>,
    /// Whether the sender gave it; if not, its `tracestate` belongs to no trace and is dropped.
    pub inherited: bool,
}

impl Trace {
    /// The trace that the sender named in one well-formed `traceparent`, else a new one.
    ///
    /// A new one is marked as sampled: a destination whose sampler follows its parent would
    /// otherwise record none of the events that come from here.
    #[must_use]
    pub fn of(headers: &FieldLines) -> Self {
        let mut lines = headers.get_all(TRACEPARENT);
        match (lines.next().and_then(plain), lines.next()) {
            (Some(parent), None) if is_traceparent(parent) => {
                Self { parent: parent.into(), inherited: true }
            }
            _ => Self { parent: new_parent(), inherited: false },
        }
    }

    /// The 32 hex digits of the trace id, for the log.
    #[must_use]
    pub fn id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }

    /// The 16 hex digits of the span that the destinations are told of.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.parent.get(36..52).unwrap_or_default()
    }

    /// Whether the caller that began the trace records it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.parent.get(53..55).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }
}

/// A `traceparent` that nobody has had before.
fn new_parent() -> Arc<str> {
    let mut parent = *b"00-\
                       00000000000000000000000000000000-\
                       0000000000000000-01";
    let (trace, span) = (fastrand::u128(1..).to_be_bytes(), fastrand::u64(1..).to_be_bytes());
    for (digits, id) in [(3..35, &trace[..]), (36..52, &span[..])] {
        if let Some(digits) = parent.get_mut(digits) {
            HEXLOWER.encode_mut(id, digits);
        }
    }
    std::str::from_utf8(&parent).unwrap_or_default().into()
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zeros. Later versions may be longer;
/// their first four fields have this form too.
fn is_traceparent(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut hex = |length: usize| {
        fields.next().filter(|field| {
            field.len() == length
                && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(span), Some(_)) = (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let complete = version != "00" || fields.next().is_none();
    let some_digit = |field: &str| field.bytes().any(|byte| byte != b'0');
    version != "ff" && complete && some_digit(trace) && some_digit(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&str]) -> Trace {
        let mut headers = FieldLines::default();
        for value in values {
            headers.push(&TRACEPARENT, &HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    #[test]
    fn a_valid_traceparent_is_passed_on_as_it_came() {
        for text in &[GOOD, "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"] {
            assert_eq!(*of(&[text]).parent, **text);
        }
        assert_eq!(of(&[GOOD]).id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn anything_else_is_replaced_by_a_valid_one() {
        for values in [
            &[][..],
            &[GOOD, GOOD],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"],
            &["nonsense"],
        ] {
            let made = of(values);
            assert!(is_traceparent(&made.parent) && !made.inherited, "{made:?}");
            assert!(values.iter().all(|value| *made.parent != **value));
        }
    }
}
