//! System calls of a delivery on warm connections, by `strace`.

use crate::record::compare;
use crate::requests::{Sender, fresh};
use crate::stage::{Stage, has, signal};
use std::process::{Command, Stdio};
use std::time::Duration;

const REQUESTS: usize = 300;

/// Those that a delivery makes itself. How often threads wait and wake each other depends on what
/// else the machine does.
const COUNTED: [&str; 13] = [
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "getpeername",
    "getsockname",
    "getsockopt",
    "setsockopt",
];

#[test]
fn system_calls_of_a_delivery_have_not_risen() {
    if !has("strace") {
        return;
    }
    let stage = Stage::set("warn");
    let proxy = stage.start(&[]);
    let mut sender = Sender::to(stage.address);
    sender.send(&fresh(50), b"200");
    let table = stage.directory.path().join("strace");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-e"])
        .arg(format!("trace={}", COUNTED.join(",")))
        .arg("-o")
        .arg(&table)
        .args(["-p", &proxy.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if !is_traced(proxy.id()) {
        println!("strace may not look here: nothing is counted");
        let _ = strace.wait();
        return;
    }
    sender.send(&fresh(REQUESTS), b"200");
    // It writes its table when it is interrupted.
    signal("-INT", strace.id());
    strace.wait().unwrap();
    let text = std::fs::read_to_string(&table).expect("strace has written its counts");
    let calls = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, calls) = (words.next()?, words.next()?.parse::<f64>().ok()?);
        COUNTED.contains(&name).then_some((name, calls / REQUESTS as f64))
    });
    // A tick of a timer or a line of the log is not the delivery's.
    let calls: Vec<_> = calls.filter(|(_, each)| *each >= 0.1).collect();
    assert!(calls.iter().any(|(name, each)| *name == "sendto" && *each >= 1.0), "{text}");
    compare("system calls", &calls, 0.1);
}

/// Whether all threads of a process are traced, within a few seconds.
fn is_traced(id: u32) -> bool {
    let traced = || {
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
        tasks
            .map(|task| std::fs::read_to_string(task.path().join("status")).unwrap_or_default())
            .all(|status| {
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            })
    };
    (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        traced()
    })
}
