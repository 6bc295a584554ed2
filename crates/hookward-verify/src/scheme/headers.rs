//! Which headers a scheme reads. They determine which headers receivers get.

use super::{Algorithm, Part, Place, Scheme, TimestampPlace};
use http::HeaderName;

impl Scheme {
    /// The headers with signatures.
    pub fn signature_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.signature.places.iter().filter_map(Place::header)
    }

    /// Every header that a delivery's verification reads, each once: signatures, the headers that
    /// they cover and require, id, type and times of the event, and the handshake's.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderName> {
        let parts = self.signature.signed_texts().flat_map(|text| &text.0);
        let signed = parts.filter_map(|part| match part.unfolded() {
            Part::Header(name) | Part::HeaderList(name) => Some(name),
            Part::FormSorted => Some(&http::header::CONTENT_TYPE),
            Part::Literal(_)
            | Part::Body
            | Part::Timestamp
            | Part::Secret
            | Part::Json(_)
            | Part::JsonRaw(_)
            | Part::Method
            | Part::Url(_)
            | Part::Path
            | Part::Query
            | Part::QueryParameter(_)
            // The request names these. Those that are read as id, type or time are listed there.
            | Part::Listed(_)
            | Part::Crc32
            | Part::Sns
            | Part::Lowercase(_) => None,
        });
        let is_message = self.signature.algorithm == Algorithm::HttpMessageSignatures;
        let message = ["signature-input", "content-digest"].into_iter().filter(|_| is_message);
        let message = message.chain(self.signature.components.iter().map(String::as_str));
        let message = message.filter_map(|name| HeaderName::try_from(name).ok());
        let required = self.signature.require.iter().map(|(name, _)| name);
        let timestamp = self.timestamp.iter().filter_map(|rule| match &rule.from {
            TimestampPlace::Header(name) => Some(name),
            TimestampPlace::Item(_)
            | TimestampPlace::ItemAt(_)
            | TimestampPlace::Json(_)
            | TimestampPlace::Claim(_) => None,
        });
        let event = [&self.event.id, &self.event.kind, &self.event.time];
        let event = event.into_iter().flatten().flat_map(Place::singles).filter_map(Place::header);
        let handshake = self.handshake.iter().filter_map(|handshake| handshake.kind.header());
        let mut all: Vec<HeaderName> = Vec::new();
        let named = self.signature.certificate.iter().filter_map(|rule| rule.url.header());
        let found =
            self.signature_headers().chain(named).chain(signed).chain(required).chain(timestamp);
        for name in found.chain(event).cloned().chain(handshake).chain(message) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }
}

impl Place {
    /// The header, if it is one; a joined place is not, see [`Place::singles`].
    #[must_use]
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Json(_) | Self::Claim(_) | Self::BodySha256 | Self::Joined(_) => None,
        }
    }
}
