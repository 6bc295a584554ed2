//! How much of a backlog a destination is sent at once: nothing much while it is down, and then more
//! with each answer.

use crate::clock::{Millis, millis};
use crate::policy::Policy;
use crate::tries::TryOutcome;
use std::time::Duration;

/// How many failures in a row make an outage.
const OUTAGE: u32 = 3;
/// The size at which a ramp is complete.
const RAMPED: u32 = 256;
/// During an outage one attempt is made, then there is a gap of `first`, but not more than this.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// What the answers of one destination say about the next attempts.
#[derive(Clone, Debug, Default)]
pub struct Ramp {
    failures_in_row: u32,
    limit: Option<u32>,
    not_before: Millis,
}

impl Ramp {
    /// How many entries may be taken now, given so much room and so many under way.
    #[must_use]
    pub fn allowed(&self, room: usize, in_flight: u64, now: Millis) -> usize {
        if now < self.not_before {
            return 0;
        }
        let Some(limit) = self.limit else { return room };
        let limit = u64::from(limit).saturating_sub(in_flight);
        room.min(usize::try_from(limit).unwrap_or(room))
    }

    /// Learns from an answer, of an attempt from the inbox or of a live one.
    pub fn learn(&mut self, outcome: TryOutcome, policy: Option<&Policy>, now: Millis) {
        if outcome.is_outage() {
            self.failures_in_row = self.failures_in_row.saturating_add(1);
            if self.failures_in_row >= OUTAGE {
                let first = policy.map_or(LONGEST_GAP, |policy| policy.first);
                self.limit = Some(1);
                self.not_before = now.saturating_add(millis(first.min(LONGEST_GAP)));
            }
        } else {
            self.failures_in_row = 0;
            self.not_before = 0;
            self.limit = self.limit.map(|limit| limit * 2).filter(|limit| *limit < RAMPED);
        }
    }

    /// Whether there is nothing to be learned from a success.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failures_in_row == 0 && self.limit.is_none()
    }

    /// No attempt is made before this time.
    #[must_use]
    pub fn not_before(&self) -> Millis {
        self.not_before
    }

    /// Ends the gap that an outage made.
    pub fn go_on(&mut self) {
        self.not_before = 0;
    }
}
