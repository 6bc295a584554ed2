//! What a store knows, on its way to another store.

use crate::{ClaimKey, ClaimStore, StoreError};
use hookward_time::UnixMillis;
use std::time::Duration;

/// The most that one page of an export holds, about.
pub(crate) const PAGE: usize = 1000;

/// One thing that a store knows and that outlives the claim it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownFact {
    /// A destination accepted the event.
    Delivered {
        /// Of the event at the destination.
        key: ClaimKey,
        /// When it was accepted.
        since: UnixMillis,
        /// A hash of the body that was accepted.
        fingerprint: u64,
        /// How long it is still remembered, the last instant included.
        left: Duration,
    },
    /// A destination may have accepted the event.
    Uncertain {
        /// Of the event at the destination.
        key: ClaimKey,
        /// When that was noticed.
        since: UnixMillis,
        /// Absent again after this.
        left: Duration,
        /// The note of its claimant.
        note: String,
    },
    /// Another name of an event.
    Alias {
        /// The name.
        alias: ClaimKey,
        /// The key that it was seen with.
        to: ClaimKey,
        /// How long it is still kept.
        left: Duration,
    },
}

/// Where the next page of an export begins. The default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// Which of the store's tables.
    pub(crate) table: u8,
    /// Where in it, in the store's own terms; empty at its beginning.
    pub(crate) at: Vec<u8>,
}

impl Bookmark {
    /// After the last of these keys, or at the beginning of the next table where there is none.
    pub(crate) fn after(&self, last: Option<ClaimKey>) -> Self {
        match last {
            Some(last) => Self { table: self.table, at: last.as_bytes().to_vec() },
            None => Self { table: self.table.saturating_add(1), at: Vec::new() },
        }
    }

    /// The key after which the page begins; of zeros at the beginning.
    pub(crate) fn key(&self) -> ClaimKey {
        ClaimKey::from_bytes(self.at.as_slice().try_into().unwrap_or_default())
    }
}

/// One page of an export.
#[derive(Clone, Debug, Default)]
pub struct KnownPage {
    /// What the store knows, in no order. Something can be in two pages.
    pub known: Vec<KnownFact>,
    /// Claims in flight that were passed over: how they will end is not known.
    pub in_flight: u64,
    /// Where to go on; `None` if there is no more.
    pub next: Option<Bookmark>,
}

/// How much was moved, or taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Delivered ids, each for one destination.
    pub delivered: u64,
    /// Uncertain ones.
    pub uncertain: u64,
    /// Other names of either.
    pub aliases: u64,
}

impl Moved {
    pub(crate) fn count(&mut self, known: &KnownFact) {
        match known {
            KnownFact::Delivered { .. } => self.delivered += 1,
            KnownFact::Uncertain { .. } => self.uncertain += 1,
            KnownFact::Alias { .. } => self.aliases += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.uncertain += other.uncertain;
        self.aliases += other.aliases;
    }
}

/// What came of copying one store into another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copying {
    /// What the old store knows.
    pub found: Moved,
    /// What of that the new one did not know yet.
    pub new: Moved,
    /// Claims in flight in the old store, which cannot be copied.
    pub in_flight: u64,
}

/// Copies what one store knows into another, with the time that is left to each. What the other
/// knows already stays as it is, so it can be repeated; the old store is not changed. Each call to
/// a store ends `within`.
///
/// What is settled in the old store meanwhile may be missed: nobody should be serving with it.
///
/// # Errors
/// A store does not answer, or cannot be copied. What was copied before stays copied.
pub async fn copy(
    from: &dyn ClaimStore,
    to: &dyn ClaimStore,
    within: Duration,
) -> Result<Copying, StoreError> {
    let mut done = Copying::default();
    let mut place = Bookmark::default();
    loop {
        let page = from.export(&place, within).await?;
        page.known.iter().for_each(|known| done.found.count(known));
        done.in_flight += page.in_flight;
        if !page.known.is_empty() {
            done.new.add(to.import(&page.known, within).await?);
        }
        match page.next {
            Some(next) => place = next,
            None => return Ok(done),
        }
    }
}
