//! The memory that bodies may take, over all connections.
//!
//! A body takes its share as its bytes arrive and never by what it declares, so that nobody can
//! reserve memory by announcing a large body.

use crate::request::Held;
use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `body_memory`, shared by all connections.
#[derive(Debug)]
pub struct BodyMemory {
    limit: AtomicUsize,
    used: AtomicUsize,
    gauge: Option<IntGauge>,
}

impl BodyMemory {
    /// A budget of `limit` bytes; what is in use shows on `gauge`, if there is one.
    #[must_use]
    pub fn new(limit: usize, gauge: Option<IntGauge>) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0), gauge })
    }

    /// Changes the limit. Bodies that are held stay.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// An empty share.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { memory: Arc::clone(self), bytes: 0 }
    }
}

/// The memory of one body; given back by dropping it.
#[derive(Debug)]
pub struct Share {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

impl Share {
    /// Takes `bytes` more; false if the budget is used up, and then nothing is taken.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let limit = self.memory.limit.load(Ordering::Relaxed);
        let taken = self.memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        if taken.is_err() {
            return false;
        }
        self.bytes += bytes;
        if let Some(gauge) = &self.memory.gauge {
            gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(gauge) = &self.memory.gauge {
            gauge.sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        }
    }
}

impl Held for Share {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_can_be_taken_and_the_next_one_cannot_until_a_share_is_given_back() {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let memory = BodyMemory::new(10, Some(gauge.clone()));
        let (mut first, mut second) = (memory.share(), memory.share());
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        assert!(!first.grow(1));
        assert_eq!(gauge.get(), 10);
        drop(second);
        assert_eq!(gauge.get(), 6);
        assert!(first.grow(4));
        assert!(!first.grow(usize::MAX));
        drop(first);
        assert_eq!(gauge.get(), 0);
    }
}
