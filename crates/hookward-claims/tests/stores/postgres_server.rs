//! A PostgreSQL for tests, from the programs of Debian's `postgresql` package.
//!
//! The server refuses to run as root, so root runs it as the user `postgres`. It is the child of a
//! shell that waits for the end of its input, which comes from this process: when this process ends
//! in any way, the server ends too, and its folder is removed.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the server may take to start.
const START_WITHIN: u32 = 6_000;

/// A server on a free port, ended when dropped or when this process ends.
pub struct PostgresServer {
    folder: PathBuf,
    port: u16,
    more: Vec<String>,
    running: Option<Running>,
}

struct Running {
    shell: Child,
    /// Closed, the shell ends the server.
    input: Option<ChildStdin>,
}

impl PostgresServer {
    /// The server that tests share which leave it alone; each has a database of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&[]))
    }

    /// With more settings, as `name=value`.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::prepare(settings, |_| {})
    }

    /// The same, with something done to the folder of its data before it starts.
    pub fn prepare(settings: &[&str], prepare: impl Fn(&Path)) -> Self {
        let folder = empty_folder();
        copy_of_new_data(&folder);
        prepare(&folder.join("data"));
        chown(&folder);
        let more: Vec<String> = settings.iter().map(ToString::to_string).collect();
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (folder, more) = (folder.clone(), more.clone());
            let mut server = Self { folder, port, more, running: None };
            if server.run() {
                return server;
            }
            // Somebody else took the port meanwhile.
            server.running = None;
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("postgres did not start: {log}")
    }

    /// The path of a program of the newest version that is installed.
    pub fn program(name: &str) -> PathBuf {
        program(name)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote to its log since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Where its data is.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The URL of a new, empty database.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What a command of SQL gives, one row a line.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        let output = Self::psql(&self.url(database), text);
        assert!(output.status.success(), "{text}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn psql(url: &str, text: &str) -> Output {
        Command::new(program("psql")).args([url, "-XAtqc", text]).output().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // Stopped first, it starts no other process meanwhile: one that lived on would keep the
        // memory that they share.
        if let Some(id) = self.postmaster() {
            signal("STOP", id);
        }
        let processes = self.processes();
        for id in &processes {
            signal("KILL", *id);
        }
        for id in processes {
            wait_for_end(id);
        }
        self.running = None;
    }

    /// Ends it in order, cutting connections.
    pub fn stop(&mut self) {
        let Some(id) = self.postmaster() else { return };
        signal("INT", id);
        wait_for_end(id);
        self.running = None;
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        // What a killed server left behind; nothing else uses this folder.
        _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        assert!(self.run(), "postgres did not start again: {}", self.log());
    }

    /// Freezes its processes: connections stay open, but nothing answers.
    pub fn freeze(&self) {
        // The one that starts the others comes first, so that none is missed that it starts meanwhile.
        signal("STOP", self.postmaster().unwrap());
        for id in self.processes() {
            signal("STOP", id);
        }
    }

    pub fn thaw(&self) {
        for id in self.processes() {
            signal("CONT", id);
        }
    }

    /// Reads its settings anew.
    pub fn reload(&self) {
        signal("HUP", self.postmaster().unwrap());
    }

    fn run(&mut self) -> bool {
        let data = self.data();
        // With a word it ends the server alone; without one we are gone, and so is the folder.
        let script = "\"$@\" & id=$!; read -r word; kill -INT $id 2>/dev/null; wait $id; \
                      [ -n \"$word\" ] || rm -rf \"$0\"";
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&self.folder);
        command.args(as_postgres()).arg(program("postgres"));
        command.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_connections=200",
            "shared_buffers=32MB",
        ] {
            command.args(["-c", setting]);
        }
        for setting in &self.more {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut shell = command.spawn().unwrap();
        let input = shell.stdin.take();
        self.running = Some(Running { shell, input });
        self.answers()
    }

    fn answers(&self) -> bool {
        let url = self.url("postgres");
        for _ in 0..START_WITHIN / 20 {
            if self.log().contains("could not bind") {
                return false;
            }
            let listens = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if listens && Self::psql(&url, "SELECT 1").status.success() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    }

    fn postmaster(&self) -> Option<u32> {
        // Without one that runs, the file is of one that was killed.
        self.running.as_ref()?;
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// The server's process and those that it started.
    fn processes(&self) -> Vec<u32> {
        let Some(id) = self.postmaster() else { return Vec::new() };
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        std::iter::once(id).chain(children).collect()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.thaw();
        self.running = None;
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut input) = self.input.take() {
            _ = input.write_all(b"end\n");
        }
        _ = self.shell.wait();
    }
}

/// A new folder.
fn empty_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("hookward-test-postgres-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// New data takes a second to make and a moment to copy.
fn copy_of_new_data(folder: &Path) {
    static TEMPLATE: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (template, _removes_it_in_the_end) = TEMPLATE.get_or_init(|| {
        let folder = empty_folder();
        let mut remove = Command::new("sh");
        remove.args(["-c", "read -r _; rm -rf \"$0\""]).arg(&folder).stdin(Stdio::piped());
        let remove = remove.spawn().unwrap();
        chown(&folder);
        let data = folder.join("data");
        let words = as_postgres();
        let initdb = program("initdb");
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push(initdb.to_str().unwrap());
        let output = Command::new(words[0])
            .args(&words[1..])
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (data, remove)
    });
    let copied = Command::new("cp").arg("-a").arg(template).arg(folder).status().unwrap();
    assert!(copied.success());
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// What goes before a program of the server, so that it does not run as root.
fn as_postgres() -> Vec<String> {
    let words = "setpriv --reuid=postgres --regid=postgres --clear-groups --";
    let words = if is_root() { words } else { "env" };
    words.split(' ').map(str::to_owned).collect()
}

fn chown(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
        assert!(done.unwrap().success());
    }
}

fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| {
        panic!("these tests need PostgreSQL: `apt-get install postgresql`, or run `make test`")
    })
}

/// Waits until a process is gone, or is a zombie.
fn wait_for_end(id: u32) {
    for _ in 0..START_WITHIN {
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, id: u32) {
    let mut kill = Command::new("kill");
    _ = kill.args(["-s", name, &id.to_string()]).stderr(Stdio::null()).status();
}
