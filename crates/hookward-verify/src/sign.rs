//! The sender's side: makes the deliveries that a sender of a scheme would send.
//!
//! The inverse of [`verify`](mod@crate::verify): it reads the same scheme, so every delivery that can be
//! verified can be made, for tests and tools. [`sign`] does not change a body unless the signature is
//! a member of it. [`sample_body`] makes a body with id, type and time where the scheme reads them.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hookward_verify::sign::{SignRequest, SigningKey, sign};
//! use hookward_verify::{Sender, UnixMillis};
//!
//! let sender = Sender::preset("stripe", ["whsec_0123456789abcdef"])?;
//! let request = SignRequest {
//!     id: None,
//!     event_type: None,
//!     path: "/stripe",
//!     at: UnixMillis::from_seconds(1_773_656_430),
//!     query: None,
//!     body: br#"{"id":"evt_1","type":"invoice.paid"}"#,
//! };
//! let signed = sign(&sender, &SigningKey::Shared(&sender.secrets[0]), &request)?;
//! let (name, value) = &signed.headers[1];
//! assert_eq!(name, "stripe-signature");
//! assert!(value.starts_with("t=1773656430,v1="));
//! # Ok(())
//! # }
//! ```

mod rsa;
mod sample;
mod token;

pub use sample::{new_id, sample_body};

use crate::fault::Fault;
use crate::json::PayloadFault;
use crate::keys::Key;
use crate::presets;
use crate::request::Request;
use crate::scheme::{Algorithm, Encoding, Part, Place, TimestampPlace};
use crate::sender::Sender;
use crate::verify::freshness::print_time;
use crate::verify::{Inputs, encode_signature};
use ed25519_dalek::Signer as _;
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::der::SecretDocument;
use p256::pkcs8::{DecodePrivateKey as _, ObjectIdentifier, PrivateKeyInfoRef};

/// What signs.
#[derive(Clone, Debug)]
pub enum SigningKey<'a> {
    /// A secret that both sides know.
    Shared(&'a NamedSecret),
    /// The private key that belongs to the receiver's public key: PKCS #8 as PEM, or for Ed25519 its
    /// 32 bytes.
    Private(&'a Secret),
}

/// One delivery to sign.
#[derive(Clone, Debug)]
pub struct SignRequest<'a> {
    /// The event's id, if the scheme reads it from a header; `None` makes a random one.
    pub id: Option<&'a str>,
    /// The event's type, if the scheme reads it from a header; `None` is `example.event`.
    pub event_type: Option<&'a str>,
    /// The path that it is sent to.
    pub path: &'a str,
    /// When it is sent.
    pub at: UnixMillis,
    /// The query that it is sent with, without its `?`.
    pub query: Option<&'a str>,
    /// The body, as it will be sent.
    pub body: &'a [u8],
}

impl SignRequest<'_> {
    /// The head of the request with these headers.
    fn head<'h>(&'h self, headers: &'h HeaderMap) -> Request<'h> {
        Request { method: &Method::POST, path: self.path, query: self.query, headers }
    }
}

/// A signed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// All headers that the sender would send, except `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body with the signature in it, for schemes whose signature is a member of the body.
    pub body: Option<Vec<u8>>,
}

/// Why a delivery cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret is not a key of the scheme.
    #[error("the secret {0}")]
    Key(&'static str),
    /// The scheme signs with a private key, and a shared secret was passed.
    #[error("{0} signs with a private key, which the source does not have")]
    NoPrivateKey(&'static str),
    /// The private key cannot be read, or does not fit the algorithm.
    #[error("the private key is not {0}")]
    PrivateKey(&'static str),
    /// The scheme needs something that is missing.
    #[error("the delivery lacks what the scheme signs: {0}")]
    Incomplete(String),
    /// A value cannot be sent in a header.
    #[error("`{0}` is not valid in a header")]
    HeaderValue(String),
    /// The body must be a JSON object or array.
    #[error("{0}")]
    Body(String),
}

impl From<Fault> for SignError {
    fn from(fault: Fault) -> Self {
        Self::Incomplete(fault.to_string())
    }
}

impl From<PayloadFault> for SignError {
    fn from(fault: PayloadFault) -> Self {
        Self::Body(fault.0)
    }
}

/// Signs a delivery as the sender would.
///
/// # Errors
/// [`SignError`]: the key does not fit, or something that is signed cannot be found or written.
pub fn sign(
    source: &Sender,
    key: &SigningKey<'_>,
    request: &SignRequest<'_>,
) -> Result<Signed, SignError> {
    let scheme = &source.scheme;
    let rule = &scheme.signature;
    let mut headers = unsigned_headers(source, request)?;
    if rule.algorithm == Algorithm::HttpMessageSignatures {
        return Err(SignError::Incomplete(
            "signatures of RFC 9421 are verified and not made here".to_owned(),
        ));
    }
    if rule.algorithm == Algorithm::Jwt {
        return token::sign(source, key, request, headers);
    }

    let list = listed(source, &headers);
    if let (Some(list), Some(Place::Header(name))) = (&list, rule.places.first()) {
        insert(&mut headers, name, list)?; // where the signed text looks for it
    }
    let unsigned = headers.clone();
    let inputs = Inputs::whole(source, request.head(&unsigned), request.body)?;
    let timestamp = match scheme.timestamp.as_ref().map(|rule| (&rule.from, rule.format)) {
        Some((TimestampPlace::Json(pointer), _)) => {
            inputs.member(pointer).text().map(str::to_owned)
        }
        Some((_, format)) => Some(print_time(format, request.at)),
        None => None,
    };
    let text = if rule.algorithm == Algorithm::Token {
        token(source, key)
    } else {
        let pieces = inputs.pieces(timestamp.as_deref())?;
        encode_signature(rule.encoding, &signature(source, key, &pieces, request.body)?)
    };
    let line = compose(source, timestamp.as_deref().unwrap_or_default(), list.as_deref(), &text);

    let mut body = None;
    match rule.places.first() {
        Some(Place::Header(name)) => {
            insert(&mut headers, name, &line)?;
        }
        Some(Place::Json(pointer)) => {
            if rule.algorithm != Algorithm::Token && rule.signed.covers_body() {
                return Err(SignError::Incomplete(
                    "a body that is signed as a whole cannot hold its own signature".to_owned(),
                ));
            }
            body = Some(sample::put_text(request.body, pointer, &line)?);
        }
        Some(Place::BodySha256 | Place::Claim(_) | Place::Joined(_)) | None => {
            return Err(SignError::Incomplete(
                "the scheme has no place for a signature".to_owned(),
            ));
        }
    }
    let headers = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Signed { headers: headers.collect(), body })
}

/// The headers of the request without its signature.
fn unsigned_headers(source: &Sender, request: &SignRequest<'_>) -> Result<HeaderMap, SignError> {
    let scheme = &source.scheme;
    let mut headers = HeaderMap::new();
    let is_form = scheme.signature.signed.any(|part| matches!(part, Part::FormSorted));
    let content_type =
        if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in &scheme.signature.require {
        insert(&mut headers, name, value)?;
    }
    if let Some(rule) = &scheme.timestamp
        && let TimestampPlace::Header(name) = &rule.from
    {
        insert(&mut headers, name, &print_time(rule.format, request.at))?;
    }
    let id = request.id.map_or_else(new_id, str::to_owned);
    for name in first_headers(&scheme.event.id) {
        insert(&mut headers, name, &id)?;
    }
    let event_type = request.event_type.unwrap_or("example.event");
    for name in first_headers(&scheme.event.kind) {
        insert(&mut headers, name, event_type)?;
    }
    let preset = source.preset.as_deref().and_then(presets::named);
    for (name, value) in preset.iter().flat_map(|preset| &preset.about.headers) {
        let name = HeaderName::try_from(name).map_err(|_| SignError::HeaderValue(name.clone()))?;
        if !headers.contains_key(&name) {
            let value = value.replace("{id}", &id).replace("{type}", event_type);
            insert(&mut headers, &name, &value)?;
        }
    }
    // For anything else that is signed, such as the id of the request, any value will do.
    for part in &scheme.signature.signed.0 {
        if let Part::Header(name) = part.unfolded()
            && !headers.contains_key(name)
        {
            insert(&mut headers, name, &id)?;
        }
    }
    for part in &scheme.signature.signed.0 {
        if let Part::HeaderList(name) = part {
            let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            names.push(name.as_str());
            names.sort_unstable();
            let list = names.join(",");
            insert(&mut headers, name, &list)?;
        }
    }
    Ok(headers)
}

/// The headers of the first place with any.
fn first_headers(places: &[Place]) -> impl Iterator<Item = &HeaderName> {
    fn headers(place: &Place) -> impl Iterator<Item = &HeaderName> {
        place.singles().filter_map(|single| match single {
            Place::Header(name) => Some(name),
            _ => None,
        })
    }
    let first = places.iter().find(|place| headers(place).next().is_some());
    first.into_iter().flat_map(headers)
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) -> Result<(), SignError> {
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| SignError::HeaderValue(value.escape_debug().to_string()))?;
    headers.insert(name.clone(), value);
    Ok(())
}

fn signature(
    source: &Sender,
    key: &SigningKey<'_>,
    pieces: &[crate::verify::Piece<'_>],
    body: &[u8],
) -> Result<Vec<u8>, SignError> {
    let rule = &source.scheme.signature;
    match (key, rule.algorithm) {
        (SigningKey::Shared(_), Algorithm::Ed25519) => Err(SignError::NoPrivateKey("ed25519")),
        (SigningKey::Shared(_), Algorithm::EcdsaP256Sha256) => {
            Err(SignError::NoPrivateKey("ecdsa-p256-sha256"))
        }
        (SigningKey::Shared(_), Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::Jwt) => {
            Err(SignError::NoPrivateKey("rsa"))
        }
        (SigningKey::Shared(secret), _) => {
            Ok(Key::new(secret, rule).map_err(SignError::Key)?.hash(pieces, body))
        }
        (SigningKey::Private(private), Algorithm::Ed25519) => {
            let key = ed25519_key(private.expose()).ok_or(SignError::PrivateKey(
                "a PKCS #8 PEM of an Ed25519 key, or the 32 bytes of one in hex or base64",
            ))?;
            let text = crate::verify::signed_text(pieces, body);
            Ok(key.sign(&text).to_bytes().to_vec())
        }
        (SigningKey::Private(private), Algorithm::EcdsaP256Sha256) => {
            let unfit = SignError::PrivateKey("a PKCS #8 PEM of a P-256 key");
            let Ok(pem) = std::str::from_utf8(private.expose()) else { return Err(unfit) };
            let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(pem) else { return Err(unfit) };
            let hash = crate::keys::sha256(&crate::verify::signed_text(pieces, body));
            let signature: p256::ecdsa::Signature =
                key.sign_prehash(&hash).map_err(|_| SignError::PrivateKey("able to sign"))?;
            Ok(signature.to_der().as_bytes().to_vec())
        }
        (SigningKey::Private(private), Algorithm::RsaSha256) => {
            let text = crate::verify::signed_text(&with_text(source, pieces), body).into_owned();
            rsa::sign(private.expose(), rsa::Padding::Pkcs1, &text)
        }
        (SigningKey::Private(_), Algorithm::RsaSha1) => Err(SignError::PrivateKey(
            "of use: nothing here makes signatures with SHA-1, which is broken",
        )),
        (SigningKey::Private(_), _) => {
            Err(SignError::PrivateKey("of use: the scheme signs with a shared secret"))
        }
    }
}

/// The signed text, with the newest secret if it contains one.
fn with_text<'p>(
    source: &'p Sender,
    pieces: &'p [crate::verify::Piece<'_>],
) -> Vec<crate::verify::Piece<'p>> {
    use crate::verify::Piece;
    let secret = source.secrets.first().map_or(&[][..], |secret| secret.text.expose());
    let plain = |piece: &'p Piece<'_>| match piece {
        Piece::Bytes(bytes) => Piece::Bytes(bytes.as_ref().into()),
        Piece::Body => Piece::Body,
        Piece::Secret => Piece::Bytes(secret.into()),
    };
    pieces.iter().map(plain).collect()
}

/// The 32 bytes of a key, or a PKCS #8 PEM with an Ed25519 key in it.
fn ed25519_key(text: &[u8]) -> Option<ed25519_dalek::SigningKey> {
    // RFC 8410: within the document the key is wrapped once more, as an OCTET STRING.
    const WRAPPED: [u8; 2] = [0x04, 32];
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    if let Ok(seed) = <&[u8; 32]>::try_from(text) {
        return Some(ed25519_dalek::SigningKey::from_bytes(seed));
    }
    let (label, document) = SecretDocument::from_pem(std::str::from_utf8(text).ok()?).ok()?;
    let info = document.decode_msg::<PrivateKeyInfoRef<'_>>().ok()?;
    if label != "PRIVATE KEY" || info.algorithm.oid != ED25519 {
        return None;
    }
    let seed = info.private_key.as_bytes().strip_prefix(&WRAPPED)?.try_into().ok()?;
    Some(ed25519_dalek::SigningKey::from_bytes(seed))
}

fn token(source: &Sender, key: &SigningKey<'_>) -> String {
    let rule = &source.scheme.signature;
    let text = match key {
        SigningKey::Shared(secret) => &secret.text,
        SigningKey::Private(text) => text,
    };
    let text = text.expose();
    let text = text.strip_prefix(rule.key_prefix.as_bytes()).unwrap_or(text);
    match rule.encoding {
        Encoding::Hex => String::from_utf8_lossy(text).into_owned(),
        encoding @ (Encoding::Base64 | Encoding::Base64Url) => encode_signature(encoding, text),
    }
}

/// The item that lists the signed headers, if the scheme has one: all that the sender sends.
fn listed(source: &Sender, headers: &HeaderMap) -> Option<String> {
    let prefix = source.scheme.signature.signed.0.iter().find_map(|part| match part {
        Part::Listed(prefix) => Some(prefix),
        _ => None,
    })?;
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    Some(format!("{prefix}{}", names.join(" ")))
}

/// The line with the signature and its other items: the timestamp, a list of headers.
fn compose(source: &Sender, timestamp: &str, list: Option<&str>, signature: &str) -> String {
    let rule = &source.scheme.signature;
    // The sender chooses the text for `*`, such as a key's id.
    let item = format!("{}{signature}", rule.prefix.replace('*', "1"));
    let separator = rule.separator.as_deref().unwrap_or_default();
    let item = list.map_or(item.clone(), |list| format!("{list}{separator}{item}"));
    match source.scheme.timestamp.as_ref().map(|rule| &rule.from) {
        Some(TimestampPlace::Item(prefix)) => format!("{prefix}{timestamp}{separator}{item}"),
        Some(TimestampPlace::ItemAt(0)) => format!("{timestamp}{separator}{item}"),
        Some(TimestampPlace::ItemAt(index)) => {
            format!("{}{timestamp}", format!("{item}{separator}").repeat(*index))
        }
        _ => item,
    }
}

#[cfg(test)]
mod tests;
