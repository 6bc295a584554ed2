//! Properties of every request and every configuration, not only of known examples.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up fails with a message"
)]

use hookward::config::{Config, SecretReader, StoreSettings};
use hookward::delivery::source::Source;
use hookward::edge::Door;
use hookward::field_lines::FieldLines;
use hookward::operator::runtime::Runtime;
use hookward::request::{Body, BodyError, BodySource, RequestHead};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::{Clock, SystemClock, UnixMillis};
use hookward_verify::scheme::{Part, TimestampPlace};
use hookward_verify::sign::{SignRequest, SigningKey, sample_body, sign};
use hookward_verify::verify::verify;
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// 2026-03-16T10:20:30Z.
const NOW: UnixMillis = UnixMillis(1_773_656_430_000);

const TEXT: &str = "w7Jx0Zq3nB5tRk8mVd2yHs6uPf4gLc1a";

/// Every environment variable holds the secret of its name's kind.
struct Secrets;

impl SecretReader for Secrets {
    fn environment(&self, name: &str) -> Option<Secret> {
        let text = match name {
            "BASE64" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            "ED25519" => format!("whpk_{}", data_encoding::BASE64.encode(&public_key())),
            _ => TEXT.to_owned(),
        };
        Some(Secret::from(text))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

const PRIVATE_KEY: [u8; 32] = [7; 32];

fn public_key() -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(&PRIVATE_KEY).verifying_key().to_bytes()
}

fn configuration(preset: &str, secret: &str, upstream: &str) -> Config {
    let text = format!(
        "[upstreams.erp]\nurl = \"http://{upstream}\"\n[sources.any]\npath = \"/any\"\n\
         preset = \"{preset}\"\nsecrets = [{{ env = \"{secret}\" }}]\n\
         public_url = \"https://hooks.example.com/any\"\n\
         [[sources.any.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    );
    let loaded = Config::parse(&text, "property.toml", Path::new("/nowhere"), &Secrets);
    loaded.map_err(|problems| format!("{preset}: {problems:?}")).expect("a configuration").0
}

fn source(preset: &str, secret: &str) -> Source {
    configuration(preset, secret, "127.0.0.1:9").sources.remove(0)
}

const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

fn head(lines: &[(String, String)]) -> RequestHead {
    let mut headers = FieldLines::default();
    for (name, value) in lines {
        let name = HeaderName::try_from(name).expect("a name");
        headers.push(&name, &HeaderValue::try_from(value).expect("a value"));
    }
    RequestHead {
        method: Method::POST,
        path: "/any".to_owned(),
        query: None,
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".to_owned(),
        secure: true,
    }
}

fn signed(source: &Source, key: &SigningKey<'_>) -> (RequestHead, Vec<u8>) {
    let sample = sample_body(&source.sender, None, "evt_1", "t", NOW).expect("a body");
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("t"),
        path: &source.path,
        at: NOW,
        query: None,
        body: &sample,
    };
    let signed = sign(&source.sender, key, &request).expect("signed");
    (head(&signed.headers), signed.body.unwrap_or(sample))
}

#[test]
fn one_flipped_bit_of_anything_signed_is_never_delivered() {
    for (preset, secret) in [
        ("opentiendas", "TEXT"),
        ("github", "TEXT"),
        ("stripe", "TEXT"),
        ("shopify", "TEXT"),
        ("slack", "TEXT"),
        ("standard-webhooks", "BASE64"),
        ("square", "TEXT"),
        ("paddle", "TEXT"),
        ("zoom", "TEXT"),
        ("hubspot", "TEXT"),
        ("razorpay", "TEXT"),
        ("mailgun", "TEXT"),
        ("standard-webhooks-ed25519", "ED25519"),
    ] {
        let source = source(preset, secret);
        let private = Secret::new(PRIVATE_KEY.to_vec());
        let key = match secret {
            "ED25519" => SigningKey::Private(&private),
            _ => SigningKey::Shared(&source.sender.secrets[0]),
        };
        let (request, body) = signed(&source, &key);
        assert!(
            verify(&source.sender, request.view(), &body).is_ok(),
            "{preset} signs what it verifies"
        );

        let rule = &source.sender.scheme.signature;
        if rule.signed.covers_body() {
            // A public key's check is dear, so not every bit of the body is tried there.
            let step = if secret == "ED25519" { 37 } else { 1 };
            for bit in (0..body.len() * 8).step_by(step) {
                let mut altered = body.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                let met = verify(&source.sender, request.view(), &altered);
                assert!(met.is_err(), "{preset}: bit {bit} of the body");
            }
        }
        for (name, value) in request.headers.iter() {
            let name = &HeaderName::from_bytes(name).expect("a name");
            let is_signed = rule.signed.any(|part| matches!(part, Part::Header(n) if n == name))
                || (source.sender.scheme.signs_timestamp()
                    && source.sender.scheme.timestamp.as_ref().is_some_and(
                        |rule| matches!(&rule.from, TimestampPlace::Header(n) if n == name),
                    ));
            let holds_signature = rule.places.iter().any(
                |place| matches!(place, hookward_verify::scheme::Place::Header(n) if n == name),
            );
            if !is_signed && !holds_signature {
                continue;
            }
            for bit in 0..value.len() * 8 {
                let mut altered = value.to_vec();
                altered[bit / 8] ^= 1 << (bit % 8);
                let same = altered.eq_ignore_ascii_case(value)
                    && rule.encoding == hookward_verify::scheme::Encoding::Hex;
                let Ok(altered) = HeaderValue::from_bytes(&altered) else { continue };
                let mut request = request.clone();
                request.headers.set(name, &altered);
                let met = verify(&source.sender, request.view(), &body);
                assert!(met.is_err() || same, "{preset}: bit {bit} of {name}");
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let real = source("standard-webhooks-ed25519", "ED25519");
    // The same headers, signed by HMAC with what everybody knows.
    let symmetric = source("standard-webhooks", "BASE64");
    for known in [
        format!("whsec_{}", data_encoding::BASE64.encode(&public_key())),
        format!(
            "whsec_{}",
            data_encoding::BASE64
                .encode(format!("whpk_{}", data_encoding::BASE64.encode(&public_key())).as_bytes())
        ),
    ] {
        let known = NamedSecret { label: "0".to_owned(), text: Secret::from(known) };
        let (mut request, body) = signed(&symmetric, &SigningKey::Shared(&known));
        assert!(verify(&real.sender, request.view(), &body).is_err());
        let line = request.headers.text("webhook-signature").unwrap().to_owned();
        let mac = line.strip_prefix("v1,").expect("a signature").to_owned();
        let twice = data_encoding::BASE64.decode(mac.as_bytes()).unwrap().repeat(2);
        for forged in [mac, data_encoding::BASE64.encode(&twice)] {
            let value = HeaderValue::try_from(format!("v1a,{forged}")).unwrap();
            request.headers.set(&WEBHOOK_SIGNATURE, &value);
            assert!(verify(&real.sender, request.view(), &body).is_err());
        }
    }
}

#[test]
fn a_long_list_of_signatures_costs_no_more_than_a_short_one() {
    let source = source("standard-webhooks-ed25519", "ED25519");
    let private = Secret::new(PRIVATE_KEY.to_vec());
    let (request, body) = signed(&source, &SigningKey::Private(&private));
    let good = request.headers.text("webhook-signature").unwrap().to_owned();
    let other = format!("v1a,{} ", data_encoding::BASE64.encode(&[1; 64]));
    for (before, accepted) in [(0, true), (7, true), (8, false), (100, false)] {
        let mut request = request.clone();
        let value = HeaderValue::try_from(format!("{}{good}", other.repeat(before))).unwrap();
        request.headers.set(&WEBHOOK_SIGNATURE, &value);
        assert_eq!(
            verify(&source.sender, request.view(), &body).is_ok(),
            accepted,
            "{before} before it"
        );
    }
}

/// A body that is there already.
struct Ready(Vec<u8>);

#[async_trait::async_trait]
impl BodySource for Ready {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        seen(&self.0);
        Ok(Body { bytes: std::mem::take(&mut self.0).into(), held: None })
    }
}

/// An upstream that keeps the bytes of what it is sent, and says 200.
fn recorder() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let wire = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&wire);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let mut wire = kept.lock().expect("not poisoned");
                    wire.extend_from_slice(&buffer[..count]);
                    if whole(&wire).is_some() {
                        drop(wire);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, wire)
}

/// Header lines, names in lower case.
type Lines = Vec<(String, Vec<u8>)>;

/// Headers and body of the one request that `wire` is, if it is whole.
fn whole(wire: &[u8]) -> Option<(Lines, Vec<u8>)> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(wire).ok()? else { return None };
    let headers: Vec<_> =
        request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect();
    let (_, declared) = headers.iter().find(|(name, _)| name == "content-length")?;
    let declared: usize = std::str::from_utf8(declared).ok()?.parse().ok()?;
    let body = wire.get(length..)?;
    (body.len() >= declared).then(|| (headers, body.to_vec()))
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{1,40}",
        "[\\x00-\\x1f\"\\\\%: ]{1,20}",
        "[a-z]{0,3}\r\n[A-Z][a-z-]{1,10}: [a-z]{1,5}",
        "(\r\n){1,3}POST / HTTP/1.1\r\n",
    ]
}

#[test]
fn no_id_type_or_header_breaks_the_request_that_an_upstream_reads() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (address, wire) = recorder();
    let config = configuration("opentiendas", "TEXT", &address.to_string());
    let source = source("opentiendas", "TEXT");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let built = runtime.block_on(Runtime::build(config, None, Arc::clone(&clock)));
    let served = built.expect("a runtime");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(256));
    let number = std::cell::Cell::new(0);
    let values = prop::collection::vec(any::<u8>(), 0..60);
    runner
        .run(
            &(texts(), texts(), values, "[!#-'*+.^_`|~0-9A-Za-z-]{1,20}"),
            |(id, kind, value, name)| {
                number.set(number.get() + 1);
                let id = format!("{}{id}", number.get());
                let body = serde_json::to_vec(&serde_json::json!({
                    "event_id": id, "type": kind, "created_at": clock.wall().to_rfc3339(),
                }))
                .unwrap();
                let request = SignRequest {
                    id: None,
                    event_type: None,
                    path: &source.path,
                    at: clock.wall(),
                    query: None,
                    body: &body,
                };
                let signed =
                    sign(&source.sender, &SigningKey::Shared(&source.sender.secrets[0]), &request)
                        .unwrap();
                let mut head = head(&signed.headers);
                let name = HeaderName::try_from(name).unwrap();
                let ours = ["x-signature", "content-encoding", "content-length"];
                if let Ok(value) = HeaderValue::from_bytes(&value)
                    && !ours.contains(&name.as_str())
                {
                    head.headers.push(&name, &value);
                }
                wire.lock().unwrap().clear();
                let answer = runtime.block_on(served.deliver(head, &mut Ready(body.clone())));
                prop_assert_eq!(answer.outcome().label(), "delivered", "{:?}", answer.refusal());
                let seen = wire.lock().unwrap().clone();
                let Some((headers, received)) = whole(&seen) else {
                    return Err(TestCaseError::fail(format!(
                        "no request: {}",
                        seen.escape_ascii()
                    )));
                };
                prop_assert_eq!(&received, &body);
                for name in [
                    "host",
                    "content-length",
                    "hookward-source",
                    "hookward-event-id",
                    "hookward-event-type",
                    "hookward-verified-at",
                    "idempotency-key",
                    "x-forwarded-for",
                ] {
                    let lines = headers.iter().filter(|(found, _)| found == name).count();
                    prop_assert_eq!(lines, 1, "{} in {}", name, seen.escape_ascii());
                }
                Ok(())
            },
        )
        .unwrap();
}

/// What an editor may do to a line of a file.
fn altered(line: &str, number: usize) -> String {
    let other =
        ["0", "\"1s\"", "\"96h\"", "true", "[]", "\"1MiB\"", "{}", "\"\"", "\"reject\"", "7"];
    match (number % 5, line.split_once('=')) {
        (0, _) => line.trim_start_matches("# ").to_owned(),
        (1, _) => String::new(),
        (2, Some((key, _))) => format!("{key}= {}", other[number / 5 % other.len()]),
        (3, _) => format!("{line}\n{line}"),
        _ => line.replace('s', "m"),
    }
}

#[test]
fn whatever_check_accepts_can_serve() {
    let reference = include_str!("../config/hookward.toml");
    let lines: Vec<&str> = reference.lines().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut random = fastrand::Rng::with_seed(20_260_316);
    let mut served = 0;
    for _ in 0..600 {
        let mut text: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for _ in 0..=random.usize(..3) {
            let at = random.usize(..text.len());
            text[at] = altered(&text[at], random.usize(..1000));
        }
        let text = text.join("\n");
        let loaded = Config::parse(&text, "property.toml", Path::new("/nowhere"), &Secrets);
        let Ok((config, _)) = loaded else { continue };
        if !matches!(config.dedupe.store, StoreSettings::Memory) {
            continue; // Whether such a store is there, no file can tell.
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let built = runtime.block_on(Runtime::build(config, None, clock));
        assert!(built.is_ok(), "{:?}\n{text}", built.err());
        served += 1;
    }
    assert!(served > 100, "only {served} of them were accepted");
}
