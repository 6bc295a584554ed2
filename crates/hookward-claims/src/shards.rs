//! State by key, in shards with a lock each.

use super::lock::Mutex;
use crate::ClaimKey;

/// A power of two, large enough that two cores rarely contend.
const COUNT: u8 = 64;

/// One `T` for each shard of keys.
pub(super) struct Shards<T>(Box<[Mutex<T>; COUNT as usize]>);

impl<T: Default> Shards<T> {
    pub(super) fn new() -> Self {
        Self(Box::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl<T> Shards<T> {
    /// The shard of `key`; every key has one.
    pub(super) fn of(&self, key: ClaimKey) -> &Mutex<T> {
        self.numbered(Self::number_of(key))
    }

    /// The number of the shard of `key`.
    pub(super) const fn number_of(key: ClaimKey) -> u8 {
        key.last_byte() % COUNT
    }

    /// The shard with this number.
    #[expect(clippy::indexing_slicing, reason = "a remainder by COUNT is below COUNT")]
    pub(super) fn numbered(&self, number: u8) -> &Mutex<T> {
        &self.0[usize::from(number % COUNT)]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Mutex<T>> {
        self.0.iter()
    }
}
