//! Figures of the inbox, for `/status` and before each scrape.

use super::store::InboxStore;
use crate::telemetry::metrics::Metrics;
use hookward_inbox::{DestinationStats, TryOutcome};
use hookward_time::UnixMillis;
use serde_json::{Map, Value, json};

impl InboxStore {
    /// The member `inbox` of `/status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let stats = self.stats();
        let events: Map<String, Value> = stats
            .destinations
            .iter()
            .map(|found| {
                let facts = json!({
                    "ready": found.ready,
                    "waiting": found.waiting,
                    "in_flight": found.in_flight,
                    "dead": found.dead,
                    "delivered": found.delivered,
                    "bytes": found.bytes,
                    "oldest_at": found.oldest_accepted_at.map(rfc3339),
                    "paused": found.paused,
                    "paused_until_at": found.paused_until.map(rfc3339),
                    "lanes_blocked": found.lanes_blocked,
                    "configured": found.is_configured,
                });
                (found.to.clone(), facts)
            })
            .collect();
        json!({
            "bytes": stats.bytes,
            "disk_bytes": stats.disk_bytes,
            "full": self.fullness(),
            "events": events,
        })
    }

    /// Brings the gauges and the counters of ends up to date. One at a time.
    pub fn show_figures(&self) {
        let stats = self.stats();
        let metrics = &*self.metrics;
        let now = self.clock.wall().unsigned();
        let seconds = |since: u64| whole(now.saturating_sub(since) / 1000);
        // What is no longer known must not go on as it was.
        metrics.inbox_events.reset();
        for per_upstream in
            [&metrics.inbox_oldest, &metrics.inbox_paused, &metrics.inbox_lanes_blocked]
        {
            per_upstream.reset();
        }
        let overdue = stats.destinations.iter().filter_map(|found| found.due_since).min();
        metrics.inbox_bytes.with_label_values(&[""; 0]).set(whole(stats.bytes));
        let overdue = overdue.map_or(0, seconds);
        metrics.inbox_overdue.with_label_values(&[""; 0]).set(overdue);
        for found in &stats.destinations {
            let to = found.to.as_str();
            let by_state = [
                ("ready", found.ready),
                ("waiting", found.waiting),
                ("in_flight", found.in_flight),
                ("dead", found.dead),
            ];
            for (state, count) in by_state {
                metrics.inbox_events.with_label_values(&[to, state]).set(whole(count));
            }
            let oldest = found.oldest_accepted_at.map_or(0, seconds);
            metrics.inbox_oldest.with_label_values(&[to]).set(oldest);
            metrics.inbox_paused.with_label_values(&[to]).set(i64::from(found.paused));
            metrics.inbox_lanes_blocked.with_label_values(&[to]).set(whole(found.lanes_blocked));
            count_ends(metrics, found);
        }
    }
}

fn count_ends(metrics: &Metrics, found: &DestinationStats) {
    let ends = &found.ends;
    for (end, count) in [
        ("delivered", ends.delivered),
        ("dead", ends.dead),
        ("discarded", ends.discarded),
        ("revived", ends.revived),
        ("erased", ends.erased),
    ] {
        let counter = metrics.inbox_ended.with_label_values(&[found.to.as_str(), end]);
        counter.inc_by(count.saturating_sub(counter.get()));
    }
}

/// The label of a result: as of `hookward_upstream_requests_total`.
pub(super) fn label(outcome: TryOutcome) -> &'static str {
    match outcome {
        TryOutcome::Status(status) => match status / 100 {
            3 => "3xx",
            4 => "4xx",
            5.. => "5xx",
            _ => "2xx",
        },
        TryOutcome::Timeout => "timeout",
        TryOutcome::Unreachable => "unreachable",
        TryOutcome::Broken => "broken",
    }
}

/// A time of the inbox as people read it.
fn rfc3339(at: u64) -> String {
    UnixMillis::from_unsigned(at).to_rfc3339()
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
