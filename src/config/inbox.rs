//! `[inbox]`: how events are kept until their destinations accept them.

use super::dedupe::{DedupeSettings, StoreSettings};
use super::forms::with_file;
use crate::delivery::source::Source;
use hookward_secret::Secret;
use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, key, optional};
use hookward_settings::problem::Severity;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::{PossiblyZero, Size};
use std::path::PathBuf;
use std::time::Duration;

/// The folder of the inbox in that of the store.
const FOLDER: &str = "inbox";

/// `[inbox]`.
#[derive(Clone, Debug)]
pub struct InboxSettings {
    /// Where it is; `None`: in the database of the store.
    pub folder: Option<PathBuf>,
    /// Bytes of events that wait or are dead.
    pub max_bytes: u64,
    /// Bytes that stay free on the file system.
    pub min_free: u64,
    /// How long dead events are kept.
    pub keep_dead: Duration,
    /// How long the bytes of a delivered event stay.
    pub keep_delivered: Duration,
    /// Keys of 32 bytes, newest first; empty: not encrypted.
    pub keys: Vec<Secret>,
    /// A route stores events, or the table is present. Otherwise the inbox is opened only if it
    /// already exists.
    pub is_used: bool,
}

impl InboxSettings {
    /// The keys.
    #[must_use]
    pub fn key_bytes(&self) -> Vec<[u8; 32]> {
        self.keys.iter().filter_map(|key| key.expose().try_into().ok()).collect()
    }
}

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[inbox]",
    about: "Where events wait that an upstream has not accepted yet, for routes with `delivery` \
            `spill` or `queued`: with `store = \"disk\"` the folder `inbox` in that of the store, with \
            `store = \"postgres\"` its database, which all instances share. Needs one of the two. \
            All of it needs a restart. See [inbox.md](inbox.md).",
    keys: &[
        key(
            "max_bytes",
            "size",
            r#""10GiB""#,
            "Waiting and dead events, including their headers. When the inbox is full, its routes \
             work like `sync`.",
        ),
        key(
            "min_free",
            "size",
            r#""1GiB""#,
            "`disk` only, of the file system. If less is free, nothing more is taken in.",
        ),
        key("keep_dead", "duration", r#""30d""#, "How long to keep dead events."),
        key(
            "keep_delivered",
            "duration",
            r#""0s""#,
            "How long to keep the bytes of a delivered event for a replay.",
        ),
        optional(
            "encrypt",
            "file or list of files",
            "not encrypted",
            "`{ file = … }` with a key of 32 bytes, raw or as hex or base64, for AES-256-GCM. Or \
             a list, newest first: the first key encrypts, and all of them decrypt.",
        ),
    ],
};

static FILE_KEYS: TableKeys =
    TableKeys { title: "", about: "", keys: &[optional("file", "path", "–", "A key.")] };

/// Reads the table; `None` with a store that holds no inbox.
pub(super) fn read(
    table: Option<&TableReader<'_>>,
    root: &TableReader<'_>,
    dedupe: &DedupeSettings,
    sources: &[Source],
) -> Option<InboxSettings> {
    let size = |name, default: u64| {
        let stated = table.and_then(|table| table.get(name)).and_then(|item| item.form::<Size>());
        stated.map_or(default, |size| size.0 as u64)
    };
    let span = |name, default| {
        let stated =
            table.and_then(|table| table.get(name)).and_then(|item| item.form::<PossiblyZero>());
        stated.map_or(default, |span| span.0)
    };
    let (max_bytes, min_free) = (size("max_bytes", 10 << 30), size("min_free", 1 << 30));
    let keep_dead = span("keep_dead", Duration::from_hours(24 * 30));
    let keep_delivered = span("keep_delivered", Duration::ZERO);
    let keys = table.and_then(|table| table.get("encrypt")).map(|item| keys(&item));
    let folder = match &dedupe.store {
        StoreSettings::Disk { path } => Some(path.join(FOLDER)),
        StoreSettings::Postgres { .. } => {
            if let Some(item) = table.and_then(|table| table.get("min_free")) {
                item.warn("has no effect: the disk is the database's");
            }
            None
        }
        StoreSettings::Memory | StoreSettings::Redis { .. } => {
            if table.is_some() {
                let is = dedupe.store.name();
                let what = format!(
                    "needs `store = \"disk\"` or `store = \"postgres\"` in [dedupe]; it is \"{is}\""
                );
                root.note(Severity::Error, "inbox", &what, None);
            }
            return None;
        }
    };
    Some(InboxSettings {
        folder,
        max_bytes,
        min_free,
        keep_dead,
        keep_delivered,
        keys: keys.unwrap_or_default(),
        is_used: table.is_some() || sources.iter().any(Source::uses_inbox),
    })
}

fn keys(item: &Item<'_>) -> Vec<Secret> {
    let allowed = "{ file = \"inbox.key\" }, or a list of them, the newest first";
    if matches!(item.node.value, Value::List(_)) {
        let keys = item.each(allowed, one_key).unwrap_or_default();
        if keys.is_empty() {
            item.refuse("no key", allowed);
        }
        keys
    } else {
        one_key(item).into_iter().collect()
    }
}

fn one_key(item: &Item<'_>) -> Option<Secret> {
    let allowed = "{ file = \"inbox.key\" }";
    let table = item.table(&FILE_KEYS)?;
    let (item, path) = table.require("file", allowed).and_then(with_file)?;
    let needed = item.reading.needs(&item.key);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Secret::new(bytes),
        Err(_) if !needed => return None,
        Err(fault) => {
            item.contradicts(format!("cannot be read: {fault}"));
            return None;
        }
    };
    let key = key_bytes(bytes.expose());
    if key.is_none() && needed {
        item.contradicts("does not contain 32 bytes, raw or as hex or base64");
    }
    key
}

/// 32 bytes, raw or encoded.
fn key_bytes(file: &[u8]) -> Option<Secret> {
    if file.len() == 32 {
        return Some(Secret::new(file.to_vec()));
    }
    let text = file.trim_ascii();
    let decoded = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text)
        .or_else(|_| data_encoding::BASE64.decode(text))
        .ok()?;
    (decoded.len() == 32).then(|| Secret::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_however_they_are_written() {
        let raw = [7_u8; 32];
        for written in [
            raw.to_vec(),
            format!("{}\n", data_encoding::HEXLOWER.encode(&raw)).into_bytes(),
            format!("{}\n", data_encoding::BASE64.encode(&raw)).into_bytes(),
        ] {
            assert_eq!(key_bytes(&written).map(|key| key.expose().to_vec()), Some(raw.to_vec()));
        }
        for other in [&[7_u8; 31][..], b"", b"not a key", &[b'a'; 66]] {
            assert!(key_bytes(other).is_none(), "{other:?}");
        }
    }
}
