//! When an event is tried again, and when it is given up. It has no state and no clock.

use crate::clock::{Millis, millis};
use crate::progress::EntryProgress;
use crate::record::Phase;
use crate::tries::{Tried, TryOutcome};
use std::time::Duration;

/// How one destination is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The upper limit of the first wait; it doubles with each failure.
    pub first: Duration,
    /// What doubling ends at, and the most that a `Retry-After` is respected for.
    pub longest: Duration,
    /// Since acceptance, time paused excluded: then the event is dead.
    pub give_up_after: Duration,
    /// So many answers of 4xx (408, 425 and 429 excepted), and the event is dead. Zero counts as one.
    pub refused_after: u16,
    /// How long an event waits that the receiver may have accepted.
    pub uncertain_hold: Duration,
    /// With a shared inbox: how long an instance has for an attempt before another one takes it for
    /// dead and makes the next.
    pub takeover_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            longest: Duration::from_mins(15),
            give_up_after: Duration::from_hours(72),
            refused_after: 5,
            uncertain_hold: Duration::from_secs(30),
            takeover_after: Duration::from_secs(40),
        }
    }
}

impl Policy {
    /// Notes a failed request and says what follows.
    ///
    /// `ended` is the time now, `paused` how much of the time since the budget began does not count.
    /// `random` gives a number from zero to its argument, inclusive.
    ///
    /// Gives when it is due, or that it is dead.
    pub fn after_failure(
        &self,
        progress: &mut EntryProgress,
        tried: &Tried,
        ended: Millis,
        paused: Millis,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Phase {
        progress.note(tried);
        progress.failures = progress.failures.saturating_add(1);
        if tried.outcome.is_refusal() {
            progress.refused = progress.refused.saturating_add(1);
        }
        let is_refused = tried.outcome == TryOutcome::Status(410)
            || progress.refused >= self.refused_after.max(1);
        let deadline =
            progress.budget_from.saturating_add(paused).saturating_add(millis(self.give_up_after));
        if is_refused || ended >= deadline {
            return Phase::Dead { at: ended };
        }
        let ceiling = self.ceiling(progress.failures);
        let asked = tried.retry_after.unwrap_or_default().min(self.longest);
        // The last request is made when the time is up, not up to `longest` after it.
        let jitter = random(ceiling).min(deadline - ended);
        let mut due = ended.saturating_add(jitter.max(millis(asked)));
        if tried.uncertain {
            due = due.max(ended.saturating_add(millis(self.uncertain_hold)));
        }
        Phase::Queued { due }
    }

    /// The longest wait after so many failures.
    fn ceiling(&self, failures: u16) -> Millis {
        let longest = millis(self.longest);
        let doublings = u32::from(failures.saturating_sub(1));
        match 1_u64.checked_shl(doublings) {
            Some(factor) => millis(self.first).saturating_mul(factor).min(longest),
            None => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> EntryProgress {
        EntryProgress { budget_from: 1_000, ..EntryProgress::default() }
    }

    fn after(policy: &Policy, progress: &mut EntryProgress, tried: &Tried, now: Millis) -> Phase {
        policy.after_failure(progress, tried, now, 0, &mut |most| most)
    }

    #[test]
    fn waits_double_up_to_the_longest_with_jitter_from_zero() {
        let policy = Policy::default();
        let mut doubling = progress();
        let waits: Vec<u64> = (0..14)
            .map(|_| {
                match after(&policy, &mut doubling, &Tried::new(0, TryOutcome::Timeout), 2_000) {
                    Phase::Queued { due } => due - 2_000,
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(&waits[..4], [2_000, 4_000, 8_000, 16_000]);
        assert_eq!(&waits[9..], [900_000; 5]);
        let none = policy.after_failure(
            &mut progress(),
            &Tried::new(0, TryOutcome::Timeout),
            2_000,
            0,
            &mut |_| 0,
        );
        assert_eq!(none, Phase::Queued { due: 2_000 });
    }

    #[test]
    fn retry_after_lengthens_a_wait_up_to_the_longest() {
        let policy = Policy::default();
        for (asked, expected) in [(1, 2_000), (60, 60_000), (1_000_000, 900_000)] {
            let tried = Tried {
                retry_after: Some(Duration::from_secs(asked)),
                ..Tried::new(0, TryOutcome::Status(429))
            };
            assert_eq!(
                after(&policy, &mut progress(), &tried, 5_000),
                Phase::Queued { due: 5_000 + expected }
            );
        }
    }

    #[test]
    fn refusals_and_only_they_use_up_refused_after() {
        let policy = Policy { refused_after: 2, ..Policy::default() };
        let mut entry = progress();
        for (status, is_dead) in
            [(408, false), (425, false), (429, false), (500, false), (404, false), (422, true)]
        {
            let phase =
                after(&policy, &mut entry, &Tried::new(0, TryOutcome::Status(status)), 2_000);
            assert_eq!(matches!(phase, Phase::Dead { .. }), is_dead, "{status}");
        }
        let gone = after(&policy, &mut progress(), &Tried::new(0, TryOutcome::Status(410)), 2_000);
        assert_eq!(gone, Phase::Dead { at: 2_000 });
    }

    #[test]
    fn an_event_is_given_up_when_its_time_is_over_and_paused_time_does_not_count() {
        let policy = Policy { give_up_after: Duration::from_secs(10), ..Policy::default() };
        let failed = Tried::new(0, TryOutcome::Timeout);
        let at = |now, paused| {
            policy.after_failure(&mut progress(), &failed, now, paused, &mut |most| most)
        };
        // The last request is made when the time is up.
        assert_eq!(at(10_999, 0), Phase::Queued { due: 11_000 });
        assert_eq!(at(11_000, 0), Phase::Dead { at: 11_000 });
        assert_eq!(at(11_000, 60_000), Phase::Queued { due: 13_000 });
    }

    #[test]
    fn what_may_have_been_accepted_waits_for_uncertain_hold() {
        let tried = Tried { uncertain: true, ..Tried::new(0, TryOutcome::Timeout) };
        let phase = after(&Policy::default(), &mut progress(), &tried, 5_000);
        assert_eq!(phase, Phase::Queued { due: 35_000 });
    }

    #[test]
    fn a_refused_connection_sends_nothing_and_twenty_tries_are_kept() {
        let mut entry = progress();
        for n in 0..30 {
            entry.note(&Tried::new(n, TryOutcome::Unreachable));
            entry.note(&Tried::new(n, TryOutcome::Status(500)));
        }
        assert_eq!((entry.sent, entry.tries.len()), (30, 20));
        assert_eq!(entry.tries[19].at, 29);
    }
}
