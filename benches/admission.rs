//! What a whole delivery costs apart from the network: head and body in, answer out, through
//! verification, claim, forwarding to nowhere, counters and log (switched off). Genuine, repeated
//! and forged.

#![expect(missing_docs, reason = "criterion makes public functions")]
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot start should say so"
)]

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use hookward::clock::{Clock, SystemClock};
use hookward::config::{Config, SecretReader};
use hookward::dedupe::{Claims, MemoryStore};
use hookward::gate::{Gate, Snapshot};
use hookward::metrics::Metrics;
use hookward::outcome::Outcome;
use hookward::request::{Body, BodyError, BodySource, RequestHead};
use hookward::secret::Secret;
use hookward::sign::{SignRequest, SigningKey, sign};
use hookward::upstream::{Forwarded, Forwarder, ReplyBody, UpstreamAnswer, UpstreamRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CONFIGURATION: &str = r#"
[upstreams.erp]
url = "http://127.0.0.1:9"
[sources.shop]
path = "/shop"
preset = "opentiendas"
secrets = [{ env = "SECRET" }]
[[sources.shop.routes]]
events = ["order.*"]
to = ["erp"]
"#;

/// The size of most events, and one that is large.
const SIZES: [usize; 2] = [2 << 10, 64 << 10];

struct OneSecret;

impl SecretReader for OneSecret {
    fn environment(&self, _name: &str) -> Option<Secret> {
        Some(Secret::from("a-secret-of-more-than-16-bytes".to_owned()))
    }

    fn file(&self, _path: &Path) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A destination that has everything at once.
struct Nowhere;

#[async_trait]
impl Forwarder for Nowhere {
    async fn forward(&self, _upstream: &str, _request: UpstreamRequest) -> Forwarded {
        Forwarded::Answered(UpstreamAnswer {
            status: 200,
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Bytes::new()),
        })
    }
}

struct Whole(Bytes);

#[async_trait]
impl BodySource for Whole {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        seen(&self.0);
        Ok(Body { bytes: self.0.clone(), held: None })
    }
}

fn gate() -> Gate {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (config, _) = Config::parse(CONFIGURATION, "bench.toml", Path::new(""), &OneSecret)
        .expect("a configuration");
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let store = Arc::new(MemoryStore::new(1_000_000, Arc::clone(&clock)));
    let claims = Claims::new(store, Arc::clone(&clock));
    let snapshot = Snapshot::new(config, Arc::new(Nowhere), &metrics, &clock, None);
    Gate::new(clock, metrics, claims, snapshot)
}

/// A signed delivery of an event with this id.
fn delivery(gate: &Gate, id: u64, size: usize) -> (RequestHead, Whole) {
    let snapshot = gate.snapshot();
    let source = snapshot.sources.named("shop").expect("the source");
    let at = gate.clock.wall();
    let time = at.to_rfc3339();
    let mut body =
        format!(r#"{{"event_id":"{id}","type":"order.created","created_at":"{time}","data":""#);
    body.extend(std::iter::repeat_n('x', size.saturating_sub(body.len() + 2)));
    body.push_str("\"}");
    let key = SigningKey::Shared(source.secrets.first().expect("a secret"));
    let request =
        SignRequest { id: None, event_type: None, at, query: None, body: body.as_bytes() };
    let signed = sign(source, &key, &request).expect("signed");
    let headers = signed.headers.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).expect("a name");
        (name, HeaderValue::try_from(value).expect("a value"))
    });
    let head = RequestHead {
        method: Method::POST,
        path: "/shop".to_owned(),
        query: None,
        headers: headers.collect(),
        client: Ipv4Addr::LOCALHOST.into(),
        via: None,
        host: "hooks.example.com".to_owned(),
        secure: true,
    };
    (head, Whole(body.into()))
}

pub fn admission(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let gate = runtime.block_on(async { gate() });
    let next_id = AtomicU64::new(0);
    let new = |size| delivery(&gate, next_id.fetch_add(1, Ordering::Relaxed), size);
    let deliver = |(head, mut body): (RequestHead, Whole)| {
        runtime.block_on(gate.deliver(&head, &mut body)).outcome
    };
    let mut group = criterion.benchmark_group("admission");
    for size in SIZES {
        group.bench_function(BenchmarkId::new("genuine", size), |bencher| {
            bencher.iter_batched(
                || new(size),
                |sent| assert_eq!(deliver(sent), Outcome::Delivered),
                BatchSize::SmallInput,
            );
        });
        let (head, body) = new(size);
        deliver((head.clone(), Whole(body.0.clone())));
        group.bench_function(BenchmarkId::new("duplicate", size), |bencher| {
            bencher.iter(|| {
                let again = (head.clone(), Whole(body.0.clone()));
                assert_eq!(deliver(again), Outcome::Duplicate);
            });
        });
        let mut forged = head.clone();
        let signature = HeaderValue::from_static(
            "sha256=0000000000000000000000000000000000000000000000000000000000000000",
        );
        forged.headers.insert("x-signature", signature);
        group.bench_function(BenchmarkId::new("forged", size), |bencher| {
            bencher.iter(|| {
                let again = (forged.clone(), Whole(body.0.clone()));
                assert_eq!(deliver(again), Outcome::Rejected);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
