//! JSON Web Keys (RFC 7517) as senders publish them.
//!
//! Keys that cannot check signatures (for encryption, of another curve, symmetric ones) are
//! ignored, because a set may contain keys for other purposes. A set without any usable key is an
//! error.

use super::{Method, PublicKey};
use crate::json::strict;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use std::sync::Arc;

/// One key of a set.
#[derive(Clone, Debug)]
pub struct PublishedKey {
    /// Its `kid`.
    pub id: Option<Arc<str>>,
    /// The only method that its `alg` allows; `None`: every method of its kind.
    pub method: Option<Method>,
    /// The key.
    pub key: Arc<PublicKey>,
}

/// The keys that a sender published, as they were when they were fetched. Never empty.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<PublishedKey>,
}

/// More keys than any sender has at once; each costs a signature check.
const MOST_KEYS: usize = 64;

impl KeySet {
    /// Reads a JSON Web Key Set, or a document whose member `key` is one JSON Web Key.
    ///
    /// # Errors
    /// A sentence about what is wrong with the document.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let document =
            strict::object(text).map_err(|fault| format!("it is no key set: {fault}"))?;
        let listed = match (document.get("keys"), document.get("key")) {
            (Some(Value::Array(keys)), _) => keys.as_slice(),
            (None, Some(key)) => std::slice::from_ref(key),
            _ => return Err("it is no key set: it has no list `keys`".to_owned()),
        };
        if listed.len() > MOST_KEYS {
            return Err(format!("it holds {} keys, more than {MOST_KEYS}", listed.len()));
        }
        let keys: Vec<_> = listed.iter().filter_map(|key| published(key.as_object()?)).collect();
        if keys.is_empty() {
            return Err("it holds no key that checks signatures".to_owned());
        }
        Ok(Self { keys })
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublishedKey> {
        self.keys.iter()
    }

    /// Whether a key has this `kid`.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

fn published(jwk: &Map<String, Value>) -> Option<PublishedKey> {
    let text = |name: &str| jwk.get(name).map(|value| value.as_str().unwrap_or("\0"));
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops")
        && !operations.as_array()?.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let method = match text("alg") {
        None => None,
        Some("RS256") => Some(Method::RsaSha256),
        Some("PS256") => Some(Method::PssSha256),
        Some("PS512") => Some(Method::PssSha512),
        Some("ES256") => Some(Method::EcdsaP256),
        Some("EdDSA" | "Ed25519") => Some(Method::Ed25519),
        Some(_) => return None,
    };
    // Plaid marks withdrawn keys.
    if jwk.get("expired_at").is_some_and(|at| !at.is_null()) {
        return None;
    }
    let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
    let key = match (text("kty")?, text("crv")) {
        ("RSA", _) => PublicKey::from_rsa(unpadded(bytes("n")?), bytes("e")?, false),
        ("EC", Some("P-256")) => PublicKey::from_p256(&bytes("x")?, &bytes("y")?),
        ("OKP", Some("Ed25519")) => PublicKey::from_ed25519(&bytes("x")?),
        _ => return None,
    };
    let key = key.ok()?;
    let id = text("kid").filter(|id| *id != "\0").map(Arc::from);
    method.is_none_or(|method| key.fits(method)).then(|| PublishedKey {
        id,
        method,
        key: key.into(),
    })
}

/// Some libraries write the sign byte of the DER into `n`.
fn unpadded(number: Vec<u8>) -> Vec<u8> {
    match number.split_first() {
        Some((0, rest)) => rest.to_vec(),
        _ => number,
    }
}
