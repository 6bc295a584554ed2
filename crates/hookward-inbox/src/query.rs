//! Queries: lists, one entry, counts.

use crate::clock::Millis;
use crate::destination::Ends;
use crate::event::{EntryState, Filter, Listed, Page};
use crate::index::{Entry, Stand};
use crate::log::ReadError;
use crate::record::LogRecord;
use crate::shared::{Shared, state};
use std::sync::Arc;

/// How many entries are examined before other calls get the core again.
const AT_ONCE: usize = 1_000;

/// Counts of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationStats {
    /// Its name.
    pub to: String,
    /// Due, and not taken yet.
    pub ready: u64,
    /// Not due yet, or behind another one of its key.
    pub waiting: u64,
    /// Being sent.
    pub in_flight: u64,
    /// Given up.
    pub dead: u64,
    /// Kept for replay after their delivery.
    pub delivered: u64,
    /// Discarded and still remembered.
    pub discarded: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// When the oldest one that waits or is being sent was accepted.
    pub oldest_accepted_at: Option<Millis>,
    /// Since when the next entry has been due and not taken; `None` while it is paused.
    pub due_since: Option<Millis>,
    /// It is paused.
    pub paused: bool,
    /// When the pause ends by itself.
    pub paused_until: Option<Millis>,
    /// Orders that a dead entry holds up.
    pub lanes_blocked: u64,
    /// It is in the configuration.
    pub is_configured: bool,
    /// What became of entries since the start.
    pub ends: Ends,
}

/// Counts of the inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Every destination that is configured or has entries.
    pub destinations: Vec<DestinationStats>,
    /// Bytes of events that are kept; `max_bytes` is about these.
    pub bytes: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Entries of all kinds.
    pub entries: usize,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let mut stats = Stats {
            bytes: core.live_bytes,
            disk_bytes: core.usage.segments.values().map(|segment| segment.total).sum(),
            entries: core.index.len(),
            ..Stats::default()
        };
        for number in 0..u16::try_from(core.destinations.len()).unwrap_or(u16::MAX) {
            let oldest_accepted_at = core.oldest(number);
            let to = core.names.name(number).to_string();
            let core = &mut *core;
            let Some(destination) = core.destinations.get_mut(usize::from(number)) else { break };
            destination.advance(&mut core.index, now);
            let counts = destination.counts;
            let pause = destination.pause_at(now).map(|pause| pause.until);
            let is_used = counts != crate::destination::Counts::default()
                || destination.ends != Ends::default()
                || pause.is_some();
            if destination.policy.is_none() && !is_used {
                continue;
            }
            let due_since = destination.due_since(&core.index);
            stats.destinations.push(DestinationStats {
                to,
                ready: destination.ready_count,
                waiting: counts.queued.saturating_sub(destination.ready_count),
                in_flight: counts.in_flight,
                dead: counts.dead,
                delivered: counts.delivered,
                discarded: counts.discarded,
                bytes: destination.bytes,
                oldest_accepted_at,
                due_since: due_since.filter(|_| pause.is_none()),
                paused: pause.is_some(),
                paused_until: pause.filter(|until| *until != 0),
                lanes_blocked: destination.blocked_lanes,
                is_configured: destination.policy.is_some(),
                ends: destination.ends,
            });
        }
        stats
    }

    /// Entries that fit, by number, from `cursor` on.
    pub(crate) fn list(&self, filter: &Filter, limit: usize, cursor: Option<u64>) -> Page {
        let mut page = Page::default();
        let mut from = cursor.unwrap_or(0);
        loop {
            let (found, next) = self.some(filter, from);
            for (seq, entry) in found {
                if page.events.len() >= limit {
                    page.next = Some(seq);
                    return page;
                }
                let shown = self.show(seq, Some(&entry));
                page.events.extend(shown.filter(|shown| filter.fits(shown)));
            }
            let Some(next) = next else { return page };
            from = next;
        }
    }

    /// The numbers of all entries that fit.
    pub(crate) fn select(&self, filter: &Filter) -> Vec<u64> {
        let needs_record = filter.kind.is_some() || filter.id.is_some();
        let mut selected = Vec::new();
        let mut from = 0;
        loop {
            let (found, next) = self.some(filter, from);
            selected.extend(found.into_iter().filter_map(|(seq, entry)| {
                let fits = !needs_record
                    || self.show(seq, Some(&entry)).is_some_and(|shown| filter.fits(&shown));
                fits.then_some(seq)
            }));
            let Some(next) = next else { return selected };
            from = next;
        }
    }

    /// Entries that fit as far as memory tells, and where the search goes on.
    fn some(&self, filter: &Filter, from: u64) -> (Vec<(u64, Entry)>, Option<u64>) {
        let now = self.clock.now();
        let core = self.core.lock();
        let number = |name: &Option<String>| name.as_ref().map(|name| core.names.number(name));
        let (source, to) = (number(&filter.source), number(&filter.to));
        if source == Some(None) || to == Some(None) {
            return (Vec::new(), None);
        }
        let fits = |entry: &Entry| {
            source.flatten().is_none_or(|number| number == entry.source)
                && to.flatten().is_none_or(|number| number == entry.to)
                && filter.state.is_none_or(|wanted| wanted == state(entry, now))
                && filter.since.is_none_or(|since| entry.accepted() >= since)
                && filter.until.is_none_or(|until| entry.accepted() < until)
        };
        if let Some(id) = &filter.id {
            let found = core.with_id(id, source.flatten(), to.flatten());
            let found = found.into_iter().filter(|(seq, entry)| *seq >= from && fits(entry));
            return (found.collect(), None);
        }
        let mut found = Vec::new();
        for (looked_at, (seq, entry)) in core.index.from(from).enumerate() {
            if looked_at >= AT_ONCE * 100 || found.len() >= AT_ONCE {
                return (found, Some(seq));
            }
            if fits(entry) {
                found.push((seq, *entry));
            }
        }
        (found, None)
    }

    /// One entry. Its record may be copied forward meanwhile, so its place is asked for again.
    pub(crate) fn show(&self, seq: u64, entry: Option<&Entry>) -> Option<Listed> {
        let seen = entry.copied().or_else(|| self.core.lock().index.get(seq).copied())?;
        self.shown(seq, &seen).ok().or_else(|| {
            let seen = self.core.lock().index.get(seq).copied()?;
            self.shown(seq, &seen).ok()
        })
    }

    fn shown(&self, seq: u64, entry: &Entry) -> Result<Listed, ReadError> {
        let now = self.clock.now();
        let known = self.known_at(seq, entry.at)?;
        let payload = self.shelf.read(known.home)?;
        let LogRecord::Accept(record) = payload.record()? else { return Err(ReadError::Damaged) };
        let to: Arc<str> = self.core.lock().names.name(entry.to);
        Ok(Listed {
            seq,
            source: record.source.to_owned(),
            id: record.id.to_owned(),
            kind: record.kind.to_owned(),
            to: to.to_string(),
            state: state(entry, now),
            accepted_at: record.accepted_at,
            attempts: known.progress.sent,
            fingerprint: record.fingerprint,
            next_attempt_at: (entry.stand() == Stand::Queued && entry.is_scheduled())
                .then(|| entry.due()),
            tries: known.progress.tries,
            deeds: known.progress.deeds,
        })
    }
}

impl Filter {
    /// Whether the type and the id are those that are wanted.
    #[must_use]
    pub fn fits(&self, shown: &Listed) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == shown.kind)
            && self.id.as_ref().is_none_or(|id| *id == shown.id)
    }

    /// Only entries in this state.
    #[must_use]
    pub fn in_state(state: EntryState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }
}

impl crate::core::Core {
    /// Entries that can be of this id.
    fn with_id(&self, id: &str, source: Option<u16>, to: Option<u16>) -> Vec<(u64, Entry)> {
        let count = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        let all = |one: Option<u16>| one.map_or(0..count, |one| one..one + 1);
        let mut found: Vec<(u64, Entry)> = all(source)
            .flat_map(|source| all(to).map(move |to| (source, to)))
            .flat_map(|(source, to)| {
                self.candidates(&self.names.name(source), id, &self.names.name(to))
            })
            .collect();
        found.sort_unstable_by_key(|(seq, _)| *seq);
        found
    }
}
