//! Instructions of a request, by callgrind: the difference between a run with a number of requests
//! of one kind and a run without any. Only the serving thread counts, because the work of the
//! others depends on how long a run takes.

use crate::record::{compare, has_risen};
use crate::requests::{Sender, forged, fresh, repeated};
use crate::stage::{Stage, has};

const REQUESTS: usize = 300;

const TOLERANCE: f64 = 0.03;

/// Before counting: connections, caches and lazy parts are there.
pub const WARM_UP: usize = 30;

#[test]
fn instructions_of_a_request_have_not_risen() {
    if !has("valgrind") {
        return;
    }
    // How often a task is woken before its bytes are there depends on what else the machine does, and
    // can only add. What does not rise again was not a rise.
    let mut measured = measure();
    for _ in 0..2 {
        if !has_risen("instructions", &measured, TOLERANCE) {
            break;
        }
        for (least, again) in measured.iter_mut().zip(measure()) {
            least.1 = least.1.min(again.1);
        }
    }
    compare("instructions", &measured, TOLERANCE);
}

/// Instructions of a request of each kind.
fn measure() -> [(&'static str, f64); 4] {
    // Lines of refusals are limited by the second, which a tool stretches: none are written here.
    let kinds = [
        ("nothing", "error", Vec::new(), "200"),
        ("forged", "error", forged(REQUESTS), "401"),
        ("repeated", "error", repeated(REQUESTS), "200"),
        ("delivered", "error", fresh(REQUESTS), "200"),
        ("nothing, logging", "info", Vec::new(), "200"),
        ("delivered and logged", "info", fresh(REQUESTS), "200"),
    ];
    let runs = kinds.map(|(kind, level, requests, status)| {
        let run = move || total(&Stage::set(level), &fresh(WARM_UP), &requests, status);
        (kind, std::thread::spawn(run))
    });
    let totals = runs.map(|(kind, run)| (kind, run.join().unwrap()));
    let total = |kind| totals.iter().find(|(name, _)| *name == kind).unwrap().1;
    let each = |kind, nothing| (kind, (total(kind) - total(nothing)) / REQUESTS as f64);
    [
        each("forged", "nothing"),
        each("repeated", "nothing"),
        each("delivered", "nothing"),
        each("delivered and logged", "nothing, logging"),
    ]
}

/// Instructions of the thread that serves, in a whole run.
pub fn total(stage: &Stage, warm_up: &[Vec<u8>], requests: &[Vec<u8>], status: &str) -> f64 {
    let out = stage.directory.path().join("callgrind");
    let tool = ["valgrind", "--tool=callgrind", "--quiet", "--separate-threads=yes"];
    let mut tool = tool.map(str::to_owned).to_vec();
    tool.push(format!("--callgrind-out-file={}", out.display()));
    let running = stage.start(&tool);
    let mut sender = Sender::to(stage.address);
    sender.send(warm_up, b"200");
    sender.send(requests, status.as_bytes());
    drop(sender);
    running.stop();
    // A file for each thread but the first, which starts and stops: `callgrind-02` and so on.
    let threads = (2..100).map_while(|thread| {
        let text = std::fs::read_to_string(format!("{}-{thread:02}", out.display())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
        line.trim().parse::<f64>().ok()
    });
    // The one that serves has done most of all.
    threads.reduce(f64::max).expect("callgrind has written its counts")
}
