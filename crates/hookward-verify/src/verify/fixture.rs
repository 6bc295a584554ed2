//! Sources and requests for tests, spelled as a configuration would spell them.

use super::Keys;
use crate::request::Request;
use crate::scheme::{
    Algorithm, Encoding, EventRule, KeyForm, Place, Scheme, SignatureRule, Template, TimeFormat,
    TimestampPlace, TimestampRule, TokenRule,
};
use crate::sender::Sender;
use crate::sign::{SignRequest, SigningKey, sign};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;

/// 2023-11-14T22:13:20Z.
pub const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A source with the defaults of the contract: hmac-sha256, hex, over the body, in `header`.
pub fn source(header: &str) -> Sender {
    Sender {
        preset: None,
        scheme: Scheme {
            signature: SignatureRule {
                algorithm: Algorithm::HmacSha256,
                places: vec![Place::parse_of_signature(header).expect("a place")],
                separator: None,
                prefix: String::new(),
                prefix_optional: false,
                encoding: Encoding::Hex,
                signed: template("{body}"),
                key: KeyForm::Text,
                key_prefix: String::new(),
                require: Vec::new(),
                fallback: None,
                token: TokenRule::default(),
                certificate: None,
                components: Vec::new(),
                claims: Vec::new(),
            },
            timestamp: None,
            event: EventRule {
                id: vec![Place::parse("json:/id").expect("a place")],
                kind: vec![Place::parse("json:/type").expect("a place")],
                time: Vec::new(),
            },
            handshake: None,
        },
        secrets: Vec::new(),
        keys: Err("not made".to_owned()),
        key_sites: Vec::new(),
        replay_guard: false,
        public_url: Some("https://hooks.example.com/acme".to_owned()),
    }
    .with_secrets(&["topsecret"])
}

pub fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

pub fn timestamp(from: &str, format: TimeFormat) -> TimestampRule {
    TimestampRule {
        from: TimestampPlace::parse(from).expect("a place"),
        format,
        max_age: Some(Duration::from_mins(5)),
        max_ahead: Duration::from_mins(1),
    }
}

pub fn places(texts: &[&str]) -> Vec<Place> {
    texts.iter().map(|text| Place::parse(text).expect("a place")).collect()
}

pub fn secrets(texts: &[&str]) -> Vec<NamedSecret> {
    let numbered = texts.iter().enumerate();
    let secret = |(index, text): (usize, &&str)| NamedSecret {
        label: index.to_string(),
        text: Secret::from((*text).to_owned()),
    };
    numbered.map(secret).collect()
}

impl Sender {
    pub fn with_rule(mut self, change: impl FnOnce(&mut SignatureRule)) -> Self {
        change(&mut self.scheme.signature);
        self
    }

    pub fn with_timestamp(mut self, from: &str, format: TimeFormat) -> Self {
        self.scheme.timestamp = Some(timestamp(from, format));
        self
    }

    pub fn with_id(mut self, places_of_id: &[&str]) -> Self {
        self.scheme.event.id = places(places_of_id);
        self
    }

    pub fn with_type(mut self, places_of_type: &[&str]) -> Self {
        self.scheme.event.kind = places(places_of_type);
        self
    }

    pub fn with_secrets(mut self, texts: &[&str]) -> Self {
        self.secrets = secrets(texts);
        self
    }

    /// The keys of its secrets under its rule.
    pub fn new_keys(&self) -> Keys {
        Keys::new(&self.secrets, &self.scheme.signature).expect("keys")
    }
}

/// The head of a request, as a listener may keep it.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
}

impl Head {
    pub fn view(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

/// A `POST` to the source with these header lines.
pub fn head<N: AsRef<str>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::try_from(name.as_ref()).expect("a name"),
            HeaderValue::from_bytes(value.as_ref()).expect("a value"),
        );
    }
    Head { method: Method::POST, path: "/acme".to_owned(), query: None, headers }
}

/// HMAC-SHA1, for tests that sign by themselves.
pub fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What the sender would send at [`NOW`] with the first secret: head and body.
pub fn signed_by(source: &Sender, body: &[u8]) -> (Head, Vec<u8>) {
    let secret = source.secrets.first().expect("a secret");
    signed_with(source, &SigningKey::Shared(secret), body)
}

pub fn signed_with(source: &Sender, key: &SigningKey<'_>, body: &[u8]) -> (Head, Vec<u8>) {
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

/// A P-256 key that nobody uses.
pub const EC_PRIVATE_PEM: &str = include_str!("../../tests/keys/p256.pem");

/// An RSA key that nobody uses.
pub const RSA_PRIVATE_PEM: &str = include_str!("../../tests/keys/rsa.pem");

/// Its public side.
pub fn rsa_public_pem() -> String {
    include_str!("../../tests/keys/rsa.pub.pem").to_owned()
}

/// The public side of [`EC_PRIVATE_PEM`] as a JSON Web Key.
pub fn ec_jwk(id: &str) -> String {
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
