//! The last deliveries, kept in memory and streamed to viewers.
//!
//! Verified and unverified deliveries are kept separately, so that a flood of forgeries does not
//! push out the day's events. A delivery costs one small record, which becomes JSON only on
//! request. It never contains a body, a secret or a computed signature.

use crate::delivery::answer::Answer;
use crate::delivery::proof::Proven;
use crate::delivery::report::{DestinationReport, Report, millis};
use crate::delivery::source::SourceName;
use crate::delivery::trace::Trace;
use crate::outcome::{Outcome, Reason};
use hookward_time::UnixMillis;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// How many deliveries are kept, of verified ones and of the others.
pub const KEPT: usize = 500;

/// How many records a viewer may lag before it loses some.
const AHEAD: usize = 256;

/// A delivery that has ended: the fields of its log line.
#[derive(Debug)]
pub struct DeliveryRecord {
    /// Counts the deliveries; a later one has a higher number.
    number: u64,
    at: UnixMillis,
    source: Option<SourceName>,
    event: Option<Proven>,
    outcome: Outcome,
    reason: Option<Reason>,
    status: u16,
    destinations: Vec<DestinationReport>,
    duration: Duration,
    body_bytes: usize,
    client: IpAddr,
    trace: Option<Trace>,
}

impl DeliveryRecord {
    /// The fields of the log line, and `at`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let event = self.event.as_ref().map(Proven::event);
        let destinations: Vec<Value> =
            self.destinations.iter().map(DestinationReport::to_json).collect();
        json!({
            "at": self.at.to_rfc3339(),
            "source": self.source.as_ref().map_or("", SourceName::as_str),
            "event_id": event.map_or("", |event| event.id.as_str()),
            "event_type": event.map_or("", |event| event.kind.as_str()),
            "outcome": self.outcome.label(),
            "reason": self.reason.map_or("", Reason::label),
            "status": self.status,
            "destinations": destinations,
            "duration_ms": millis(self.duration),
            "body_bytes": self.body_bytes,
            "client": self.client.to_string(),
            "trace_id": self.trace.as_ref().map_or("", Trace::id),
        })
    }
}

/// Which deliveries to return; `None` matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The name of the source; empty: those that matched none.
    pub source: Option<String>,
    /// An outcome's label.
    pub outcome: Option<String>,
    /// A reason's label; empty: those that ended well.
    pub reason: Option<String>,
}

impl DeliveryFilter {
    fn takes(&self, record: &DeliveryRecord) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        is(&self.source, record.source.as_ref().map_or("", SourceName::as_str))
            && is(&self.outcome, record.outcome.label())
            && is(&self.reason, record.reason.map_or("", Reason::label))
    }
}

#[derive(Debug, Default)]
struct JournalRing {
    count: u64,
    verified: VecDeque<Arc<DeliveryRecord>>,
    others: VecDeque<Arc<DeliveryRecord>>,
}

/// The last deliveries of a process.
#[derive(Debug)]
pub struct RecentDeliveries {
    kept: Mutex<JournalRing>,
    viewers: broadcast::Sender<Arc<DeliveryRecord>>,
}

impl Default for RecentDeliveries {
    fn default() -> Self {
        Self { kept: Mutex::default(), viewers: broadcast::Sender::new(AHEAD) }
    }
}

impl RecentDeliveries {
    /// Takes a delivery in that has ended at `at`. `is_verified`: nobody but the sender can have made it.
    pub fn take(
        &self,
        report: Report,
        answer: &Answer,
        at: UnixMillis,
        duration: Duration,
        is_verified: bool,
    ) {
        let mut record = DeliveryRecord {
            number: 0,
            at,
            source: report.source,
            event: report.event,
            outcome: answer.outcome(),
            reason: answer.refusal().map(|refusal| refusal.reason),
            status: answer.status(),
            destinations: report.destinations,
            duration,
            body_bytes: report.body_bytes,
            client: report.client,
            trace: report.trace,
        };
        let mut kept = self.kept.lock();
        kept.count += 1;
        record.number = kept.count;
        let record = Arc::new(record);
        let ring = if is_verified { &mut kept.verified } else { &mut kept.others };
        let oldest = if ring.len() >= KEPT { ring.pop_front() } else { None };
        ring.push_back(Arc::clone(&record));
        drop(kept);
        drop(oldest); // outside of the lock, where it holds nobody up
        // Nobody looks on, mostly, and then there is nobody to tell.
        drop(self.viewers.send(record));
    }

    /// Those that the filter takes, newest first, at most `limit`.
    #[must_use]
    pub fn last(&self, filter: &DeliveryFilter, limit: usize) -> Vec<Arc<DeliveryRecord>> {
        let mut all: Vec<Arc<DeliveryRecord>> = {
            let kept = self.kept.lock();
            kept.verified.iter().chain(&kept.others).map(Arc::clone).collect()
        };
        all.retain(|record| filter.takes(record));
        all.sort_unstable_by_key(|record| std::cmp::Reverse(record.number));
        all.truncate(limit.min(KEPT));
        all
    }

    /// Deliveries as they end, from now on. Who reads too slowly loses some.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<DeliveryRecord>> {
        self.viewers.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(journal: &RecentDeliveries, is_verified: bool) {
        let report = Report::of("203.0.113.7".parse().unwrap());
        let answer = Answer::refused(Reason::SignatureMismatch.into());
        journal.take(report, &answer, UnixMillis(0), Duration::ZERO, is_verified);
    }

    #[test]
    fn what_verified_is_not_pushed_out_by_a_flood_of_what_did_not() {
        let journal = RecentDeliveries::default();
        refused(&journal, true);
        for _ in 0..3 * KEPT {
            refused(&journal, false);
        }
        let all = journal.last(&DeliveryFilter::default(), usize::MAX);
        assert_eq!((all.len(), all[0].number, all[1].number), (KEPT, 1501, 1500));
        let kept = journal.kept.lock();
        assert_eq!((kept.verified.len(), kept.others.len()), (1, KEPT));
    }

    #[tokio::test]
    async fn a_viewer_that_lags_loses_the_oldest_and_holds_nobody_up() {
        let journal = RecentDeliveries::default();
        let mut viewer = journal.watch();
        for _ in 0..2 * AHEAD {
            refused(&journal, false);
        }
        let lost = viewer.recv().await.unwrap_err();
        assert!(matches!(lost, broadcast::error::RecvError::Lagged(_)), "{lost:?}");
        assert_eq!(viewer.recv().await.unwrap().number, 1 + AHEAD as u64);
    }
}
