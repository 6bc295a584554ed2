//! Taking what is due.

use crate::attempt::{Sent, SharedAttempt};
use crate::commons::{Commons, number, span};
use crate::entry::{EntryRow, columns};
use hookward_inbox::{Attempt, Millis, Tried, TryOutcome};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_postgres::Row;

const TAKE: &str = concat!("SELECT ", columns!(), " FROM hookward.take($1, $2, $3, $4, $5, $6)");

const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// Other instances store events as well, and some may be left to this one: so often it is looked.
pub(crate) const LOOK_AGAIN: Millis = 1_000;

/// Entries of one destination that are taken at once: their bytes are read one by one.
const MOST: usize = 64;

impl Commons {
    /// How much of each destination may be taken now.
    pub(crate) fn rooms(&self, mut room: impl FnMut(&str) -> usize) -> Vec<(String, usize)> {
        let now = self.now();
        let open: Vec<(String, crate::commons::LocalDestination)> = {
            let local = self.local.lock();
            let is_paused =
                |to: &str| local.pauses.iter().any(|pause| pause.to == to && pause.holds_at(now));
            let configured = local.destinations.iter().filter(|(_, found)| found.policy.is_some());
            let open = configured.filter(|(to, _)| !is_paused(to));
            open.map(|(to, found)| (to.clone(), found.clone())).collect()
        };
        open.into_iter()
            .map(|(to, found)| {
                let room = room(&to).min(MOST);
                let allowed = found.ramp.allowed(room, found.in_flight, now);
                (to, allowed)
            })
            .collect()
    }

    /// Takes what is due, of each destination at most as many as there is room for.
    pub(crate) async fn take(self: &Arc<Self>, rooms: Vec<(String, usize)>) -> Vec<Attempt> {
        let _settling = self.settling();
        if self.is_closing.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let now = self.now();
        let sources = self.local.lock().sources.clone();
        let leases: Vec<i64> =
            rooms.iter().map(|(to, _)| span(self.policy(to).takeover_after)).collect();
        let (dests, counts): (Vec<String>, Vec<i32>) = rooms
            .into_iter()
            .map(|(to, room)| (to, i32::try_from(room).unwrap_or(i32::MAX)))
            .unzip();
        let (fence, wall) = (self.fence(), number(now));
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&dests, &counts, &leases, &sources, &fence, &wall];
        let rows = match self.database.ask(TAKE, &values, TAKE_WITHIN).await {
            Ok(rows) => rows,
            Err(fault) => {
                self.trouble(&fault);
                self.local.lock().next_due = Some(now.saturating_add(LOOK_AGAIN));
                return Vec::new();
            }
        };
        let mut next_due = now.saturating_add(LOOK_AGAIN).min(self.end_of_gap(now));
        let mut taken = Vec::with_capacity(rows.len());
        for row in &rows {
            match row.try_get::<_, i64>(0) {
                Ok(0) => {
                    let wait: Option<i64> = row.try_get(2).ok().flatten();
                    let wait = wait.and_then(|wait| u64::try_from(wait).ok());
                    next_due = next_due.min(now.saturating_add(wait.unwrap_or(LOOK_AGAIN)));
                }
                _ => taken.extend(self.attempt(row, fence, now)),
            }
        }
        self.local.lock().next_due = Some(next_due);
        if self.is_closing.load(Ordering::SeqCst) {
            // Nobody is going to send them; what is dropped here is given back.
            return Vec::new();
        }
        taken
    }

    /// When the first gap ends that an outage made.
    fn end_of_gap(&self, now: Millis) -> Millis {
        let local = self.local.lock();
        let gaps = local.destinations.values().map(|found| found.ramp.not_before());
        gaps.filter(|until| *until > now).min().unwrap_or(Millis::MAX)
    }

    fn attempt(self: &Arc<Self>, row: &Row, fence: i64, now: Millis) -> Option<Attempt> {
        let Some(entry) = EntryRow::of(row) else {
            self.trouble(&"an entry of the inbox does not read; it is tried again after its lease");
            return None;
        };
        if let Some(lease) = self.local.lock().under_way.get_mut(&entry.seq) {
            // The end may be committed although its answer is still on the way: then the entry was
            // queued, and this is the next attempt. Otherwise the lease of one ran out that is still
            // made, or whose end the database does not know, and taking it renewed the lease.
            let is_known_to_have_ended = lease.is_over && entry.state == b'q';
            if !is_known_to_have_ended {
                lease.fence = fence;
                return None;
            }
        }
        let EntryRow { seq, mut progress, .. } = entry;
        if entry.state == b'f' {
            // Who sent it is not heard of any more: the receiver may have it.
            let tried = Tried { uncertain: true, ..Tried::new(entry.began, TryOutcome::Broken) };
            progress.note(&tried);
        }
        let sent = Sent {
            seq,
            fence,
            key: entry.key,
            alias: entry.alias,
            source: entry.source,
            to: entry.to,
            name: entry.name,
            accepted: entry.accepted,
            fingerprint: entry.fingerprint,
            ttl: Duration::from_millis(entry.ttl),
            progress,
            size: entry.size,
            began: now,
        };
        Some(Attempt::of(Box::new(SharedAttempt::taken(Arc::clone(self), sent))))
    }
}
