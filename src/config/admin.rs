//! `[admin]` and `[log]`: what the operator sees.

use hookward_secret::Secret;
use hookward_settings::keys::{TableKeys, key, optional};
use hookward_settings::problem::nearest;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, Found};
use std::net::SocketAddr;

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bearer token; always set unless `listen` is loopback.
    pub token: Option<Secret>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A `tracing` filter, such as `info` or `info,hookward=debug`.
    pub level: String,
    /// How many bytes of an upstream's answer other than 2xx are in the line of a delivery.
    pub upstream_error_bytes: usize,
}

/// `[log].format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), token: None }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned(), upstream_error_bytes: 0 }
    }
}

pub(super) static ADMIN_KEYS: TableKeys = TableKeys {
    title: "[admin]",
    about: "The listener for metrics, health, status and dedupe look-ups.",
    keys: &[
        key("listen", "address", r#""127.0.0.1:9090""#, "Where to listen. Needs a restart."),
        optional(
            "token",
            "secret",
            "no token is required",
            "A bearer token, required for everything but `/metrics`, `/healthz` and `/readyz`. It \
             must be set unless the address is loopback. If it cannot be read, Hookward does not \
             start.",
        ),
    ],
};

pub(super) static LOG_KEYS: TableKeys = TableKeys {
    title: "[log]",
    about: "One line per delivery, on standard error. Never a body, a secret or a signature.",
    keys: &[
        key("format", "word", r#""text""#, "`text` for people, `json` for machines."),
        key(
            "level",
            "level or filter",
            r#""info""#,
            "`off`, `error`, `warn`, `info`, `debug` or `trace`; per module as \
             `info,hookward=debug`.",
        ),
        key(
            "upstream_error_bytes",
            "integer",
            "0",
            "How many bytes of an upstream's 4xx or 5xx body a delivery's log line shows, \
             escaped; at most 4096. The body may contain personal data.",
        ),
    ],
};

pub(super) fn read(table: Option<&TableReader<'_>>) -> AdminSettings {
    let default = AdminSettings::default();
    let Some(table) = table else { return default };
    let listen = table.get("listen").and_then(|item| item.form::<SocketAddr>());
    let token = table.get_hidden("token");
    if token.is_none() && listen.is_some_and(|address| !address.ip().is_loopback()) {
        table.missing(
            "token",
            "{ env = \"…\" } or { file = \"…\" }; optional only if `listen` is loopback",
        );
    }
    AdminSettings {
        listen: listen.unwrap_or(default.listen),
        token: token.and_then(|item| self::token(&item)),
    }
}

/// Unlike a source's secret, this one has no smaller part that could be turned off: without it the
/// listener would be open to everyone.
fn token(item: &Item<'_>) -> Option<Secret> {
    match secrets::read(item)? {
        Found::Secret(secret) => Some(secret),
        Found::Unreadable(why) => {
            if item.reading.needs(&item.key) {
                item.contradicts(format!(
                    "{why}; the admin listener does not open without its token"
                ));
            }
            None
        }
    }
}

pub(super) fn read_log(table: Option<&TableReader<'_>>) -> LogSettings {
    let default = LogSettings::default();
    let Some(table) = table else { return default };
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    LogSettings {
        format: table
            .get("format")
            .and_then(|item| item.choice(&formats))
            .unwrap_or(default.format),
        level: table.get("level").and_then(|item| level(&item)).unwrap_or(default.level),
        upstream_error_bytes: table
            .get("upstream_error_bytes")
            .and_then(|item| item.whole(0, 4096))
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(default.upstream_error_bytes),
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The filter's own parser would read a misspelt level as the name of a module, so it is not used.
fn level(item: &Item<'_>) -> Option<String> {
    let allowed =
        "off, error, warn, info, debug, trace; per module, such as \"info,hookward=debug\"";
    let text = item.text(allowed)?;
    for directive in text.split(',') {
        let (module, level) = directive.rsplit_once('=').unwrap_or(("hookward", directive));
        let path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '-';
        if !LEVELS.contains(&level) || module.is_empty() || !module.chars().all(path) {
            let near = nearest(level, LEVELS).map(|near| {
                let whole = directive.strip_suffix(level).unwrap_or_default();
                format!("{whole}{near}")
            });
            item.reading.note(
                item.problem(hookward_settings::problem::Severity::Error, "not a log level")
                    .suggestion(near.map(|near| format!("\"{near}\"")))
                    .allowed(allowed),
            );
            return None;
        }
    }
    Some(text.to_owned())
}
