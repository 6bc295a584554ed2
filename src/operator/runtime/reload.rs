//! A reload: all of a new configuration or nothing.
//!
//! Everything that can fail is tried before anything is changed. What then changes is one snapshot,
//! the listener's limits and certificate, the log's level and format and the admin tokens; what
//! needs a restart is said.

use super::fixed::Fixed;
use super::origin::Origin;
use super::{Runtime, changes, inboxes};
use crate::config::{Config, Problem, Severity};
use crate::delivery::gate::Snapshot;
use crate::delivery::source::SourceTable;
use crate::inbox::policies;
use crate::operator::admin::Reloaded;
use crate::operator::server::Edge;
use crate::upstream::{UpstreamFault, Upstreams};
use std::sync::Arc;

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
                    .await
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

    async fn take_over(&self, config: Config, origin: &Origin) -> Result<Reloaded, Vec<String>> {
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

        let refused = |what: &str| vec![problem("inbox".to_owned(), what.to_owned())];
        let opened = match &config.inbox {
            Some(settings) if self.gate.inbox().is_none() => {
                let is_same_store = self.fixed.has_same_store(&config.dedupe);
                match inboxes::wanted(settings, self.database.as_ref()).await {
                    // The store cannot change without a restart, and the inbox is with it.
                    _ if !is_same_store && settings.is_used => {
                        let what = "the inbox needs another store, and that takes a restart";
                        return Err(refused(what));
                    }
                    Some(place) if is_same_store => {
                        let clock = &self.gate.clock;
                        let opened = inboxes::open(&config, settings, place, metrics, clock).await;
                        Some(opened.map_err(|why| refused(&why.to_string()))?)
                    }
                    _ => None,
                }
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
            self.tokens.store(Arc::new(config.admin.tokens.clone()));
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
            (None, Some(inbox)) => {
                notes.extend(inbox.configure(&retries, &sources).await);
            }
            (None, None) => {}
        }
        Ok(Reloaded { notes, changes })
    }
}
