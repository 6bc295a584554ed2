//! What the admin listener is told about a process that serves.

use super::Runtime;
use crate::delivery::report::printable;
use crate::delivery::route::{TypeGlob, UpstreamName};
use crate::operator::admin::{AdminBackend, Forgotten};
use crate::published::Standing;
use async_trait::async_trait;
use hookward_claims::{Health, Standing as ClaimStanding};
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a person's or a scraper's question to the store may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

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
        let snapshot = self.gate.snapshot();
        let sources: Map<String, Value> = snapshot
            .sources
            .iter()
            .map(|source| {
                let routes: Vec<Value> = source
                    .routes
                    .iter()
                    .map(|route| {
                        let events: Vec<&str> = route.events.iter().map(TypeGlob::as_str).collect();
                        let to: Vec<&str> = route.to.iter().map(UpstreamName::as_str).collect();
                        json!({ "events": events, "to": to })
                    })
                    .collect();
                let keys = snapshot.published_keys().find(|(of, _)| of.name == source.name);
                let keys = keys.map(|(_, keys)| of_keys(&keys.standing()));
                let facts = json!({
                    "path": source.path,
                    "keys": keys,
                    "preset": source.sender.preset,
                    "ready": source.sender.keys.is_ok(),
                    "routes": routes,
                });
                (source.name.to_string(), facts)
            })
            .collect();
        let store = self.gate.claims.store();
        let entries = store.entries(ASK_WITHIN).await.ok();
        let health = match self.gate.claims.health(ASK_WITHIN).await {
            Ok(Health::Good) => "good".to_owned(),
            Ok(Health::Degraded(why)) => why,
            Err(fault) => fault.to_string(),
        };
        let mut status = Map::new();
        status.insert("config_hash".to_owned(), snapshot.fingerprint.clone().into());
        let pending: Vec<&str> = self.pending.load().to_vec();
        status.insert("waits_for_restart".to_owned(), pending.into());
        status.insert("sources".to_owned(), sources.into());
        let upstreams: Map<String, Value> = self
            .upstreams
            .load()
            .status()
            .into_iter()
            .map(|upstream| {
                let addresses: Map<String, Value> =
                    upstream.addresses.into_iter().map(|(at, ok)| (at, ok.into())).collect();
                let facts = json!({ "healthy": upstream.healthy, "addresses": addresses });
                (upstream.name.to_string(), facts)
            })
            .collect();
        status.insert("upstreams".to_owned(), upstreams.into());
        status.insert(
            "dedupe".to_owned(),
            json!({ "store": store.name(), "entries": entries, "health": health }),
        );
        status
    }

    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String> {
        let Some(destinations) = self.destinations_of(source) else { return Ok(None) };
        let claims = &self.gate.claims;
        let stood = claims
            .inspect(&source.into(), &event_id.into(), &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        Ok(known(source, event_id, &stood))
    }

    async fn forget(
        &self,
        source: &str,
        event_id: &str,
        client: IpAddr,
    ) -> Result<Forgotten, String> {
        let Some(destinations) = self.destinations_of(source) else {
            return Ok(Forgotten::Unknown);
        };
        let claims = &self.gate.claims;
        let stood = claims
            .forget(&source.into(), &event_id.into(), &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        let known = known(source, event_id, &stood).is_some();
        if stood.iter().any(|(_, standing)| matches!(standing, ClaimStanding::InFlight { .. })) {
            tracing::warn!(
                source,
                event_id = printable(event_id),
                %client,
                "audit: an event was to be forgotten; where it is in flight it was not"
            );
            return Ok(Forgotten::InFlight);
        }
        if !known {
            tracing::warn!(
                source,
                event_id = printable(event_id),
                %client,
                "audit: an event was to be forgotten that is not known"
            );
            return Ok(Forgotten::Unknown);
        }
        tracing::warn!(
            source,
            event_id = printable(event_id),
            %client,
            "audit: an event was forgotten; its next delivery is forwarded"
        );
        Ok(Forgotten::Done)
    }

    async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        self.renew().await
    }

    fn token(&self) -> Option<Arc<Secret>> {
        self.token.load_full()
    }

    async fn before_scrape(&self) {
        for (source, keys) in self.gate.snapshot().published_keys() {
            if let Some(age) = keys.standing().age {
                let gauge = &self.gate.metrics.keys_age;
                let gauge = gauge.with_label_values(&[source.name.as_str()]);
                gauge.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
            }
        }
        let store = self.gate.claims.store();
        let entries = store.entries(ASK_WITHIN).await.ok();
        let _turn = self.scraping.lock();
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

/// How old published keys are, and why the last attempt to fetch them failed.
fn of_keys(standing: &Standing) -> Value {
    json!({
        "age_seconds": standing.age.map(|age| age.as_secs()),
        "fetched_at": standing.fetched_at.map(UnixMillis::to_rfc3339),
        "last_error": standing.last_error,
    })
}

/// Per destination its state and since when; `None` if none of them knows the event.
fn known(source: &str, event_id: &str, stood: &[(UpstreamName, ClaimStanding)]) -> Option<Value> {
    let destinations: Map<String, Value> = stood
        .iter()
        .filter_map(|(name, standing)| {
            let facts = match standing {
                ClaimStanding::Absent | ClaimStanding::Claimed | ClaimStanding::Released { .. } => {
                    return None;
                }
                ClaimStanding::InFlight { since } => {
                    json!({ "state": "in_flight", "since": since.to_rfc3339() })
                }
                ClaimStanding::Delivered { since, .. } => {
                    json!({ "state": "delivered", "since": since.to_rfc3339() })
                }
                ClaimStanding::Uncertain { since, left, .. } => json!({
                    "state": "uncertain",
                    "since": since.to_rfc3339(),
                    "seconds_left": left.as_secs(),
                }),
            };
            Some((name.to_string(), facts))
        })
        .collect();
    (!destinations.is_empty())
        .then(|| json!({ "source": source, "event_id": event_id, "destinations": destinations }))
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
