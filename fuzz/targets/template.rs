//! The text of a signed template → what both sides fill it with.

use hookward::config::{Config, SecretReader};
use hookward::delivery::source::Source;
use hookward::request::RequestHead;
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::scheme::{Part, Place, Template, TimestampPlace};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use hookward_verify::verify::check;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

const SOURCE: &str = r#"
[upstreams.erp]
url = "http://127.0.0.1:9"
[sources.acme]
path = "/acme"
public_url = "https://hooks.example.com/acme"
secrets = [{ env = "ANY" }]
[sources.acme.signature]
header = "X-Sig"
[sources.acme.timestamp]
from = "header:X-Time"
[sources.acme.event]
id = ["header:X-Id"]
type = ["header:X-Type"]
[[sources.acme.routes]]
events = ["*"]
to = ["erp"]
"#;

struct Fixed;

impl SecretReader for Fixed {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(Secret::from("a-secret-of-more-than-16-bytes".to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn source() -> Source {
    let loaded = Config::parse(SOURCE, "fuzz.toml", Path::new("/nowhere"), &Fixed);
    let (mut config, _) = loaded.expect("a configuration");
    config.sources.remove(0)
}

static ACME: LazyLock<Mutex<Source>> = LazyLock::new(|| Mutex::new(source()));

/// Before the first line end stands a template (and places of an event and a timestamp are tried
/// on the same text), behind it a body. What parses prints as it was read, and what one side signs
/// the other verifies, and nothing else with it.
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

    let mut source = ACME.lock().unwrap_or_else(PoisonError::into_inner);
    source.sender.scheme.signature.signed = template;
    let secret = source.sender.secrets.first().expect("a secret").clone();
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("t"),
        path: &source.path,
        at: UnixMillis(1_700_000_000_000),
        query: Some("a=1&b"),
        body,
    };
    let Ok(signed) = sign(&source.sender, &SigningKey::Shared(&secret), &request) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.append(
            HeaderName::try_from(name).expect("a name"),
            HeaderValue::try_from(value).expect("a value"),
        );
    }
    let mut head = RequestHead {
        method: Method::POST,
        path: source.path.clone(),
        query: Some("a=1&b".to_owned()),
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".to_owned(),
        secure: true,
    };
    let keys = source.sender.keys.as_ref().expect("keys");
    assert!(
        check(&source.sender, keys, head.view(), body).is_ok(),
        "what was signed is not verified"
    );
    if source.sender.scheme.signature.signed.any(|part| matches!(part, Part::Body)) {
        let longer = [body, b"."].concat();
        assert!(
            check(&source.sender, keys, head.view(), &longer).is_err(),
            "another body is verified"
        );
    }
    head.headers.insert("x-sig", HeaderValue::from_static("00"));
    assert!(check(&source.sender, keys, head.view(), body).is_err());
}
