//! Measures the inbox on this machine, each figure beside a probe of fdatasync in the same run.
//!
//! ```text
//! cargo run --release -p hookward-inbox --example inbox_bench -- [FOLDER] [SECONDS]
//! ```

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use hookward_inbox::{Accept, AcceptTarget, Inbox, Policy, Settings, Tried, TryOutcome};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const BODY: usize = 1_000;
const HEAD: usize = 200;
const WAITING: u64 = 1_000_000;

type Outcomes = Result<(), Box<dyn Error>>;

fn main() -> Outcomes {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    if folder.ends_with("million") {
        return start(&folder);
    }
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let folder = folder.join(format!("inbox-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = measure(&folder, Duration::from_secs(seconds));
    std::fs::remove_dir_all(&folder)?;
    result
}

fn measure(folder: &Path, span: Duration) -> Outcomes {
    for waiters in [1, 16, 64] {
        accepts(&folder.join(format!("accept-{waiters}")), waiters, span)?;
    }
    drain(&folder.join("drain"))?;
    million(&folder.join("million"))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

fn open(folder: &Path) -> Result<Inbox, Box<dyn Error>> {
    let settings = Settings {
        max_bytes: 20 << 30,
        min_free: 1 << 30,
        destinations: vec![("erp".to_owned(), Policy::default())],
        ..Settings::default()
    };
    Ok(Inbox::open(folder, settings, now)?.0)
}

fn event(id: String) -> Accept {
    Accept {
        source: "shop".to_owned(),
        id,
        kind: "order.paid".to_owned(),
        head: vec![b'h'; HEAD].into(),
        body: vec![b'b'; BODY].into(),
        targets: vec![AcceptTarget::new("erp")],
        ..Accept::default()
    }
}

fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * part) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Appends and flushes beside the inbox, for as long as it works.
fn probe(folder: &Path, stop: &AtomicBool) -> std::io::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(folder.join("probe"))?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        file.write_all(&[7; BODY + HEAD])?;
        file.sync_data()?;
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(times)
}

fn accepts(folder: &Path, waiters: u64, span: Duration) -> Outcomes {
    let inbox = open(folder)?;
    let stop = Arc::new(AtomicBool::new(false));
    let probing = std::thread::spawn({
        let (folder, stop) = (folder.to_owned(), Arc::clone(&stop));
        move || probe(&folder, &stop)
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let began = Instant::now();
    let tasks: Vec<_> = (0..waiters)
        .map(|waiter| {
            let inbox = inbox.clone();
            runtime.spawn(async move {
                let mut times = Vec::new();
                for n in 0_u64.. {
                    let one = Instant::now();
                    if one.duration_since(began) >= span {
                        break;
                    }
                    if let Err(error) = inbox.accept(event(format!("{waiter}-{n}"))).await {
                        eprintln!("{error}");
                        break;
                    }
                    times.push(one.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(runtime.block_on(task)?);
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut flushes = probing.join().map_err(|_| "the probe panicked")??;
    println!(
        "accept, {waiters:>2} waiting: {:>7.0}/s, p50 {:?}, p99 {:?}; fdatasync beside it p50 {:?}, p99 {:?}",
        times.len() as f64 / took.as_secs_f64(),
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99),
        quantile(&mut flushes, 0.5),
        quantile(&mut flushes, 0.99),
    );
    inbox.close();
    Ok(())
}

/// Fills an inbox as fast as it goes.
fn fill(inbox: &Inbox, count: u64) -> Outcomes {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (inbox, next) = (inbox.clone(), Arc::clone(&next));
            runtime.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || inbox.accept(event(format!("evt_{n:012}"))).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task)?;
    }
    Ok(())
}

fn drain(folder: &Path) -> Outcomes {
    const EVENTS: u64 = 50_000;
    let inbox = open(folder)?;
    fill(&inbox, EVENTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let began = Instant::now();
    let mut delivered = 0_u64;
    while delivered < EVENTS {
        let taken = inbox.take_due(|_| 50);
        let sent: Vec<_> = runtime.block_on(async {
            let mut sent = Vec::with_capacity(taken.len());
            for mut attempt in taken {
                if attempt.read().is_ok() {
                    attempt.begin().await;
                    sent.push(attempt.end(Tried::new(now(), TryOutcome::Status(200))));
                }
            }
            sent
        });
        for ending in sent {
            runtime.block_on(ending);
            delivered += 1;
        }
    }
    println!("drain: {:.0}/s", delivered as f64 / began.elapsed().as_secs_f64());
    inbox.close();
    Ok(())
}

fn million(folder: &Path) -> Outcomes {
    let inbox = open(folder)?;
    let began = Instant::now();
    fill(&inbox, WAITING)?;
    println!(
        "fill: {WAITING} events, {} MB, in {:.1?}",
        inbox.stats().disk_bytes / 1_000_000,
        began.elapsed()
    );
    inbox.close();
    drop(inbox);
    // In a process of its own, whose memory holds nothing else.
    let status = std::process::Command::new(std::env::current_exe()?).arg(folder).status()?;
    if status.success() { Ok(()) } else { Err("the start failed".into()) }
}

fn start(folder: &Path) -> Outcomes {
    let before = memory("VmRSS:");
    let began = Instant::now();
    let inbox = open(folder)?;
    let took = began.elapsed();
    let entries = inbox.stats().entries;
    let after = memory("VmRSS:");
    println!(
        "start: {entries} waiting in {took:.2?}; resident {} MB, {} bytes an entry more than before, peak {} MB",
        after / 1_000,
        after.saturating_sub(before) * 1_000 / u64::try_from(entries.max(1))?,
        memory("VmHWM:") / 1_000,
    );
    inbox.close();
    Ok(())
}

/// What the kernel says of this process, in kB.
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    let kilobytes: String = line.chars().filter(char::is_ascii_digit).collect();
    kilobytes.parse().unwrap_or(0)
}
