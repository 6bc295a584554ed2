//! A sender's secrets, decoded once.
//!
//! [`verify`](mod@crate::verify) decides what is hashed with them and what a match means.

mod decoding;
mod digest;
mod jwks;
mod public;

pub(crate) use digest::{RunningHash, Tag, sha256};
pub use jwks::{KeySet, PublishedKey};
pub use public::{Method, PublicKey};

use crate::certificates::Certificate;
use crate::scheme::{Algorithm, JwtAlgorithm, KeyForm, SignatureRule};
use decoding::{NOT_ED25519, decode_key, is_pem};
use hookward_secret::{NamedSecret, Secret};
use p256::pkcs8::der::Document;
use p256::pkcs8::{DecodePublicKey as _, ObjectIdentifier, SubjectPublicKeyInfoRef};
use std::fmt;
use std::sync::Arc;

/// The keys of a sender, newest first; never empty.
pub struct Keys {
    keys: Vec<Key>,
}

/// Why a secret is not a key of its scheme. It contains nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no secret at all.
    #[error("no secret is configured")]
    None,
    /// One secret cannot be used.
    #[error("the secret `{label}` {problem}")]
    Unfit {
        /// Its name, or its index.
        label: String,
        /// What is wrong, as the rest of a sentence.
        problem: &'static str,
    },
}

/// One key, with what a verification needs of its secret.
pub struct Key {
    pub(crate) label: Arc<str>,
    /// The index of the sender's secret that it comes from; 0 is the newest.
    pub(crate) entry: usize,
    /// What the sender calls it, if it publishes several.
    pub(crate) id: Option<Arc<str>>,
    /// The secret's text, without `key_prefix`.
    pub(crate) text: Secret,
    pub(crate) material: Material,
}

/// What compares a signature.
pub(crate) enum Material {
    /// A hash in progress that already contains the key; a plain hash contains none.
    Hash(RunningHash),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Ecdsa(Box<p256::ecdsa::VerifyingKey>),
    /// A key that checks by the scheme's own method, or only by `only` if that is set.
    Public {
        key: Arc<PublicKey>,
        only: Option<Method>,
    },
    /// The secret is part of the signed text, and the key is in a certificate that requests name.
    Elsewhere,
    /// The hash of the token, so that a comparison does not tell its length.
    Token(Tag),
}

impl Keys {
    /// Decodes every secret as the rule says.
    ///
    /// # Errors
    /// [`KeyError::None`] if there is no secret, [`KeyError::Unfit`] for the first one that is
    /// empty or does not decode.
    pub fn new(secrets: &[NamedSecret], rule: &SignatureRule) -> Result<Self, KeyError> {
        if secrets.is_empty() {
            return Err(KeyError::None);
        }
        let keys = secrets
            .iter()
            .enumerate()
            .map(|(entry, secret)| {
                Key::new(secret, rule)
                    .map(|key| Key { entry, ..key })
                    .map_err(|problem| KeyError::Unfit { label: secret.label.clone(), problem })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// This one key.
    pub(crate) fn single(key: Key) -> Self {
        Self { keys: vec![key] }
    }

    /// No keys: the sender publishes the keys that a request needs.
    #[must_use]
    pub const fn published() -> Self {
        Self { keys: Vec::new() }
    }

    /// The keys of these sets, each with the index and the label of the secret that names it.
    #[must_use]
    pub fn of_sets<'s>(sets: impl IntoIterator<Item = (usize, &'s str, &'s KeySet)>) -> Self {
        let keys = sets.into_iter().flat_map(|(entry, label, set)| {
            let label: Arc<str> = label.into();
            set.iter().map(move |published| Key {
                label: Arc::clone(&label),
                entry,
                id: published.id.clone(),
                text: Secret::new(Vec::new()),
                material: Material::Public {
                    key: Arc::clone(&published.key),
                    only: published.method,
                },
            })
        });
        Self { keys: keys.collect() }
    }

    /// These secrets with the key of a certificate; only the key if there are none.
    #[must_use]
    pub fn with_certificate(&self, certificate: &Certificate) -> Self {
        let material = || Material::Public { key: Arc::clone(&certificate.key), only: None };
        let lone = || Key {
            label: "certificate".into(),
            entry: 0,
            id: None,
            text: Secret::new(Vec::new()),
            material: material(),
        };
        let with = |key: &Key| Key {
            label: Arc::clone(&key.label),
            entry: key.entry,
            id: None,
            text: key.text.clone(),
            material: material(),
        };
        match self.keys.as_slice() {
            [] => Self { keys: vec![lone()] },
            keys => Self { keys: keys.iter().map(with).collect() },
        }
    }

    /// The number of keys; zero if the sender publishes them.
    #[expect(clippy::len_without_is_empty, reason = "there is always one, or they are published")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The label of each secret, newest first.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|key| &*key.label)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.keys.iter()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.labels()).finish()
    }
}

impl Key {
    /// Decodes one secret.
    ///
    /// # Errors
    /// The rest of a sentence that starts with "the secret".
    pub fn new(secret: &NamedSecret, rule: &SignatureRule) -> Result<Self, &'static str> {
        let whole = secret.text.expose();
        let text = whole.strip_prefix(rule.key_prefix.as_bytes()).unwrap_or(whole);
        if text.is_empty() {
            return Err("is empty");
        }
        let key = || match decode_key(rule.key, text) {
            Ok(bytes) if bytes.is_empty() => Err("is empty once it is decoded"),
            other => other,
        };
        let material = match rule.algorithm {
            Algorithm::HttpMessageSignatures if is_pem(text) => {
                Material::Public { key: Arc::new(PublicKey::from_text(text)?), only: None }
            }
            Algorithm::HmacSha1 => Material::hash(RunningHash::hmac_sha1(&key()?))?,
            // A shared secret: public keys of RFC 9421 are PEM, see above.
            Algorithm::HmacSha256 | Algorithm::HttpMessageSignatures => {
                Material::hash(RunningHash::hmac_sha256(&key()?))?
            }
            Algorithm::HmacSha384 => Material::hash(RunningHash::hmac_sha384(&key()?))?,
            Algorithm::HmacSha512 => Material::hash(RunningHash::hmac_sha512(&key()?))?,
            Algorithm::Sha256 => Material::Hash(RunningHash::sha256()),
            Algorithm::Sha1 => Material::Hash(RunningHash::sha1()),
            Algorithm::Ed25519 if is_pem(text) => {
                Material::Ed25519(Box::new(ed25519_key(&ed25519_pem(text)?)?))
            }
            Algorithm::Ed25519 => Material::Ed25519(Box::new(ed25519_key(&key()?)?)),
            Algorithm::EcdsaP256Sha256 => Material::Ecdsa(Box::new(ecdsa_key(text)?)),
            Algorithm::Token => Material::Token(hash_token(&key()?)),
            Algorithm::Jwt if rule.token.algorithms == [JwtAlgorithm::Hs256] => {
                Material::hash(RunningHash::hmac_sha256(&key()?))?
            }
            Algorithm::RsaSha1 | Algorithm::RsaSha256 if rule.certificate.is_some() => {
                Material::Elsewhere
            }
            Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::Jwt => {
                let key = PublicKey::from_text(text)?;
                if !rule.methods().any(|method| key.fits(method)) {
                    return Err("is a public key of a kind that the algorithm does not use");
                }
                Material::Public { key: Arc::new(key), only: None }
            }
        };
        Ok(Self {
            label: secret.label.as_str().into(),
            entry: 0,
            id: None,
            text: Secret::new(text.to_vec()),
            material,
        })
    }
}

impl Material {
    fn hash(running: Option<RunningHash>) -> Result<Self, &'static str> {
        running.map(Self::Hash).ok_or("is of a length that the algorithm does not take")
    }
}

/// What a token is compared by.
pub(crate) fn hash_token(token: &[u8]) -> Tag {
    let mut hash = RunningHash::sha256();
    hash.update(token);
    hash.finish()
}

/// The key in the PEM of a `SubjectPublicKeyInfo`.
fn ed25519_pem(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    let pem = std::str::from_utf8(text.trim_ascii()).map_err(|_| NOT_ED25519)?;
    let (label, document) = Document::from_pem(pem).map_err(|_| NOT_ED25519)?;
    let info: SubjectPublicKeyInfoRef<'_> = document.decode_msg().map_err(|_| NOT_ED25519)?;
    match info.subject_public_key.as_bytes() {
        Some(key) if label == "PUBLIC KEY" && info.algorithm.oid == ED25519 => Ok(key.to_vec()),
        _ => Err(NOT_ED25519),
    }
}

fn ed25519_key(bytes: &[u8]) -> Result<ed25519_dalek::VerifyingKey, &'static str> {
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| NOT_ED25519)?;
    match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
        Ok(key) if !key.is_weak() => Ok(key),
        _ => Err("is no Ed25519 public key: its 32 bytes are no point that may be used"),
    }
}

/// A PEM text or the base64 of the DER, both of a `SubjectPublicKeyInfo`.
fn ecdsa_key(text: &[u8]) -> Result<p256::ecdsa::VerifyingKey, &'static str> {
    const PROBLEM: &str =
        "is no P-256 public key: it must be base64 of the SPKI DER, or a PEM `PUBLIC KEY`";
    let text = text.trim_ascii();
    if is_pem(text) {
        let pem = std::str::from_utf8(text).map_err(|_| PROBLEM)?;
        return p256::ecdsa::VerifyingKey::from_public_key_pem(pem).map_err(|_| PROBLEM);
    }
    let der = decode_key(KeyForm::Base64, text).map_err(|_| PROBLEM)?;
    p256::ecdsa::VerifyingKey::from_public_key_der(&der).map_err(|_| PROBLEM)
}
