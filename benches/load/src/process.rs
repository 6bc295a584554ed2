//! Processes that are measured: started, watched through `/proc`, ended.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A port of this machine that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A process that is ended with this.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it and waits until it listens on `port`; what it says goes into `log`.
    pub fn start(command: &mut Command, port: u16, log: &Path) -> Self {
        let file = File::create(log).expect("a file");
        let copy = file.try_clone().expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::from(copy)).stderr(Stdio::from(file));
        let child = command.spawn().unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
        let mut process = Self { child };
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(local(port)).is_err() {
            let ended = process.child.try_wait().expect("a child");
            let said = || fs::read_to_string(log).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < end, "{command:?}: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The time that its threads have run, in user code and in the kernel. Threads that ended are
    /// not in it, and none of those that serve does.
    pub fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("Linux");
        let nanos = tasks.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Memory that is in use, in MB.
    pub fn resident_mb(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("Linux");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024.0 / 1e6
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It holds nothing that has to be put in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
