//! Which keys the id file may hold, so that new ones are not looked up in it.
//!
//! A Bloom filter in blocks: a key has one bit in each word of one block. It never denies a key that
//! was added, and it takes about one other key in a thousand for one that was, which is then looked
//! up in vain. The keys of events are digests, so their own bits choose block and bits.

use crate::ClaimKey;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bits for each key that there is room for.
const BITS_PER_KEY: usize = 16;

/// The least number of keys that there is room for: a quarter of a megabyte. In tests so few that it is
/// often made again.
const LEAST_ROOM: usize = if cfg!(test) { 64 } else { 128 * 1024 };

/// Half of a cache line.
type Block = [AtomicU32; 8];

const BLOCK_BITS: usize = 256;

/// The keys of an id file, each by a few bits.
#[derive(Debug)]
pub(super) struct IdFilter {
    blocks: Box<[Block]>,
    /// How many keys can be added before it must be made anew.
    room: AtomicUsize,
}

impl IdFilter {
    /// An empty filter, for as many keys as there are and as many again.
    pub(super) fn for_keys(count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX / 2 / BITS_PER_KEY);
        let room = count.saturating_mul(2).max(LEAST_ROOM);
        let blocks = (room * BITS_PER_KEY).div_ceil(BLOCK_BITS);
        let blocks = std::iter::repeat_with(Block::default).take(blocks).collect();
        Self { blocks, room: AtomicUsize::new(room) }
    }

    /// Adds a key. Whoever learns of it by a lock finds it.
    pub(super) fn add(&self, key: ClaimKey) {
        let (block, bits) = self.place(key);
        for (word, bit) in block.iter().zip(bits) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        let _full =
            self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
    }

    /// False if the key was never added.
    pub(super) fn may_hold(&self, key: ClaimKey) -> bool {
        let (block, bits) = self.place(key);
        block.iter().zip(bits).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Whether so many keys were added that it is wrong too often.
    pub(super) fn is_full(&self) -> bool {
        self.room.load(Ordering::Relaxed) == 0
    }

    #[expect(clippy::indexing_slicing, reason = "a fraction of the length is below it")]
    fn place(&self, key: ClaimKey) -> (&Block, [u32; 8]) {
        let whole = u128::from_le_bytes(*key.as_bytes());
        let (first, second) = (whole & u128::from(u64::MAX), whole >> 64);
        let block = (first * self.blocks.len() as u128) >> 64;
        // Five bits of the other half for each word.
        let bits = std::array::from_fn(|word| 1 << ((second >> (5 * word)) & 31));
        (&self.blocks[usize::try_from(block).unwrap_or_default()], bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ClaimKey {
        ClaimKey::of(&"shop".into(), &number.to_string().into(), &"erp".into())
    }

    #[test]
    fn a_key_that_was_added_is_never_denied_and_others_seldom_are_not() {
        let room: usize = 20_000;
        let filter = IdFilter::for_keys(room as u64 / 2);
        for number in 0..room {
            assert!(!filter.is_full());
            filter.add(key(number));
        }
        assert!(filter.is_full());
        assert!((0..room).all(|number| filter.may_hold(key(number))));
        let wrong = (room..room * 2).filter(|number| filter.may_hold(key(*number))).count();
        assert!(wrong < room / 200, "{wrong}");
        filter.add(key(room));
        assert!(filter.is_full() && filter.may_hold(key(room)));
    }
}
