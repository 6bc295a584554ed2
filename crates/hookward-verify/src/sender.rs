//! One sender: how it signs, and the secrets that are shared with it.

use crate::fault::Fault;
use crate::keys::{KeyError, Keys};
use crate::reading::SchemeError;
use crate::scheme::Scheme;
use crate::verify::freshness;
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
    /// The keys made from the secrets under the scheme. An error says why there are none; nothing
    /// can be verified then.
    pub keys: Result<Keys, String>,
    /// The URL that the sender was given, for schemes that sign it.
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

impl Sender {
    /// A sender that signs as this preset says, with its secrets, newest first. A signature made
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
    /// [`SenderError`]; it never contains anything of a secret.
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
        let keys = Err(why.into());
        let secrets = Vec::new();
        Self { scheme, secrets, keys, public_url: None, preset: None, replay_guard: false }
    }

    /// Sets the URL that the sender was given, exactly as it was given. Schemes that sign `{url}`
    /// (Twilio, Square, `HubSpot`) need it.
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

    /// The keys, or the fault that nothing can be verified without them.
    pub(crate) fn ready_keys(&self) -> Result<&Keys, Fault> {
        self.keys.as_ref().map_err(|why| Fault::SecretUnavailable(why.clone().into()))
    }
}
