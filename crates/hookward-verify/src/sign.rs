//! The sender's side: what a sender of a scheme would send.
//!
//! The inverse of `verify`, over the same reading of the scheme, so that whatever can be verified
//! can be made: for `hookward sign` and `send`, the demo and the tests. A body is never altered
//! behind the caller's back; [`sample_body`] makes one where id, type or time stand in it.

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
    /// A secret of the source, which both sides know.
    Shared(&'a NamedSecret),
    /// The private key whose public one the source has: PKCS #8 as PEM; for Ed25519 its 32 bytes as
    /// well.
    Private(&'a Secret),
}

/// One delivery to sign.
#[derive(Clone, Debug)]
pub struct SignRequest<'a> {
    /// The event's id, where it stands in a header; `None`: a random one.
    pub id: Option<&'a str>,
    /// The event's type, where it is in a header; `None`: `example.event`.
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
    /// All headers that the sender would send, `Host` and `Content-Length` apart.
    pub headers: Vec<(String, String)>,
    /// The body with its signature in it, for the schemes whose signature stands there.
    pub body: Option<Vec<u8>>,
}

/// Why a delivery cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret is no key of the scheme.
    #[error("the secret {0}")]
    Key(&'static str),
    /// The source holds public keys only.
    #[error("{0} signs with a private key, which the source does not have")]
    NoPrivateKey(&'static str),
    /// The private key is none.
    #[error("the private key is not {0}")]
    PrivateKey(&'static str),
    /// The scheme asks for something that is not there.
    #[error("the delivery lacks what the scheme signs: {0}")]
    Incomplete(String),
    /// A value cannot stand in a header.
    #[error("`{0}` cannot stand in a header")]
    HeaderValue(String),
    /// The body has to be a JSON object or array.
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
    // Whatever else is signed, as the id of the request: any value will do.
    for part in &scheme.signature.signed.0 {
        if let Part::Header(name) = part.unfolded()
            && !headers.contains_key(name)
        {
            insert(&mut headers, name, &id)?;
        }
    }
    Ok(headers)
}

/// The headers of the first place that has any.
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

/// The signed text with the newest secret where one is part of it.
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

/// The item that lists the signed headers, where the scheme has one: all that the sender sends.
fn listed(source: &Sender, headers: &HeaderMap) -> Option<String> {
    let prefix = source.scheme.signature.signed.0.iter().find_map(|part| match part {
        Part::Listed(prefix) => Some(prefix),
        _ => None,
    })?;
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    Some(format!("{prefix}{}", names.join(" ")))
}

/// The line that holds the signature, and what stands beside it: the timestamp, a list of headers.
fn compose(source: &Sender, timestamp: &str, list: Option<&str>, signature: &str) -> String {
    let rule = &source.scheme.signature;
    // A `*` stands for what the sender chooses, as a key's id.
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
mod tests {
    use super::*;
    use crate::scheme::TimeFormat;
    use crate::verify::fixture::{NOW, secrets, source, template};

    fn request(body: &[u8]) -> SignRequest<'_> {
        SignRequest {
            id: Some("evt_1"),
            event_type: Some("order.paid"),
            path: "/acme",
            at: NOW,
            query: None,
            body,
        }
    }

    #[test]
    fn all_headers_of_the_sender_are_made() {
        let source = source("X-Sig")
            .with_timestamp("header:X-Time", TimeFormat::UnixMs)
            .with_id(&["json:/id", "header:X-Id"])
            .with_type(&["header:X-Topic"])
            .with_rule(|rule| {
                rule.prefix = "sha256=".to_owned();
                rule.signed = template("{timestamp}.{header:X-Request}.{body}");
                rule.require = vec![(HeaderName::from_static("x-version"), "1".to_owned())];
            });
        let secrets = secrets(&["topsecret"]);
        let signed = sign(&source, &SigningKey::Shared(&secrets[0]), &request(b"{}"));
        let headers = signed.expect("signed").headers;
        let value = |name: &str| {
            headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("content-type"), Some("application/json"));
        assert_eq!(value("x-time"), Some("1700000000000"));
        assert_eq!(value("x-id"), Some("evt_1"));
        assert_eq!(value("x-topic"), Some("order.paid"));
        assert_eq!(value("x-version"), Some("1"));
        assert_eq!(value("x-request"), Some("evt_1"));
        assert!(value("x-sig").is_some_and(|value| value.len() == 7 + 64), "{headers:?}");
    }

    #[test]
    fn the_list_of_signed_headers_is_written_beside_the_signature() {
        let source = source("X-Sig").with_id(&["header:X-Event-Id"]).with_rule(|rule| {
            rule.separator = Some(",".to_owned());
            rule.prefix = "v1=".to_owned();
            rule.signed = template("{listed:h=}.{body}");
        });
        let secrets = secrets(&["topsecret"]);
        let signed = sign(&source, &SigningKey::Shared(&secrets[0]), &request(b"{}"));
        let headers = signed.expect("signed").headers;
        let line = headers.iter().find(|(name, _)| name == "x-sig").expect("a signature");
        assert!(line.1.starts_with("h=content-type x-event-id,v1="), "{line:?}");
        let head = crate::verify::fixture::head(&headers);
        let keys = source.new_keys();
        assert!(crate::verify::check(&source, &keys, head.view(), b"{}").is_ok());
        // What is listed is signed: neither a value nor the list can be another.
        for (name, value) in [("x-event-id", "evt_2"), ("content-type", "text/plain")] {
            let mut other = head.clone();
            other.headers.insert(name, HeaderValue::from_static(value));
            assert!(crate::verify::check(&source, &keys, other.view(), b"{}").is_err(), "{name}");
        }
        let mut shorter = head;
        let line = line.1.replace("content-type ", "");
        shorter.headers.insert("x-sig", HeaderValue::from_str(&line).expect("a value"));
        assert!(crate::verify::check(&source, &keys, shorter.view(), b"{}").is_err());
    }

    #[test]
    fn what_cannot_be_signed_is_said() {
        let secrets = secrets(&["topsecret"]);
        let shared = SigningKey::Shared(&secrets[0]);
        let public = source("X-Sig").with_rule(|rule| rule.algorithm = Algorithm::Ed25519);
        assert!(matches!(
            sign(&public, &shared, &request(b"{}")),
            Err(SignError::NoPrivateKey("ed25519"))
        ));
        let circular = source("json:/signature");
        assert!(matches!(sign(&circular, &shared, &request(b"{}")), Err(SignError::Incomplete(_))));
        let header = source("X-Sig").with_id(&["header:X-Id"]);
        let newline = SignRequest { id: Some("a\nb"), ..request(b"{}") };
        assert!(matches!(sign(&header, &shared, &newline), Err(SignError::HeaderValue(_))));
        let no_time = source("X-Sig")
            .with_timestamp("json:/at", TimeFormat::Unix)
            .with_rule(|rule| rule.signed = template("{timestamp}.{body}"));
        assert!(matches!(sign(&no_time, &shared, &request(b"{")), Err(SignError::Incomplete(_))));
    }
}
