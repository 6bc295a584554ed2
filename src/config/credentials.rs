//! `[upstreams.NAME].headers` and `sign`: the credentials for an upstream.

use crate::delivery::credentials::{AttestationKey, Credentials};
use hookward_secret::Secret;
use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, optional, required};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, FoundSecret};
use http::{HeaderName, HeaderValue};
use std::cell::Cell;

/// The keys of this table are names that the user chooses.
static HEADERS: TableKeys = TableKeys {
    title: "",
    about: "header names such as { X-Tenant = { value = \"42\" } }",
    keys: &[],
};

static HEADER_KEYS: TableKeys = TableKeys {
    title: "",
    about: "",
    keys: &[
        optional("env", "name", "–", "The environment variable that holds it."),
        optional("file", "path", "–", "The file that holds it."),
        optional("value", "text", "–", "The value itself."),
        optional("prefix", "text", "nothing", "Text to put before it."),
    ],
};

pub(super) static SIGN_KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME.sign]",
    about: "Standard Webhooks, made anew for each attempt: `webhook-id`, `webhook-timestamp` and \
            `webhook-signature`, with one `v1` signature for each secret.",
    keys: &[required(
        "secrets",
        "list of secrets",
        "Base64, with or without `whsec_` before it; newest first.",
    )],
};

pub(super) fn read(table: &TableReader<'_>) -> Credentials {
    let is_incomplete = Cell::new(false);
    let headers = table.get("headers").and_then(|item| item.table(&HEADERS));
    let headers = headers.iter().flat_map(TableReader::entries);
    let headers = headers.filter_map(|(name, item)| header(name, &item, &is_incomplete)).collect();
    let keys = table.get("sign").and_then(|item| {
        let secrets = item.table(&SIGN_KEYS)?.require("secrets", "a list of secrets")?;
        if matches!(&secrets.node.value, Value::List(list) if list.is_empty()) {
            secrets.refuse("empty: nothing is signed", "at least one secret");
        }
        secrets.each("a list of secrets such as [{ env = \"ERP_WHSEC\" }]", |item| {
            signing_key(item, &is_incomplete)
        })
    });
    let mut credentials = Credentials::new(headers, keys.unwrap_or_default());
    credentials.is_incomplete = is_incomplete.get();
    credentials
}

fn header(
    name: &str,
    item: &Item<'_>,
    is_incomplete: &Cell<bool>,
) -> Option<(HeaderName, HeaderValue)> {
    let allowed = "the name of a header, not one of Host, Content-Length, hop-by-hop ones, \
                   Hookward-*, Idempotency-Key and webhook-*";
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        item.clone().hidden().refuse("not the name of a header", allowed);
        return None;
    };
    if Credentials::is_reserved(&header) {
        item.clone().hidden().refuse("a header that you cannot set", allowed);
        return None;
    }
    let table = item.clone().hidden().table(&HEADER_KEYS)?;
    let prefix =
        table.get("prefix").map_or(Some(""), |item| item.text("a text such as \"Bearer \""));
    let value = match table.get("value") {
        // A tenant's number is not a secret, so it causes no warning.
        Some(value) if table.get("env").is_none() && table.get("file").is_none() => {
            Secret::from(value.text("the value as text")?.to_owned())
        }
        _ => found(item, secrets::read_beside(item, &HEADER_KEYS)?, is_incomplete)?,
    };
    let mut bytes = prefix?.as_bytes().to_vec();
    bytes.extend_from_slice(value.expose());
    let Ok(mut value) = HeaderValue::from_bytes(&bytes) else {
        item.clone().hidden().contradicts("is not valid in a header");
        return None;
    };
    value.set_sensitive(true);
    Some((header, value))
}

fn found(item: &Item<'_>, found: FoundSecret, is_incomplete: &Cell<bool>) -> Option<Secret> {
    match found {
        FoundSecret::Secret(secret) => Some(secret),
        FoundSecret::Unreadable(why) => {
            is_incomplete.set(true);
            if item.reading.needs(&item.key) {
                let what =
                    format!("{why}; until it can be read, Hookward sends nothing to the upstream");
                item.clone().hidden().warn(what);
            }
            None
        }
    }
}

fn signing_key(item: &Item<'_>, is_incomplete: &Cell<bool>) -> Option<AttestationKey> {
    let secret = found(item, secrets::read(item)?, is_incomplete)?;
    let key = AttestationKey::of(&secret);
    if key.is_none() && item.reading.needs(&item.key) {
        item.clone()
            .hidden()
            .contradicts("not a secret of Standard Webhooks: base64 of 24 to 64 bytes");
    }
    key
}
