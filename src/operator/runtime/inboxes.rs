//! When there is an inbox, and what it is given by a configuration.

use crate::config::{Config, InboxSettings};
use crate::delivery::gate::SharedState;
use crate::inbox::{InboxStore, Opening, Reserve, Worker, policies};
use crate::operator::server::Edge;
use crate::request::MemoryShare;
use crate::telemetry::metrics::Metrics;
use hookward_inbox::OpenError;
use hookward_time::Clock;
use std::sync::Arc;

/// Whether the inbox is to be opened: a route uses it, or events may wait there of a time when one
/// did.
pub(super) fn is_wanted(settings: &InboxSettings) -> bool {
    settings.is_used || settings.folder.is_dir()
}

/// Opens it. Blocks while its log is read.
pub(super) fn open(
    config: &Config,
    settings: &InboxSettings,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<InboxStore>, OpenError> {
    InboxStore::open(Opening {
        settings,
        policies: policies(&config.upstreams, config.dedupe.uncertain_hold),
        sources: source_names(config),
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock),
    })
}

/// Gives it to the deliveries, and starts to send what is due.
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
