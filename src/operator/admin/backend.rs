//! What the admin listener asks of the process.

use super::access::Caller;
use crate::config::AdminToken;
use crate::delivery::captures::Capture;
use crate::delivery::journal::RecentDeliveries;
use crate::inbox::InboxStore;
use async_trait::async_trait;
use hookward_inbox::Listed;
use serde_json::Value;
use std::sync::Arc;

/// The interface of the rest of the process for the admin listener.
#[async_trait]
pub trait AdminBackend: Send + Sync + 'static {
    /// Whether events can be accepted now, above all by the store; a sentence if it does less than
    /// it promises.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    async fn ready(&self) -> Result<Option<String>, String>;

    /// The members of `/status` beside `version` and `uptime_seconds`: `config_hash` of the last
    /// accepted file, `waits_for_restart` (its keys that need a restart), `sources`, `upstreams`,
    /// `dedupe`.
    async fn status(&self) -> serde_json::Map<String, Value>;

    /// The state of the event at each destination; `None` if it is unknown.
    ///
    /// # Errors
    /// A sentence on why the store did not answer.
    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String>;

    /// Forgets the event, and writes the audit line.
    ///
    /// # Errors
    /// A sentence on why the store did not answer.
    async fn forget(
        &self,
        source: &str,
        event_id: &str,
        caller: &Caller,
    ) -> Result<Forgotten, String>;

    /// Whether a destination may have an event already, as far as the store knows.
    ///
    /// # Errors
    /// A sentence on why the store did not answer.
    async fn may_be_there(&self, _source: &str, _id: &str, _to: &str) -> Result<bool, String> {
        Ok(false)
    }

    /// Learns that an event went to another destination than this one, which must not get a copy of it.
    async fn went_elsewhere(&self, _event: &Listed) {}

    /// Reloads the configuration: all of it or nothing. The notes list changes that need a restart.
    ///
    /// # Errors
    /// Every problem of the new configuration; the old one stays in use.
    async fn reload(&self) -> Result<Reloaded, Vec<String>>;

    /// The bearer tokens that are taken now; a reload may change them. Empty only where the
    /// listener is on a loopback address.
    fn tokens(&self) -> Arc<Vec<AdminToken>>;

    /// The last deliveries.
    fn journal(&self) -> Arc<RecentDeliveries>;

    /// The captured refusals of a source, newest first; `None` for an unknown source.
    fn captures(&self, source: &str) -> Option<Vec<Arc<Capture>>>;

    /// Where events wait, if there is such a place.
    fn inbox(&self) -> Option<Arc<InboxStore>> {
        None
    }

    /// Updates figures that are counted elsewhere, before `/metrics` is written.
    async fn before_scrape(&self);
}

/// The result of a reload.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// Notes for the operator.
    pub notes: Vec<String>,
    /// What changed: `sources`, `routes` and `upstreams`, each with the names of those `added`,
    /// `removed` and `changed`.
    pub changes: Value,
}

/// The result of forgetting an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// A re-send of it is forwarded.
    Done,
    /// It was unknown.
    Unknown,
    /// It is in flight to a destination, which cannot be undone.
    InFlight,
}
