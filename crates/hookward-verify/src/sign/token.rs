//! Tokens as a sender would make them.

use super::{SignError, SignRequest, Signed, SigningKey, insert, rsa, sample};
use crate::keys::{Running, sha256};
use crate::scheme::{JwtAlgorithm, Place, TimeFormat, TimestampPlace};
use crate::sender::Sender;
use crate::verify::encode_signature;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::Signer as _;
use hookward_time::UnixMillis;
use http::HeaderMap;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Map, Value, json};

/// How long a token is valid.
const HOLDS_SECONDS: i64 = 3600;

/// Signs a delivery with a token that has everything the source requires.
pub(super) fn sign(
    source: &Sender,
    key: &SigningKey<'_>,
    request: &SignRequest<'_>,
    mut headers: HeaderMap,
) -> Result<Signed, SignError> {
    let rule = &source.scheme.signature;
    let algorithm = rule.token.algorithms.first().copied().unwrap_or(JwtAlgorithm::Rs256);
    let name = JwtAlgorithm::NAMES.iter().find(|(_, one)| *one == algorithm);
    let header = json!({ "alg": name.map(|(name, _)| name), "typ": "JWT" });
    let payload = claims(source, request);
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&payload));
    let signature = make(algorithm, key, signed.as_bytes())?;
    let token = format!("{}{signed}.{}", rule.prefix, BASE64URL_NOPAD.encode(&signature));
    let mut body = None;
    match rule.places.first() {
        Some(Place::Header(name)) => insert(&mut headers, name, &token)?,
        Some(Place::Json(pointer)) => body = Some(sample::put_text(request.body, pointer, &token)?),
        _ => {
            return Err(SignError::Incomplete("the scheme has no place for a token".to_owned()));
        }
    }
    let headers = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Signed { headers: headers.collect(), body })
}

/// The payload: what the rule requires, and the event if it is read from the token.
fn claims(source: &Sender, request: &SignRequest<'_>) -> Value {
    let scheme = &source.scheme;
    let rule = &scheme.signature;
    let seconds = |at: UnixMillis| at.0.div_euclid(1000);
    let mut payload = Value::Object(Map::new());
    let mut put = |names: &[String], value: Value| put(&mut payload, names, value);
    let own = |name: &str| vec![name.to_owned()];
    put(&own("iat"), seconds(request.at).into());
    put(&own("exp"), (seconds(request.at) + HOLDS_SECONDS).into());
    if let Some(audience) = rule.token.audience.first() {
        put(&own("aud"), audience.as_str().into());
    }
    if let Some(issuer) = rule.token.issuer.first() {
        put(&own("iss"), issuer.as_str().into());
    }
    for claim in &rule.claims {
        let value = claim.values.first().map_or("", String::as_str);
        let value = match value {
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        };
        put(claim.pointer.tokens(), value);
    }
    if let Some(name) = &rule.token.body_claim {
        put(&own(name), encode_signature(rule.encoding, &sha256(request.body)).into());
    }
    if let Some(timestamp) = &scheme.timestamp
        && let TimestampPlace::Claim(pointer) = &timestamp.from
    {
        let value = match timestamp.format {
            TimeFormat::Unix => seconds(request.at).into(),
            TimeFormat::UnixMs => request.at.0.into(),
            TimeFormat::Rfc3339 => request.at.to_rfc3339().into(),
        };
        put(pointer.tokens(), value);
    }
    let id = request.id.map_or_else(super::new_id, str::to_owned);
    let kind = request.event_type.unwrap_or("example.event").to_owned();
    for (places, text) in [(&scheme.event.id, id), (&scheme.event.kind, kind)] {
        if let Some(Place::Claim(pointer)) = places.first() {
            put(pointer.tokens(), text.into());
        }
    }
    payload
}

/// Sets the value at this path; anything in the way is replaced by an object.
fn put(within: &mut Value, names: &[String], value: Value) {
    let Some((first, rest)) = names.split_first() else {
        *within = value;
        return;
    };
    if !within.is_object() {
        *within = Value::Object(Map::new());
    }
    if let Some(members) = within.as_object_mut() {
        put(members.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

fn make(algorithm: JwtAlgorithm, key: &SigningKey<'_>, text: &[u8]) -> Result<Vec<u8>, SignError> {
    let private = match (key, algorithm) {
        (SigningKey::Shared(secret), JwtAlgorithm::Hs256) => {
            let mut hash = Running::hmac_sha256(secret.text.expose())
                .ok_or(SignError::Key("is no key of HS256"))?;
            hash.update(text);
            return Ok(hash.finish().into_bytes());
        }
        (SigningKey::Shared(_), _) => return Err(SignError::NoPrivateKey("jwt")),
        (SigningKey::Private(private), _) => private.expose(),
    };
    match algorithm {
        JwtAlgorithm::Rs256 => rsa::sign(private, rsa::Padding::Pkcs1, text),
        JwtAlgorithm::Ps256 => rsa::sign(private, rsa::Padding::Pss, text),
        JwtAlgorithm::Es256 => {
            let unfit = || SignError::PrivateKey("a PKCS #8 PEM of a P-256 key");
            let pem = std::str::from_utf8(private).map_err(|_| unfit())?;
            let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map_err(|_| unfit())?;
            let signature: p256::ecdsa::Signature =
                key.sign_prehash(&sha256(text)).map_err(|_| unfit())?;
            Ok(signature.to_bytes().to_vec())
        }
        JwtAlgorithm::EdDsa => {
            let key = super::ed25519_key(private)
                .ok_or(SignError::PrivateKey("a PKCS #8 PEM of an Ed25519 key"))?;
            Ok(key.sign(text).to_bytes().to_vec())
        }
        JwtAlgorithm::Hs256 => Err(SignError::PrivateKey("of use: HS256 has a shared secret")),
    }
}
