//! Sources and requests for tests, spelled as a configuration would spell them.

use super::Keys;
use crate::delivery::source::{Answers, Mode, Source, Unrouted};
use crate::request::RequestHead;
use crate::scheme::{
    Algorithm, Encoding, EventRule, KeyForm, Place, Scheme, SignatureRule, Template, TimeFormat,
    TimestampPlace, TimestampRule,
};
use crate::sign::{SignRequest, SigningKey, sign};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A source with the defaults of the contract: hmac-sha256, hex, over the body, in `header`.
pub(crate) fn source(header: &str) -> Source {
    Source {
        name: "acme".into(),
        path: "/acme".to_owned(),
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
        unreadable: Vec::new(),
        keys: Err("not made".to_owned()),
        respond_within: Duration::from_secs(10),
        answers: Answers::Full,
        unrouted: Unrouted::Accept,
        mode: Mode::Enforce,
        allow: Vec::new(),
        rate_limit: None,
        pass_headers: Vec::new(),
        replay_guard: false,
        public_url: Some("https://hooks.example.com/acme".to_owned()),
        dedupe_ttl: Duration::from_hours(1),
        routes: Vec::new(),
    }
    .with_secrets(&["topsecret"])
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

impl Source {
    pub(crate) fn with_rule(mut self, change: impl FnOnce(&mut SignatureRule)) -> Self {
        change(&mut self.scheme.signature);
        self
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
        self
    }

    /// The keys of its secrets under its rule.
    pub(crate) fn new_keys(&self) -> Keys {
        Keys::new(&self.secrets, &self.scheme.signature).expect("keys")
    }
}

/// A `POST` to the source with these header lines.
pub(crate) fn head<N: AsRef<str>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> RequestHead {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::try_from(name.as_ref()).expect("a name"),
            HeaderValue::from_bytes(value.as_ref()).expect("a value"),
        );
    }
    RequestHead {
        method: Method::POST,
        path: "/acme".to_owned(),
        query: None,
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".to_owned(),
        secure: true,
    }
}

/// HMAC-SHA1, for tests that sign by themselves.
pub(crate) fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What the sender would send at [`NOW`] with the first secret: head and body.
pub(crate) fn signed_by(source: &Source, body: &[u8]) -> (RequestHead, Vec<u8>) {
    let secret = source.secrets.first().expect("a secret");
    signed_with(source, &SigningKey::Shared(secret), body)
}

pub(crate) fn signed_with(
    source: &Source,
    key: &SigningKey<'_>,
    body: &[u8],
) -> (RequestHead, Vec<u8>) {
    let request =
        SignRequest { id: Some("evt_1"), event_type: Some("t"), at: NOW, query: None, body };
    let signed = sign(source, key, &request).expect("signed");
    (head(&signed.headers), signed.body.unwrap_or_else(|| body.to_vec()))
}
