//! HTTP Message Signatures (RFC 9421) with `Content-Digest` (RFC 9530).
//!
//! The configuration says what must be covered, and the key decides the algorithm: `alg` in the
//! request must agree. Components with parameters that change how they are read (`sf`, `bs`, `key`,
//! `tr`, `req`) are not accepted, because no receiver would read them like that.

mod components;
mod fields;
#[cfg(test)]
mod tests;

use crate::fault::Fault;
use crate::keys::{Key, Keys, Material, Method};
use crate::request::Request;
use crate::scheme::TimestampPlace;
use crate::sender::Sender;
use crate::verify::{Genuine, Inputs, Lifetime};
use components::{base, body_is_digested};
use fields::{Input, inputs_of, signatures_of};
use hookward_time::UnixMillis;
use http::HeaderName;

/// How many signatures of one request are checked; each costs a check with every key.
const MOST_SIGNATURES: usize = 4;

/// How many keys are tried on each.
const MOST_KEYS: usize = 8;

/// What a request says of one of its signatures.
pub(crate) struct Signature {
    input: Input,
    bytes: Vec<u8>,
}

/// The signatures of a request, unchecked.
///
/// # Errors
/// [`Fault::SignatureMissing`] if one of the two headers is absent; [`Fault::SignatureMalformed`]
/// if they are malformed or do not name a signature together.
pub(crate) fn read(inputs: &Inputs<'_>) -> Result<Vec<Signature>, Fault> {
    let stated = field(inputs, "signature-input")?;
    let made = field(inputs, "signature")?;
    let stated =
        inputs_of(&stated).ok_or_else(|| Fault::malformed("`Signature-Input` does not parse"))?;
    let made =
        signatures_of(&made).ok_or_else(|| Fault::malformed("`Signature` does not parse"))?;
    let found: Vec<Signature> = stated
        .into_iter()
        .filter_map(|input| {
            let bytes = made.iter().find(|(label, _)| *label == input.label)?.1.clone();
            Some(Signature { input, bytes })
        })
        .take(MOST_SIGNATURES)
        .collect();
    if found.is_empty() {
        return Err(Fault::malformed("no label stands in both `Signature-Input` and `Signature`"));
    }
    Ok(found)
}

impl Signature {
    /// The id of the key that it names.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.input.key_id.as_deref()
    }
}

/// What each signature of a request says that it covers, unchecked: names of components, less those
/// with parameters.
///
/// # Errors
/// [`Fault::SignatureMissing`] and [`Fault::SignatureMalformed`], as for a signature that is checked.
pub fn covered(sender: &Sender, head: Request<'_>) -> Result<Vec<Covered>, Fault> {
    let inputs = Inputs::whole(sender, head, b"")?;
    let covered = |signature: Signature| {
        let plain = signature.input.components.into_iter().filter(|one| one.parameter.is_none());
        Covered {
            components: plain.map(|one| one.name).collect(),
            is_dated: signature.input.created.is_some(),
            algorithm: signature.input.algorithm,
            key_id: signature.input.key_id,
        }
    };
    Ok(read(&inputs)?.into_iter().map(covered).collect())
}

/// What a signature says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The names of the components, without those that have parameters.
    pub components: Vec<String>,
    /// Whether it says when it was made.
    pub is_dated: bool,
    /// Its `alg`.
    pub algorithm: Option<String>,
    /// Its `keyid`.
    pub key_id: Option<String>,
}

/// Checks that one of the request's signatures is valid and covers what the source requires.
///
/// # Errors
/// The faults of a signature; [`Fault::TimestampMissing`] without `created`.
pub(crate) fn check(inputs: &Inputs<'_>, keys: &Keys, body: &[u8]) -> Result<Genuine, Fault> {
    let mut fault = None;
    for signature in read(inputs)? {
        match judge(inputs, keys, &signature, body) {
            Ok(genuine) => return Ok(genuine),
            Err(other) => fault = fault.or(Some(other)),
        }
    }
    Err(fault.unwrap_or_else(|| Fault::malformed("there is no signature")))
}

fn judge(
    inputs: &Inputs<'_>,
    keys: &Keys,
    signature: &Signature,
    body: &[u8],
) -> Result<Genuine, Fault> {
    let scheme = &inputs.source.scheme;
    let input = &signature.input;
    let covers = |wanted: &String| input.components.iter().any(|one| one.name == *wanted);
    if let Some(open) = scheme.signature.components.iter().find(|wanted| !covers(wanted)) {
        return Err(Fault::mismatch(format!("the signature does not cover `{open}`")));
    }
    let text = base(inputs, input)?;
    let id = input.key_id.as_deref();
    let fits = |key: &&Key| match (id, key.id.as_deref()) {
        (Some(wanted), Some(own)) => wanted == own,
        _ => true,
    };
    let key = keys
        .iter()
        .filter(fits)
        .take(MOST_KEYS)
        .find(|key| made(key, input.algorithm.as_deref(), &text, &signature.bytes));
    let key =
        key.ok_or_else(|| Fault::mismatch(format!("{} keys, none of which made it", keys.len())))?;
    if covers(&"content-digest".to_owned()) {
        body_is_digested(inputs, body)?;
    }
    let seconds = |at: Option<i64>| at.map(UnixMillis::from_seconds);
    let sent = match &scheme.timestamp {
        Some(rule) if matches!(rule.from, TimestampPlace::Claim(_)) => {
            if input.created.is_none() && rule.max_age.is_some() {
                return Err(Fault::TimestampMissing("the signature has no `created`".into()));
            }
            seconds(input.created)
        }
        _ => None,
    };
    let fingerprint = inputs.source.replay_guard.then(|| {
        let mut hash = crate::verify::body_sha256(&text);
        hash.truncate(32);
        hash
    });
    let lifetime = Lifetime { not_before: None, expires: seconds(input.expires) };
    Ok(Genuine::by(key, sent, fingerprint).with_lifetime(lifetime))
}

/// The text that a signature covers whose `Signature-Input` this is.
///
/// # Errors
/// As [`check`], for what is absent or malformed.
pub(crate) fn base_of(inputs: &Inputs<'_>, stated: &str) -> Result<Vec<u8>, Fault> {
    let stated = inputs_of(stated).and_then(|mut all| all.pop());
    base(inputs, &stated.ok_or_else(|| Fault::malformed("`Signature-Input` does not parse"))?)
}

/// Whether a key made a signature, by its only algorithm.
fn made(key: &Key, stated: Option<&str>, text: &[u8], signature: &[u8]) -> bool {
    let agrees = |own: &str| stated.is_none_or(|stated| stated == own);
    match &key.material {
        Material::Public { key, only } => {
            let method = only.unwrap_or_else(|| key.message_method());
            name_of(method).is_some_and(agrees) && key.verifies(method, text, signature)
        }
        Material::Hash(running) => {
            let mut hash = running.clone();
            hash.update(text);
            agrees("hmac-sha256") && hash.finish().is(signature)
        }
        _ => false,
    }
}

/// The algorithm's name in the RFC's registry; `None` for one that is not in it.
pub(crate) const fn name_of(method: Method) -> Option<&'static str> {
    match method {
        Method::PssSha512 => Some("rsa-pss-sha512"),
        Method::RsaSha256 => Some("rsa-v1_5-sha256"),
        Method::EcdsaP256 => Some("ecdsa-p256-sha256"),
        Method::Ed25519 => Some("ed25519"),
        Method::RsaSha1 | Method::PssSha256 => None,
    }
}

/// All lines of a header as one field value.
fn field(inputs: &Inputs<'_>, name: &'static str) -> Result<String, Fault> {
    let lines: Vec<&[u8]> = inputs.head.values(&HeaderName::from_static(name)).collect();
    if lines.is_empty() {
        return Err(Fault::SignatureMissing(format!("there is no `header:{name}`").into()));
    }
    String::from_utf8(lines.join(&b", "[..])).map_err(|_| Fault::malformed("a header is not UTF-8"))
}
