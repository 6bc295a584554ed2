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

mod delivery;
mod messages;
mod pair;
mod private;
mod sample;
mod token;

pub use delivery::{SignError, SignRequest, Signed, SigningKey};
pub(crate) use delivery::{header_lines, insert};
pub use pair::{NewKeyPair, new_key_pair};
pub use sample::{new_id, sample_body};

use crate::keys::{Key, Method};
use crate::presets;
use crate::scheme::{Algorithm, CertificateRule, Encoding, Part, Place, Template, TimestampPlace};
use crate::sender::Sender;
use crate::verify::freshness::print_time;
use crate::verify::{Inputs, encode_signature};
use http::{HeaderMap, HeaderName, HeaderValue};
use private::SenderKey;

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
        return messages::sign(source, key, request, headers);
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
            if rule.algorithm != Algorithm::Token && signs_whole_body(&rule.signed) {
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
    Ok(Signed { headers: header_lines(&headers), body })
}

/// Whether there is no place in the body that a signature of it could be put in.
fn signs_whole_body(signed: &Template) -> bool {
    signed.any(|part| matches!(part, Part::Body | Part::FormSorted))
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
    if let Some(CertificateRule { url: Place::Header(name), .. }) = &scheme.signature.certificate {
        let url = scheme.signature.certificate.as_ref().map(CertificateRule::example_url);
        insert(&mut headers, name, &url.unwrap_or_default())?;
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

fn signature(
    source: &Sender,
    key: &SigningKey<'_>,
    pieces: &[crate::verify::Piece<'_>],
    body: &[u8],
) -> Result<Vec<u8>, SignError> {
    let rule = &source.scheme.signature;
    match (key, rule.algorithm) {
        (SigningKey::Shared(_), algorithm) if algorithm.is_public_key() => {
            Err(SignError::NoPrivateKey(name_of(algorithm)))
        }
        (SigningKey::Shared(secret), _) => {
            Ok(Key::new(secret, rule).map_err(SignError::Key)?.hash(pieces, body))
        }
        (SigningKey::Private(private), Algorithm::Ed25519) => {
            let text = crate::verify::signed_text(pieces, body);
            SenderKey::read(private.expose())?.sign(Method::Ed25519, &text)
        }
        (SigningKey::Private(private), Algorithm::EcdsaP256Sha256) => {
            let text = crate::verify::signed_text(pieces, body);
            let fixed = SenderKey::read(private.expose())?.sign(Method::EcdsaP256, &text)?;
            let signature = p256::ecdsa::Signature::from_slice(&fixed)
                .map_err(|_| SignError::PrivateKey("able to sign"))?;
            Ok(signature.to_der().as_bytes().to_vec())
        }
        (SigningKey::Private(private), Algorithm::RsaSha1 | Algorithm::RsaSha256) => {
            let text = crate::verify::signed_text(&with_text(source, pieces), body).into_owned();
            let method = rule.methods().next().unwrap_or(Method::RsaSha256);
            SenderKey::read(private.expose())?.sign(method, &text)
        }
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

fn name_of(algorithm: Algorithm) -> &'static str {
    Algorithm::NAMES.iter().find(|(_, one)| *one == algorithm).map_or("", |(name, _)| name)
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
