//! What every live delivery asks, answered without the lock of the core as long as all is as usual:
//! nothing is paused, and no destination is down.

use crate::clock::Millis;
use crate::record::Pause;
use std::sync::atomic::{AtomicU64, Ordering};

/// Changed under the lock of the core, and read without it.
#[derive(Debug, Default)]
pub(crate) struct Usual {
    /// No pause holds from then on; the greatest number if one has no end yet.
    unpaused_from: AtomicU64,
    /// How many destinations are down, or on their way up.
    down: AtomicU64,
}

impl Usual {
    /// Whether a destination may be paused.
    pub(crate) fn may_be_paused(&self, now: impl FnOnce() -> Millis) -> bool {
        let from = self.unpaused_from.load(Ordering::Acquire);
        from > 0 && now() < from
    }

    /// Whether an answer of a destination that is up changes anything.
    pub(crate) fn is_any_down(&self) -> bool {
        self.down.load(Ordering::Acquire) > 0
    }

    pub(crate) fn goes_down(&self) {
        self.down.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn is_up_again(&self) {
        self.down.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn pause(&self, pauses: &[Pause]) {
        let end = |pause: &Pause| if pause.until == 0 { Millis::MAX } else { pause.until };
        self.unpaused_from.store(pauses.iter().map(end).max().unwrap_or(0), Ordering::Release);
    }
}
