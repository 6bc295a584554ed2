//! When there is an inbox, and how a configuration sets it up.

use crate::config::{Config, InboxSettings};
use crate::delivery::gate::SharedState;
use crate::inbox::{InboxPlace, InboxStore, Opening, Reserve, Worker, policies};
use crate::operator::server::Edge;
use crate::request::MemoryShare;
use crate::telemetry::metrics::Metrics;
use hookward_claims::PostgresDatabase;
use hookward_inbox::OpenError;
use hookward_time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// Where the inbox is, if it is to be opened: a route uses it, or events wait there of a time when
/// one did.
pub(super) async fn wanted(
    settings: &InboxSettings,
    database: Option<&PostgresDatabase>,
) -> Option<InboxPlace> {
    match (&settings.folder, database) {
        (Some(folder), _) if settings.is_used || folder.is_dir() => {
            Some(InboxPlace::Folder(folder.clone()))
        }
        (None, Some(database)) if settings.is_used || has_events(database).await => {
            Some(InboxPlace::Database(database.clone()))
        }
        _ => None,
    }
}

/// Whether events wait in the database. One that does not say so is asked at the next reload.
async fn has_events(database: &PostgresDatabase) -> bool {
    const ANY: &str = "SELECT EXISTS (SELECT FROM hookward.entries)";
    let rows = database.ask(ANY, &[], Duration::from_secs(5)).await.unwrap_or_default();
    rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false))
}

/// Opens it. Blocks while a log is read.
pub(super) async fn open(
    config: &Config,
    settings: &InboxSettings,
    place: InboxPlace,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<InboxStore>, OpenError> {
    InboxStore::open(Opening {
        settings,
        place,
        policies: policies(&config.upstreams, config.dedupe.uncertain_hold),
        sources: source_names(config),
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock),
    })
    .await
}

/// Passes it to the deliveries, and starts to send due events.
pub(super) fn serve(gate: &Arc<SharedState>, edge: &Edge, inbox: Arc<InboxStore>) {
    gate.open_inbox(Arc::clone(&inbox));
    let memory = edge.memory();
    let reserve: Reserve = Arc::new(move |bytes| {
        let mut share = memory.share(None);
        share.grow(bytes).ok()?;
        Some(Box::new(share) as Box<dyn MemoryShare>)
    });
    Worker::start(inbox, Arc::clone(gate), reserve, edge.draining());
}

/// The sources of a configuration, by name.
pub(super) fn source_names(config: &Config) -> Vec<String> {
    config.sources.iter().map(|source| source.name.to_string()).collect()
}
