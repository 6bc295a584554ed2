//! `[admin]` and `[log]`: what the operator sees.

use hookward_secret::Secret;
use hookward_settings::keys::{TableKeys, key, optional, required};
use hookward_settings::problem::nearest;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, FoundSecret};
use std::cell::Cell;
use std::net::SocketAddr;
use subtle::ConstantTimeEq as _;

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who presents one of these is let in; there is one unless `listen` is loopback.
    pub tokens: Vec<AdminToken>,
}

/// A bearer token of the admin listener.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// What audit lines call the person or program that presents it.
    pub name: String,
    /// What is presented.
    pub secret: Secret,
    /// Whether it opens only what changes nothing.
    pub is_read_only: bool,
}

impl AdminSettings {
    /// The token that commands present: one that may change things, where there is one.
    #[must_use]
    pub fn own_token(&self) -> Option<&Secret> {
        let may_change = self.tokens.iter().find(|token| !token.is_read_only);
        may_change.or(self.tokens.first()).map(|token| &token.secret)
    }
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
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), tokens: Vec::new() }
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
            "no token is asked for",
            "A bearer token, asked for by all but `/metrics`, `/healthz` and `/readyz`. It or one \
             of `tokens` must be there unless the address is loopback; if it cannot be read, \
             nothing starts.",
        ),
        optional("tokens", "list of tables", "none", "See `[[admin.tokens]]`."),
    ],
};

pub(super) static TOKEN_KEYS: TableKeys = TableKeys {
    title: "[[admin.tokens]]",
    about: "Further tokens, each with a name for the audit lines, as `tokens = [{ name = \
            \"grafana\", env = \"GRAFANA_TOKEN\", read_only = true }]`. Exactly one of `env`, `file` \
            and `value` holds the token. Commands present the first one that may change things.",
    keys: &[
        required(
            "name",
            "name",
            "What audit lines and the history of events call who presents it: up to 64 letters, \
             digits, `.`, `_`, `-` and `@`. `token` is the name of `admin.token`.",
        ),
        optional("env", "name", "–", "The environment variable that holds it."),
        optional("file", "path", "–", "The file that holds it. Read again on reload."),
        optional("value", "text", "–", "The token itself. Warned of."),
        key(
            "read_only",
            "boolean",
            "false",
            "It opens `GET` and `HEAD` alone; anything else is answered 403.",
        ),
    ],
};

/// The name of `admin.token`.
const ONLY: &str = "token";

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
    let (token, others) = (table.get_hidden("token"), table.get("tokens"));
    let has_none = token.is_none() && others.is_none();
    if has_none && listen.is_some_and(|address| !address.ip().is_loopback()) {
        table.missing(
            "token",
            "{ env = \"…\" } or { file = \"…\" }; it may be left out only where `listen` is \
             loopback, or where there are `tokens`",
        );
    }
    let token = token.and_then(|item| self::token(&item));
    let token =
        token.map(|secret| AdminToken { name: ONLY.to_owned(), secret, is_read_only: false });
    let mut tokens: Vec<AdminToken> = token.into_iter().collect();
    if let Some(others) = others {
        read_tokens(&others, &mut tokens);
    }
    AdminSettings { listen: listen.unwrap_or(default.listen), tokens }
}

fn read_tokens(item: &Item<'_>, tokens: &mut Vec<AdminToken>) {
    let allowed = "a list as [{ name = \"grafana\", env = \"GRAFANA_TOKEN\", read_only = true }]";
    let Some(items) = item.list(allowed) else { return };
    if items.is_empty() {
        item.refuse("empty", allowed);
    }
    let unreadable = Cell::new(None);
    for item in &items {
        let Some(found) = named_token(item, &unreadable) else { continue };
        if tokens.iter().any(|other| other.name == found.name) || found.name == ONLY {
            item.clone().hidden().contradicts(format!("another token is called `{}`", found.name));
        } else if tokens.iter().any(|other| is_same(&other.secret, &found.secret)) {
            item.clone().hidden().contradicts("the same token as another one");
        } else {
            tokens.push(found);
        }
    }
    // Who calls a running proxy needs one token only.
    if let (Some(why), true, true) =
        (unreadable.take(), tokens.is_empty(), item.reading.needs(&item.key))
    {
        item.clone().hidden().contradicts(why);
    }
}

fn named_token(item: &Item<'_>, unreadable: &Cell<Option<String>>) -> Option<AdminToken> {
    let allowed = "up to 64 letters, digits, `.`, `_`, `-` and `@`, as \"grafana\"";
    let table = item.clone().hidden().table(&TOKEN_KEYS)?;
    let stated = table.require("name", allowed)?;
    let name = stated.text(allowed)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        stated.refuse("not a name that a token can have", allowed);
        return None;
    }
    let is_read_only = table.get("read_only").map_or(Some(false), |item| item.boolean())?;
    match secrets::read_beside(item, &TOKEN_KEYS)? {
        FoundSecret::Secret(secret) => {
            Some(AdminToken { name: name.to_owned(), secret, is_read_only })
        }
        FoundSecret::Unreadable(why) if item.reading.serves() => {
            item.clone()
                .hidden()
                .contradicts(format!("{why}; the admin listener is not opened without its tokens"));
            None
        }
        FoundSecret::Unreadable(why) => {
            let first = unreadable.take();
            unreadable.set(first.or(Some(why)));
            None
        }
    }
}

fn is_same(one: &Secret, other: &Secret) -> bool {
    one.expose().ct_eq(other.expose()).into()
}

/// Unlike a source's secret, this one has no smaller part that could be turned off: without it the
/// listener would be open to everyone.
fn token(item: &Item<'_>) -> Option<Secret> {
    match secrets::read(item)? {
        FoundSecret::Secret(secret) => Some(secret),
        FoundSecret::Unreadable(why) => {
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
