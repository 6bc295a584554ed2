//! A reload: all of a new configuration or nothing.
//!
//! Everything that can fail is tried before anything changes. Then it replaces the snapshot, the
//! listener's limits and certificate, the log's level and format, and the admin token, and lists
//! what needs a restart.

use super::{Runtime, changes, inboxes};
use crate::config::{
    Config, DedupeSettings, InboxSettings, Problem, SecretReader, Severity, StoreSettings,
};
use crate::delivery::gate::Snapshot;
use crate::delivery::source::SourceTable;
use crate::inbox::policies;
use crate::operator::admin::Reloaded;
use crate::operator::server::Edge;
use crate::telemetry::log::LogControl;
use crate::upstream::{UpstreamFault, Upstreams};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where to read the configuration again.
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// How secrets are read.
    pub secrets: Box<dyn SecretReader + Send + Sync>,
    /// The log, to set its level and format.
    pub log: LogControl,
}

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

    /// Whether the admin listener is at the address of the new configuration.
    fn same_admin_listener(&self, new: &Self) -> bool {
        self.admin_listen == new.admin_listen
    }

    /// What differs from the new configuration.
    fn differences(&self, new: &Self) -> Vec<&'static str> {
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

/// What a reload must not do: an emptied file or a missing secret is a mistake, and the current
/// configuration is the better one.
fn losses(before: &SourceTable, config: &Config) -> Vec<(String, String)> {
    if config.sources.is_empty() && before.iter().len() > 0 {
        let what = "there are none, and there were some: every sender would be told 404";
        return vec![("sources".to_owned(), what.to_owned())];
    }
    let was_ready =
        |name: &str| before.named(name).is_some_and(|source| source.sender.keys.is_ok());
    let lost = config.sources.iter().filter(|source| was_ready(source.name.as_str()));
    lost.filter_map(|source| {
        let why = source.sender.keys.as_ref().err()?;
        let what =
            format!("none of its secrets can be read, so the reload would take it down ({why})");
        Some((format!("sources.{}.secrets", source.name), what))
    })
    .collect()
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

impl Runtime {
    /// Reloads the configuration, counts and logs the result, and returns notes for the operator.
    pub(super) async fn renew(&self) -> Result<Reloaded, Vec<String>> {
        let _turn = self.reloading.lock().await;
        let error = |what: String| (Severity::Error, what);
        let renewed = match &self.origin {
            None => Err(vec![error("this process has no configuration file to read anew".into())]),
            Some(origin) => match Config::load(&origin.path, &*origin.secrets) {
                Err(problems) => {
                    Err(problems.iter().map(|p| (p.severity, p.to_string())).collect())
                }
                Ok((config, remarks)) => self
                    .take_over(config, origin)
                    .map(|mut reloaded| {
                        let notes = &mut reloaded.notes;
                        for note in &*notes {
                            tracing::warn!("{note}");
                        }
                        for remark in remarks {
                            match remark.severity {
                                Severity::Note => tracing::info!("{remark}"),
                                Severity::Warning | Severity::Error => tracing::warn!("{remark}"),
                            }
                            notes.push(remark.to_string());
                        }
                        reloaded
                    })
                    .map_err(|problems| problems.into_iter().map(error).collect()),
            },
        };
        let reloads = &self.gate.metrics.config_reloads;
        match &renewed {
            Ok(_) => {
                reloads.with_label_values(&["ok"]).inc();
                let config_hash = &*self.gate.snapshot().fingerprint;
                tracing::info!(config_hash, "configuration reloaded");
            }
            Err(problems) => {
                reloads.with_label_values(&["error"]).inc();
                for (severity, problem) in problems {
                    match severity {
                        Severity::Error => tracing::error!("{problem}"),
                        Severity::Warning => tracing::warn!("{problem}"),
                        Severity::Note => tracing::info!("{problem}"),
                    }
                }
                let errors = problems.iter().filter(|(s, _)| *s == Severity::Error).count();
                tracing::error!(errors, "configuration not reloaded; the old one stays in use");
            }
        }
        renewed.map_err(|problems: Vec<_>| problems.into_iter().map(|(_, text)| text).collect())
    }

    fn take_over(&self, config: Config, origin: &Origin) -> Result<Reloaded, Vec<String>> {
        let file = origin.path.to_string_lossy();
        let problem = |key: String, what: String| {
            Problem::new(Severity::Error, &file, what).key(key).to_string()
        };
        let of_upstream = |fault: UpstreamFault| {
            problem(format!("upstreams.{}.{}", fault.upstream, fault.key), fault.detail)
        };
        let metrics = &self.gate.metrics;
        let mut problems: Vec<String> =
            Upstreams::check(&config.upstreams).into_iter().map(of_upstream).collect();
        let listener = Edge::prepare(&config.server)
            .map_err(|fault| problems.push(problem("server.tls".to_owned(), fault.to_string())));
        let Ok(listener) = listener else { return Err(problems) };
        let before = self.gate.snapshot();
        let losses = losses(&before.sources, &config);
        problems.extend(losses.into_iter().map(|(key, what)| problem(key, what)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let upstreams = self.upstreams.load().reconfigured(&config.upstreams, metrics);
        let upstreams =
            upstreams.map_err(|faults| faults.into_iter().map(of_upstream).collect::<Vec<_>>())?;

        let opened = match &config.inbox {
            Some(settings) if self.gate.inbox().is_none() && inboxes::is_wanted(settings) => {
                // The store cannot change without a restart, and the inbox is in its folder.
                let is_same_store = self.fixed.store == store_identity(&config.dedupe);
                if !is_same_store {
                    let what = "the inbox needs another store, and that takes a restart";
                    return Err(vec![problem("inbox".to_owned(), what.to_owned())]);
                }
                let opened = inboxes::open(&config, settings, metrics, &self.gate.clock);
                Some(opened.map_err(|why| vec![problem("inbox".to_owned(), why.to_string())])?)
            }
            _ => None,
        };

        // From here on nothing fails.
        let new = Fixed::of(&config);
        let pending = self.fixed.differences(&new);
        let mut notes: Vec<String> = pending
            .iter()
            .map(|key| format!("{key} changed; that takes a restart, the old one stays in force"))
            .collect();
        self.pending.store(Arc::new(pending));
        notes.extend(origin.log.apply(&config.log).err());
        // A token that was left out for a listener on loopback must not open one that is not.
        if self.fixed.same_admin_listener(&new) {
            self.token.store(config.admin.token.clone().map(Arc::new));
        }
        self.certificates.store(Arc::new(config.certificate_ends()));
        upstreams.start();
        let upstreams = Arc::new(upstreams);
        let clock = &self.gate.clock;
        let retries = policies(&config.upstreams, config.dedupe.uncertain_hold);
        let sources = inboxes::source_names(&config);
        let snapshot = Snapshot::new(config, &*upstreams, metrics, clock, Some(&before));
        let changes = changes::between(&before.sources, &snapshot.sources);
        let changes = changes::with_upstreams(changes, &self.upstreams.load(), &upstreams);
        self.upstreams.store(upstreams);
        self.gate.swap(snapshot);
        self.edge.take_over(listener);
        match (opened, self.gate.inbox()) {
            (Some(inbox), _) => inboxes::serve(&self.gate, &self.edge, inbox),
            (None, Some(inbox)) => notes.extend(inbox.configure(&retries, &sources)),
            (None, None) => {}
        }
        Ok(Reloaded { notes, changes })
    }
}
