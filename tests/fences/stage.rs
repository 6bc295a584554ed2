//! A proxy for counting: its configuration, and the binary on its own or under a tool.

use crate::requests::{SECRET, receiver};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a tool that makes everything fifty times as slow may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// A configuration for one worker thread, in a directory of its own.
pub struct Stage {
    pub directory: TempDir,
    pub file: PathBuf,
    pub address: SocketAddr,
}

impl Stage {
    /// With a receiver that accepts everything.
    pub fn set(level: &str) -> Self {
        Self::of(level, |_| String::new())
    }

    /// The same with the disk store, and beside the source `shop` one at `/kept` whose route is a
    /// `spill` one.
    pub fn with_inbox(level: &str) -> Self {
        Self::of(level, |directory| {
            format!(
                "[dedupe]\nstore = \"disk\"\npath = {:?}\n[inbox]\nmin_free = \"1B\"\n\
                 [sources.kept]\npath = \"/kept\"\npreset = \"opentiendas\"\nrespond_within = \"60s\"\n\
                 secrets = [{{ file = \"secret\" }}]\n\
                 [[sources.kept.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\ndelivery = \"spill\"\n",
                directory.join("data").display().to_string()
            )
        })
    }

    fn of(level: &str, tables: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hookward.toml");
        let secret = directory.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let (address, admin) = (free_address(), free_address());
        let receiver = receiver();
        let tables = tables(directory.path());
        // A warm connection stays one, however slow the tool.
        let text = format!(
            "[server]\nlisten = [\"{address}\"]\nthreads = 1\n[admin]\nlisten = \"{admin}\"\n\
             [log]\nlevel = \"{level}\"\n[upstreams.erp]\nurl = \"http://{receiver}\"\nkeep_alive = \"60s\"\n\
             [sources.shop]\npath = \"/shop\"\npreset = \"opentiendas\"\nrespond_within = \"60s\"\n\
             secrets = [{{ file = \"secret\" }}]\n\
             [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n{tables}"
        );
        std::fs::write(&file, text).unwrap();
        Self { directory, file, address }
    }

    /// Starts the binary, behind `tool` and its arguments if there are any.
    pub fn start(&self, tool: &[String]) -> Running {
        let binary = env!("CARGO_BIN_EXE_hookward").to_owned();
        let words = [tool, &[binary]].concat();
        let mut command = Command::new(&words[0]);
        let log = File::create(self.directory.path().join("log")).unwrap();
        command.args(&words[1..]).args(["run", "--config"]).arg(&self.file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let running = Running(command.spawn().unwrap());
        self.wait();
        running
    }

    /// Starts the proxy in this process, for as long as that lives.
    pub fn start_here(&self) {
        let arguments =
            ["hookward".into(), "run".into(), "--config".into(), self.file.clone().into()];
        std::thread::spawn(move || hookward::cli::main(arguments));
        self.wait();
    }

    /// Waits until it listens.
    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "it does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// A process that ends with the test.
pub struct Running(Child);

impl Running {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it in order, so that a tool around it writes down what it knows.
    pub fn stop(mut self) {
        signal("-TERM", self.id());
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal to a process of this test.
pub fn signal(name: &str, id: u32) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// Whether a tool is installed. Where it is not, its fence has nothing to say.
pub fn has(tool: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|place| Path::new(&place).join(tool).exists())
    });
    if !found {
        println!("{tool} is not installed: nothing is counted");
    }
    found
}

/// An address that stays free until a slow tool has started the binary: nothing else uses this
/// loopback address.
fn free_address() -> SocketAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 1 | high, low, TAKEN.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}
