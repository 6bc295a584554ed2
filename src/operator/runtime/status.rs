//! The data of `/status`, and the gauges with the same data.

use super::Runtime;
use crate::config::CertificateEnd;
use crate::delivery::gate::Serving;
use crate::delivery::route::{TypeGlob, UpstreamName};
use crate::published::KeysStatus;
use crate::upstream::UpstreamStatus;
use hookward_claims::Health;
use hookward_time::UnixMillis;
use hookward_verify::presets;
use serde_json::{Map, Value, json};
use std::time::Duration;

impl Runtime {
    /// The members of `/status` about this process. The store may take up to `within` to answer.
    pub(super) async fn members(&self, within: Duration) -> Map<String, Value> {
        let snapshot = self.gate.snapshot();
        let sources: Map<String, Value> = snapshot
            .serving()
            .map(|serving| (serving.source.name.to_string(), source(serving)))
            .collect();
        let upstreams = self.upstreams.load().status().into_iter();
        let upstreams: Map<String, Value> =
            upstreams.map(|status| (status.name.to_string(), self.upstream(&status))).collect();
        let certificates: Vec<Value> = self.certificates.load().iter().map(certificate).collect();
        let pending: Vec<&str> = self.pending.load().to_vec();
        let status = json!({
            "config_hash": snapshot.fingerprint,
            "waits_for_restart": pending,
            "sources": sources,
            "upstreams": upstreams,
            "dedupe": self.dedupe(within).await,
            "certificates": certificates,
        });
        let mut members = match status {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        if let Some(inbox) = self.gate.inbox() {
            inbox.refresh().await;
            members.insert("inbox".to_owned(), inbox.status());
        }
        members
    }

    fn upstream(&self, status: &UpstreamStatus) -> Value {
        let addresses: Map<String, Value> =
            status.addresses.iter().map(|(at, healthy)| (at.clone(), (*healthy).into())).collect();
        let last = status.last.as_ref();
        let paused = self.gate.inbox().is_some_and(|inbox| inbox.is_paused(&status.name));
        json!({
            "healthy": status.healthy,
            "addresses": addresses,
            "last_result": last.map(|last| last.result.label()),
            "last_result_at": last.map(|last| last.at.to_rfc3339()),
            "last_error": last.and_then(|last| last.error.as_deref()),
            "paused": paused,
        })
    }

    async fn dedupe(&self, within: Duration) -> Value {
        let store = self.gate.claims.store();
        let entries = store.entries(within).await.ok();
        let (answers, health) = match self.gate.claims.health(within).await {
            Ok(Health::Good) => (true, "good".to_owned()),
            Ok(Health::Degraded(why)) => (true, why),
            Err(fault) => (false, fault.to_string()),
        };
        json!({ "store": store.name(), "entries": entries, "answers": answers, "health": health })
    }

    /// Updates the gauges.
    pub(super) fn show_gauges(&self) {
        let snapshot = self.gate.snapshot();
        let mut events = Vec::new();
        let mut matches = Vec::new();
        let mut ages = Vec::new();
        for serving in snapshot.serving() {
            let name = serving.source.name.as_str();
            if let Some(at) = serving.sightings.last_event.get() {
                events.push((vec![name.to_owned()], seconds(at)));
            }
            let keys = serving.published.as_ref().and_then(|keys| keys.standing().age);
            if let Some(age) = keys {
                ages.push((vec![name.to_owned()], age.as_secs_f64()));
            }
            for (label, at) in serving.sightings.secrets() {
                if let Some(at) = at {
                    matches.push((vec![name.to_owned(), label.to_owned()], seconds(at)));
                }
            }
        }
        self.gauges.last_event.show(events);
        self.gauges.last_match.show(matches);
        self.gauges.keys_age.show(ages);
        let upstreams = self.upstreams.load().status().into_iter();
        self.gauges.healthy.show(upstreams.flat_map(
            |UpstreamStatus { name, addresses, .. }| {
                addresses.into_iter().filter_map(move |(address, healthy)| {
                    Some((vec![name.to_string(), address], f64::from(u8::from(healthy?))))
                })
            },
        ));
        let ends = self.certificates.load();
        let rows = ends.iter().map(|end| (vec![end.used_by.clone()], seconds(end.not_after)));
        self.gauges.certificates.show(rows);
    }
}

fn source(serving: &Serving) -> Value {
    let source = &serving.source;
    let routes: Vec<Value> = source
        .routes
        .iter()
        .map(|route| {
            let events: Vec<&str> = route.events.iter().map(TypeGlob::as_str).collect();
            let to: Vec<&str> = route.to.iter().map(UpstreamName::as_str).collect();
            json!({ "events": events, "to": to })
        })
        .collect();
    let is_readable = |label: &str| !source.unreadable.iter().any(|secret| secret.label == label);
    let secrets: Vec<Value> = serving
        .sightings
        .secrets()
        .map(|(name, last_match)| {
            let last_match_at = last_match.map(UnixMillis::to_rfc3339);
            json!({ "name": name, "readable": is_readable(name), "last_match_at": last_match_at })
        })
        .collect();
    let last_refusal = serving
        .sightings
        .last_refusal()
        .map(|(at, reason)| json!({ "at": at.to_rfc3339(), "reason": reason.label() }));
    let preset = source.sender.preset.as_deref().and_then(presets::named);
    let retry_horizon = preset.and_then(|preset| preset.about.retry_horizon);
    json!({
        "path": source.path,
        "preset": source.sender.preset,
        "ready": source.sender.keys.is_ok(),
        "routes": routes,
        "last_event_at": serving.sightings.last_event.get().map(UnixMillis::to_rfc3339),
        "last_refusal": last_refusal,
        "secrets": secrets,
        "keys": serving.published.as_ref().map(|keys| of_keys(&keys.standing())),
        "capture": source.capture,
        // How long after the first attempt the sender may still use an old signature.
        "retry_horizon_seconds": retry_horizon.map(|horizon| horizon.as_secs()),
    })
}

/// How old published keys are, and why the last attempt to fetch them failed.
fn of_keys(standing: &KeysStatus) -> Value {
    json!({
        "age_seconds": standing.age.map(|age| age.as_secs()),
        "fetched_at": standing.fetched_at.map(UnixMillis::to_rfc3339),
        "last_error": standing.last_error,
    })
}

fn certificate(end: &CertificateEnd) -> Value {
    json!({ "use": end.used_by, "not_after": end.not_after.to_rfc3339() })
}

/// A time as a gauge value.
fn seconds(at: UnixMillis) -> f64 {
    // Exact for the next quarter of a million years.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of an era fit in 53 bits")]
    let millis = at.0 as f64;
    millis / 1000.0
}
