//! JSON Web Tokens (RFC 7519) in compact form (RFC 7515), as proof that a request is genuine.
//!
//! Nothing in a token decides how it is checked: its `alg` must be one that the configuration
//! names, its `kid` only selects one of the known keys, and `jku`, `jwk` and `x5u` are never
//! followed. This module has no clock: it returns `iat`, `exp` and `nbf` for the caller to check.

mod claims;
#[cfg(test)]
mod tests;

pub(crate) use claims::{is_one_of, issued_at};

use crate::fault::Fault;
use crate::json::strict;
use crate::keys::{Key, Keys, Material};
use crate::scheme::{JwtAlgorithm, SignatureRule};
use crate::verify::{Genuine, Inputs, Lifetime, lines, signature_of};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A parsed token, which is not verified yet.
#[derive(Debug)]
pub struct Token {
    /// The signed text: everything up to the second dot.
    signed: Vec<u8>,
    header: Map<String, Value>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// A request header cannot be longer, and a token's header need not be.
const MOST_HEADER_BYTES: usize = 32 * 1024;

/// Each key costs a signature check, and no sender has more keys without a `kid`.
const MOST_KEYS_TRIED: usize = 8;

impl Token {
    /// Parses the token of a request.
    ///
    /// # Errors
    /// [`Fault::SignatureMissing`] if there is none; [`Fault::SignatureMalformed`] if there are
    /// several or it does not decode.
    pub(crate) fn read(inputs: &Inputs<'_>) -> Result<Self, Fault> {
        let rule = &inputs.source.scheme.signature;
        let lines = lines(inputs);
        if lines.is_empty() {
            let names: Vec<_> = rule.places.iter().map(|place| format!("`{place}`")).collect();
            let detail = format!("there is no {}", names.join(" and no "));
            return Err(Fault::SignatureMissing(detail.into()));
        }
        let mut tokens: Vec<&str> = lines
            .iter()
            .flatten()
            .filter_map(|line| signature_of(rule, line.trim_matches([' ', '\t'])))
            .collect();
        tokens.dedup();
        match tokens.as_slice() {
            [token] => Self::parse(token),
            [] => Err(Fault::malformed(&format!("nothing there starts with `{}`", rule.prefix))),
            _ => Err(Fault::malformed("there are several tokens, and they differ")),
        }
    }

    /// Parses a token in compact form.
    ///
    /// # Errors
    /// [`Fault::SignatureMalformed`] if it is not a token.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(Fault::malformed("the token does not have three parts"));
        };
        if header.len() > MOST_HEADER_BYTES {
            return Err(Fault::malformed("the token's header is too long"));
        }
        let decode = |part: &str, name: &str| {
            BASE64URL_NOPAD
                .decode(part.as_bytes())
                .map_err(|_| Fault::malformed(&format!("the token's {name} is not base64url")))
        };
        let header = strict::object(&decode(header, "header")?)
            .map_err(|what| Fault::malformed(&format!("the token's header is {what}")))?;
        if header.contains_key("crit") {
            return Err(Fault::malformed(
                "the token has extensions that must be understood, and are not",
            ));
        }
        Ok(Self {
            signed: text.as_bytes().get(..text.rfind('.').unwrap_or(0)).unwrap_or_default().into(),
            header,
            payload: decode(payload, "payload")?,
            signature: decode(signature, "signature")?,
        })
    }

    /// Its `alg`, whatever it is.
    #[must_use]
    pub fn algorithm_name(&self) -> Option<&str> {
        self.header.get("alg")?.as_str()
    }

    /// Its payload. Nothing in it is to be believed before the signature holds.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Its algorithm, if the configuration names it.
    ///
    /// # Errors
    /// [`Fault::SignatureMalformed`] without any, [`Fault::SignatureMismatch`] for another one.
    pub fn algorithm_of(&self, rule: &SignatureRule) -> Result<JwtAlgorithm, Fault> {
        let Some(Value::String(stated)) = self.header.get("alg") else {
            return Err(Fault::malformed("the token names no algorithm"));
        };
        let mut known = JwtAlgorithm::NAMES.iter();
        let found = known.find(|(name, _)| name == stated).map(|(_, algorithm)| *algorithm);
        found.filter(|one| rule.token.algorithms.contains(one)).ok_or_else(|| {
            Fault::mismatch("the token's algorithm is none that the source takes".to_owned())
        })
    }

    /// The certificates that it carries (`x5c`), DER, leaf first.
    ///
    /// # Errors
    /// [`Fault::SignatureMalformed`] if it carries none or they do not decode.
    pub fn chain(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let listed = self.header.get("x5c").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| Fault::malformed("the token brings no certificates"))?;
        listed
            .iter()
            .map(|text| BASE64.decode(text.as_str()?.as_bytes()).ok())
            .collect::<Option<_>>()
            .ok_or_else(|| Fault::malformed("a certificate of the token is not base64"))
    }

    /// The key that made its signature.
    fn made_by<'k>(&self, keys: &'k Keys, algorithm: JwtAlgorithm) -> Option<&'k Key> {
        let id = self.key_id();
        let may_be = |key: &&Key| match (id, key.id.as_deref()) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => true,
        };
        keys.iter().filter(may_be).take(MOST_KEYS_TRIED).find(|key| {
            match (&key.material, algorithm.method()) {
                (Material::Public { key, only }, Some(method)) => {
                    only.is_none_or(|only| only == method)
                        && key.verifies(method, &self.signed, &self.signature)
                }
                (Material::Hash(running), None) => {
                    let mut hash = running.clone();
                    hash.update(&self.signed);
                    hash.finish().is(&self.signature)
                }
                _ => false,
            }
        })
    }
}

/// Checks the token of a request, and that it is for this request and this receiver.
///
/// # Errors
/// The faults of a signature; [`Fault::TimestampMissing`] and [`Fault::TimestampMalformed`] for the
/// claim that says when it was made.
pub(crate) fn check(inputs: &Inputs<'_>, keys: &Keys, body: &[u8]) -> Result<Genuine, Fault> {
    let scheme = &inputs.source.scheme;
    let rule = &scheme.signature;
    let token = Token::read(inputs)?;
    let algorithm = token.algorithm_of(rule)?;
    let Some(key) = token.made_by(keys, algorithm) else {
        return Err(Fault::mismatch(match token.key_id() {
            Some(id) if !keys.iter().any(|key| key.id.as_deref().is_none_or(|own| own == id)) => {
                "the token names a key that the sender does not publish".to_owned()
            }
            _ => format!("{} keys, none of which made the token", keys.len()),
        }));
    };
    let claims = strict::object(&token.payload)
        .map_err(|what| Fault::malformed(&format!("the token's payload is {what}")))?;
    claims::judge(rule, &claims, body)?;
    let sent = claims::sent(scheme.timestamp.as_ref(), &token.payload)?;
    let lifetime = Lifetime {
        not_before: claims::time(&claims, "nbf")?,
        expires: claims::time(&claims, "exp")?,
    };
    let payload: Arc<[u8]> = token.payload.into();
    let fingerprint = inputs.source.replay_guard.then(|| {
        let mut hash = crate::verify::body_sha256(&token.signed);
        hash.truncate(32);
        hash
    });
    Ok(Genuine::by(key, sent, fingerprint).with_token(payload, lifetime))
}
