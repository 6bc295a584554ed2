//! Where in a request a text is.

use super::pointer::Pointer;
use http::HeaderName;

/// A place in a request that contains a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The value of a header.
    Header(HeaderName),
    /// A string or integer in the JSON body.
    Json(Pointer),
    /// The hex SHA-256 of the body: an id for events that carry none.
    BodySha256,
    /// A member of the payload of the token that proves the request genuine.
    Claim(Pointer),
    /// Several places joined by text. It is absent if one of them is.
    Joined(Vec<Segment>),
}

/// One piece of a [`Place::Joined`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Literal text.
    Literal(String),
    /// A place; never a joined one.
    Place(Place),
}

impl Place {
    /// The single places that the text is read from: those of a joined place, else the place itself.
    pub fn singles(&self) -> impl Iterator<Item = &Self> {
        let (own, segments) = match self {
            Self::Joined(segments) => (None, segments.as_slice()),
            single => (Some(single), [].as_slice()),
        };
        own.into_iter().chain(segments.iter().filter_map(|segment| match segment {
            Segment::Place(place) => Some(place),
            Segment::Literal(_) => None,
        }))
    }
}
