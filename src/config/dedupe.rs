//! `[dedupe]`: where delivered ids are kept, and for how long.

use super::upstream::{UpstreamTls, client_tls};
use hookward_claims::{postgres_url_fault, postgres_url_refuses_tls};
use hookward_secret::Secret;
use hookward_settings::keys::{TableKeys, key, optional};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, FoundSecret};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

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
    /// How long copies of an uncertain event are refused.
    pub uncertain_hold: Duration,
}

/// `[dedupe].store` with its settings.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// Lost on restart.
    Memory,
    /// A directory for this process only.
    Disk {
        /// The directory, relative to the working directory.
        path: PathBuf,
    },
    /// Redis ≥ 6.2 or Valkey, shared by all instances.
    Redis {
        /// The URL, which is a secret because it may contain a password.
        url: Secret,
        /// Put before every key.
        prefix: String,
        /// TLS settings for `rediss://`, if they are not the defaults.
        tls: Option<UpstreamTls>,
    },
    /// PostgreSQL ≥ 13, shared by all instances.
    Postgres {
        /// The URL, which is a secret because it may contain a password.
        url: Secret,
        /// TLS settings, if they are not the defaults.
        tls: Option<UpstreamTls>,
    },
}

impl StoreSettings {
    /// Whether it can hold events that wait as well.
    #[must_use]
    pub const fn holds_inbox(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Postgres { .. })
    }

    /// Its name in `[dedupe].store`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk { .. } => "disk",
            Self::Redis { .. } => "redis",
            Self::Postgres { .. } => "postgres",
        }
    }
}

/// `[dedupe].on_store_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// 503: the sender retries.
    Reject,
    /// Deliver without dedupe, and count it.
    Forward,
}

impl Default for DedupeSettings {
    fn default() -> Self {
        Self {
            store: StoreSettings::Memory,
            ttl: Duration::from_hours(96),
            capacity: 1_000_000,
            on_store_error: OnStoreError::Reject,
            uncertain_hold: Duration::from_secs(30),
        }
    }
}

const DISK_PATH: &str = "hookward-data";
const REDIS_URL: &str = "redis://127.0.0.1:6379/0";
const REDIS_PREFIX: &str = "hookward:";

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[dedupe]",
    about: "Where Hookward remembers delivered event ids, so that it does not deliver a retry again.",
    keys: &[
        key(
            "store",
            "word",
            r#""memory""#,
            "`memory`: lost on restart; `disk`: survives a restart and a crash; `redis` (Redis 6.2 \
             or later, or Valkey) and `postgres` (PostgreSQL 13 or later): shared by all \
             instances. Needs a restart.",
        ),
        key(
            "ttl",
            "duration",
            r#""96h""#,
            "How long a delivered event id is remembered, counted from the delivery. Must cover \
             `max_age` + `max_ahead` of every source, and should cover its sender's retries.",
        ),
        key("capacity", "integer", "1000000", "Ids held in memory; the oldest go first."),
        key(
            "path",
            "path",
            r#""hookward-data""#,
            "`disk` only: the directory, relative to the working directory.",
        ),
        key(
            "url",
            "text or secret",
            r#""redis://127.0.0.1:6379/0""#,
            "`redis`: `redis://` or `rediss://` (TLS). `postgres`, which has no default: \
             `postgres://user@host/database`, with `?sslmode=require` for TLS. If it contains a \
             password, use `{ env = … }` or `{ file = … }`.",
        ),
        key("prefix", "text", r#""hookward:""#, "`redis` only: put before every key."),
        optional(
            "tls",
            "table",
            "the system's CAs, no client certificate",
            "For `redis` with a `rediss://` URL, and for `postgres`, where this table turns TLS \
             on.",
        ),
        key(
            "on_store_error",
            "word",
            r#""reject""#,
            "`reject`: answer 503, so that the sender retries; `forward`: deliver without the \
             store, and count it.",
        ),
        key(
            "uncertain_hold",
            "duration",
            r#""30s""#,
            "How long copies of an event are refused if it is unknown whether the upstream \
             accepted it.",
        ),
    ],
};

pub(super) static TLS_KEYS: TableKeys = TableKeys {
    title: "[dedupe.tls]",
    about: "TLS towards the store. The certificate is always checked.",
    keys: &[
        optional(
            "ca",
            "path",
            "the system's CAs",
            "PEM file of the CAs to trust instead of the system's.",
        ),
        optional("cert", "path", "no client certificate", "PEM file of the client certificate."),
        optional("key", "path", "no client certificate", "PEM file of its private key."),
        optional("sni", "name", "the URL's host", "The server name to request and verify."),
    ],
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Memory,
    Disk,
    Redis,
    Postgres,
}

impl Store {
    const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

pub(super) fn read(table: Option<&TableReader<'_>>) -> DedupeSettings {
    let default = DedupeSettings::default();
    let Some(table) = table else { return default };
    let stores = [Store::Memory, Store::Disk, Store::Redis, Store::Postgres]
        .map(|store| (store.word(), store));
    let policies = [("reject", OnStoreError::Reject), ("forward", OnStoreError::Forward)];
    let stated = table.get("store");
    let store = stated.as_ref().map_or(Some(Store::Memory), |item| item.choice(&stores));
    DedupeSettings {
        store: read_store(table, store),
        ttl: table.get("ttl").and_then(|item| item.form()).unwrap_or(default.ttl),
        capacity: table
            .get("capacity")
            .and_then(|item| item.whole(1, u64::from(u32::MAX)))
            .unwrap_or(default.capacity),
        on_store_error: table
            .get("on_store_error")
            .and_then(|item| item.choice(&policies))
            .unwrap_or(default.on_store_error),
        uncertain_hold: table
            .get("uncertain_hold")
            .and_then(|item| item.form())
            .unwrap_or(default.uncertain_hold),
    }
}

/// Reads the keys of every store, so that mistakes are reported whichever one is selected.
fn read_store(table: &TableReader<'_>, store: Option<Store>) -> StoreSettings {
    let belongings: [(&str, &[Store]); 4] = [
        ("path", &[Store::Disk]),
        ("url", &[Store::Redis, Store::Postgres]),
        ("prefix", &[Store::Redis]),
        ("tls", &[Store::Redis, Store::Postgres]),
    ];
    for (name, of) in belongings {
        if store.is_some_and(|store| !of.contains(&store))
            && let Some(item) = table.get_hidden(name)
        {
            let words: Vec<String> = of.iter().map(|of| format!("\"{}\"", of.word())).collect();
            item.warn(format!("has no effect: `store` is not {}", words.join(" or ")));
        }
    }
    let path = table.get("path").map_or_else(|| Some(DISK_PATH.into()), |item| path(&item));
    let url = match table.get_hidden("url") {
        Some(item) => store_url(&item, store),
        None if store == Some(Store::Postgres) => {
            table.missing("url", "a URL such as \"postgres://hookward@db/hookward\"");
            None
        }
        None => Some(Secret::from(REDIS_URL.to_owned())),
    };
    let prefix = table
        .get("prefix")
        .map_or(Some(REDIS_PREFIX), |item| item.text("a text such as \"hookward:\""));
    let tls = tls(table, store, url.as_ref());
    match (store, path, url, prefix) {
        (Some(Store::Disk), Some(path), ..) => StoreSettings::Disk { path },
        (Some(Store::Redis), _, Some(url), Some(prefix)) => {
            StoreSettings::Redis { url, prefix: prefix.to_owned(), tls }
        }
        (Some(Store::Postgres), _, Some(url), _) => StoreSettings::Postgres { url, tls },
        _ => StoreSettings::Memory,
    }
}

fn tls(table: &TableReader<'_>, store: Option<Store>, url: Option<&Secret>) -> Option<UpstreamTls> {
    let item = table.get("tls")?;
    let tls = client_tls(&item, &TLS_KEYS);
    let is_plain = url.is_some_and(|url| !url.expose().starts_with(b"rediss:"));
    if store == Some(Store::Redis) && is_plain {
        item.contradicts("has no effect on redis://; use a rediss:// URL, or remove `tls`");
    }
    if store == Some(Store::Postgres) && url.is_some_and(postgres_url_refuses_tls) {
        item.contradicts("the URL says sslmode=disable; remove one of the two");
    }
    tls
}

/// Hookward should not write beside its configuration, so this path, unlike the paths of files that
/// it reads, is relative to the working directory.
fn path(item: &Item<'_>) -> Option<PathBuf> {
    let allowed = "the path of a directory";
    match item.text(allowed)? {
        "" => {
            item.refuse("empty", allowed);
            None
        }
        path => Some(path.into()),
    }
}

/// Reads the URL of the selected store; for other stores only to report mistakes.
fn store_url(item: &Item<'_>, store: Option<Store>) -> Option<Secret> {
    let allowed = match store {
        Some(Store::Postgres) => {
            "postgres:// with a host, such as \"postgres://hookward@db/hookward\", or { env = \
             \"…\" } or { file = \"…\" } with such a URL"
        }
        _ => {
            "redis:// or rediss:// with a host, such as \"redis://127.0.0.1:6379/0\", or { env = \
             \"…\" } or { file = \"…\" } with such a URL"
        }
    };
    let url = if matches!(item.node.value, hookward_settings::document::Value::Table(_)) {
        let is_chosen = matches!(store, Some(Store::Redis | Store::Postgres));
        let wanted = is_chosen && item.reading.needs(&item.key);
        match secrets::read(item)? {
            // No one is going to connect, whatever it contains.
            FoundSecret::Secret(_) if !item.reading.needs(&item.key) => return None,
            FoundSecret::Secret(secret) => secret,
            FoundSecret::Unreadable(why) if wanted => {
                item.contradicts(format!("{why}; the store needs its URL"));
                return None;
            }
            FoundSecret::Unreadable(_) => return None,
        }
    } else {
        let text = item.text(allowed)?;
        if Url::parse(text).is_ok_and(|url| url.password().is_some()) {
            item.warn(
                "everyone who can read the configuration knows this password; use env or file",
            );
        }
        Secret::from(text.to_owned())
    };
    let fault = match store {
        Some(Store::Postgres) => postgres_url_fault(&url),
        // Another store does not use it, so a URL of either kind is fine.
        Some(Store::Memory | Store::Disk) | None if postgres_url_fault(&url).is_none() => None,
        _ => redis_url_fault(&url),
    };
    match fault {
        Some(fault) => {
            item.refuse(fault, allowed);
            None
        }
        None => Some(url),
    }
}

fn redis_url_fault(url: &Secret) -> Option<&'static str> {
    let parsed = std::str::from_utf8(url.expose()).ok().and_then(|text| Url::parse(text).ok());
    let fits = |url: &Url| {
        matches!(url.scheme(), "redis" | "rediss") && url.host_str().is_some_and(|h| !h.is_empty())
    };
    if parsed.as_ref().is_some_and(|url| url.scheme().contains("sentinel")) {
        return Some("a Sentinel's URL, which is not supported");
    }
    (!parsed.as_ref().is_some_and(fits)).then_some("not a Redis URL")
}
