//! Opening the inbox, and what is said about what was found.

use super::engine::Engine;
use super::store::InboxStore;
use crate::config::{InboxSettings, UpstreamSettings};
use crate::telemetry::metrics::Metrics;
use hookward_claims::PostgresDatabase;
use hookward_inbox::{CipherKeys, Observer, OpenError, Policy, Recovery, Settings};
use hookward_inbox_postgres::SharedInbox;
use hookward_time::Clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where an inbox is.
pub enum InboxPlace {
    /// In a folder of this process.
    Folder(PathBuf),
    /// In the database of the store, with that of other instances.
    Database(PostgresDatabase),
}

/// What is needed to open an inbox.
pub struct Opening<'a> {
    /// What it may take.
    pub settings: &'a InboxSettings,
    /// How each destination is retried.
    pub policies: Vec<(String, Policy)>,
    /// The sources that are configured.
    pub sources: Vec<String>,
    /// Where it is.
    pub place: InboxPlace,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// How much longer than the upstream's `timeout` an instance has for an attempt that others may take
/// over: the time to read the event, and to write how it ended.
const TAKEOVER_MARGIN: Duration = Duration::from_secs(10);

/// How each upstream is retried.
#[must_use]
pub fn policies(upstreams: &[UpstreamSettings], uncertain_hold: Duration) -> Vec<(String, Policy)> {
    let policy = |upstream: &UpstreamSettings| {
        let retry = upstream.retry;
        let policy = Policy {
            first: retry.first,
            longest: retry.longest,
            give_up_after: retry.give_up_after,
            refused_after: retry.refused_after,
            uncertain_hold,
            takeover_after: uncertain_hold.max(upstream.timeout.saturating_add(TAKEOVER_MARGIN)),
        };
        (upstream.name.to_string(), policy)
    };
    upstreams.iter().map(policy).collect()
}

struct Heard(Arc<Metrics>);

impl Observer for Heard {
    fn flushed(&self, took: Duration) {
        self.0.inbox_flush.with_label_values(&[""; 0]).observe(took.as_secs_f64());
    }

    fn trouble(&self, what: &str) {
        tracing::warn!("inbox: {what}");
    }
}

impl InboxStore {
    /// Reads the whole log of an inbox on a disk; see [`hookward_inbox::Inbox::open`]. That blocks.
    ///
    /// # Errors
    /// As there. Nothing was changed then.
    pub async fn open(opening: Opening<'_>) -> Result<Arc<Self>, OpenError> {
        let Opening { settings, place, policies, sources, metrics, clock } = opening;
        let engine_settings = Settings {
            max_bytes: settings.max_bytes,
            min_free: settings.min_free,
            keep_dead: settings.keep_dead,
            keep_delivered: settings.keep_delivered,
            keys: CipherKeys::new(&settings.key_bytes()),
            destinations: policies.clone(),
            sources: Some(sources.clone()),
            observer: Arc::new(Heard(Arc::clone(&metrics))),
            ..Settings::default()
        };
        let wall = Arc::clone(&clock);
        let now = move || wall.wall().unsigned();
        let engine = match place {
            InboxPlace::Folder(folder) => {
                let began = clock.monotonic();
                let (log, recovery) = hookward_inbox::Inbox::open(&folder, engine_settings, now)?;
                tell(&folder, &recovery, clock.monotonic().saturating_sub(began).as_secs_f64());
                Engine::Log(log)
            }
            InboxPlace::Database(database) => {
                Engine::Shared(SharedInbox::open(database, engine_settings, now).await?)
            }
        };
        let inbox = Arc::new(Self::new(engine, metrics, clock));
        inbox.refresh().await;
        for stray in inbox.strays(&policies, &sources).await {
            tracing::warn!("{stray}");
        }
        Ok(inbox)
    }
}

fn tell(folder: &Path, recovery: &Recovery, seconds: f64) {
    let Recovery { entries, segments, torn, interrupted } = recovery;
    tracing::info!(
        folder = %folder.display(),
        entries,
        segments,
        interrupted,
        seconds,
        "inbox opened"
    );
    if let Some(torn) = torn {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            "a partial record at the end of the inbox's newest file was cut off; no sender was \
             told that it was stored"
        );
    }
}
