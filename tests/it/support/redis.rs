//! A Redis for tests: on a free port, without persistence.

use super::{PATIENCE, eventually, instant};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to answer a question of the test.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running `redis-server`; killed when dropped.
pub struct Redis {
    child: Child,
    address: SocketAddr,
    password: String,
    directory: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        Self::with_password("")
    }

    /// One that asks for a password, unless that is empty.
    #[track_caller]
    pub fn with_password(password: &str) -> Self {
        let start = instant();
        loop {
            let directory = tempfile::tempdir().unwrap();
            // Below the system's ephemeral ports, so that no one else gets this one while the server is down.
            let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
            let child = spawn(address, password, &directory);
            let mut redis = Self { child, address, password: password.to_owned(), directory };
            if redis.answers() {
                return redis;
            }
            assert!(instant().saturating_sub(start) < PATIENCE, "no port is free");
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.url_by(self.address)
    }

    /// The same by way of another address.
    pub fn url_by(&self, address: SocketAddr) -> String {
        match self.password.as_str() {
            "" => format!("redis://{address}/0"),
            password => format!("redis://:{password}@{address}/0"),
        }
    }

    /// Ends it; what it knew is lost.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Redis::stop`], at the same address and empty.
    #[track_caller]
    pub fn restart(&mut self) {
        self.child = spawn(self.address, &self.password, &self.directory);
        assert!(self.answers(), "the address was taken meanwhile");
    }

    /// Lets it take connections and answer none.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Redis::pause`], with all that it knew.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// How often each command was called so far, by clients and by scripts.
    #[track_caller]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let call = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        self.info("commandstats").expect("Redis answers").lines().filter_map(call).collect()
    }

    /// Changes a parameter of the running server.
    #[track_caller]
    pub fn configure(&self, parameter: &str, value: &str) {
        let mut command = redis::cmd("CONFIG");
        let answer: String = self.ask(command.arg("SET").arg(parameter).arg(value)).unwrap();
        assert_eq!(answer, "OK");
    }

    fn info(&self, section: &str) -> redis::RedisResult<String> {
        self.ask(redis::cmd("INFO").arg(section))
    }

    fn ask(&self, command: &redis::Cmd) -> redis::RedisResult<String> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(ANSWER_WITHIN)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        command.query(&mut connection)
    }

    /// Waits until it answers; false if it ended instead, because the port was not free.
    fn answers(&mut self) -> bool {
        let own = format!("process_id:{}\r", self.child.id());
        let mut ended = false;
        eventually("Redis answers", || {
            ended = self.child.try_wait().unwrap().is_some();
            ended || self.info("server").is_ok_and(|info| info.contains(&own))
        });
        !ended
    }

    fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([signal, id]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[track_caller]
fn spawn(address: SocketAddr, password: &str, directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--requirepass", password])
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed; `make setup` does that")
}
