//! Forged requests → always a refusal, for every kind of scheme.

use hookward_verify::{Request, Sender, SignatureCheck, verify};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::LazyLock;

const TEXT: &str = "w7Jx0Zq3nB5tRk8mVd2yHs6uPf4gLc1a";
/// The first test vector of RFC 8032.
const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// A key of `SendGrid`'s documentation.
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1\
                    flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";

/// Preset and secret of each sender.
const SCHEMES: [(&str, &str); 9] = [
    ("opentiendas", TEXT),
    ("stripe", TEXT),
    ("standard-webhooks", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ("discord", ED25519),
    ("sendgrid", P256),
    ("gitlab", TEXT),
    ("twilio", TEXT),
    ("mailgun", TEXT),
    ("slack", TEXT),
];

static SENDERS: LazyLock<Vec<Sender>> = LazyLock::new(|| {
    let sender = |(preset, secret)| {
        let sender = Sender::preset(preset, [secret]).expect(preset);
        Sender { replay_guard: preset == "slack", ..sender }
            .with_public_url("https://hooks.example.com/")
    };
    SCHEMES.map(sender).into()
});

/// The first byte chooses the scheme; then come lines as `Name: value`, an empty line, the body.
/// Nothing may panic and nothing may be found genuine, whole or in pieces.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, request)) = data.split_first() else { return };
    let sender = &SENDERS[usize::from(*choice) % SENDERS.len()];
    let (headers, body) = split(request);
    let query = headers.get("query").and_then(|query| query.to_str().ok());
    let head = Request { method: &Method::POST, path: "/", query, headers: &headers };
    let at_once = verify(sender, head, body);
    assert!(at_once.is_err(), "a forged request was taken for genuine");
    let mut in_pieces = SignatureCheck::begin(sender, head).expect("keys");
    for chunk in body.chunks(7) {
        in_pieces.update(chunk);
    }
    let in_pieces = in_pieces.finish(body);
    assert_eq!(at_once.err().map(|fault| fault.kind()), in_pieces.err().map(|fault| fault.kind()));
}

fn split(request: &[u8]) -> (HeaderMap, &[u8]) {
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
    (headers, rest)
}
