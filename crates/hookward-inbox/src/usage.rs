//! How much of each segment file is still needed.

use crate::clock::Millis;
use crate::record::Location;
use std::collections::{BTreeMap, BTreeSet};

/// Of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentUsage {
    /// Bytes of the file.
    pub(crate) total: u64,
    /// Bytes of accept records whose entries are there.
    pub(crate) live: u64,
    pub(crate) entries: u64,
    /// When bytes of an event that ended began to lie here; `None`: there are none.
    pub(crate) garbage_since: Option<Millis>,
    /// Segments that notes in this one speak of: while such a segment is there, so are they.
    pub(crate) homes: BTreeSet<u32>,
    /// A copy of some of its records was made, and then the process died.
    pub(crate) is_half_copied: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) segments: BTreeMap<u32, SegmentUsage>,
}

impl Usage {
    pub(crate) fn placed(&mut self, at: Location, size: u64) {
        let segment = self.segments.entry(at.segment).or_default();
        segment.total = segment.total.max(u64::from(at.offset) + size);
    }

    pub(crate) fn lives(&mut self, home: Location, share: u64) {
        let segment = self.segments.entry(home.segment).or_default();
        segment.live += share;
        segment.entries += 1;
    }

    /// A share of an accept record is not needed any more.
    pub(crate) fn ended(&mut self, home: Location, share: u64, now: Millis) {
        if let Some(segment) = self.segments.get_mut(&home.segment) {
            segment.live = segment.live.saturating_sub(share);
            segment.entries = segment.entries.saturating_sub(1);
            segment.garbage_since.get_or_insert(now);
        }
    }

    pub(crate) fn speaks_of(&mut self, at: Location, home: Location) {
        if at.segment != home.segment
            && self.segments.contains_key(&home.segment)
            && let Some(segment) = self.segments.get_mut(&at.segment)
        {
            segment.homes.insert(home.segment);
        }
    }

    pub(crate) fn deleted(&mut self, number: u32) {
        self.segments.remove(&number);
        for segment in self.segments.values_mut() {
            segment.homes.remove(&number);
        }
    }
}
