//! The run: everything is started once, then measured in turn, round after round.

use crate::event::{Kind, Maker};
use crate::latency::{self, Latencies};
use crate::load::ClosedLoop;
use crate::machine::Machine;
use crate::process::Process;
use crate::subject::{self, Subject, VARIANTS};
use crate::{peers, plot, report, syscalls};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sizes of bodies in the plot.
pub const SIZES: [usize; 6] = [1024, 4096, 16 * 1024, 32 * 1024, 128 * 1024, 1024 * 1024];

/// Whose cost by body size is plotted.
pub const PLOTTED: [&str; 4] = ["hookward", "pass-through", "nginx", "nginx-lua"];

/// Before each measurement, and the measurement.
const WARM_UP: Duration = Duration::from_millis(200);
const MEASURED: Duration = Duration::from_millis(1000);

/// Events of the memory test.
const IDS: u64 = 1_000_000;

/// One thing that is measured in every round.
#[derive(Clone, Copy)]
struct Case {
    subject: &'static str,
    name: &'static str,
    kind: Kind,
    path: &'static str,
    body_bytes: usize,
}

/// CPU per request in microseconds, by case and round. A case is `subject/name`.
pub type Costs = BTreeMap<String, Vec<f64>>;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    pub machine: Machine,
    pub rounds: usize,
    pub costs: Costs,
    /// A SHA-256 of 1 MiB in this process, in microseconds, by round.
    pub sha256_of_1_mib: Vec<f64>,
    pub latencies: Latencies,
    /// In MB.
    pub memory_idle: f64,
    pub memory_with_ids: f64,
    /// Calls per delivery.
    pub syscalls: Option<BTreeMap<String, f64>>,
}

impl Results {
    /// The median cost of a case.
    pub fn cost(&self, case: &str) -> Option<f64> {
        self.costs.get(case).map(|rounds| median(rounds.iter().copied()))
    }

    /// The median of the rounds' ratios of two cases: what slows a round down slows both.
    pub fn ratio(&self, of: &str, to: &str) -> Option<f64> {
        let (of, to) = (self.costs.get(of)?, self.costs.get(to)?);
        Some(median(of.iter().zip(to).map(|(of, to)| of / to)))
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures `hookward` and its peers and writes the documents.
pub fn run(hookward: &Path, documents: &Path, rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let machine = Machine::here(hookward);
    let upstream = Subject::own("upstream", &["upstream"], place);
    let port = upstream.address.port();
    let redis = subject::redis(place);
    let redis_port = redis.as_ref().map_or(0, |(_, port)| *port);
    let mut subjects: Vec<Subject> = VARIANTS
        .into_iter()
        .filter(|variant| variant.key != "hookward-redis" || redis.is_some())
        .map(|variant| Subject::hookward(variant, hookward, port, redis_port, place))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let memory_idle = subjects[0].process.resident_mb();
    let address = upstream.address.to_string();
    subjects.push(Subject::own("pass-through", &["pass-through", &address], place));
    subjects.extend(peers::all(port, place));

    let (costs, sha256_of_1_mib) = measure_costs(&subjects, rounds);
    eprintln!("latency");
    let mut targets = vec![("direct", upstream.address)];
    let compared = ["hookward", "pass-through"];
    let compared = subjects.iter().filter(|subject| compared.contains(&subject.key));
    targets.extend(compared.map(|subject| (subject.key, subject.address)));
    let latencies = latency::measure(&targets, rounds.min(3));
    eprintln!("system calls");
    let syscalls = syscalls::count(&subjects[0], place);
    drop(subjects);
    eprintln!("memory");
    let memory_with_ids = memory_with_ids(hookward, port, place);
    drop(redis);

    let results = Results {
        machine,
        rounds,
        costs,
        sha256_of_1_mib,
        latencies,
        memory_idle,
        memory_with_ids,
        syscalls,
    };
    plot::write(&results, documents);
    report::write(&results, documents);
}

fn cases(subjects: &[Subject]) -> Vec<Case> {
    let fresh = |subject, name, body_bytes| Case {
        subject,
        name,
        kind: Kind::Fresh,
        path: "/shop",
        body_bytes,
    };
    let mut cases: Vec<Case> =
        subjects.iter().map(|subject| fresh(subject.key, "1 KiB", SIZES[0])).collect();
    let own = fresh("hookward", "1 KiB", SIZES[0]);
    cases.push(Case { kind: Kind::Forged, name: "forged", ..own });
    cases.push(Case { kind: Kind::Repeated, name: "repeated", ..own });
    cases.push(Case { path: "/both", name: "fan-out to two", ..own });
    for size in &SIZES[1..] {
        for key in PLOTTED {
            if subjects.iter().any(|subject| subject.key == key) {
                cases.push(fresh(key, name_of(*size), *size));
            }
        }
    }
    cases
}

/// A size of a body as cases are called.
pub const fn name_of(size: usize) -> &'static str {
    match size {
        1024 => "1 KiB",
        4096 => "4 KiB",
        16_384 => "16 KiB",
        32_768 => "32 KiB",
        131_072 => "128 KiB",
        _ => "1 MiB",
    }
}

fn measure_costs(subjects: &[Subject], rounds: usize) -> (Costs, Vec<f64>) {
    let mut costs = Costs::new();
    let mut hashes = Vec::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for case in cases(subjects) {
            let subject = subjects.iter().find(|subject| subject.key == case.subject);
            let cost = cost_of(&case, subject.expect("a case has a subject that is there"));
            costs.entry(format!("{}/{}", case.subject, case.name)).or_default().push(cost);
        }
        hashes.push(sha256_of_1_mib());
    }
    (costs, hashes)
}

/// What a delivery with a body of this size costs, in microseconds.
pub fn cost_of_delivery(subject: &Subject, body_bytes: usize) -> f64 {
    let (name, kind, path) = (name_of(body_bytes), Kind::Fresh, "/shop");
    cost_of(&Case { subject: subject.key, name, kind, path, body_bytes }, subject)
}

/// CPU time of the subject per request, in microseconds.
fn cost_of(case: &Case, subject: &Subject) -> f64 {
    let connections = if case.body_bytes > 64 * 1024 { 8 } else { 64 };
    let maker = Maker::new(case.kind, case.path, case.body_bytes);
    let mut load = ClosedLoop::open(subject.address, connections);
    load.run(&maker, WARM_UP, u64::MAX);
    let before = subject.process.cpu_time();
    let count = load.run(&maker, MEASURED, u64::MAX);
    let spent = subject.process.cpu_time() - before;
    spent.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// The quickest of a few, in microseconds: whoever shares the machine can only slow it down.
fn sha256_of_1_mib() -> f64 {
    let body = vec![b'x'; 1024 * 1024];
    let times = (0..10).map(|_| {
        let started = Instant::now();
        std::hint::black_box(Sha256::digest(std::hint::black_box(&body)));
        started.elapsed().as_secs_f64() * 1e6
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Prints how much memory a million ids take.
pub fn memory(hookward: &Path) {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Subject::own("upstream", &["upstream"], directory.path());
    let megabytes = memory_with_ids(hookward, upstream.address.port(), directory.path());
    println!("{megabytes:.0} MB");
}

/// Memory of a process of its own that has delivered a million events, in MB.
fn memory_with_ids(hookward: &Path, upstream: u16, directory: &Path) -> f64 {
    let directory = directory.join("memory");
    let subject = Subject::hookward(VARIANTS[0], hookward, upstream, 0, &directory);
    let process: &Process = &subject.process;
    let maker = Maker::new(Kind::Fresh, "/shop", 300);
    let mut load = ClosedLoop::open(subject.address, 64);
    let delivered = load.run(&maker, Duration::from_mins(5), IDS);
    eprintln!("{delivered} ids");
    process.resident_mb()
}
