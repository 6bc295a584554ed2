//! One sender: how it signs, and the secrets that are shared with it.

use crate::keys::Keys;
use crate::scheme::Scheme;
use hookward_secret::{NamedSecret, Secret};
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
    /// Where the sender publishes its keys, for the secrets that name such a place.
    pub key_sites: Vec<KeySite>,
    /// The URL that the sender was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// The preset that the scheme started from, if any.
    pub preset: Option<String>,
    /// Whether a fingerprint of the signed text is taken; see
    /// [`Genuine::signed_fingerprint`](crate::verify::Genuine::signed_fingerprint).
    pub replay_guard: bool,
}

/// A place where a sender publishes keys.
#[derive(Clone, Debug)]
pub struct KeySite {
    /// The index of the secret that names it.
    pub entry: usize,
    /// What labels that secret.
    pub label: String,
    /// Its URL, https.
    pub url: url::Url,
    /// What is asked for there.
    pub kind: KeySiteKind,
}

/// What a sender answers at a [`KeySite`].
#[derive(Clone, Debug)]
pub enum KeySiteKind {
    /// A JSON Web Key Set.
    Set,
    /// One key for a POST that names its id and these credentials, as Plaid does it.
    ById {
        /// The caller's name.
        client_id: Secret,
        /// The caller's password.
        secret: Secret,
    },
}

impl Sender {
    /// What labels the source's secrets in the metric, newest first; `certificate` where each request
    /// names or brings its own.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let is_bare = self.secrets.is_empty() && self.key_sites.is_empty();
        let lone = (is_bare && self.has_published_keys()).then_some("certificate");
        let secrets = self.secrets.iter().map(|secret| secret.label.as_str());
        secrets.chain(self.key_sites.iter().map(|site| site.label.as_str())).chain(lone)
    }

    /// Whether a request has to be asked with [`demand`](crate::demand::demand) which keys it needs.
    #[must_use]
    pub fn has_published_keys(&self) -> bool {
        let rule = &self.scheme.signature;
        !self.key_sites.is_empty() || rule.certificate.is_some() || rule.token.root.is_some()
    }

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
            key_sites: Vec::new(),
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
        Self {
            scheme,
            secrets: Vec::new(),
            keys,
            key_sites: Vec::new(),
            public_url,
            preset: None,
            replay_guard: false,
        }
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
