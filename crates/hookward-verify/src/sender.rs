//! One sender: how it signs, and the secrets that are shared with it.

use crate::keys::Keys;
use crate::scheme::Scheme;
use hookward_secret::NamedSecret;
use http::Method;

/// A scheme with its secrets: everything that verifying a request of one sender takes.
#[derive(Debug)]
pub struct Sender {
    /// How the sender signs.
    pub scheme: Scheme,
    /// The secrets as configured, newest first, for signing and for explaining a refusal; empty if
    /// they could not be read.
    pub secrets: Vec<NamedSecret>,
    /// The keys made from them; or why there are none, in which case nothing can be verified.
    pub keys: Result<Keys, String>,
    /// The URL that the sender was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// The preset that the scheme started from, if any.
    pub preset: Option<String>,
    /// Whether a fingerprint of the signed text is taken; see
    /// [`Genuine::signed_fingerprint`](crate::verify::Genuine::signed_fingerprint).
    pub replay_guard: bool,
}

impl Sender {
    /// A sender with these secrets, newest first: a signature by any of them is good.
    ///
    /// # Errors
    /// A sentence that names the secret that is no key of the scheme.
    pub fn new(scheme: Scheme, secrets: Vec<NamedSecret>) -> Result<Self, crate::keys::KeyError> {
        let keys = Keys::new(&secrets, &scheme.signature)?;
        Ok(Self {
            scheme,
            secrets,
            keys: Ok(keys),
            public_url: None,
            preset: None,
            replay_guard: false,
        })
    }

    /// A sender whose secrets are not known: it verifies nothing, and its requests can be taken
    /// apart.
    #[must_use]
    pub fn without_secrets(scheme: Scheme, public_url: Option<String>) -> Self {
        let keys = Err("the secrets are not known".to_owned());
        Self { scheme, secrets: Vec::new(), keys, public_url, preset: None, replay_guard: false }
    }

    /// Sets the URL that the sender was given; schemes that sign `{url}` need it.
    #[must_use]
    pub fn with_public_url(self, url: impl Into<String>) -> Self {
        Self { public_url: Some(url.into()), ..self }
    }

    /// The methods that the sender uses: `POST`, and what its handshake needs.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        let handshake = self.scheme.handshake.as_ref();
        let more = handshake.map_or(&[][..], |handshake| handshake.kind.methods());
        std::iter::once(Method::POST).chain(more.iter().cloned())
    }
}
