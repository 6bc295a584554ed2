//! Configuration: reads the file and resolves it to the settings that the process uses.
//!
//! There are three passes: `document` turns the text into a tree with line numbers; one module per
//! table resolves its part of the tree, merged with presets; `lints` checks the whole. No pass
//! stops at a problem, so all are reported at once. Nothing here is global: a reload calls
//! [`Config::load`] again.

mod admin;
mod certificates;
mod credentials;
mod dedupe;
mod fetch;
mod forms;
mod inbox;
mod key_site;
mod lints;
mod listing;
mod misplaced;
pub mod reference;
pub mod report;
mod resolved;
mod retry;
mod route;
mod server;
mod source;
mod upstream;

#[cfg(test)]
pub(crate) mod tests;

pub use admin::{AdminSettings, AdminToken, LogFormat, LogSettings};
pub use dedupe::{DedupeSettings, OnStoreError, StoreSettings};
pub use fetch::FetchSettings;
pub(crate) use hookward_settings::problem::nearest;
pub use hookward_settings::{
    ConfigPart, KeyDeclaration, KeyDefault, Problem, SecretReader, Severity, SystemSecrets,
    TableKeys, TextPlace,
};
pub use inbox::InboxSettings;
pub use listing::{ListingStyle, counts, render_problems, to_json};
pub use resolved::{CertificateEnd, Config, Loaded};
pub use retry::Retry;
pub use server::{ListenerTls, ServerSettings};
pub use upstream::{
    Balance, Breaker, Ejection, HealthCheck, UpstreamSettings, UpstreamTls, UpstreamUrl,
};

use data_encoding::HEXLOWER;
use hookward_names::UpstreamName;
use hookward_settings::document::{self, DocumentTable};
use hookward_settings::keys::optional;
use hookward_settings::reading::{Item, Reading, TableReader};
use hookward_settings::secrets;
use sha2::{Digest as _, Sha256};
use std::path::Path;

static ROOT_KEYS: TableKeys = TableKeys {
    title: "",
    about: "",
    keys: &[
        optional("server", "table", "all at their defaults", "See `[server]`."),
        optional("admin", "table", "all at their defaults", "See `[admin]`."),
        optional("log", "table", "all at their defaults", "See `[log]`."),
        optional("dedupe", "table", "all at their defaults", "See `[dedupe]`."),
        optional("inbox", "table", "all at their defaults", "See `[inbox]`."),
        optional("fetch", "table", "all at their defaults", "See `[fetch]`."),
        optional("upstreams", "tables", "none", "See `[upstreams.NAME]`."),
        optional("sources", "tables", "none", "See `[sources.NAME]`."),
    ],
};

/// The keys of these tables are names that the user chooses.
static UPSTREAMS: TableKeys =
    TableKeys { title: "", about: "tables such as [upstreams.NAME]", keys: &[] };
static SOURCES: TableKeys =
    TableKeys { title: "", about: "tables such as [sources.NAME]", keys: &[] };

impl Config {
    /// Reads a file for serving. Problems show its path as given here.
    ///
    /// # Errors
    /// All problems, at least one of them an error, possibly that the file does not exist.
    pub fn load(path: &Path, secrets: &dyn SecretReader) -> Loaded {
        Self::load_part(path, secrets, ConfigPart::Whole)
    }

    /// Reads a file for using a part of it; secrets, tokens and certificates of other parts may be
    /// missing, empty or unsuitable.
    ///
    /// # Errors
    /// All problems, at least one of them an error.
    pub fn load_part(path: &Path, secrets: &dyn SecretReader, part: ConfigPart<'_>) -> Loaded {
        let name = path.to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(|fault| {
            vec![Problem::new(
                Severity::Error,
                &name,
                format!("cannot be read: {}", secrets::plain(&fault)),
            )]
        })?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Self::parse_part(
            &text,
            Reading::new(&name, base_dir, secrets, part).with_hint(misplaced::hint),
        )
    }

    /// The log settings of a file, as far as it can be read, for reporting about a file that cannot
    /// be used.
    #[must_use]
    pub fn log_format(path: &Path) -> LogFormat {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let (root, _) = toml::de::DeTable::parse_recoverable(&text);
        let log = root.get_ref().get("log").and_then(|log| log.get_ref().as_table());
        let format = log.and_then(|log| log.get("format")?.get_ref().as_str());
        if format == Some("json") { LogFormat::Json } else { LogFormat::Text }
    }

    /// Reads a text. Problems call it `file`; relative paths in it are relative to `base_dir`.
    ///
    /// # Errors
    /// All problems, at least one of them an error.
    pub fn parse(text: &str, file: &str, base_dir: &Path, secrets: &dyn SecretReader) -> Loaded {
        Self::parse_part(
            text,
            Reading::new(file, base_dir, secrets, ConfigPart::Whole).with_hint(misplaced::hint),
        )
    }

    fn parse_part(text: &str, reading: Reading<'_>) -> Loaded {
        let root = document::parse(text, reading.file)?;
        let config = resolve(&root, &reading, text);
        let failed = reading.has_errors();
        let problems = reading.into_problems();
        if failed { Err(problems) } else { Ok((config, problems)) }
    }
}

/// Reads every table. The result is usable only if no error was reported.
fn resolve(root: &DocumentTable, reading: &Reading<'_>, text: &str) -> Config {
    let root = TableReader::open(reading, String::new(), TextPlace::default(), root, &ROOT_KEYS);
    let table = |name, keys| root.get(name).and_then(|item| item.table(keys));
    let server = server::read(table("server", &server::KEYS).as_ref());
    let admin = admin::read(table("admin", &admin::ADMIN_KEYS).as_ref());
    let log = admin::read_log(table("log", &admin::LOG_KEYS).as_ref());
    let dedupe = dedupe::read(table("dedupe", &dedupe::KEYS).as_ref());

    let fetch = fetch::read(table("fetch", &fetch::KEYS).as_ref());

    let upstream_tables = entries(table("upstreams", &UPSTREAMS).as_ref());
    let upstream_names: Vec<_> = upstream_tables.iter().map(|(name, _)| *name).collect();
    let upstreams = upstream_tables.iter().filter_map(|(name, item)| {
        let table = item.table(&upstream::KEYS)?;
        route::check_name(&table, name);
        let credentials = credentials::read(&table);
        let mut settings = upstream::read(name, &table)?;
        settings.error_bytes = log.upstream_error_bytes;
        Some((settings, (UpstreamName::from(*name), credentials)))
    });
    let (upstreams, credentials) = upstreams.unzip();

    let source_tables = entries(table("sources", &SOURCES).as_ref());
    let drafts: Vec<_> =
        source_tables.iter().filter_map(|(name, item)| source::draft(name, item)).collect();
    let sources: Vec<_> = drafts
        .iter()
        .filter_map(|draft| source::read(draft, reading, &dedupe, &upstream_names))
        .collect();
    let inbox = inbox::read(table("inbox", &inbox::KEYS).as_ref(), &root, &dedupe, &sources);

    let fingerprint = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    let fingerprint = fingerprint.chars().take(16).collect();
    let config = Config {
        server,
        admin,
        log,
        dedupe,
        inbox,
        fetch,
        upstreams,
        credentials,
        sources,
        fingerprint,
    };
    lints::judge(&config, &root, &drafts, reading);
    config
}

fn entries<'a>(table: Option<&TableReader<'a>>) -> Vec<(&'a str, Item<'a>)> {
    table.into_iter().flat_map(TableReader::entries).collect()
}
