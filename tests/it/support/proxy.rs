//! The real binary, with its own configuration.

use super::upstream::Upstream;
use super::{PATIENCE, Scrape, eventually, get, instant};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The secret of the source `shop`, which [`Setup::shop`] configures.
pub const SHOP_SECRET: &str = "a-secret-of-the-shop-for-tests";

/// The configuration of a proxy that is about to start.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    server: String,
    log: String,
    admin: String,
    dedupe: String,
    tables: String,
    environment: Vec<(String, String)>,
    log_is_unread: bool,
    limits: String,
}

impl Setup {
    /// Nothing but listeners on free ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// The source `shop` (preset `opentiendas`), all of whose events go to `erp`.
    pub fn shop(erp: &Upstream) -> Self {
        Self::new().upstream("erp", erp, "").shop_to(&["erp"], "")
    }

    /// The source `shop` with these destinations and further keys.
    pub fn shop_to(self, to: &[&str], keys: &str) -> Self {
        self.table(&format!(
            "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\n\
             secrets = [{{ env = \"SHOP_SECRET\" }}]\n{keys}\n\
             [[sources.shop.routes]]\nevents = [\"order.created\", \"*\"]\nto = {to:?}"
        ))
        .environment("SHOP_SECRET", SHOP_SECRET)
    }

    /// An upstream with further keys.
    pub fn upstream(self, name: &str, upstream: &Upstream, keys: &str) -> Self {
        self.table(&format!("[upstreams.{name}]\nurl = \"{}\"\n{keys}", upstream.url()))
    }

    /// Keys of `[server]`.
    pub fn server(mut self, keys: &str) -> Self {
        _ = writeln!(self.server, "{keys}");
        self
    }

    /// Keys of `[log]`.
    pub fn log(mut self, keys: &str) -> Self {
        _ = writeln!(self.log, "{keys}");
        self
    }

    /// Keys of `[admin]`.
    pub fn admin(mut self, keys: &str) -> Self {
        _ = writeln!(self.admin, "{keys}");
        self
    }

    /// Keys of `[dedupe]`.
    pub fn dedupe(mut self, keys: &str) -> Self {
        _ = writeln!(self.dedupe, "{keys}");
        self
    }

    /// Whole tables.
    pub fn table(mut self, toml: &str) -> Self {
        _ = writeln!(self.tables, "{toml}\n");
        self
    }

    /// A variable of the process.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Nobody reads the log once it listens, as when a pipe's other end hangs.
    pub fn unread_log(mut self) -> Self {
        self.log_is_unread = true;
        self
    }

    /// Limits that a shell sets before it becomes the proxy, as `ulimit -n 64`.
    pub fn limits(mut self, commands: &str) -> Self {
        commands.clone_into(&mut self.limits);
        self
    }

    /// The file's text.
    pub fn toml(&self) -> String {
        let listen = |keys: &str, line: &str| {
            if keys.contains("listen") { String::new() } else { format!("{line}\n") }
        };
        format!(
            "[server]\n{}{}\n[admin]\n{}{}\n[log]\n{}\n[dedupe]\n{}\n{}",
            listen(&self.server, "listen = [\"127.0.0.1:0\"]"),
            self.server,
            listen(&self.admin, "listen = \"127.0.0.1:0\""),
            self.admin,
            self.log,
            self.dedupe,
            self.tables
        )
    }

    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&self) -> Proxy {
        let proxy = self.start_unready();
        eventually("the proxy is ready", || get(proxy.admin, "/readyz").status == 200);
        proxy
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start_unready(&self) -> Proxy {
        let mut proxy = self.spawn();
        let Ok((address, admin)) = proxy.addresses.recv_timeout(PATIENCE) else {
            panic!("the proxy does not listen");
        };
        proxy.address = address;
        proxy.admin = admin;
        proxy
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn spawn(&self) -> Proxy {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hookward.toml");
        std::fs::write(&file, self.toml()).unwrap();
        let mut command = if self.limits.is_empty() {
            hookward()
        } else {
            let mut shell = unconfigured(Command::new("sh"));
            let script = format!("{}; exec \"$0\" \"$@\"", self.limits);
            shell.args(["-c", &script, env!("CARGO_BIN_EXE_hookward")]);
            shell
        };
        let mut child = command
            .args(["run", "--config"])
            .arg(&file)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, addresses) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            let is_unread = self.log_is_unread;
            move || {
                let (mut public, mut admin) = (None, None);
                for line in stderr.lines().map_while(Result::ok) {
                    public = public.or_else(|| address_after(&line, "listening on http"));
                    if admin.is_none() {
                        admin = address_after(&line, "admin on http");
                    }
                    _ = writeln!(log.lock().unwrap(), "{line}");
                    if let (Some(public), Some(admin)) = (public, admin) {
                        _ = found.send((public, admin));
                        if is_unread {
                            loop {
                                std::thread::park(); // with the pipe open and full
                            }
                        }
                    }
                }
            }
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        Proxy {
            child,
            _directory: directory,
            file,
            log,
            reader: Some(reader).filter(|_| !self.log_is_unread),
            addresses,
            address: unknown,
            admin: unknown,
        }
    }
}

/// The address in `… listening on http://127.0.0.1:8080`.
fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let rest = rest.trim_start_matches('s').strip_prefix("://")?;
    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// A running proxy; killed when dropped.
pub struct Proxy {
    child: Child,
    /// Its working directory, with the configuration in it.
    _directory: TempDir,
    file: PathBuf,
    log: Arc<Mutex<String>>,
    /// Ends with the log; `None` where nobody reads it to its end.
    reader: Option<JoinHandle<()>>,
    addresses: mpsc::Receiver<(SocketAddr, SocketAddr)>,
    /// The public listener.
    pub address: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

impl Proxy {
    /// Everything that it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The current values of all counters.
    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        let response = get(self.admin, "/metrics");
        assert_eq!(response.status, 200);
        Scrape::new(response.text())
    }

    /// The sum of the series of this name that have all of these labels.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.scrape().sum(name, labels)
    }

    /// How many deliveries of `shop` ended so.
    #[track_caller]
    pub fn ended(&self, outcome: &str, reason: &str) -> i64 {
        let labels = [("source", "shop"), ("outcome", outcome), ("reason", reason)];
        self.metric("hookward_deliveries_total", &labels)
    }

    /// Sends a signal by name, as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends it as a crash would: at once, with nothing put in order.
    pub fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and until its whole log was read.
    #[track_caller]
    pub fn ends_within(&mut self, patience: Duration) -> ExitStatus {
        let start = instant();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(instant().saturating_sub(start) < patience, "still running after {patience:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- stderr of the proxy ---\n{}---", self.log());
        }
    }
}

/// Bytes of memory that a process has now, as the kernel counts them.
#[track_caller]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB")
}

/// The binary under test, with nothing inherited that could change what it does.
pub fn hookward() -> Command {
    unconfigured(Command::new(env!("CARGO_BIN_EXE_hookward")))
}

fn unconfigured(mut command: Command) -> Command {
    command.env_remove("HOOKWARD_CONFIG").env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// What a command printed as its result.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command printed, for messages.
pub fn printed(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
