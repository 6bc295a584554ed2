//! The system calls of a delivery on warm connections, by `strace`.

use crate::event::{Kind, Maker};
use crate::load::ClosedLoop;
use crate::subject::{Subject, is_installed};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const DELIVERIES: u64 = 2000;

/// Calls per delivery by name, those of one in a hundred deliveries and more. `None` if there is no
/// `strace`, or it has no permission.
pub fn count(subject: &Subject, directory: &Path) -> Option<BTreeMap<String, f64>> {
    if !is_installed("strace", "--version") {
        return None;
    }
    let maker = Maker::new(Kind::Fresh, "/shop", 1024);
    let mut load = ClosedLoop::open(subject.address, 1);
    load.run(&maker, Duration::from_secs(2), 200);
    let file = directory.join("strace");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&file)
        .args(["-p", &subject.process.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    std::thread::sleep(Duration::from_millis(500));
    let delivered = load.run(&maker, Duration::from_secs(20), DELIVERIES);
    // It writes its table when it is interrupted.
    let id = strace.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().ok()?;
    strace.wait().ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    let calls: BTreeMap<String, f64> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, calls) = (words.next()?, words.next()?.parse::<f64>().ok()?);
            let each = calls / delivered as f64;
            (name != "total" && each >= 0.01).then(|| (name.to_owned(), each))
        })
        .collect();
    (!calls.is_empty()).then_some(calls)
}
