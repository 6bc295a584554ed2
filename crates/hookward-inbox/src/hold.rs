//! The order of a key, held for a live attempt.

use std::fmt::Debug;

/// The order of a key, held for a live attempt. Dropping it lets the next event continue.
#[derive(Debug)]
#[must_use = "the order is held for as long as this is there"]
pub struct LaneHold {
    place: u64,
    _guard: Box<dyn Debug + Send + Sync>,
}

impl LaneHold {
    /// One with this place in the order; `guard` lets the next one go when it is dropped.
    pub fn new(place: u64, guard: impl Debug + Send + Sync + 'static) -> Self {
        Self { place, _guard: Box::new(guard) }
    }

    /// The place in the order that the event gets if it has to be stored.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place
    }
}
