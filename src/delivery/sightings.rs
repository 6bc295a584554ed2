//! When a source was last seen: its last event, its last refusal, the last match of each secret.
//!
//! This tells operators whether a sender still delivers and whether an old secret can be removed.
//! It costs a delivery one or two atomic stores, and survives a reload for sources that still
//! exist.

use crate::delivery::source::Source;
use crate::outcome::Reason;
use hookward_time::UnixMillis;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A time that only moves forward, or none yet.
#[derive(Debug)]
pub struct LastTime(AtomicI64);

/// The value before anything was seen; no clock shows it.
const NEVER: i64 = i64::MIN;

impl Default for LastTime {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl LastTime {
    /// Notes that it happened at `now`. Of two the later one stays.
    pub fn note(&self, now: UnixMillis) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }

    /// When it last happened; `None`: not yet.
    #[must_use]
    pub fn get(&self) -> Option<UnixMillis> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis != NEVER).then_some(UnixMillis(millis))
    }
}

/// When one source was last seen.
#[derive(Clone, Debug)]
pub struct Sightings {
    /// The last delivery that verified, whatever became of it.
    pub last_event: Arc<LastTime>,
    last_refusal: Arc<Mutex<Option<(UnixMillis, Reason)>>>,
    /// By label, in the order of the configuration, those that cannot be read included.
    secrets: Vec<(String, Arc<LastTime>)>,
}

impl Sightings {
    /// What is known of `source`, starting from what was known `before` a reload.
    #[must_use]
    pub fn of(source: &Source, before: Option<&Self>) -> Self {
        let kept = |label: &str| before.and_then(|before| before.secret(label)).cloned();
        let secrets = secret_labels(source)
            .map(|label| (label.to_owned(), kept(label).unwrap_or_default()))
            .collect();
        Self {
            last_event: before.map(|before| Arc::clone(&before.last_event)).unwrap_or_default(),
            last_refusal: before.map(|before| Arc::clone(&before.last_refusal)).unwrap_or_default(),
            secrets,
        }
    }

    /// Notes a delivery that was refused.
    pub fn note_refusal(&self, now: UnixMillis, reason: Reason) {
        *self.last_refusal.lock() = Some((now, reason));
    }

    /// The last delivery with outcome `rejected`.
    #[must_use]
    pub fn last_refusal(&self) -> Option<(UnixMillis, Reason)> {
        *self.last_refusal.lock()
    }

    /// When the secret of this label last matched a signature.
    #[must_use]
    pub fn secret(&self, label: &str) -> Option<&Arc<LastTime>> {
        self.secrets.iter().find(|(known, _)| known == label).map(|(_, last)| last)
    }

    /// Every secret with its last match.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, Option<UnixMillis>)> {
        self.secrets.iter().map(|(label, last)| (label.as_str(), last.get()))
    }
}

/// The labels of a source's secrets, newest first.
fn secret_labels(source: &Source) -> impl Iterator<Item = &str> {
    let mut unreadable = source.unreadable.iter().peekable();
    let mut readable = source.sender.labels();
    let mut index = 0;
    std::iter::from_fn(move || {
        let next = match unreadable.next_if(|secret| secret.index == index) {
            Some(secret) => Some(secret.label.as_str()),
            None => readable.next(),
        };
        index += 1;
        next.or_else(|| unreadable.next().map(|secret| secret.label.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_sightings_the_later_one_stays() {
        let last = LastTime::default();
        assert_eq!(last.get(), None);
        last.note(UnixMillis(2000));
        last.note(UnixMillis(1000));
        assert_eq!(last.get(), Some(UnixMillis(2000)));
    }
}
