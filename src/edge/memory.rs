//! The memory that bodies may take, over all connections and from one address.
//!
//! All reserved memory counts, not only the used part: a body's buffer and its read buffer. The
//! buffer grows with the received bytes, so announcing a large body does not reserve it.

use crate::edge::traffic::network_of;
use crate::request::{BodyError, MemoryShare};
use parking_lot::Mutex;
use prometheus::IntGauge;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One address may use one part in this many of the shared memory. A flood from one address leaves
/// the rest to the others.
pub(super) const PARTS: usize = 4;

/// `body_memory`, shared by all connections.
#[derive(Debug)]
pub struct BodyMemory {
    limit: AtomicUsize,
    per_address: AtomicUsize,
    used: AtomicUsize,
    /// Only addresses that hold something, so this is never longer than the list of bodies.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    gauge: Option<IntGauge>,
}

impl BodyMemory {
    /// A budget of `limit` bytes, of which one body may need `largest`; what is in use shows on
    /// `gauge`, if there is one.
    #[must_use]
    pub fn new(limit: usize, largest: usize, gauge: Option<IntGauge>) -> Arc<Self> {
        let memory = Self {
            limit: AtomicUsize::default(),
            per_address: AtomicUsize::default(),
            used: AtomicUsize::default(),
            by_address: Mutex::default(),
            gauge,
        };
        memory.set_limit(limit, largest);
        Arc::new(memory)
    }

    /// Changes the limits. Bodies that are held stay.
    pub fn set_limit(&self, limit: usize, largest: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.per_address.store((limit / PARTS).max(largest), Ordering::Relaxed);
    }

    /// An empty share, counted for `address` (IPv6: its /64); `None` is a trusted proxy, which
    /// brings many senders and has no limit of its own.
    #[must_use]
    pub fn share(self: &Arc<Self>, address: Option<IpAddr>) -> Share {
        Share { memory: Arc::clone(self), address: address.map(network_of), bytes: 0 }
    }

    fn take(&self, address: Option<IpAddr>, bytes: usize) -> Result<(), BodyError> {
        let below = |used: usize, limit: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        if let Some(address) = address {
            let limit = self.per_address.load(Ordering::Relaxed);
            let mut by_address = self.by_address.lock();
            let used = by_address.get(&address).copied().unwrap_or_default();
            let sum = below(used, limit).ok_or(BodyError::NoShare)?;
            by_address.insert(address, sum);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        let taken =
            self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| below(used, limit));
        if taken.is_err() {
            self.leave(address, bytes);
            return Err(BodyError::NoMemory);
        }
        Ok(())
    }

    fn leave(&self, address: Option<IpAddr>, bytes: usize) {
        let Some(address) = address else { return };
        let mut by_address = self.by_address.lock();
        if let Some(used) = by_address.get_mut(&address) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// The memory of one body; dropping it releases the memory.
#[derive(Debug)]
pub struct Share {
    memory: Arc<BodyMemory>,
    address: Option<IpAddr>,
    bytes: usize,
}

impl Share {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`BodyError::NoMemory`] or [`BodyError::NoShare`] if the budget, or what one address gets of
    /// it, is used up; nothing is taken then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        if bytes == 0 {
            return Ok(());
        }
        self.memory.take(self.address, bytes)?;
        self.bytes += bytes;
        if let Some(gauge) = &self.memory.gauge {
            gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.memory.leave(self.address, self.bytes);
        if let Some(gauge) = &self.memory.gauge {
            gauge.sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        }
    }
}

impl MemoryShare for Share {}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(memory: &Arc<BodyMemory>, address: &str) -> Share {
        memory.share(Some(address.parse().unwrap()))
    }

    #[test]
    fn the_last_byte_can_be_taken_and_the_next_one_cannot_until_a_share_is_given_back() {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let memory = BodyMemory::new(10, 1, Some(gauge.clone()));
        let (mut first, mut second) = (memory.share(None), memory.share(None));
        assert_eq!(first.grow(6), Ok(()));
        assert_eq!(second.grow(5), Err(BodyError::NoMemory));
        assert_eq!(second.grow(4), Ok(()));
        assert_eq!(first.grow(1), Err(BodyError::NoMemory));
        assert_eq!(gauge.get(), 10);
        drop(second);
        assert_eq!(gauge.get(), 6);
        assert_eq!(first.grow(4), Ok(()));
        assert_eq!(first.grow(usize::MAX), Err(BodyError::NoMemory));
        drop(first);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn one_address_gets_a_quarter_and_leaves_the_rest_to_the_others() {
        let memory = BodyMemory::new(100, 1, None);
        let mut flood: Vec<_> = (0..30).map(|_| share_of(&memory, "203.0.113.1")).collect();
        let taken = flood.iter_mut().flat_map(|share| share.grow(1)).count();
        assert_eq!(taken, 25);
        assert_eq!(flood[29].grow(1), Err(BodyError::NoShare));
        assert_eq!(share_of(&memory, "203.0.113.2").grow(25), Ok(()));
        assert_eq!(memory.share(None).grow(75), Ok(()), "a trusted proxy");
        assert_eq!(memory.share(None).grow(76), Err(BodyError::NoMemory));
        drop(flood);
        assert!(memory.by_address.lock().is_empty());
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_one_part() {
        let memory = BodyMemory::new(100, 1, None);
        let mut first = share_of(&memory, "2001:db8::1");
        assert_eq!(first.grow(25), Ok(()));
        assert_eq!(share_of(&memory, "2001:db8::ffff:2").grow(1), Err(BodyError::NoShare));
        assert_eq!(share_of(&memory, "2001:db8:0:1::1").grow(1), Ok(()));
    }

    #[test]
    fn a_body_of_the_largest_size_always_fits_in_the_part_of_one_address() {
        let memory = BodyMemory::new(100, 60, None);
        let mut body = share_of(&memory, "203.0.113.1");
        assert_eq!(body.grow(60), Ok(()));
        assert_eq!(body.grow(1), Err(BodyError::NoShare));
    }

    #[test]
    fn what_the_whole_budget_refuses_is_not_kept_for_the_address() {
        let memory = BodyMemory::new(100, 100, None);
        let mut other = memory.share(None);
        assert_eq!(other.grow(90), Ok(()));
        let mut share = share_of(&memory, "203.0.113.1");
        assert_eq!(share.grow(20), Err(BodyError::NoMemory));
        assert!(memory.by_address.lock().is_empty());
        assert_eq!(share.grow(10), Ok(()));
    }
}
