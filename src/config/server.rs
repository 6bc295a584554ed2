//! `[server]`: the public listener and its limits.

use super::certificates;
use super::forms::with_file;
use crate::edge::Limits;
use hookward_settings::keys::{TableKeys, key, optional, required};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::{ByteRate, PossiblyZero, Size};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[server]`: the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen; never empty.
    pub listen: Vec<SocketAddr>,
    /// Worker threads; `None`: one per core.
    pub threads: Option<usize>,
    /// What a sender may use of the listener.
    pub limits: Limits,
    /// Bytes of bodies held at once, over all connections.
    pub body_memory_bytes: usize,
    /// How long new requests are still served after SIGTERM, before the drain begins.
    pub drain_delay: Duration,
    /// How long deliveries under way may take once the drain has begun.
    pub drain_timeout: Duration,
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
    /// PEM file of the CAs whose client certificates are accepted; `None`: no client certificate is
    /// required.
    pub client_ca: Option<PathBuf>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            threads: None,
            limits: Limits::default(),
            body_memory_bytes: 256 << 20,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            tls: None,
        }
    }
}

/// The HTTP parser's own limit; a larger `max_header` would have no effect.
const LARGEST_HEADER_BYTES: usize = 1 << 20;

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[server]",
    about: "The public listener and its limits. These limits also bound what an unverified \
            request can cost.",
    keys: &[
        key(
            "listen",
            "list of addresses",
            r#"["127.0.0.1:8080"]"#,
            "Where to listen, each `IP:PORT`. Port 0 takes any free port. Needs a restart.",
        ),
        key("threads", "integer", "0", "Worker threads; 0: one per core. Needs a restart."),
        key("max_body", "size", r#""1MiB""#, "The largest body. A larger one is answered 413."),
        key(
            "max_header",
            "size",
            r#""32KiB""#,
            "Request line and header lines together, including their line ends but not the empty \
             lines before and after. Over HTTP/2, the name and value of every field, plus 32 \
             bytes each. At most 1 MiB. In addition, there may be at most 100 header lines (not \
             counting the request line or the pseudo-headers). A larger header is answered 431.",
        ),
        key(
            "header_timeout",
            "duration",
            r#""5s""#,
            "How long the whole header may take to arrive. On a new connection this counts from \
             the connect.",
        ),
        key("body_timeout", "duration", r#""10s""#, "How long the whole body may take to arrive."),
        optional(
            "min_body_rate",
            "size per second",
            "any rate",
            "A body that arrives more slowly than this, such as `\"1KiB/s\"`, is refused before \
             `body_timeout`.",
        ),
        key(
            "idle_timeout",
            "duration",
            r#""60s""#,
            "How long a connection without a request stays open.",
        ),
        key("max_connections", "integer", "10000", "Connections at once, over all addresses."),
        optional(
            "max_connections_per_address",
            "integer",
            "no limit",
            "Connections at once from one address. Senders share addresses, so be generous.",
        ),
        key(
            "body_memory",
            "size",
            r#""256MiB""#,
            "Memory for bodies, over all connections. One address may use a quarter of it.",
        ),
        key(
            "drain_delay",
            "duration",
            r#""0s""#,
            "How long new requests are still served after SIGTERM, while `/readyz` answers 503. \
             This lets a load balancer stop sending before the drain begins.",
        ),
        key(
            "drain_timeout",
            "duration",
            r#""20s""#,
            "How long deliveries under way may take once the drain has begun.",
        ),
        key(
            "trusted_proxies",
            "list of CIDRs",
            "[]",
            "Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.",
        ),
        optional("tls", "table", "plain HTTP", "Certificate and key, see `[server.tls]`."),
    ],
};

pub(super) static TLS_KEYS: TableKeys = TableKeys {
    title: "[server.tls]",
    about: "TLS 1.2 and 1.3 on the public listener. A reload picks up renewed files.",
    keys: &[
        required("cert", "path", "PEM file with the certificate chain, leaf first."),
        required("key", "path", "PEM file with its private key."),
        optional(
            "client_ca",
            "path",
            "no client certificate is required",
            "PEM file of CAs. One of them must have signed the sender's certificate.",
        ),
    ],
};

pub(super) fn read(table: Option<&TableReader<'_>>) -> ServerSettings {
    let default = ServerSettings::default();
    let Some(table) = table else { return default };
    let count = |name| table.get(name).and_then(|item| item.whole(1, 10_000_000)).map(to_usize);
    let duration = |name, default| table.get(name).and_then(|i| i.form()).unwrap_or(default);
    let span = |name, default| {
        table.get(name).and_then(|item| item.form::<PossiblyZero>()).map_or(default, |span| span.0)
    };
    let size = |name| table.get(name).and_then(|item| item.form::<Size>()).map(|size| size.0);
    let limits = default.limits;
    ServerSettings {
        listen: table.get("listen").and_then(|item| listen(&item)).unwrap_or(default.listen),
        threads: table
            .get("threads")
            .and_then(|item| item.whole(0, 1024))
            .map(to_usize)
            .filter(|&threads| threads > 0),
        limits: Limits {
            max_body_bytes: size("max_body").unwrap_or(limits.max_body_bytes),
            max_header_bytes: table
                .get("max_header")
                .and_then(|item| max_header(&item))
                .unwrap_or(limits.max_header_bytes),
            header_timeout: duration("header_timeout", limits.header_timeout),
            body_timeout: duration("body_timeout", limits.body_timeout),
            min_body_rate: table
                .get("min_body_rate")
                .and_then(|item| item.form::<ByteRate>())
                .map(|rate| rate.0),
            idle_timeout: duration("idle_timeout", limits.idle_timeout),
            max_connections: count("max_connections").unwrap_or(limits.max_connections),
            max_connections_per_address: count("max_connections_per_address"),
            trusted_proxies: table
                .get("trusted_proxies")
                .and_then(|item| ranges(&item))
                .unwrap_or(limits.trusted_proxies),
            write_timeout: limits.write_timeout,
        },
        body_memory_bytes: size("body_memory").unwrap_or(default.body_memory_bytes),
        drain_delay: span("drain_delay", default.drain_delay),
        drain_timeout: span("drain_timeout", default.drain_timeout),
        tls: table.get("tls").and_then(|item| tls(&item)),
    }
}

/// A list of address ranges.
pub(super) fn ranges(item: &Item<'_>) -> Option<Vec<IpNet>> {
    item.each("a list of CIDR ranges such as [\"203.0.113.0/24\"]", Item::form)
}

fn listen(item: &Item<'_>) -> Option<Vec<SocketAddr>> {
    let allowed = "a list of addresses such as [\"127.0.0.1:8080\"]";
    let items = item.list(allowed)?;
    if items.is_empty() {
        item.refuse("empty", allowed);
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for item in &items {
        let Some(address) = item.form::<SocketAddr>() else { continue };
        if address.port() != 0 && addresses.contains(&address) {
            item.contradicts("listed twice");
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn max_header(item: &Item<'_>) -> Option<usize> {
    let size = item.form::<Size>()?.0;
    if size > LARGEST_HEADER_BYTES {
        item.refuse("too large", "a size such as \"32KiB\", at most 1 MiB");
    }
    Some(size)
}

fn tls(item: &Item<'_>) -> Option<ListenerTls> {
    let table = item.table(&TLS_KEYS)?;
    let allowed = "the path of a PEM file";
    let cert = table.require("cert", allowed).and_then(with_file);
    let key = table.require("key", allowed).and_then(with_file);
    let client_ca = table.get("client_ca").and_then(with_file);
    if let (Some((cert, cert_path)), Some((key, key_path))) = (&cert, &key) {
        certificates::check_pair((cert, cert_path), (key, key_path));
    }
    if let Some((item, path)) = &client_ca {
        certificates::check_authorities(item, path);
    }
    Some(ListenerTls { cert: cert?.1, key: key?.1, client_ca: client_ca.map(|(_, path)| path) })
}

/// A number that was read with a limit far below `usize::MAX`.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
