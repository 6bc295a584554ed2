//! A Prometheus for tests, with the shipped alert rules.

use super::{PATIENCE, get, instant};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running `prometheus`; killed when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// One that asks `target` and judges the rules every second.
    #[track_caller]
    pub fn watching(target: SocketAddr) -> Self {
        let start = instant();
        loop {
            // Below the ports that the system gives out by itself.
            let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
            let directory = tempfile::tempdir().unwrap();
            let child = spawn(address, target, &directory);
            let mut prometheus = Self { child, address, _directory: directory };
            while prometheus.child.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(address).is_ok()
                    && get(address, "/-/ready").status == 200
                {
                    return prometheus;
                }
                assert!(instant().saturating_sub(start) < PATIENCE, "prometheus does not start");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// How many series a query gives.
    pub fn count(&self, query: &str) -> usize {
        let answer = self.ask(&format!("/api/v1/query?query={query}"));
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }

    /// The alerts that are pending or firing, each with the source that it is about.
    pub fn alerts(&self) -> BTreeSet<(String, String)> {
        let answer = self.ask("/api/v1/alerts");
        let label = |alert: &Value, name: &str| {
            alert["labels"][name].as_str().unwrap_or_default().to_owned()
        };
        let alerts = answer["data"]["alerts"].as_array().into_iter().flatten();
        alerts.map(|alert| (label(alert, "alertname"), label(alert, "source"))).collect()
    }

    fn ask(&self, target: &str) -> Value {
        serde_json::from_str(&get(self.address, target).text()).unwrap_or_default()
    }
}

fn spawn(address: SocketAddr, target: SocketAddr, directory: &TempDir) -> Child {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/alerts.yml");
    let configuration = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "hookward",
            "static_configs": [{ "targets": [target.to_string()] }],
        }],
    });
    let file = directory.path().join("prometheus.yml");
    std::fs::write(&file, configuration.to_string()).unwrap();
    Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus, of the Debian package of this name")
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
