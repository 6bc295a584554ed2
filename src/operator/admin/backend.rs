//! What the admin listener asks of the process.

use super::access::Caller;
use crate::config::AdminToken;
use crate::delivery::captures::Capture;
use crate::delivery::journal::RecentDeliveries;
use crate::inbox::InboxStore;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// What the admin listener knows of the rest of the process.
#[async_trait]
pub trait AdminBackend: Send + Sync + 'static {
    /// Whether events can be taken now, the store above all; a sentence where it does less than
    /// it promises.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    async fn ready(&self) -> Result<Option<String>, String>;

    /// The members of `/status` beside `version` and `uptime_seconds`: `config_hash` of the file that
    /// was taken over last, `waits_for_restart` (the keys in it that are not in force yet),
    /// `sources`, `upstreams`, `dedupe`.
    async fn status(&self) -> serde_json::Map<String, Value>;

    /// How the event stands with each destination; `None` if nothing is known of it.
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

    /// Reads the configuration anew and takes over all of it or nothing. What cannot change without
    /// a restart is said in the notes.
    ///
    /// # Errors
    /// Every problem of the new configuration; the old one goes on serving.
    async fn reload(&self) -> Result<Reloaded, Vec<String>>;

    /// The bearer tokens that are taken now; a reload may change them. Empty only where the
    /// listener is on a loopback address.
    fn tokens(&self) -> Arc<Vec<AdminToken>>;

    /// The last deliveries.
    fn journal(&self) -> Arc<RecentDeliveries>;

    /// The refused deliveries of a source that were captured, newest first; `None` of one that is
    /// not configured.
    fn captures(&self, source: &str) -> Option<Vec<Arc<Capture>>>;

    /// Where events wait, if there is such a place.
    fn inbox(&self) -> Option<Arc<InboxStore>> {
        None
    }

    /// Brings those figures up to date that are counted elsewhere, before `/metrics` is written.
    async fn before_scrape(&self);
}

/// What came of a reload.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// What the person who asked should know.
    pub notes: Vec<String>,
    /// What changed: `sources`, `routes` and `upstreams`, each with the names of those `added`,
    /// `removed` and `changed`.
    pub changes: Value,
}

/// What came of forgetting an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// A re-send of it is forwarded.
    Done,
    /// Nothing was known of it.
    Unknown,
    /// It is on its way to a destination, which nobody can take back.
    InFlight,
}
