//! Compares the cost of forged and repeated deliveries with a good one, from head to answer,
//! without the network.

#![expect(missing_docs, reason = "criterion makes public functions")]
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot start should say so"
)]

use async_trait::async_trait;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hookward::config::{Config, SecretReader};
use hookward::delivery::gate::{SharedState, Snapshot};
use hookward::delivery::lifecycle;
use hookward::delivery::source::Source;
use hookward::field_lines::FieldLines;
use hookward::outcome::Outcome;
use hookward::request::{Body, BodyError, BodySource, RequestHead};
use hookward::telemetry::metrics::Metrics;
use hookward::upstream::{
    Forwarded, Forwarder, Forwarders, ReplyBody, UpstreamAnswer, UpstreamRequest,
};
use hookward_claims::{Claims, MemoryStore};
use hookward_names::UpstreamName;
use hookward_secret::Secret;
use hookward_time::{Clock, SystemClock};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use http::{HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Builder;

const TEXT: &str = "[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n[sources.shop]\npath = \"/shop\"\n\
                    preset = \"opentiendas\"\nsecrets = [{ env = \"SHOP\" }]\n\
                    [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n";

struct Secrets;

impl SecretReader for Secrets {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(Secret::from("a-secret-of-more-than-16-bytes".to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// A destination that accepts at once.
struct Accepts;

impl Forwarders for Accepts {
    fn forwarder(&self, _: &UpstreamName) -> Option<Arc<dyn Forwarder>> {
        Some(Arc::new(Self))
    }
}

#[async_trait]
impl Forwarder for Accepts {
    async fn forward(&self, _: &UpstreamRequest) -> Forwarded {
        Forwarded::Answered(UpstreamAnswer {
            status: 200,
            headers: http::HeaderMap::new(),
            body: ReplyBody::Whole(bytes::Bytes::new()),
        })
    }
}

/// A body that is there already.
struct Ready(bytes::Bytes);

#[async_trait]
impl BodySource for Ready {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        seen(&self.0);
        Ok(Body { bytes: self.0.clone(), held: None })
    }
}

fn configuration() -> Config {
    Config::parse(TEXT, "bench.toml", Path::new("/nowhere"), &Secrets).expect("a configuration").0
}

fn delivery(source: &Source, clock: &dyn Clock, number: u64) -> (RequestHead, Ready) {
    let at = clock.wall();
    let body = format!(
        "{{\"event_id\":\"{number}\",\"type\":\"order.paid\",\"created_at\":\"{}\",\"data\":\"{}\"}}",
        at.to_rfc3339(),
        "x".repeat(1000)
    );
    let request = SignRequest {
        id: None,
        event_type: None,
        path: &source.path,
        at,
        query: None,
        body: body.as_bytes(),
    };
    let key = SigningKey::Shared(source.sender.secrets.first().expect("a secret"));
    let signed = sign(&source.sender, &key, &request).expect("signed");
    let mut headers = FieldLines::default();
    for (name, value) in signed.headers {
        headers.push(
            &HeaderName::try_from(name).expect("a name"),
            &HeaderValue::try_from(value).expect("a value"),
        );
    }
    let head = RequestHead {
        method: Method::POST,
        path: "/shop".to_owned(),
        query: None,
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".to_owned(),
        secure: true,
    };
    (head, Ready(body.into()))
}

pub fn admission(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let source = configuration().sources.remove(0);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let store = Arc::new(MemoryStore::new(1_000_000, clock.clone()));
    let claims = Claims::new(store, clock.clone());
    let snapshot = Snapshot::new(configuration(), &Accepts, &metrics, &clock, None);
    let gate = SharedState::new(clock.clone(), metrics, claims, snapshot);

    let mut group = criterion.benchmark_group("admission");
    let mut number = 0;
    group.bench_function("good", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                delivery(&source, &*clock, number)
            },
            |(head, mut body)| {
                let answer = runtime.block_on(lifecycle::deliver(&gate, &head, &mut body));
                assert_eq!(answer.outcome(), Outcome::Delivered);
            },
            BatchSize::SmallInput,
        );
    });
    number += 1;
    let (head, body) = delivery(&source, &*clock, number);
    drop(runtime.block_on(lifecycle::deliver(&gate, &head, &mut Ready(body.0.clone()))));
    group.bench_function("duplicate", |bencher| {
        bencher.iter(|| {
            let mut body = Ready(body.0.clone());
            let answer = runtime.block_on(lifecycle::deliver(&gate, &head, &mut body));
            assert_eq!(answer.outcome(), Outcome::Duplicate);
        });
    });
    let forged = [("forged", "sha256=", "0"), ("malformed", "", "z")];
    for (name, prefix, digit) in forged {
        let (mut head, body) = delivery(&source, &*clock, 0);
        let value = format!("{prefix}{}", digit.repeat(64));
        let signature = HeaderName::from_static("x-signature");
        head.headers.set(&signature, &HeaderValue::try_from(value).expect("a value"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut body = Ready(body.0.clone());
                let answer = runtime.block_on(lifecycle::deliver(&gate, &head, &mut body));
                assert_eq!(answer.outcome(), Outcome::Rejected);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
