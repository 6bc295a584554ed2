//! The machine and the programs of the measurement.

use serde::Serialize;
use std::path::Path;
use std::process::Command;

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    /// Of the last minute when the run began.
    pub load: String,
    pub kernel: String,
    pub commit: String,
    pub date: String,
    /// Programs and their versions.
    pub versions: Vec<String>,
}

impl Machine {
    pub fn here(hookward: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let hookward = hookward.display().to_string();
        let versions: [(&str, &[&str]); 7] = [
            (&hookward, &["--version"]),
            ("rustc", &["--version"]),
            ("nginx", &["-v"]),
            ("haproxy", &["-v"]),
            ("redis-server", &["--version"]),
            ("strace", &["--version"]),
            ("uname", &["-sr"]),
        ];
        let mut versions: Vec<String> = versions
            .iter()
            .filter_map(|(program, arguments)| first_line(program, arguments))
            .collect();
        versions.push("Pingora 0.9.1 (ProxyHttp)".to_owned());
        let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]);
        let commit = first_line("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
        Self {
            cpu: model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            kernel: versions.iter().find(|v| v.starts_with("Linux")).cloned().unwrap_or_default(),
            commit: format!("{commit}{}", if changed.is_some() { " and changes" } else { "" }),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            versions,
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first line that a program says on either stream.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
