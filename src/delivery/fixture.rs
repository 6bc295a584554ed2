//! Sources and requests for tests, described as in a configuration.

use crate::delivery::source::Source;
use crate::field_lines::FieldLines;
use crate::request::RequestHead;
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use hookward_verify::keys::Keys;
use hookward_verify::scheme::{
    Place, Scheme, SignatureRule, Template, TimeFormat, TimestampPlace, TimestampRule,
};
use hookward_verify::sender::Sender;
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use http::{HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A source with the defaults of the contract: hmac-sha256, hex, over the body, in `header`, which
/// may be `json:/POINTER` as well.
pub(crate) fn source(header: &str) -> Source {
    let key = if header.starts_with("json:") { "from" } else { "header" };
    let scheme = format!(
        "[signature]\n{key} = \"{header}\"\n[event]\nid = [\"json:/id\"]\ntype = [\"json:/type\"]\n"
    );
    let scheme = Scheme::from_toml(&scheme).expect("a scheme");
    let sender = Sender::new(scheme, ["topsecret"]).expect("keys");
    let sender = sender.with_public_url("https://hooks.example.com/acme");
    Source::new("acme", "/acme".to_owned(), sender, Duration::from_hours(1))
}

pub(crate) fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn places(texts: &[&str]) -> Vec<Place> {
    texts.iter().map(|text| Place::parse(text).expect("a place")).collect()
}

impl Source {
    pub(crate) fn with_rule(mut self, change: impl FnOnce(&mut SignatureRule)) -> Self {
        change(&mut self.sender.scheme.signature);
        self.with_keys()
    }

    pub(crate) fn with_timestamp(mut self, from: &str, format: TimeFormat) -> Self {
        self.sender.scheme.timestamp = Some(TimestampRule {
            from: TimestampPlace::parse(from).expect("a place"),
            format,
            max_age: Some(Duration::from_mins(5)),
            max_ahead: Duration::from_mins(1),
        });
        self
    }

    pub(crate) fn with_id(mut self, places_of_id: &[&str]) -> Self {
        self.sender.scheme.event.id = places(places_of_id);
        self
    }

    pub(crate) fn with_type(mut self, places_of_type: &[&str]) -> Self {
        self.sender.scheme.event.kind = places(places_of_type);
        self
    }

    pub(crate) fn with_secrets(mut self, texts: &[&str]) -> Self {
        let secret = |(index, text): (usize, &&str)| NamedSecret {
            label: index.to_string(),
            text: Secret::from((*text).to_owned()),
        };
        self.sender.secrets = texts.iter().enumerate().map(secret).collect();
        self.with_keys()
    }

    /// Recreates its keys. If a secret is not a key, there are none.
    fn with_keys(mut self) -> Self {
        let keys = Keys::new(&self.sender.secrets, &self.sender.scheme.signature);
        self.sender.keys = keys.map_err(|why| why.to_string());
        self
    }
}

/// A `POST` to the source with these header lines.
pub(crate) fn head<N: AsRef<str>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> RequestHead {
    let mut headers = FieldLines::default();
    for (name, value) in lines {
        headers.push(
            &HeaderName::try_from(name.as_ref()).expect("a name"),
            &HeaderValue::from_bytes(value.as_ref()).expect("a value"),
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

/// What the sender would send at [`NOW`] with the first secret: head and body.
pub(crate) fn signed_by(source: &Source, body: &[u8]) -> (RequestHead, Vec<u8>) {
    let secret = source.sender.secrets.first().expect("a secret");
    signed_with(source, &SigningKey::Shared(secret), body)
}

/// As [`signed_by`], with another key.
pub(crate) fn signed_with(
    source: &Source,
    key: &SigningKey<'_>,
    body: &[u8],
) -> (RequestHead, Vec<u8>) {
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("t"),
        path: &source.path,
        at: NOW,
        query: None,
        body,
    };
    let signed = sign(&source.sender, key, &request).expect("signed");
    (head(&signed.headers), signed.body.unwrap_or_else(|| body.to_vec()))
}
