//! Signatures of RFC 9421 as a sender would make them.

use super::private::SenderKey;
use super::{SignError, SignRequest, Signed, SigningKey, header_lines, insert};
use crate::keys::{Key, Material, RunningHash};
use crate::message_signatures::{base_of, name_of};
use crate::scheme::SignatureRule;
use crate::sender::Sender;
use crate::verify::Inputs;
use data_encoding::BASE64;
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName};
use sha2::Digest as _;

/// What the signature is called in its two headers.
const LABEL: &str = "sig1";

/// Signs all that the source wants to be covered.
pub(super) fn sign(
    source: &Sender,
    key: &SigningKey<'_>,
    request: &SignRequest<'_>,
    mut headers: HeaderMap,
) -> Result<Signed, SignError> {
    let rule = &source.scheme.signature;
    add_covered_headers(source, &rule.components, request, &mut headers)?;
    let signer = MessageSigner::of(key, rule)?;
    let parameters = parameters(&rule.components, request, signer.name());
    let unsigned = headers.clone();
    let inputs = Inputs::whole(source, request.head(&unsigned), request.body)?;
    let signature = signer.sign(&base_of(&inputs, &format!("{LABEL}={parameters}"))?)?;
    let signature = BASE64.encode(&signature);
    let name = |name: &'static str| HeaderName::from_static(name);
    insert(&mut headers, &name("signature-input"), &format!("{LABEL}={parameters}"))?;
    insert(&mut headers, &name("signature"), &format!("{LABEL}=:{signature}:"))?;
    Ok(Signed { headers: header_lines(&headers), body: None })
}

/// What makes the signature: the key decides the algorithm.
enum MessageSigner {
    Private(SenderKey),
    Shared(RunningHash),
}

impl MessageSigner {
    fn of(key: &SigningKey<'_>, rule: &SignatureRule) -> Result<Self, SignError> {
        match key {
            SigningKey::Private(private) => SenderKey::read(private.expose()).map(Self::Private),
            SigningKey::Shared(secret) => match Key::new(secret, rule).map_err(SignError::Key)? {
                Key { material: Material::Hash(running), .. } => Ok(Self::Shared(running)),
                _ => Err(SignError::NoPrivateKey("http-message-signatures")),
            },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Private(key) => name_of(key.message_method()).unwrap_or_default(),
            Self::Shared(_) => "hmac-sha256",
        }
    }

    fn sign(self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Private(key) => key.sign(key.message_method(), text),
            Self::Shared(mut hash) => {
                hash.update(text);
                Ok(hash.finish().into_bytes())
            }
        }
    }
}

/// The value of the member of `Signature-Input`.
fn parameters(components: &[String], request: &SignRequest<'_>, algorithm: &str) -> String {
    let covered: Vec<String> = components.iter().map(|name| format!("\"{name}\"")).collect();
    let created = request.at.0.div_euclid(1000);
    format!("({});created={created};alg=\"{algorithm}\"", covered.join(" "))
}

/// Sets the headers that are covered and that nothing has set: the digest of the body, its length,
/// and whatever else, for which any value will do.
fn add_covered_headers(
    source: &Sender,
    components: &[String],
    request: &SignRequest<'_>,
    headers: &mut HeaderMap,
) -> Result<(), SignError> {
    let needs_host = components.iter().any(|name| {
        matches!(name.as_str(), "@authority" | "@target-uri") && source.public_url.is_none()
            || name == "host"
    });
    if needs_host {
        return Err(SignError::Incomplete(
            "the signature covers the host, and the source has no `public_url`".to_owned(),
        ));
    }
    for component in components.iter().filter(|name| !name.starts_with('@')) {
        let name = HeaderName::try_from(component.as_str())
            .map_err(|_| SignError::HeaderValue(component.clone()))?;
        let value = match component.as_str() {
            "content-digest" => {
                format!("sha-256=:{}:", BASE64.encode(&sha2::Sha256::digest(request.body)))
            }
            "content-length" => request.body.len().to_string(),
            "date" => http_date(request.at)?,
            _ if headers.contains_key(&name) => continue,
            _ => request.id.map_or_else(super::new_id, str::to_owned),
        };
        insert(headers, &name, &value)?;
    }
    Ok(())
}

fn http_date(at: UnixMillis) -> Result<String, SignError> {
    let unfit = || SignError::HeaderValue(at.0.to_string());
    let time = jiff::Timestamp::from_millisecond(at.0).map_err(|_| unfit())?;
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .map_err(|_| unfit())
}
