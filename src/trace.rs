//! W3C Trace Context: the id that ties a delivery to what sender and receiver logged about it.
//!
//! A valid `traceparent` is passed on as it came; otherwise one is made. The id is a label for
//! people and is never used to decide anything, so an attacker's choice of it does no harm.
//!
//! <https://www.w3.org/TR/trace-context/>

use http::{HeaderMap, HeaderValue};

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// The trace that a delivery belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    text: String,
}

impl Trace {
    /// The sender's trace if it sent a valid one, else a new one that is not sampled.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        match (lines.next().and_then(|line| line.to_str().ok()), lines.next()) {
            (Some(text), None) if is_valid(text) => Self { text: text.to_owned() },
            _ => Self::random(),
        }
    }

    fn random() -> Self {
        // Zero is the one id that the specification forbids.
        let trace = fastrand::u128(1..);
        let parent = fastrand::u64(1..);
        Self { text: format!("00-{trace:032x}-{parent:016x}-00") }
    }

    /// The 32 hex digits of the trace id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text.get(3..35).unwrap_or_default()
    }

    /// The value of the `traceparent` header for the upstream.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.text).ok()
    }
}

/// `version-trace-parent-flags` in lower-case hex; later versions may append to it.
fn is_valid(text: &str) -> bool {
    let mut fields = text.splitn(5, '-');
    let mut hex = |digits: usize| {
        fields.next().filter(|field| {
            field.len() == digits
                && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    let nonzero = |field: &str| field.bytes().any(|b| b != b'0');
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let complete = version != "00" || text.len() == 55;
    version != "ff" && nonzero(trace) && nonzero(parent) && complete
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    #[test]
    fn a_valid_traceparent_is_passed_on_as_it_came() {
        for text in [GOOD, "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"] {
            assert_eq!(of(&[text]).header().unwrap(), text);
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
            let text = made.header().unwrap();
            assert!(is_valid(text.to_str().unwrap()), "{text:?}");
            assert!(values.iter().all(|value| text != *value));
        }
    }
}
