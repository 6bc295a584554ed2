//! Configuration: what was typed, resolved to what the process runs on.

use crate::secret::Secret;
use crate::source::Source;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A configuration in which nothing is left to decide and nothing can fail because of a typo.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[dedupe]`.
    pub dedupe: DedupeSettings,
    /// `[upstreams.*]`, in the order of the file.
    pub upstreams: Vec<UpstreamSettings>,
    /// `[sources.*]`, in the order of the file.
    pub sources: Vec<Source>,
    /// SHA-256 of the file's text, first 16 hex digits: tells two configurations apart.
    pub fingerprint: String,
}

/// `[server]`: the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen; never empty.
    pub listen: Vec<SocketAddr>,
    /// Worker threads; `None`: one per core.
    pub threads: Option<usize>,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The largest request line and header lines together, in bytes.
    pub max_header_bytes: usize,
    /// The header must be whole within this.
    pub header_timeout: Duration,
    /// The body must be whole within this.
    pub body_timeout: Duration,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// Connections at once, over all addresses.
    pub max_connections: usize,
    /// Bytes of bodies held at once, over all connections.
    pub body_memory_bytes: usize,
    /// What deliveries under way may still take after SIGTERM.
    pub drain_timeout: Duration,
    /// Peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS on the listener; `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// `[server].tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// PEM file, leaf first.
    pub cert: PathBuf,
    /// PEM file.
    pub key: PathBuf,
    /// PEM file of the CAs whose client certificates are accepted; `None`: none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bearer token; always there unless `listen` is loopback.
    pub token: Option<Secret>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A `tracing` filter, as `info` or `info,hookward=debug`.
    pub level: String,
}

/// `[log].format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[dedupe]`.
#[derive(Clone, Debug)]
pub struct DedupeSettings {
    /// Where delivered ids are kept.
    pub store: StoreSettings,
    /// How long, unless the source says otherwise.
    pub ttl: Duration,
    /// Ids held in memory.
    pub capacity: u64,
    /// What to do when the store does not answer.
    pub on_store_error: OnStoreError,
    /// How long copies of an event of unknown fate are refused.
    pub uncertain_hold: Duration,
}

/// `[dedupe].store` with what belongs to it.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// Lost on restart.
    Memory,
    /// A directory of this process alone.
    Disk {
        /// The directory.
        path: PathBuf,
    },
    /// Redis ≥ 6.2 or Valkey, shared by all instances.
    Redis {
        /// The URL with its password, which makes it a secret.
        url: Secret,
        /// Put before every key.
        prefix: String,
    },
}

/// `[dedupe].on_store_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// 503: the sender retries.
    Reject,
    /// Deliver without dedupe, and count it.
    Forward,
}

/// One `[upstreams.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is; never empty, all of one scheme and path.
    pub urls: Vec<UpstreamUrl>,
    /// The whole exchange, all attempts.
    pub timeout: Duration,
    /// One connection attempt, TLS included.
    pub connect_timeout: Duration,
    /// TLS details; `None` for `http`.
    pub tls: Option<UpstreamTls>,
    /// Which of several addresses comes first.
    pub balance: Balance,
    /// Exchanges at once; `None`: any number.
    pub max_concurrent: Option<NonZeroUsize>,
    /// Events that may wait for a place under `max_concurrent`; more are refused.
    pub max_waiting: usize,
    /// Active health checks; `None`: none.
    pub health: Option<HealthSettings>,
    /// Connections to an address that must fail in a row before it is left out; `None`: never.
    pub eject_after: Option<NonZeroU32>,
    /// How long it is left out.
    pub eject_for: Duration,
    /// When to stop trying for a while; `None`: never.
    pub breaker: Option<BreakerSettings>,
    /// How often host names are looked up again.
    pub resolve_every: Duration,
}

/// `[upstreams.NAME].balance`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest exchanges under way.
    LeastPending,
}

/// `[upstreams.NAME].health`: a `GET` that every address is asked regularly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// What is asked for; a 2xx is healthy.
    pub path: String,
    /// From the end of one check to the next.
    pub interval: Duration,
    /// For the whole check.
    pub timeout: Duration,
    /// Good checks in a row that bring an address back.
    pub healthy_after: NonZeroU32,
    /// Bad checks in a row that take it out.
    pub unhealthy_after: NonZeroU32,
}

/// `[upstreams.NAME].breaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failed exchanges in a row that open it.
    pub failures: NonZeroU32,
    /// How long nothing is tried then.
    pub open_for: Duration,
}

/// A URL of an upstream, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// `https`.
    pub secure: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// The path, if it has one other than `/`.
    pub path: Option<String>,
    /// What the `Host` header says: host, and the port unless it is the scheme's default.
    pub authority: String,
}

/// `[upstreams.NAME].tls`; all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the CAs to believe; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name to ask for and to check; `None`: the URL's host.
    pub sni: Option<String>,
}
