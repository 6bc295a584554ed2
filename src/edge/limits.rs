//! The limits of a listener, as one value that a reload replaces.

use ipnet::IpNet;
use std::time::Duration;

/// The limits for senders. Every connection reads them again for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The largest request line and header lines together, in bytes.
    pub max_header_bytes: usize,
    /// A header must be whole within this: from the first byte, on a new connection from the
    /// connect (the TLS handshake included).
    pub header_timeout: Duration,
    /// A body must be whole within this.
    pub body_timeout: Duration,
    /// Bytes a second that a body must arrive with, after [`SLOW_START`]; `None`: any.
    pub min_body_rate: Option<u64>,
    /// A connection on which nothing happens between two requests is closed after this.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address (IPv6: one /64); `None`: any number. Trusted proxies,
    /// which bring many senders, are exempt.
    pub max_connections_per_address: Option<usize>,
    /// Peers whose `X-Forwarded-*` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// One write of an answer may take this; a sender that reads slower is cut off.
    pub write_timeout: Duration,
}

impl Limits {
    /// The most memory reserved for one body, in bytes.
    pub(crate) const fn largest_body_bytes(&self) -> usize {
        self.max_body_bytes.saturating_add(READ_BUFFER_BYTES)
    }
}

/// The most that is read ahead of a chunked HTTP/1 body, in bytes. It counts towards `body_memory`.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How long after its start a body is checked against `min_body_rate`.
pub const SLOW_START: Duration = Duration::from_secs(2);

/// A sender that takes longer than this for the 64 KiB of one write is not reading.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            min_body_rate: None,
            idle_timeout: Duration::from_mins(1),
            max_connections: 10_000,
            max_connections_per_address: None,
            trusted_proxies: Vec::new(),
            write_timeout: WRITE_TIMEOUT,
        }
    }
}
