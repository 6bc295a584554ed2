//! How a signature is made, and where it is.

use super::algorithm::{Algorithm, Encoding, KeyForm};
use super::place::Place;
use super::published::{CertificateRule, ClaimRule, TokenRule};
use super::template::Template;
use crate::keys::Method;
use http::HeaderName;

/// The `signature` table.
#[derive(Clone, Debug)]
pub struct SignatureRule {
    /// What computes the signature; the request never chooses it.
    pub algorithm: Algorithm,
    /// Where signatures are; one place with a match is enough. Never empty.
    pub places: Vec<Place>,
    /// Splits the text into items and trims spaces around them; `None`: the text is one item.
    pub separator: Option<String>,
    /// An item that starts with this contains a signature; empty: every item does.
    pub prefix: String,
    /// Whether an item without the prefix contains a signature as well.
    pub prefix_optional: bool,
    /// How the signature is encoded.
    pub encoding: Encoding,
    /// What is signed.
    pub signed: Template,
    /// How a secret becomes a key.
    pub key: KeyForm,
    /// Removed from the start of the secret, if present; empty: nothing is removed.
    pub key_prefix: String,
    /// Headers that must have exactly this value.
    pub require: Vec<(HeaderName, String)>,
    /// The rule for requests in which no item has the prefix.
    pub fallback: Option<Fallback>,
    /// The rules for a token, if the algorithm is `jwt`.
    pub token: TokenRule,
    /// Where the request names the certificate that its signature is checked with, if it does.
    pub certificate: Option<CertificateRule>,
    /// What an RFC 9421 signature must cover.
    pub components: Vec<String>,
    /// Members that must have one of these values.
    pub claims: Vec<ClaimRule>,
}

/// An older version of a signature, for requests that carry no newer one (Hook0's `v0`).
#[derive(Clone, Debug)]
pub struct Fallback {
    /// An item that starts so holds a signature.
    pub prefix: String,
    /// What is signed.
    pub signed: Template,
}

impl SignatureRule {
    /// Every text that a signature of this rule may cover.
    pub fn signed_texts(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.signed).chain(self.fallback.iter().map(|older| &older.signed))
    }
}

impl SignatureRule {
    /// Whether the text at `place` cannot be changed without breaking the proof.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        use Algorithm::{HttpMessageSignatures, Jwt, Token};
        match self.algorithm {
            Token => false,
            HttpMessageSignatures => components_cover(&self.components, place),
            Jwt => place.singles().all(|single| match single {
                Place::Claim(_) => true,
                Place::Json(_) | Place::BodySha256 => self.token.body_claim.is_some(),
                Place::Header(_) | Place::Joined(_) => false,
            }),
            _ => self.signed.covers(place),
        }
    }

    /// The ways to sign that a public key of this rule may be used for.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        use Algorithm::{RsaSha1, RsaSha256};
        let own = match self.algorithm {
            RsaSha1 => Some(Method::RsaSha1),
            RsaSha256 => Some(Method::RsaSha256),
            _ => None,
        };
        own.into_iter().chain(self.token.algorithms.iter().filter_map(|one| one.method()))
    }
}

/// Whether a signature of RFC 9421 that covers these components fixes what is read at a place.
fn components_cover(components: &[String], place: &Place) -> bool {
    place.singles().all(|single| match single {
        Place::Header(name) => components.iter().any(|one| one == name.as_str()),
        Place::Json(_) | Place::BodySha256 => components.iter().any(|one| one == "content-digest"),
        Place::Claim(_) | Place::Joined(_) => false,
    })
}
