//! Event type → destinations.
//!
//! It implements the glob of a route's `events` and the rule "first match wins". It knows nothing
//! about signatures, claims or HTTP.

pub use hookward_inbox::OnDead;
pub use hookward_names::UpstreamName;

use hookward_verify::scheme::Place;

/// One `[[sources.NAME.routes]]` table.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which event types it takes.
    pub events: Vec<TypeGlob>,
    /// Where their events go: each destination gets its own copy and its own claim. Never empty,
    /// no name twice.
    pub to: Vec<UpstreamName>,
    /// What the upstream is asked for, with its leading `/`; `None`: see [`crate::upstream`].
    pub path: Option<String>,
    /// How its events are delivered.
    pub delivery: DeliveryMode,
    /// Where an event says what it is about: those that say the same reach a destination in the
    /// order of their acceptance. Never with [`DeliveryMode::Sync`].
    pub order_key: Option<Place>,
    /// What a dead event does to those behind it in that order.
    pub on_dead: OnDead,
}

/// How the events of a route are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryMode {
    /// While the sender waits; nothing is stored.
    #[default]
    Sync,
    /// While the sender waits; stored if that does not succeed.
    Spill,
    /// Stored first, delivered in the background.
    Queued,
}

impl Route {
    /// Whether this route takes events of this type.
    #[must_use]
    pub fn takes(&self, event_type: &str) -> bool {
        self.events.iter().any(|glob| glob.matches(event_type))
    }

    /// Whether its events may be stored.
    #[must_use]
    pub fn uses_inbox(&self) -> bool {
        self.delivery != DeliveryMode::Sync
    }
}

/// A pattern over event types: `*` matches any run of characters, including `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeGlob {
    text: String,
}

impl TypeGlob {
    /// Takes the pattern as written; every text is a valid one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one type that it matches, if it has no `*`.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.text.contains('*')).then_some(self.text.as_str())
    }

    /// Whether it matches the whole of `event_type`. Linear in `event_type` for each `*`.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        let Some((first, rest)) = self.text.split_once('*') else {
            return self.text == event_type;
        };
        let Some(mut left) = event_type.strip_prefix(first) else {
            return false;
        };
        // Between two stars the leftmost fit is as good as any; only the last piece is anchored.
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for piece in middle.split('*') {
            match left.find(piece) {
                Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        left.ends_with(last)
    }

    /// Whether every type that `other` matches is matched by `self` as well; a route behind one
    /// that covers it never gets an event.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // Reading `other` as a text in which `*` is one more character is exact: a `*` of `other`
        // stands for unknown text, and only a `*` of `self` can swallow it.
        self.matches(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_matches_any_run_of_characters() {
        for (pattern, event_type, expected) in [
            ("order.*", "order.created", true),
            ("order.*", "order.", true),
            ("order.*", "order", false),
            ("order.*", "order.line.added", true),
            ("*", "", true),
            ("*", "anything", true),
            ("*.created", "order.created", true),
            ("*.created", "order.created.twice", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**b", "ab", true),
            ("aa*aa", "aaa", false),
            ("order.created", "order.created", true),
            ("order.created", "order.create", false),
        ] {
            assert_eq!(
                TypeGlob::new(pattern).matches(event_type),
                expected,
                "{pattern} {event_type}"
            );
        }
    }

    #[test]
    fn a_pattern_covers_what_it_leaves_nothing_of() {
        for (wide, narrow, expected) in [
            ("*", "order.*", true),
            ("order.*", "order.created", true),
            ("order.*", "*", false),
            ("order.*", "order.*.x", true),
            ("*.x", "order.*", false),
            ("a*", "a*", true),
        ] {
            let covers = TypeGlob::new(wide).covers(&TypeGlob::new(narrow));
            assert_eq!(covers, expected, "{wide} over {narrow}");
        }
    }

    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|cut| reference(rest, &text[cut..])),
            Some((byte, rest)) => text.first() == Some(byte) && reference(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_obvious_recursion(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let expected = reference(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(TypeGlob::new(pattern).matches(&text), expected);
        }
    }
}
