//! One sender: how it signs, and its secrets.

use crate::fault::Fault;
use crate::keys::{KeyError, Keys};
use crate::reading::SchemeError;
use crate::scheme::Scheme;
use crate::verify::{Lifetime, freshness};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::Method;

/// A scheme with its secrets: everything that verifying a request of one sender needs.
///
/// Build one at start and share it: keys are decoded once, and a request only borrows them.
#[derive(Debug)]
pub struct Sender {
    /// How the sender signs.
    pub scheme: Scheme,
    /// The secrets as configured, newest first, for signing and for explaining a refusal; empty if
    /// they could not be read.
    pub secrets: Vec<NamedSecret>,
    /// The keys made from the secrets under the scheme. An error says why there are none, in which
    /// case nothing can be verified.
    pub keys: Result<Keys, String>,
    /// Where the sender publishes its keys, for secrets that are such URLs.
    pub key_sites: Vec<KeySite>,
    /// The URL that you gave to the sender, for schemes that sign it.
    pub public_url: Option<String>,
    /// The preset that the scheme started from, if any.
    pub preset: Option<String>,
    /// Whether to take a fingerprint of the signed text; see
    /// [`Genuine::signed_fingerprint`](crate::verify::Genuine::signed_fingerprint).
    pub replay_guard: bool,
}

/// Why a sender cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// The preset is unknown, or cannot be used without further settings.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// A secret is not a key of the scheme.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A place where a sender publishes keys.
#[derive(Clone, Debug)]
pub struct KeySite {
    /// The index of the secret that names it.
    pub entry: usize,
    /// The label of that secret.
    pub label: String,
    /// Its URL, https.
    pub url: url::Url,
    /// What to request there.
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
    /// The labels of the source's secrets in the metric, newest first; `certificate` if each
    /// request names or carries its own.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let is_bare = self.secrets.is_empty() && self.key_sites.is_empty();
        let lone = (is_bare && self.has_published_keys()).then_some("certificate");
        let secrets = self.secrets.iter().map(|secret| secret.label.as_str());
        secrets.chain(self.key_sites.iter().map(|site| site.label.as_str())).chain(lone)
    }

    /// Whether [`demand`](crate::demand::demand) has to determine which keys a request needs.
    #[must_use]
    pub fn has_published_keys(&self) -> bool {
        let rule = &self.scheme.signature;
        !self.key_sites.is_empty() || rule.certificate.is_some() || rule.token.root.is_some()
    }

    /// A sender with the scheme of this preset, and its secrets, newest first. A signature made
    /// with any of them is accepted, so that a secret can be rotated.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hookward_verify::Sender;
    ///
    /// let stripe = Sender::preset("stripe", ["whsec_new", "whsec_old"])?;
    /// assert_eq!(stripe.scheme.headers(), ["stripe-signature"]);
    /// assert!(Sender::preset("strype", ["whsec_new"]).is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SenderError`]; it never contains any part of a secret.
    pub fn preset<S: Into<Secret>>(
        name: &str,
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, SenderError> {
        let sender = Self::new(Scheme::preset(name)?, secrets)?;
        Ok(Self { preset: Some(name.to_owned()), ..sender })
    }

    /// A sender with a scheme of its own, and its secrets, newest first. Each is labelled with its
    /// index.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hookward_verify::{Scheme, Sender};
    ///
    /// let scheme = Scheme::from_toml(
    ///     r#"
    ///     [signature]
    ///     header = "X-Shop-Signature"
    ///     prefix = "sha256="
    ///     [event]
    ///     id = ["json:/id"]
    ///     "#,
    /// )?;
    /// let shop = Sender::new(scheme, ["a secret of at least 16 bytes"])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`KeyError`] if there is no secret, or one is not a key of the scheme.
    pub fn new<S: Into<Secret>>(
        scheme: Scheme,
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, KeyError> {
        let named = |(index, text): (usize, S)| {
            let label = index.to_string();
            NamedSecret { label, text: text.into() }
        };
        let secrets: Vec<_> = secrets.into_iter().enumerate().map(named).collect();
        let keys = Keys::new(&secrets, &scheme.signature)?;
        Ok(Self { secrets, keys: Ok(keys), ..Self::without_secrets(scheme, "") })
    }

    /// A sender whose secrets are not available. It verifies nothing:
    /// [`verify`](crate::verify::verify) returns [`Fault::SecretUnavailable`] with `why`.
    #[must_use]
    pub fn without_secrets(scheme: Scheme, why: impl Into<String>) -> Self {
        Self {
            scheme,
            secrets: Vec::new(),
            keys: Err(why.into()),
            key_sites: Vec::new(),
            public_url: None,
            preset: None,
            replay_guard: false,
        }
    }

    /// Sets the URL exactly as you gave it to the sender. Schemes that sign `{url}` (Twilio,
    /// Square, `HubSpot`) need it.
    #[must_use]
    pub fn with_public_url(self, url: impl Into<String>) -> Self {
        Self { public_url: Some(url.into()), ..self }
    }

    /// Sets the token that Meta and eBay let the receiver choose for their handshakes. Ignored if
    /// the scheme has no handshake.
    #[must_use]
    pub fn with_verify_token(mut self, token: impl Into<Secret>) -> Self {
        if let Some(handshake) = &mut self.scheme.handshake {
            handshake.verify_token = Some(token.into());
        }
        self
    }

    /// The methods that the sender uses: `POST`, and what its handshake needs.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        let handshake = self.scheme.handshake.as_ref();
        let more = handshake.map_or(&[][..], |handshake| handshake.kind.methods());
        std::iter::once(Method::POST).chain(more.iter().cloned())
    }

    /// Checks that a request sent at this time is neither too old nor too far ahead at `now`.
    /// `sent` is [`Event::sent`](crate::event::Event::sent). A scheme without timestamps has
    /// nothing to check.
    ///
    /// # Errors
    /// [`Fault::TimestampTooOld`] or [`Fault::TimestampInFuture`].
    pub fn check_freshness(&self, sent: Option<UnixMillis>, now: UnixMillis) -> Result<(), Fault> {
        let rule = self.scheme.timestamp.as_ref();
        rule.zip(sent).map_or(Ok(()), |(rule, sent)| freshness::judge(rule, sent, now))
    }

    /// As [`Sender::check_freshness`] for a genuine request whose token, if it has one, also has to
    /// be within its lifetime; see [`Genuine::lifetime`](crate::verify::Genuine::lifetime).
    ///
    /// # Errors
    /// [`Fault::TimestampTooOld`], also for a token that has expired; [`Fault::TimestampInFuture`],
    /// also for a token that is not valid yet.
    pub fn check_token_freshness(
        &self,
        sent: Option<UnixMillis>,
        lifetime: Lifetime,
        now: UnixMillis,
    ) -> Result<(), Fault> {
        self.check_freshness(sent, now)?;
        freshness::judge_lifetime(self.scheme.timestamp.as_ref(), lifetime, now)
    }

    /// The keys, or the fault that nothing can be verified without them.
    pub(crate) fn ready_keys(&self) -> Result<&Keys, Fault> {
        self.keys.as_ref().map_err(|why| Fault::SecretUnavailable(why.clone().into()))
    }
}
