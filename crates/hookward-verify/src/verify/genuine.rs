//! The proof that a request is genuine. Only the checks in this crate make one.

use crate::keys::Key;
use hookward_time::UnixMillis;
use std::sync::Arc;

/// Proof that a request has a signature that one of the sender's secrets made.
#[derive(Clone, Debug)]
pub struct Genuine {
    secret: usize,
    label: Arc<str>,
    sent: Option<UnixMillis>,
    signed: Option<String>,
    token: Option<Arc<[u8]>>,
    lifetime: Lifetime,
}

/// The time in which a token may be used; an open end has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Its first moment.
    pub not_before: Option<UnixMillis>,
    /// Its end.
    pub expires: Option<UnixMillis>,
}

impl Genuine {
    /// Proof by this key, for schemes that do not compare a list of signatures.
    pub(crate) fn by(key: &Key, sent: Option<UnixMillis>, signed: Option<String>) -> Self {
        let label = Arc::clone(&key.label);
        Self { secret: key.entry, label, sent, signed, token: None, lifetime: Lifetime::default() }
    }

    /// The same with the payload of the token that proves it.
    pub(crate) fn with_token(self, payload: Arc<[u8]>, lifetime: Lifetime) -> Self {
        Self { token: Some(payload), lifetime, ..self }
    }

    /// The same with a time in which it is valid.
    pub(crate) fn with_lifetime(self, lifetime: Lifetime) -> Self {
        Self { lifetime, ..self }
    }

    /// The payload of the token that proves it: JSON, read strictly; `None` if there is no token.
    #[must_use]
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// When the token may be used.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The index of the secret that matched; 0 is the newest.
    #[must_use]
    pub const fn secret(&self) -> usize {
        self.secret
    }

    /// The label of that secret.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// When it was sent according to the sender, if the signed text contains that.
    #[must_use]
    pub const fn sent(&self) -> Option<UnixMillis> {
        self.sent
    }

    /// A fingerprint of the text that was signed: 32 hex digits. `None` unless
    /// [`Sender::replay_guard`](crate::Sender::replay_guard) is set.
    ///
    /// To recognise a delivery that is sent again under another id, compare this and not the
    /// signature. One text can have several signatures, made with several secrets or with an
    /// algorithm whose signatures differ each time.
    #[must_use]
    pub fn signed_fingerprint(&self) -> Option<&str> {
        self.signed.as_deref()
    }
}
