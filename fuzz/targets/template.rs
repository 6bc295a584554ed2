//! The text of a signed template → its expansion on both sides.

use hookward_verify::scheme::{Part, Place, Template, TimestampPlace};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use hookward_verify::{Request, Scheme, Sender, UnixMillis, verify};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::{LazyLock, Mutex, PoisonError};

const SCHEME: &str = r#"
[signature]
header = "X-Sig"
[timestamp]
from = "header:X-Time"
[event]
id = ["header:X-Id"]
type = ["header:X-Type"]
"#;

static ACME: LazyLock<Mutex<Sender>> = LazyLock::new(|| {
    let scheme = Scheme::from_toml(SCHEME).expect("a scheme");
    let sender = Sender::new(scheme, ["a-secret-of-more-than-16-bytes"]).expect("keys");
    Mutex::new(sender.with_public_url("https://hooks.example.com/acme"))
});

/// The first line is a template (also parsed as places of an event and a timestamp), the rest is a
/// body. A parsed template prints as it was read, and one side verifies exactly what the other
/// signs.
pub(crate) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, body) = data.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(place) = Place::parse(text) {
        assert_eq!(Place::parse(&place.to_string()), Ok(place));
    }
    if let Ok(place) = TimestampPlace::parse(text) {
        assert_eq!(TimestampPlace::parse(&place.to_string()), Ok(place));
    }
    let Ok(template) = Template::parse(text) else { return };
    assert_eq!(Template::parse(&template.to_string()).expect("it was printed"), template);
    // A signature cannot sign itself, and the sender's side sends no headers of its own choice.
    if template.any(|part| matches!(part, Part::Header(_))) {
        return;
    }

    let mut sender = ACME.lock().unwrap_or_else(PoisonError::into_inner);
    sender.scheme.signature.signed = template;
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("t"),
        path: "/acme",
        at: UnixMillis(1_700_000_000_000),
        query: Some("a=1&b"),
        body,
    };
    let key = SigningKey::Shared(&sender.secrets[0]);
    let Ok(signed) = sign(&sender, &key, &request) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.append(
            HeaderName::try_from(name).expect("a name"),
            HeaderValue::try_from(value).expect("a value"),
        );
    }
    let judge = |headers: &HeaderMap, body: &[u8]| {
        let query = Some("a=1&b");
        verify(&sender, Request { method: &Method::POST, path: "/acme", query, headers }, body)
    };
    assert!(judge(&headers, body).is_ok(), "what was signed is not verified");
    if sender.scheme.signature.signed.any(|part| matches!(part, Part::Body)) {
        let longer = [body, b"."].concat();
        assert!(judge(&headers, &longer).is_err(), "another body is verified");
    }
    headers.insert("x-sig", HeaderValue::from_static("00"));
    assert!(judge(&headers, body).is_err());
}
