//! What a flood of forged deliveries does to the times of good ones.
//!
//! Starts the binary that it is given, and a receiver of its own; sends good deliveries at a fixed
//! rate, alone and beside a flood, in turns, and prints both with their ratio. The flood comes from a
//! process of its own with the least priority: it stands for other machines, so what it costs to make
//! should not count, as far as one machine can keep that apart.
//!
//! ```console
//! $ make flood
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool that cannot measure says why and ends"
)]

#[path = "measuring/proxy.rs"]
mod proxy;

use hookward_time::{Clock as _, SystemClock};
use proxy::{Connection, Proxy, request, signature};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const GOOD_PER_SECOND: u64 = 500;
const FORGED_PER_SECOND: u64 = 10_000;
const GOOD_CONNECTIONS: u64 = 25;
const FORGED_CONNECTIONS: u64 = 50;
const FORGING_THREADS: u64 = 10;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(6);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().expect("the path of the binary");
    match arguments.next() {
        Some(proxy) if first == FORGE => forge(proxy.parse().expect("an address")),
        _ => measure(&first).await,
    }
}

/// The first argument of the process that makes the flood; the second is where to.
const FORGE: &str = "--forge";

async fn measure(binary: &str) {
    let receiver = receiver().await;
    let directory = tempfile::tempdir().expect("a directory");
    let proxy = start(binary, directory.path(), receiver);
    let numbers = AtomicU64::new(0);
    let good = Arc::new(Good { to: proxy.address, numbers });

    println!("warming up");
    good.clone().deliver_for(Duration::from_secs(3)).await;
    let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let idle = proxy.cpu_time();
        let without = good.clone().deliver_for(ROUND).await;
        let good_only = proxy.cpu_time().saturating_sub(idle);
        let flood = Flood::start(proxy.address);
        sleep(Duration::from_millis(500)).await;
        let (cpu, before) = (proxy.cpu_time(), flood.count());
        let start = Instant::now();
        let with = good.clone().deliver_for(ROUND).await;
        let (took, forged) = (start.elapsed(), flood.count() - before);
        let more = proxy.cpu_time().saturating_sub(cpu).saturating_sub(good_only);
        flood.stop();
        let ratio = Figures::of(without.clone()).ratio(&Figures::of(with.clone()));
        println!(
            "round {round}: {:.0} forged/s, {:.1?} of the proxy's time for each; p99 ratio {ratio:.2}",
            forged as f64 / took.as_secs_f64(),
            more / u32::try_from(forged.max(1)).expect("a count"),
        );
        alone.extend(without);
        beside.extend(with);
        ratios.push(ratio);
    }
    let (without, with) = (Figures::of(alone), Figures::of(beside));
    println!("good deliveries alone:            {without}");
    println!("good deliveries beside the flood: {with}");
    ratios.sort_unstable_by(f64::total_cmp);
    println!(
        "p99 ratio: {:.2} in the middle of the rounds, {:.2} over all",
        ratios[ROUNDS / 2],
        without.ratio(&with)
    );
}

/// How long deliveries took.
struct Figures {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let count = times.len();
        let at = |percent: usize| times[(count * percent / 100).min(count - 1)];
        Self { count, p50: at(50), p99: at(99), max: at(100) }
    }

    /// How much longer the slowest of a hundred take in the other figures.
    fn ratio(&self, other: &Self) -> f64 {
        other.p99.as_secs_f64() / self.p99.as_secs_f64()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, max } = self;
        write!(f, "{count} deliveries, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")
    }
}

/// A receiver that accepts everything.
async fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::with_capacity(8192);
                while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                    // Every body here ends so, and requests come one at a time.
                    if seen.ends_with(b"\"}") {
                        seen.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fn start(binary: &str, directory: &Path, receiver: SocketAddr) -> Proxy {
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.erp]\nurl = \"http://{receiver}\"\n\
         [sources.shop]\npath = \"/shop\"\npreset = \"opentiendas\"\n\
         secrets = [{{ env = \"SHOP\" }}]\n\
         [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    );
    Proxy::start(binary, directory, &config)
}

fn body(number: u64) -> String {
    let at = SystemClock::new().wall().to_rfc3339();
    let data = "x".repeat(1000);
    format!(
        "{{\"event_id\":\"{number}\",\"type\":\"order.paid\",\"created_at\":\"{at}\",\"data\":\"{data}\"}}"
    )
}

/// Good deliveries at a fixed rate, on connections that stay open.
struct Good {
    to: SocketAddr,
    numbers: AtomicU64,
}

impl Good {
    async fn deliver_for(self: Arc<Self>, time: Duration) -> Vec<Duration> {
        let end = Instant::now() + time;
        let tasks: Vec<_> = (0..GOOD_CONNECTIONS)
            .map(|index| tokio::spawn(Arc::clone(&self).deliver_until(index, end)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("every delivery is accepted"));
        }
        all
    }

    async fn deliver_until(self: Arc<Self>, index: u64, end: Instant) -> Vec<Duration> {
        let mut connection = Connection::open(self.to).await;
        let every = Duration::from_micros(1_000_000 * GOOD_CONNECTIONS / GOOD_PER_SECOND);
        sleep(every * u32::try_from(index).expect("few") / 25).await;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = Vec::new();
        while Instant::now() < end {
            ticks.tick().await;
            let body = body(self.numbers.fetch_add(1, Ordering::Relaxed));
            let bytes = request("/shop", &body, &signature(&body));
            let sent = Instant::now();
            let status = connection.exchange(&bytes).await;
            times.push(sent.elapsed());
            assert_eq!(status, 200);
        }
        times
    }
}

/// The process that makes the flood.
struct Flood {
    child: Child,
    count: Arc<AtomicU64>,
}

impl Flood {
    fn start(to: SocketAddr) -> Self {
        let myself = std::env::current_exe().expect("a path");
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(myself)
            .args([FORGE, &to.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nice");
        let count = Arc::new(AtomicU64::new(0));
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let latest = Arc::clone(&count);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                latest.store(line.parse().expect("a count"), Ordering::Release);
            }
        });
        Self { child, count }
    }

    /// How many were refused so far, as of at most 10 ms ago.
    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success(), "every forged one is refused");
    }
}

/// Forged deliveries at a fixed rate on one pool of connections, until standard input ends; says
/// again and again how many there were. Threads that block, each with a share of the connections:
/// they keep to times below a millisecond, so that the flood comes evenly.
fn forge(to: SocketAddr) {
    let every = Duration::from_micros(1_000_000 * FORGING_THREADS / FORGED_PER_SECOND);
    let count = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let start = std::time::Instant::now();
    let threads: Vec<_> = (0..FORGING_THREADS)
        .map(|index| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            let mut at = start + every * u32::try_from(index).expect("few") / 10;
            std::thread::spawn(move || {
                let bytes = request("/shop", &body(0), &"0".repeat(64));
                let connect = |_| std::net::TcpStream::connect(to).expect("a connection");
                let mut pool: Vec<_> =
                    (0..FORGED_CONNECTIONS / FORGING_THREADS).map(connect).collect();
                let mut answer = [0; 4096];
                while !stop.load(Ordering::Acquire) {
                    for connection in &mut pool {
                        std::thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
                        at += every;
                        connection.write_all(&bytes).expect("it takes bytes");
                        let mut read = 0;
                        while !answer[..read].ends_with(b"}") {
                            read += connection.read(&mut answer[read..]).expect("an answer");
                        }
                        assert!(answer.starts_with(b"HTTP/1.1 401 "), "it is refused");
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    std::thread::spawn({
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        move || {
            while !stop.load(Ordering::Acquire) {
                println!("{}", count.load(Ordering::Relaxed));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).expect("stdin");
    stop.store(true, Ordering::Release);
    for thread in threads {
        thread.join().expect("every forged delivery is refused");
    }
}
