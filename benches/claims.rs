//! The cost of a claim: claims and settles per second, by store and by threads; then, for stores
//! that keep ids themselves, the cost of a million ids in memory and at a restart.
//!
//! It starts its own Redis on a free port; without `redis-server` that part is skipped.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot start should say so, and it prints what it finds"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use hookward_claims::{
    ClaimRequest, ClaimStore, ClaimTerms, Claimable, Claims, DiskStore, Hold, Intent, MemoryStore,
    RedisStore,
};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_secret::Secret;
use hookward_time::{Clock, SystemClock};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Claims under way at the same time.
const AT_ONCE: [usize; 2] = [1, 64];

const MILLION: u64 = 1_000_000;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// An event, as if it were proven.
struct Event(SourceName, EventId);

impl Claimable for Event {
    fn source(&self) -> &SourceName {
        &self.0
    }

    fn event_id(&self) -> &EventId {
        &self.1
    }
}

/// Takes `count` events of their own and settles each as delivered.
async fn deliver(claims: Arc<Claims<()>>, count: u64) {
    let erp = [(UpstreamName::from("erp"), Duration::from_secs(40))];
    for _ in 0..count {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed).to_string();
        let event = Event("shop".into(), id.into());
        let terms = ClaimTerms {
            alias: None,
            destinations: &erp,
            fingerprint: 1,
            ttl: Duration::from_hours(96),
            uncertain_hold: Duration::from_secs(30),
            intent: Intent::Claim,
            within: Duration::from_secs(5),
        };
        for hold in claims.take(ClaimRequest::of(&event, terms)).await.expect("the store answers") {
            if let Hold::Won(claim) = hold {
                claim.delivered(Arc::new(())).await;
            }
        }
    }
}

fn rates(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let redis = Redis::start();
    let mut stores: Vec<Arc<dyn ClaimStore>> =
        vec![Arc::new(MemoryStore::new(MILLION, clock())), Arc::new(open_disk(folder.path()))];
    if let Some(redis) = &redis {
        stores.push(Arc::new(runtime.block_on(redis.open())));
    }
    let mut group = criterion.benchmark_group("claim and settle");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for store in stores {
        let name = store.name();
        let claims = runtime.block_on(async { Claims::new(store, clock()) });
        for at_once in AT_ONCE {
            group.bench_function(BenchmarkId::new(name, format!("{at_once} at once")), |bencher| {
                bencher.iter_custom(|count| {
                    let clock = clock();
                    let share = count.div_ceil(at_once as u64);
                    let began = clock.monotonic();
                    runtime.block_on(async {
                        let tasks: Vec<_> = (0..at_once)
                            .map(|_| tokio::spawn(deliver(Arc::clone(&claims), share)))
                            .collect();
                        for task in tasks {
                            task.await.expect("no panic");
                        }
                    });
                    clock.monotonic().saturating_sub(began)
                });
            });
        }
    }
}

/// Figures that are taken once, because a million ids are too many to take them often.
fn million() {
    let runtime = runtime();
    let timed = |work: &mut dyn FnMut()| {
        let clock = clock();
        work();
        clock.monotonic()
    };
    let before = resident_megabytes();
    let claims = runtime
        .block_on(async { Claims::new(Arc::new(MemoryStore::new(MILLION, clock())), clock()) });
    let took = timed(&mut || runtime.block_on(deliver(Arc::clone(&claims), MILLION)));
    let entries = runtime.block_on(claims.store().entries(Duration::from_secs(5)));
    println!(
        "memory: {} ids take {} MB (filled in {took:.1?})",
        entries.expect("the store answers"),
        resident_megabytes() - before
    );
    drop(claims);

    let folder = tempfile::tempdir().expect("a folder");
    let claims =
        runtime.block_on(async { Claims::new(Arc::new(open_disk(folder.path())), clock()) });
    let took = timed(&mut || runtime.block_on(deliver(Arc::clone(&claims), MILLION)));
    println!("disk: filled in {took:.1?}");
    drop(claims);
    let size = std::fs::metadata(folder.path().join("ids.redb")).expect("the file").len() >> 20;
    let mut store = None;
    let took = timed(&mut || store = Some(open_disk(folder.path())));
    let entries = store.map(|store| runtime.block_on(store.entries(Duration::from_secs(5))));
    println!("disk: a restart with {entries:?} ids in {size} MB took {took:.1?}");
}

fn open_disk(folder: &Path) -> DiskStore {
    DiskStore::open(folder, MILLION, clock()).expect("the folder is ours")
}

fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = kilobytes.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) >> 10
}

struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn();
        process.ok().map(|process| Self { process, port })
    }

    async fn open(&self) -> RedisStore {
        let url = Secret::from(format!("redis://127.0.0.1:{}/0", self.port));
        for _ in 0..100 {
            let store =
                RedisStore::open(&url, None, "bench:", clock(), Duration::from_secs(1)).await;
            if let Ok(store) = store {
                return store;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        RedisStore::open(&url, None, "bench:", clock(), Duration::from_secs(1))
            .await
            .expect("the server answers")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _already_waited_for = self.process.wait();
    }
}

criterion_group!(benches, rates);

fn main() {
    // Without it this is a test of the benchmark, which need not take long.
    if std::env::args().any(|argument| argument == "--bench") {
        million();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
