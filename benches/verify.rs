//! The cost of a delivery before it is forwarded: its signature, by size of the body, and reading
//! its envelope.

#![expect(missing_docs, reason = "criterion makes public functions")]
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot start should say so"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookward_time::UnixMillis;
use hookward_verify::event::Event;
use hookward_verify::request::Request;
use hookward_verify::scheme::Scheme;
use hookward_verify::sender::Sender;
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use hookward_verify::verify::SignatureCheck;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::hint::black_box;

const SIZES: [usize; 4] = [100, 4 << 10, 64 << 10, 1 << 20];

fn sender() -> Sender {
    let scheme = Scheme::from_toml(
        r#"
        [signature]
        header = "X-Sig"
        prefix = "sha256="
        [event]
        id = ["json:/event_id", "json:/id"]
        type = ["json:/type"]
        time = ["json:/created_at"]
        "#,
    );
    let secrets = ["newest-secret-of-two", "older-secret-of-two"];
    Sender::new(scheme.expect("a scheme"), secrets).expect("keys")
}

/// An order of about `size` bytes, whose envelope stands before and behind its data.
fn body(size: usize) -> Vec<u8> {
    let head = r#"{"event_id":"0b8a2c70-7c0d-4a52-9f52-3d3a9a2f2d11","data":{"lines":["#;
    let tail = r#"]},"type":"order.created","created_at":"2023-11-14T22:13:20Z"}"#;
    let line = r#"{"sku":"AB-1204","quantity":2,"price":"19.90","note":"caf\u00e9"}"#;
    let room = size.saturating_sub(head.len() + tail.len() + line.len());
    let lines = vec![line; room / (line.len() + 1) + 1];
    format!("{head}{}{tail}", lines.join(",")).into_bytes()
}

fn headers(sender: &Sender, body: &[u8]) -> HeaderMap {
    let secret = sender.secrets.first().expect("a secret");
    let at = UnixMillis(1_700_000_000_000);
    let request = SignRequest { id: None, event_type: None, path: "/bench", at, query: None, body };
    let signed = sign(sender, &SigningKey::Shared(secret), &request).expect("signed");
    let lines = signed.headers.into_iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).expect("a name");
        (name, HeaderValue::try_from(value).expect("a value"))
    });
    lines.collect()
}

const fn request(headers: &HeaderMap) -> Request<'_> {
    Request { method: &Method::POST, path: "/bench", query: None, headers }
}

pub fn verify(c: &mut Criterion) {
    let sender = sender();
    let mut group = c.benchmark_group("verify, two secrets");
    for size in SIZES {
        let body = body(size);
        let headers = headers(&sender, &body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &body, |b, body| {
            b.iter(|| {
                let mut check = SignatureCheck::begin(&sender, request(&headers)).expect("keys");
                body.chunks(64 << 10).for_each(|chunk| check.update(chunk));
                check.finish(black_box(body)).expect("genuine")
            });
        });
    }
    group.finish();
}

pub fn envelope(c: &mut Criterion) {
    let sender = sender();
    let mut group = c.benchmark_group("envelope");
    for size in SIZES {
        let body = body(size);
        let headers = headers(&sender, &body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &body, |b, body| {
            b.iter(|| {
                Event::read_unproven(&sender, request(&headers), black_box(body), None)
                    .expect("an event")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, verify, envelope);
criterion_main!(benches);
