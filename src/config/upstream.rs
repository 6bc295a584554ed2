//! `[upstreams.NAME]`: the receiver apps.

mod care;
mod url;

pub(super) use care::{BREAKER_KEYS, HEALTH_KEYS};
pub use care::{Balance, Breaker, Ejection, HealthCheck};
pub use url::UpstreamUrl;

use super::certificates;
use super::forms::{count, needs, with_file};
use super::retry::{self, Retry};
use care::{balance, breaker, ejection, health};
use hookward_claims::{PostgresTls, RedisTls};
use hookward_names::UpstreamName;
use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, key, optional};
use hookward_settings::reading::{Item, TableReader};
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::time::Duration;

/// One `[upstreams.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its name.
    pub name: UpstreamName,
    /// Its addresses; never empty, all with the same scheme and path.
    pub urls: Vec<UpstreamUrl>,
    /// The whole exchange, including all attempts.
    pub timeout: Duration,
    /// One connection attempt, including TLS.
    pub connect_timeout: Duration,
    /// How long an idle connection to it is kept for the next event; `None`: not at all.
    pub keep_alive: Option<Duration>,
    /// TLS details; `None` for `http`.
    pub tls: Option<UpstreamTls>,
    /// Which address gets the next event.
    pub balance: Balance,
    /// How often host names are looked up again.
    pub resolve_every: Duration,
    /// Events being forwarded at once; `None`: no limit.
    pub max_concurrent: Option<usize>,
    /// Events that may wait for one of `max_concurrent` to end.
    pub max_waiting: usize,
    /// Active health checks; `None`: none.
    pub health: Option<HealthCheck>,
    /// Passive ejection of an address; `None`: none.
    pub ejection: Option<Ejection>,
    /// The circuit breaker of the upstream as a whole; `None`: none.
    pub breaker: Option<Breaker>,
    /// How events from the inbox are tried again.
    pub retry: Retry,
    /// Bytes of an answer other than 2xx to keep for the log: `[log].upstream_error_bytes`.
    pub error_bytes: usize,
}

/// `[upstreams.NAME].tls`; all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the CAs to trust; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The server name to request and verify; `None`: the URL's host.
    pub sni: Option<String>,
}

impl From<UpstreamTls> for RedisTls {
    fn from(UpstreamTls { ca, client, sni }: UpstreamTls) -> Self {
        Self { ca, client, sni }
    }
}

impl From<UpstreamTls> for PostgresTls {
    fn from(UpstreamTls { ca, client, sni }: UpstreamTls) -> Self {
        Self { ca, client, sni }
    }
}

impl UpstreamSettings {
    /// An upstream with this name and these URLs, and defaults for everything else.
    #[must_use]
    pub fn new(name: impl Into<UpstreamName>, urls: Vec<UpstreamUrl>) -> Self {
        let secure = urls.first().is_some_and(|url| url.secure);
        Self {
            name: name.into(),
            urls,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(1),
            // Node, uvicorn and Apache close after 5 s.
            keep_alive: Some(Duration::from_secs(4)),
            tls: secure.then(UpstreamTls::default),
            balance: Balance::RoundRobin,
            resolve_every: Duration::from_secs(30),
            max_concurrent: None,
            max_waiting: 1000,
            health: None,
            ejection: None,
            breaker: None,
            retry: Retry::default(),
            error_bytes: 0,
        }
    }
}

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME]",
    about: "A receiver app. `NAME` is what routes, metrics and the log call it.",
    keys: &[
        optional(
            "url",
            "URL",
            "required without `urls`",
            "Its address, `http` or `https`. If the URL has a path, requests use it, unless the \
             route has its own.",
        ),
        optional(
            "urls",
            "list of URLs",
            "required without `url`",
            "Several load-balanced addresses of the same app, all with the same scheme and path.",
        ),
        key("timeout", "duration", r#""30s""#, "The whole exchange, including all attempts."),
        key("connect_timeout", "duration", r#""1s""#, "One connection attempt, including TLS."),
        key(
            "keep_alive",
            "duration",
            r#""4s""#,
            "How long to keep an idle connection. Choose less than the app uses, or the app may \
             close a connection just as a request arrives on it. `\"off\"`: a new connection for \
             each request. `operations.md` lists the times of common servers.",
        ),
        optional("tls", "table", "the system's CAs, no client certificate", "`https` only."),
        key(
            "balance",
            "word",
            r#""round-robin""#,
            "`round-robin`: each address in turn; `least-pending`: the address with the fewest \
             events under way.",
        ),
        key("resolve_every", "duration", r#""30s""#, "How often to resolve host names again."),
        optional(
            "max_concurrent",
            "integer",
            "no limit",
            "How many events are forwarded at once. Protects the app from bursts.",
        ),
        key(
            "max_waiting",
            "integer",
            "1000",
            "How many events may wait because of `max_concurrent`. Further ones are answered 503.",
        ),
        optional("health", "table", "none", "Active checks of every address."),
        optional(
            "eject_after",
            "integer",
            "never",
            "How many failed exchanges in a row take an address out of load balancing.",
        ),
        key("eject_for", "duration", r#""10s""#, "How long an address stays out."),
        optional("breaker", "table", "none", "Answers at once while the app is down."),
        optional("retry", "table", "all at their defaults", "Attempts from the inbox."),
        optional(
            "headers",
            "table of header values",
            "none",
            "Headers to set on every request, each `{ env = … }`, `{ file = … }` or `{ value = … \
             }`, with an optional `prefix`. The sender's headers of these names are dropped. See \
             [What the receiver can check](inbox.md#what-the-receiver-can-check).",
        ),
        optional(
            "sign",
            "table",
            "not signed",
            "Signs every request by Standard Webhooks, anew for each attempt.",
        ),
    ],
};

pub(super) static TLS_KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME.tls]",
    about: "TLS towards an `https` upstream. The certificate is always checked.",
    keys: &[
        optional(
            "ca",
            "path",
            "the system's CAs",
            "PEM file of the CAs to trust instead; or of the upstream's own self-signed \
             certificate, which is then the only one accepted.",
        ),
        optional("cert", "path", "no client certificate", "PEM file of the client certificate."),
        optional("key", "path", "no client certificate", "PEM file of its private key."),
        optional("sni", "name", "the URL's host", "The server name to request and verify."),
    ],
};

pub(super) fn read(name: &str, table: &TableReader<'_>) -> Option<UpstreamSettings> {
    let urls = urls(table);
    let tls = table.get("tls").and_then(|item| tls(&item));
    if let (Some(item), Some(urls), Some(_)) = (table.get("tls"), &urls, &tls)
        && urls.iter().any(|url| !url.secure)
    {
        item.contradicts("has no effect on http; use an https URL, or remove `tls`");
    }
    let default = UpstreamSettings::new(name, urls.unwrap_or_default());
    let duration = |name, default| table.get(name).and_then(|i| i.form()).unwrap_or(default);
    let max_concurrent = table.get("max_concurrent").and_then(|item| count(&item));
    needs(table, "max_waiting", "max_concurrent");
    let settings = UpstreamSettings {
        timeout: duration("timeout", default.timeout),
        connect_timeout: duration("connect_timeout", default.connect_timeout),
        keep_alive: table
            .get("keep_alive")
            .map_or(default.keep_alive, |item| keep_alive(&item).unwrap_or(default.keep_alive)),
        tls: tls.or(default.tls),
        balance: table.get("balance").and_then(|i| balance(&i)).unwrap_or(default.balance),
        resolve_every: duration("resolve_every", default.resolve_every),
        max_concurrent: max_concurrent.and_then(|count| usize::try_from(count).ok()),
        max_waiting: table
            .get("max_waiting")
            .and_then(|item| item.whole(0, 1_000_000))
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(default.max_waiting),
        health: table.get("health").and_then(|item| health(&item)),
        ejection: ejection(table),
        breaker: table.get("breaker").and_then(|item| breaker(&item)),
        retry: table.get("retry").and_then(|item| retry::read(&item)).unwrap_or_default(),
        ..default
    };
    if let Some(item) = table.get("connect_timeout")
        && settings.connect_timeout > settings.timeout
    {
        item.warn("longer than `timeout`, which ends the attempt first");
    }
    (!settings.urls.is_empty()).then_some(settings)
}

/// The outer `None`: wrong, and already reported. The inner one: off.
#[expect(clippy::option_option, reason = "wrong and off are two things; both are local")]
fn keep_alive(item: &Item<'_>) -> Option<Option<Duration>> {
    if matches!(&item.node.value, Value::Text(text) if text == "off") {
        return Some(None);
    }
    item.form().map(Some)
}

fn urls(table: &TableReader<'_>) -> Option<Vec<UpstreamUrl>> {
    let allowed = "exactly one of url, urls";
    match (table.get("url"), table.get("urls")) {
        (Some(url), None) => url.form().map(|url| vec![url]),
        (None, Some(urls)) => several_urls(&urls),
        (None, None) => {
            table.missing("url", allowed);
            None
        }
        (Some(_), Some(urls)) => {
            urls.refuse("set in addition to `url`", allowed);
            None
        }
    }
}

fn several_urls(item: &Item<'_>) -> Option<Vec<UpstreamUrl>> {
    let allowed = "a list of URLs such as [\"http://10.0.0.1:9001\", \"http://10.0.0.2:9001\"]";
    let items = item.list(allowed)?;
    if items.is_empty() {
        item.refuse("empty", allowed);
        return None;
    }
    let mut urls: Vec<UpstreamUrl> = Vec::new();
    for item in &items {
        let Some(url) = item.form::<UpstreamUrl>() else { continue };
        if urls.contains(&url) {
            item.contradicts("listed twice");
        }
        if urls.first().is_some_and(|first| (first.secure, &first.path) != (url.secure, &url.path))
        {
            item.contradicts("differs from the first in scheme or path");
        }
        urls.push(url);
    }
    Some(urls)
}

fn tls(item: &Item<'_>) -> Option<UpstreamTls> {
    client_tls(item, &TLS_KEYS)
}

/// TLS towards a server that we call: an upstream, or the store.
pub(super) fn client_tls(item: &Item<'_>, keys: &'static TableKeys) -> Option<UpstreamTls> {
    let table = item.table(keys)?;
    let cert = table.get("cert").and_then(with_file);
    let key = table.get("key").and_then(with_file);
    let ca = table.get("ca").and_then(with_file);
    if let (Some((cert, cert_path)), Some((key, key_path))) = (&cert, &key) {
        certificates::check_pair((cert, cert_path), (key, key_path));
    }
    if let Some((item, path)) = &ca {
        certificates::check_authorities(item, path);
    }
    needs(&table, "cert", "key");
    needs(&table, "key", "cert");
    let sni = table.get("sni").and_then(|item| {
        let allowed = "a host name such as \"erp.internal\"";
        let name = item.text(allowed)?;
        if !matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_))) {
            item.refuse("not a host name", allowed);
        }
        Some(name.to_owned())
    });
    Some(UpstreamTls {
        ca: ca.map(|(_, path)| path),
        client: cert.zip(key).map(|((_, cert), (_, key))| (cert, key)),
        sni,
    })
}
