//! When there is an inbox, and how a configuration sets it up.

use crate::config::{Config, InboxSettings};
use crate::delivery::gate::Gate;
use crate::inbox::{Inbox, Opening, Reserve, Worker, policies};
use crate::operator::server::Edge;
use crate::request::Held;
use crate::telemetry::metrics::Metrics;
use hookward_inbox::OpenError;
use hookward_time::Clock;
use std::sync::Arc;

/// Whether to open the inbox: a route uses it, or it may contain events from an earlier route.
pub(super) fn is_wanted(settings: &InboxSettings) -> bool {
    settings.is_used || settings.folder.is_dir()
}

/// Opens it. Blocks while its log is read.
pub(super) fn open(
    config: &Config,
    settings: &InboxSettings,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Inbox>, OpenError> {
    Inbox::open(Opening {
        settings,
        policies: policies(&config.upstreams, config.dedupe.uncertain_hold),
        sources: source_names(config),
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock),
    })
}

/// Passes it to the deliveries, and starts to send due events.
pub(super) fn serve(gate: &Arc<Gate>, edge: &Edge, inbox: Arc<Inbox>) {
    gate.open_inbox(Arc::clone(&inbox));
    let memory = edge.memory();
    let reserve: Reserve = Arc::new(move |bytes| {
        let mut share = memory.share(None);
        share.grow(bytes).ok()?;
        Some(Box::new(share) as Box<dyn Held>)
    });
    Worker::start(inbox, Arc::clone(gate), reserve, edge.draining());
}

/// The sources of a configuration, by name.
pub(super) fn source_names(config: &Config) -> Vec<String> {
    config.sources.iter().map(|source| source.name.to_string()).collect()
}
