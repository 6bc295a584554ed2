//! State by key, in shards with a lock each.

use super::lock::Mutex;
use crate::ClaimKey;

/// A power of two, large enough that two cores rarely contend.
const COUNT: usize = 64;

/// One `T` for each shard of keys.
pub(super) struct Shards<T>(Box<[Mutex<T>; COUNT]>);

impl<T: Default> Shards<T> {
    pub(super) fn new() -> Self {
        Self(Box::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl<T> Shards<T> {
    /// The shard of `key`; every key has one.
    #[expect(clippy::indexing_slicing, reason = "a remainder by COUNT is below COUNT")]
    pub(super) fn of(&self, key: ClaimKey) -> &Mutex<T> {
        &self.0[usize::from(key.last_byte()) % COUNT]
    }
}
