//! What is known of an entry's attempts.

use crate::clock::Millis;
use crate::codec::{RecordReader, RecordWriter};
use crate::deeds::{self, Deed, DeedKind};
use crate::tries::{Tried, Try, TryOutcome};

/// How many finished requests an entry remembers.
const TRIES_KEPT: usize = 20;

/// Set in the number of tries, of which there are few, where deeds follow them.
const HAS_DEEDS: u8 = 0x80;

/// The facts about an entry's attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryProgress {
    /// Requests that were sent.
    pub sent: u32,
    /// Failed ones since the budget began.
    pub failures: u16,
    /// Refused ones since the budget began.
    pub refused: u16,
    /// When the budget began.
    pub budget_from: Millis,
    /// How often it was replayed.
    pub replays: u16,
    /// The number in the `Idempotency-Key` of the last replay `--as-new`; zero: none.
    pub as_new: u16,
    /// The latest ones, oldest first.
    pub tries: Vec<Try>,
    /// What people did with it, oldest first.
    pub deeds: Vec<Deed>,
}

impl EntryProgress {
    /// Encodes it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut RecordWriter(&mut bytes));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(&mut RecordReader(bytes))
    }

    /// A budget of its own, from `now` on, given by somebody.
    pub fn replayed(&mut self, now: Millis, as_new: bool, by: &str) {
        self.failures = 0;
        self.refused = 0;
        self.budget_from = now;
        self.replays = self.replays.saturating_add(1);
        self.as_new = if as_new { self.replays } else { 0 };
        self.remember(now, DeedKind::Replayed, by);
    }

    /// A budget of its own at another destination than `from`, which has not been sent it yet.
    pub fn moved(&mut self, now: Millis, from: &str, by: &str) {
        self.sent = 0;
        self.failures = 0;
        self.refused = 0;
        self.budget_from = now;
        self.remember(now, DeedKind::Moved { from: from.to_owned() }, by);
    }

    /// Appends what somebody did to the history.
    pub fn remember(&mut self, now: Millis, what: DeedKind, by: &str) {
        deeds::append(&mut self.deeds, now, what, by);
    }

    pub(crate) fn encode(&self, to: &mut RecordWriter<'_>) {
        to.u32(self.sent);
        to.u16(self.failures);
        to.u16(self.refused);
        to.u64(self.budget_from);
        to.u16(self.replays);
        to.u16(self.as_new);
        let has_deeds = if self.deeds.is_empty() { 0 } else { HAS_DEEDS };
        to.u8(u8::try_from(self.tries.len()).unwrap_or(0) | has_deeds);
        for tried in &self.tries {
            to.u64(tried.at);
            to.u16(tried.outcome.to_code());
            to.u32(tried.ms);
        }
        if has_deeds != 0 {
            deeds::encode(&self.deeds, to);
        }
    }

    pub(crate) fn decode(from: &mut RecordReader<'_>) -> Option<Self> {
        let mut progress = Self {
            sent: from.u32()?,
            failures: from.u16()?,
            refused: from.u16()?,
            budget_from: from.u64()?,
            replays: from.u16()?,
            as_new: from.u16()?,
            tries: Vec::new(),
            deeds: Vec::new(),
        };
        let count = from.u8()?;
        for _ in 0..count & !HAS_DEEDS {
            progress.tries.push(Try {
                at: from.u64()?,
                outcome: TryOutcome::from_code(from.u16()?),
                ms: from.u32()?,
            });
        }
        if count & HAS_DEEDS != 0 {
            progress.deeds = deeds::decode(from)?;
        }
        Some(progress)
    }

    /// Appends to the history, and counts what was sent.
    pub fn note(&mut self, tried: &Tried) {
        if tried.outcome != TryOutcome::Unreachable {
            self.sent = self.sent.saturating_add(1);
        }
        if self.tries.len() >= TRIES_KEPT {
            self.tries.remove(0);
        }
        let ms = u32::try_from(tried.took.as_millis()).unwrap_or(u32::MAX);
        self.tries.push(Try { at: tried.at, outcome: tried.outcome, ms });
    }
}
