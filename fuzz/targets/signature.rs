//! Forged requests → a refusal, whatever they say, for schemes of every shape.

use hookward::config::{Config, SecretReader};
use hookward::delivery::source::Source;
use hookward::request::RequestHead;
use hookward_secret::Secret;
use hookward_verify::verify::{SignatureCheck, check};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;

/// Preset, secret (as [`Fixed`] knows it) and further keys of each source.
const SCHEMES: [(&str, &str, &str); 9] = [
    ("opentiendas", "TEXT", ""),
    ("stripe", "TEXT", ""),
    ("standard-webhooks", "BASE64", ""),
    ("discord", "ED25519", ""),
    ("sendgrid", "P256", ""),
    ("gitlab", "TEXT", ""),
    ("twilio", "TEXT", "public_url = \"https://hooks.example.com/\""),
    ("mailgun", "TEXT", ""),
    ("slack", "TEXT", "replay_guard = \"signature\""),
];

struct Fixed;

impl SecretReader for Fixed {
    fn environment(&self, name: &str) -> Option<Secret> {
        let text = match name {
            "TEXT" => "w7Jx0Zq3nB5tRk8mVd2yHs6uPf4gLc1a",
            "BASE64" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            // The first test vector of RFC 8032, and a P-256 key of SendGrid's documentation.
            "ED25519" => "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "P256" => {
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1\
                 flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
            }
            _ => return None,
        };
        Some(Secret::from(text.to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut text = "[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n".to_owned();
    for (preset, secret, keys) in SCHEMES {
        let table = format!(
            "[sources.{preset}]\npath = \"/{preset}\"\npreset = \"{preset}\"\n\
             secrets = [{{ env = \"{secret}\" }}]\n{keys}\n\
             [[sources.{preset}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
        );
        text.push_str(&table);
    }
    let loaded = Config::parse(&text, "fuzz.toml", Path::new("/nowhere"), &Fixed);
    let (config, _) = loaded.unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    config.sources
});

/// The first byte chooses the scheme; then come lines as `Name: value`, an empty line, the body.
/// Nothing may panic and nothing may be found genuine, whole or in pieces.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, request)) = data.split_first() else { return };
    let source = &SOURCES[usize::from(*choice) % SOURCES.len()];
    let (head, body) = split(request);
    let keys = source.sender.keys.as_ref().expect("keys");
    let at_once = check(&source.sender, keys, head.view(), body);
    assert!(at_once.is_err(), "a forged request was taken for genuine");
    let mut in_pieces = SignatureCheck::begin(&source.sender, keys, head.view());
    for chunk in body.chunks(7) {
        in_pieces.update(chunk);
    }
    let in_pieces = in_pieces.finish(body);
    assert_eq!(at_once.err().map(|fault| fault.kind()), in_pieces.err().map(|fault| fault.kind()));
}

fn split(request: &[u8]) -> (RequestHead, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = request;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = rest[..end].trim_ascii();
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let head = RequestHead {
        method: Method::POST,
        path: "/".to_owned(),
        query: headers.get("query").and_then(|q| q.to_str().ok()).map(str::to_owned),
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".to_owned(),
        secure: true,
    };
    (head, rest)
}
