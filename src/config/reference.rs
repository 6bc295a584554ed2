//! The reference of all tables and keys, generated from the declarations that the reader uses.

use super::{
    admin, credentials, dedupe, fetch, inbox, key_site, retry, route, server, source, upstream,
};
use hookward_settings::keys::{Default, TableKeys};
use hookward_settings::secrets;
use hookward_verify::reading::scheme;
use std::fmt::Write as _;

/// Every table, in the order of the reference.
#[must_use]
pub fn tables() -> [&'static TableKeys; 23] {
    [
        &server::KEYS,
        &server::TLS_KEYS,
        &admin::ADMIN_KEYS,
        &admin::TOKEN_KEYS,
        &admin::LOG_KEYS,
        &dedupe::KEYS,
        &dedupe::TLS_KEYS,
        &inbox::KEYS,
        &fetch::KEYS,
        &upstream::KEYS,
        &upstream::TLS_KEYS,
        &upstream::HEALTH_KEYS,
        &upstream::BREAKER_KEYS,
        &retry::KEYS,
        &credentials::SIGN_KEYS,
        &source::KEYS,
        &scheme::SIGNATURE_KEYS,
        &scheme::TIMESTAMP_KEYS,
        &scheme::EVENT_KEYS,
        &scheme::HANDSHAKE_KEYS,
        &route::KEYS,
        &secrets::KEYS,
        &key_site::KEYS,
    ]
}

/// All tables as Markdown, for `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for table in tables() {
        let title = match table.title {
            "secret" => "A secret".to_owned(),
            "published keys" => "Published keys".to_owned(),
            title => format!("`{title}`"),
        };
        let _ = writeln!(text, "### {title}\n\n{}\n", table.about);
        let _ = writeln!(text, "| key | takes | default | what it does |");
        let _ = writeln!(text, "| --- | --- | --- | --- |");
        for key in table.keys {
            let default = match key.default {
                Default::Required => "**required**".to_owned(),
                Default::Is(value) => format!("`{value}`"),
                Default::Means(words) => words.to_owned(),
            };
            let row = [&format!("`{}`", key.name), key.takes, &default, key.about];
            let _ = writeln!(text, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
        text.push('\n');
    }
    text
}
