//! What a reload cannot change.

use crate::config::{Config, DedupeSettings, InboxSettings, StoreSettings};
use std::net::SocketAddr;

/// What cannot change without a restart.
pub(super) struct Fixed {
    listen: Vec<SocketAddr>,
    threads: Option<usize>,
    tls: bool,
    admin_listen: SocketAddr,
    store: String,
    inbox: String,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listen: config.server.listen.clone(),
            threads: config.server.threads,
            tls: config.server.tls.is_some(),
            admin_listen: config.admin.listen,
            store: store_identity(&config.dedupe),
            inbox: inbox_identity(config.inbox.as_ref()),
        }
    }

    /// Whether events are claimed in the same store.
    pub(super) fn has_same_store(&self, new: &DedupeSettings) -> bool {
        self.store == store_identity(new)
    }

    /// Whether the admin listener is at the address of the new configuration.
    pub(super) fn same_admin_listener(&self, new: &Self) -> bool {
        self.admin_listen == new.admin_listen
    }

    /// What differs from the new configuration.
    pub(super) fn differences(&self, new: &Self) -> Vec<&'static str> {
        let changed = [
            ("server.listen", self.listen != new.listen),
            ("server.threads", self.threads != new.threads),
            ("server.tls (on or off)", self.tls != new.tls),
            ("admin.listen (and admin.token)", !self.same_admin_listener(new)),
            ("dedupe store", self.store != new.store),
            // Another store has another inbox.
            ("inbox", self.store == new.store && self.inbox != new.inbox),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

/// The identity of a store. It is compared and never shown, because a URL may contain a password.
fn store_identity(settings: &DedupeSettings) -> String {
    match &settings.store {
        StoreSettings::Memory => format!("memory {}", settings.capacity),
        StoreSettings::Disk { path } => format!("disk {} {}", path.display(), settings.capacity),
        StoreSettings::Redis { url, prefix, tls } => {
            format!("redis {prefix} {} {tls:?}", data_encoding::HEXLOWER.encode(url.expose()))
        }
        StoreSettings::Postgres { url, tls } => {
            format!("postgres {} {tls:?}", data_encoding::HEXLOWER.encode(url.expose()))
        }
    }
}

/// The identity of an inbox. Its keys are compared by their bytes and never shown.
fn inbox_identity(settings: Option<&InboxSettings>) -> String {
    settings.map_or_else(String::new, |s| {
        let keys: Vec<String> =
            s.keys.iter().map(|key| data_encoding::HEXLOWER.encode(key.expose())).collect();
        let InboxSettings { max_bytes, min_free, keep_dead, keep_delivered, .. } = s;
        format!("{max_bytes} {min_free} {keep_dead:?} {keep_delivered:?} {}", keys.join(" "))
    })
}
