//! The text that a signature covers.

use super::place::Place;
use super::pointer::Pointer;
use super::published::SNS_MEMBERS;
use http::HeaderName;

/// A signed text with placeholders, such as `{timestamp}.{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// One piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Literal(String),
    /// The raw bytes of the body.
    Body,
    /// The timestamp's text as received.
    Timestamp,
    /// The secret's text, without `key_prefix`.
    Secret,
    /// The value of a header.
    Header(HeaderName),
    /// A string or integer in the JSON body; empty if it is absent.
    Json(Pointer),
    /// A JSON value of the body, exactly as it is written there.
    JsonRaw(Pointer),
    /// The request method.
    Method,
    /// The source's `public_url`, plus `?` and the query if there is one.
    Url(UrlForm),
    /// The path as received, without the query.
    Path,
    /// The query without its `?`; empty if there is none.
    Query,
    /// The body as a form: fields sorted by name, with names and values decoded and concatenated.
    FormSorted,
    /// The value of a query parameter, percent-decoded.
    QueryParameter(String),
    /// The headers that the item with this prefix names: the names as listed there, then the value of
    /// each, joined by dots (Hook0).
    Listed(String),
    /// The headers that this header names, separated by commas: `name:value` of each in that order,
    /// joined by semicolons (Contentful). The list must name itself and the timestamp header.
    HeaderList(HeaderName),
    /// The CRC-32 of the body, in decimal (`PayPal`).
    Crc32,
    /// The members of a message of Amazon SNS that its signature covers, as names and values on
    /// separate lines.
    Sns,
    /// A part whose ASCII letters are folded to lower case.
    Lowercase(Box<Part>),
}

/// How a sender writes the URL that it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlForm {
    /// As given to the sender.
    AsGiven,
    /// With or without its port: Twilio is not consistent, so its SDKs try both.
    AnyPort,
    /// With the escapes decoded that `HubSpot` decodes before it signs (v3), and no others:
    /// `%3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B`.
    Decoded,
}

impl Part {
    /// The part itself, or the part inside a lower-case fold.
    #[must_use]
    pub(crate) fn unfolded(&self) -> &Self {
        match self {
            Self::Lowercase(inner) => inner,
            other => other,
        }
    }
}

impl Template {
    /// Whether some part of the text satisfies `wanted`; of a folded part, the part inside.
    #[must_use]
    pub fn any(&self, wanted: impl Fn(&Part) -> bool) -> bool {
        self.0.iter().any(|part| wanted(part.unfolded()))
    }

    /// Whether the raw body is part of what is signed.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.any(|part| matches!(part, Part::Body | Part::FormSorted | Part::Sns))
    }

    /// Whether a change of the text at `place` breaks the signature.
    ///
    /// A lower-case fold does not cover the case, and a sorted form does not cover the order and
    /// escapes of its fields, so neither covers the exact bytes.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        let signs = |wanted: &dyn Fn(&Part) -> bool| self.0.iter().any(wanted);
        match place {
            Place::Header(name) => signs(&|part| matches!(part, Part::Header(h) if h == name)),
            Place::Json(pointer) => signs(&|part| match part {
                Part::Body => true,
                Part::Json(signed) => signed == pointer,
                Part::JsonRaw(signed) => signed.leads_to(pointer),
                Part::Sns => SNS_MEMBERS.contains(pointer),
                _ => false,
            }),
            Place::BodySha256 => signs(&|part| *part == Part::Body),
            Place::Claim(_) => true,
            Place::Joined(_) => place.singles().all(|single| self.covers(single)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_body_covers_its_members_but_no_header() {
        let template = Template(vec![Part::Timestamp, Part::Literal(".".to_owned()), Part::Body]);
        let id = Place::Json(Pointer::parse("/id").expect("a pointer"));
        let header = Place::Header(HeaderName::from_static("x-id"));
        assert!(template.covers(&id) && template.covers(&Place::BodySha256));
        assert!(!template.covers(&header));
    }

    #[test]
    fn a_joined_place_is_covered_only_if_all_of_its_places_are() {
        let place = |text| Place::parse(text).expect("a place");
        let signed = |text| Template::parse(text).expect("a template");
        assert!(signed("{body}").covers(&place("{json:/a}:{json:/b}:{body-sha256}")));
        assert!(!signed("{body}").covers(&place("{header:X-Topic}:{json:/b}")));
        assert!(signed("{header:X-Topic}{body}").covers(&place("{header:X-Topic}:{json:/b}")));
    }

    #[test]
    fn what_can_be_written_in_two_ways_is_not_covered() {
        let place = |text| Place::parse(text).expect("a place");
        let signed = |text| Template::parse(text).expect("a template");
        assert!(!signed("{lower:header:X-Id}").covers(&place("header:X-Id")));
        assert!(!signed("{lower:json:/data/id}").covers(&place("json:/data/id")));
        assert!(!signed("{url}{form}").covers(&Place::BodySha256));
    }
}
