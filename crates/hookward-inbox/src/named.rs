//! Other names of events, by which an entry is found as long as it is there.
//!
//! A name is kept as a hash beside the number of its entry, so that it costs little; the log tells
//! whether an entry has it. Those of entries that are gone leave when the table would grow.

use crate::index::U48;
use hashbrown::HashTable;

type Name = (u32, U48);

#[derive(Debug, Default)]
pub(crate) struct EventNames(HashTable<Name>);

impl EventNames {
    pub(crate) fn insert(&mut self, hash: u32, seq: u64, is_there: impl Fn(u64) -> bool) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|(_, seq)| is_there((*seq).into()));
        }
        self.0.insert_unique(spread(hash), (hash, seq.into()), |(hash, _)| spread(*hash));
    }

    /// The numbers that were noted with this hash; entries among them may be gone.
    pub(crate) fn with_hash(&self, hash: u32) -> Vec<u64> {
        let found = self.0.iter_hash(spread(hash)).filter(|(other, _)| *other == hash);
        found.map(|(_, seq)| u64::from(*seq)).collect()
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_that_are_gone_make_room() {
        let mut named = EventNames::default();
        for seq in 0..100_000_u64 {
            // Ten are there at any time.
            named.insert(u32::try_from(seq % 7).unwrap_or(0), seq, |other| other + 10 > seq);
        }
        assert!(named.0.capacity() < 100, "{}", named.0.capacity());
        assert!(named.with_hash(99_999 % 7).contains(&99_999));
        assert!(named.with_hash(99_998 % 7).contains(&99_998));
    }
}
