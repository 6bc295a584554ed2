//! Sources and requests for tests, described as in a configuration.

use super::Keys;
use crate::request::Request;
use crate::scheme::{
    Place, Scheme, SignatureRule, Template, TimeFormat, TimestampPlace, TimestampRule,
};
use crate::sender::Sender;
use crate::sign::{SignRequest, SigningKey, sign};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A source with the defaults of the contract: hmac-sha256, hex, over the body, in `header`.
pub(crate) fn source(header: &str) -> Sender {
    let key = if header.starts_with("json:") { "from" } else { "header" };
    let scheme = format!(
        "[signature]\n{key} = \"{header}\"\n[event]\nid = [\"json:/id\"]\ntype = [\"json:/type\"]\n"
    );
    let scheme = Scheme::from_toml(&scheme).expect("a scheme");
    let sender = Sender::new(scheme, ["topsecret"]).expect("keys");
    sender.with_public_url("https://hooks.example.com/acme")
}

pub(crate) fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

pub(crate) fn timestamp(from: &str, format: TimeFormat) -> TimestampRule {
    TimestampRule {
        from: TimestampPlace::parse(from).expect("a place"),
        format,
        max_age: Some(Duration::from_mins(5)),
        max_ahead: Duration::from_mins(1),
    }
}

pub(crate) fn places(texts: &[&str]) -> Vec<Place> {
    texts.iter().map(|text| Place::parse(text).expect("a place")).collect()
}

pub(crate) fn secrets(texts: &[&str]) -> Vec<NamedSecret> {
    let numbered = texts.iter().enumerate();
    let secret = |(index, text): (usize, &&str)| NamedSecret {
        label: index.to_string(),
        text: Secret::from((*text).to_owned()),
    };
    numbered.map(secret).collect()
}

impl Sender {
    pub(crate) fn with_rule(mut self, change: impl FnOnce(&mut SignatureRule)) -> Self {
        change(&mut self.scheme.signature);
        self.with_keys()
    }

    pub(crate) fn with_timestamp(mut self, from: &str, format: TimeFormat) -> Self {
        self.scheme.timestamp = Some(timestamp(from, format));
        self
    }

    pub(crate) fn with_id(mut self, places_of_id: &[&str]) -> Self {
        self.scheme.event.id = places(places_of_id);
        self
    }

    pub(crate) fn with_type(mut self, places_of_type: &[&str]) -> Self {
        self.scheme.event.kind = places(places_of_type);
        self
    }

    pub(crate) fn with_secrets(mut self, texts: &[&str]) -> Self {
        self.secrets = secrets(texts);
        self.with_keys()
    }

    /// The keys of its secrets.
    pub(crate) fn new_keys(&self) -> Keys {
        Keys::new(&self.secrets, &self.scheme.signature).expect("keys")
    }

    /// Recreates its keys. If a secret is not a key, there are none.
    fn with_keys(mut self) -> Self {
        self.keys = Keys::new(&self.secrets, &self.scheme.signature).map_err(|why| why.to_string());
        self
    }
}

/// The head of a request, as a listener might keep it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
}

impl Head {
    pub(crate) fn view(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

/// A `POST` to the source with these header lines.
pub(crate) fn head<N: AsRef<str>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::try_from(name.as_ref()).expect("a name"),
            HeaderValue::from_bytes(value.as_ref()).expect("a value"),
        );
    }
    Head { method: Method::POST, path: "/acme".to_owned(), query: None, headers }
}

/// HMAC-SHA1, for tests that sign on their own.
pub(crate) fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What the sender would send at [`NOW`] with the first secret: head and body.
pub(crate) fn signed_by(source: &Sender, body: &[u8]) -> (Head, Vec<u8>) {
    let secret = source.secrets.first().expect("a secret");
    signed_with(source, &SigningKey::Shared(secret), body)
}

pub(crate) fn signed_with(source: &Sender, key: &SigningKey<'_>, body: &[u8]) -> (Head, Vec<u8>) {
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("t"),
        path: "/acme",
        at: NOW,
        query: None,
        body,
    };
    let signed = sign(source, key, &request).expect("signed");
    (head(&signed.headers), signed.body.unwrap_or_else(|| body.to_vec()))
}

/// A P-256 key for tests only.
pub(crate) const EC_PRIVATE_PEM: &str = include_str!("../../tests/keys/p256.pem");

/// The public side of an RSA key for tests only.
pub(crate) fn rsa_public_pem() -> String {
    include_str!("../../tests/keys/rsa.pub.pem").to_owned()
}

/// The public side of [`EC_PRIVATE_PEM`] as a JSON Web Key.
pub(crate) fn ec_jwk(id: &str) -> String {
    use data_encoding::BASE64URL_NOPAD;
    use p256::pkcs8::DecodePrivateKey as _;
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(EC_PRIVATE_PEM).expect("a key");
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes().get(1..).expect("a point").split_at(32);
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    format!(
        r#"{{"kty":"EC","crv":"P-256","kid":"{id}","use":"sig","alg":"ES256","x":"{x}","y":"{y}"}}"#
    )
}
