//! The answers to the admin listener about a serving process.

use super::Runtime;
use crate::config::AdminToken;
use crate::delivery::captures::Capture;
use crate::delivery::journal::RecentDeliveries;
use crate::delivery::report::printable;
use crate::delivery::route::UpstreamName;
use crate::inbox::InboxStore;
use crate::operator::admin::{AdminBackend, Caller, Forgotten, Reloaded};
use async_trait::async_trait;
use hookward_claims::{Acceptance, Health, Standing};
use hookward_inbox::Listed;
use hookward_names::SourceName;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a request to the store by a person or a scraper may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long an event of a source that is not configured any more is remembered as moved.
const UNKNOWN_TTL: Duration = Duration::from_hours(72);

#[async_trait]
impl AdminBackend for Runtime {
    async fn ready(&self) -> Result<Option<String>, String> {
        match self.gate.claims.health(ASK_WITHIN).await {
            Ok(Health::Good) => Ok(None),
            Ok(Health::Degraded(why)) => Ok(Some(why)),
            Err(fault) => Err(fault.to_string()),
        }
    }

    async fn status(&self) -> Map<String, Value> {
        self.members(ASK_WITHIN).await
    }

    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String> {
        let Some(destinations) = self.destinations_of(source) else { return Ok(None) };
        let claims = &self.gate.claims;
        let stood = claims
            .inspect(&source.into(), &event_id.into(), &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        let mut stands = known(&stood);
        if let Some(inbox) = self.gate.inbox() {
            for name in &destinations {
                let stored = inbox.standing(&source.into(), &event_id.into(), name).await;
                if let Some((state, since)) = stored.filter(|_| !stands.contains_key(name.as_str()))
                {
                    let facts = json!({ "state": state, "since": since.to_rfc3339() });
                    stands.insert(name.to_string(), facts);
                }
            }
        }
        let told = || json!({ "source": source, "event_id": event_id, "destinations": stands });
        Ok((!stands.is_empty()).then(told))
    }

    async fn forget(
        &self,
        source: &str,
        event_id: &str,
        caller: &Caller,
    ) -> Result<Forgotten, String> {
        let (client, token) = (caller.client, caller.token.as_deref());
        let Some(destinations) = self.destinations_of(source) else {
            return Ok(Forgotten::Unknown);
        };
        let claims = &self.gate.claims;
        let stood = claims
            .forget(&source.into(), &event_id.into(), &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        let known = !known(&stood).is_empty();
        if stood.iter().any(|(_, standing)| matches!(standing, Standing::InFlight { .. })) {
            tracing::warn!(
                source,
                event_id = printable(event_id),
                %client,
                token,
                "audit: an event was to be forgotten, but it is in flight"
            );
            return Ok(Forgotten::InFlight);
        }
        if !known {
            tracing::warn!(
                source,
                event_id = printable(event_id),
                %client,
                token,
                "audit: an event was to be forgotten, but it is unknown"
            );
            return Ok(Forgotten::Unknown);
        }
        tracing::warn!(
            source,
            event_id = printable(event_id),
            %client,
            token,
            "audit: an event was forgotten; its next delivery is forwarded"
        );
        Ok(Forgotten::Done)
    }

    async fn may_be_there(&self, source: &str, id: &str, to: &str) -> Result<bool, String> {
        let claims = &self.gate.claims;
        let stood = claims.inspect(&source.into(), &id.into(), &[to.into()], ASK_WITHIN).await;
        Ok(!known(&stood.map_err(|fault| fault.to_string())?).is_empty())
    }

    async fn went_elsewhere(&self, event: &Listed) {
        let source = SourceName::from(event.source.as_str());
        let configured = self.gate.snapshot().sources.named(source.as_str()).map(|s| s.dedupe_ttl);
        let acceptance = Acceptance {
            source: &source,
            event_id: &event.id.as_str().into(),
            destination: &event.to.as_str().into(),
            alias: None,
            fingerprint: event.fingerprint,
            ttl: configured.unwrap_or(UNKNOWN_TTL),
        };
        self.gate.claims.accepted(acceptance).await;
    }

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        self.renew().await
    }

    fn tokens(&self) -> Arc<Vec<AdminToken>> {
        self.tokens.load_full()
    }

    fn journal(&self) -> Arc<RecentDeliveries> {
        Arc::clone(&self.gate.journal)
    }

    fn captures(&self, source: &str) -> Option<Vec<Arc<Capture>>> {
        self.gate.snapshot().sources.named(source)?;
        Some(self.gate.captures.of(source))
    }

    fn inbox(&self) -> Option<Arc<InboxStore>> {
        self.gate.inbox().cloned()
    }

    async fn before_scrape(&self) {
        self.show_gauges();
        let store = self.gate.claims.store();
        let entries = store.entries(ASK_WITHIN).await.ok();
        if let Some(inbox) = self.gate.inbox() {
            inbox.refresh().await;
        }
        let _turn = self.scraping.lock();
        if let Some(inbox) = self.gate.inbox() {
            inbox.show_figures();
        }
        let (name, counters) = ([store.name()], store.counters());
        if let Some(entries) = entries {
            let gauge = self.gate.metrics.dedupe_entries.with_label_values(&name);
            gauge.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
        let evicted = self.gate.metrics.dedupe_evicted.with_label_values(&name);
        evicted.inc_by(counters.evicted().saturating_sub(evicted.get()));
        let errors = self.gate.metrics.dedupe_store_errors.with_label_values(&name);
        errors.inc_by(counters.errors().saturating_sub(errors.get()));
    }
}

/// The state, and since when, for each destination that knows the event.
fn known(stood: &[(UpstreamName, Standing)]) -> Map<String, Value> {
    stood
        .iter()
        .filter_map(|(name, standing)| {
            let facts = match standing {
                // The inbox says how it stands.
                Standing::Queued { .. }
                | Standing::Absent
                | Standing::Claimed
                | Standing::Released { .. } => {
                    return None;
                }
                Standing::InFlight { since } => {
                    json!({ "state": "in_flight", "since": since.to_rfc3339() })
                }
                Standing::Delivered { since, .. } => {
                    json!({ "state": "delivered", "since": since.to_rfc3339() })
                }
                Standing::Uncertain { since, left, .. } => json!({
                    "state": "uncertain",
                    "since": since.to_rfc3339(),
                    "seconds_left": left.as_secs(),
                }),
            };
            Some((name.to_string(), facts))
        })
        .collect()
}

impl Runtime {
    fn destinations_of(&self, source: &str) -> Option<Vec<UpstreamName>> {
        let snapshot = self.gate.snapshot();
        let source = snapshot.sources.named(source)?;
        let mut names: Vec<UpstreamName> = Vec::new();
        for name in source.routes.iter().flat_map(|route| &route.to) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Some(names)
    }
}
