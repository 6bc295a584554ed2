//! Tokens as a sender would make them.

use super::private::{SenderKey, certificates};
use super::{SignError, SignRequest, Signed, SigningKey, header_lines, insert, sample};
use crate::keys::{RunningHash, sha256};
use crate::scheme::{JwtAlgorithm, Place, TimeFormat, TimestampPlace};
use crate::sender::Sender;
use crate::verify::encode_signature;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use hookward_time::UnixMillis;
use http::HeaderMap;
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
    let name = name.map(|(name, _)| name);
    let header = match rule.token.root {
        Some(_) => json!({ "alg": name, "typ": "JWT", "x5c": chain(key)? }),
        None => json!({ "alg": name, "typ": "JWT" }),
    };
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
    Ok(Signed { headers: header_lines(&headers), body })
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

/// The certificates that lie beside the private key, for a token that has to bring them along.
fn chain(key: &SigningKey<'_>) -> Result<Value, SignError> {
    let SigningKey::Private(private) = key else { return Err(SignError::NoPrivateKey("jwt")) };
    let chain = certificates(private.expose());
    if chain.is_empty() {
        return Err(SignError::PrivateKey(
            "followed by its certificates (PEM), which the token has to bring along",
        ));
    }
    Ok(chain.iter().map(|der| Value::from(BASE64.encode(der))).collect())
}

fn make(algorithm: JwtAlgorithm, key: &SigningKey<'_>, text: &[u8]) -> Result<Vec<u8>, SignError> {
    match (key, algorithm.method()) {
        (SigningKey::Shared(secret), None) => {
            let mut hash = RunningHash::hmac_sha256(secret.text.expose())
                .ok_or(SignError::Key("is no key of HS256"))?;
            hash.update(text);
            Ok(hash.finish().into_bytes())
        }
        (SigningKey::Shared(_), Some(_)) => Err(SignError::NoPrivateKey("jwt")),
        (SigningKey::Private(private), Some(method)) => {
            SenderKey::read(private.expose())?.sign(method, text)
        }
        (SigningKey::Private(_), None) => {
            Err(SignError::PrivateKey("of use: HS256 has a shared secret"))
        }
    }
}
