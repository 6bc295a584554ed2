//! Hookward for measurements: one process per configuration.

use crate::event::SECRET;
use crate::process::{Process, free_port, local};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Something that takes requests.
pub struct Subject {
    pub key: &'static str,
    pub process: Process,
    pub address: SocketAddr,
}

/// What differs from the defaults.
#[derive(Clone, Copy)]
pub struct Variant {
    pub key: &'static str,
    pub threads: u32,
    pub level: &'static str,
    pub dedupe: &'static str,
}

/// The variants of every run. `{redis}` becomes the port of the run's server.
pub const VARIANTS: [Variant; 5] = [
    Variant { key: "hookward", threads: 1, level: "warn", dedupe: "store = \"memory\"" },
    Variant { key: "hookward-info", threads: 1, level: "info", dedupe: "store = \"memory\"" },
    Variant {
        key: "hookward-two-threads",
        threads: 2,
        level: "warn",
        dedupe: "store = \"memory\"",
    },
    Variant {
        key: "hookward-disk",
        threads: 1,
        level: "warn",
        dedupe: "store = \"disk\"\npath = \"claims\"",
    },
    Variant {
        key: "hookward-redis",
        threads: 1,
        level: "warn",
        dedupe: "store = \"redis\"\nurl = \"redis://127.0.0.1:{redis}/0\"",
    },
];

impl Subject {
    /// Starts `binary`; its files and its log go into `directory`.
    pub fn hookward(
        variant: Variant,
        binary: &Path,
        upstream: u16,
        redis: u16,
        directory: &Path,
    ) -> Self {
        let directory = directory.join(variant.key);
        std::fs::create_dir_all(&directory).expect("a directory");
        let (port, admin) = (free_port(), free_port());
        let dedupe = variant.dedupe.replace("{redis}", &redis.to_string());
        let (threads, level) = (variant.threads, variant.level);
        let source = |name: &str, to: &str| {
            format!(
                "[sources.{name}]\npath = \"/{name}\"\npreset = \"opentiendas\"\n\
                 secrets = [{{ env = \"SECRET\" }}]\n\
                 [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [{to}]\n"
            )
        };
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\nthreads = {threads}\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n[log]\nlevel = \"{level}\"\n\
             [dedupe]\n{dedupe}\n\
             [upstreams.erp]\nurl = \"http://127.0.0.1:{upstream}\"\n\
             [upstreams.crm]\nurl = \"http://127.0.0.1:{upstream}\"\n{}{}",
            source("shop", "\"erp\""),
            source("both", "\"erp\", \"crm\"")
        );
        let file = directory.join("hookward.toml");
        std::fs::write(&file, text).expect("a file");
        let binary = binary.canonicalize().expect("the binary");
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&file).env("SECRET", SECRET).current_dir(&directory);
        let process = Process::start(&mut command, port, &directory.join("log"));
        Self { key: variant.key, process, address: local(port) }
    }

    /// One of this program's own processes.
    pub fn own(key: &'static str, arguments: &[&str], directory: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        let (name, rest) = arguments.split_first().expect("a command");
        command.arg(name).arg(port.to_string()).args(rest);
        let process = Process::start(&mut command, port, &directory.join(format!("{key}.log")));
        Self { key, process, address: local(port) }
    }
}

/// A Redis server that keeps nothing, if there is one to start.
pub fn redis(directory: &Path) -> Option<(Process, u16)> {
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).current_dir(directory);
    is_installed("redis-server", "--version")
        .then(|| (Process::start(&mut command, port, &directory.join("redis.log")), port))
}

/// Whether a program can be started.
pub fn is_installed(program: &str, version: &str) -> bool {
    let quiet = || Stdio::null();
    let child = Command::new(program).arg(version).stdout(quiet()).stderr(quiet()).spawn();
    child.and_then(|mut child: Child| child.wait()).is_ok_and(|status| status.success())
}
