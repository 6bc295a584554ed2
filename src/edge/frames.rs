//! Measures the frames of an HTTP/2 connection: how long a header takes, and how many useless
//! frames arrive. Of the contents only header blocks are parsed, for a fragment in the path.

use super::fragment::Block;
use tokio::time::Instant;

/// The initial budget of a sender: a useless frame costs 1.
const AHEAD: u64 = 1000;

/// The budget that a request adds, so that a busy connection may have more of everything.
const PER_REQUEST: u64 = 1;

/// The budget that a second adds, for keep-alive pings and the like.
const PER_SECOND: u64 = 10;

/// A request that its sender resets costs as much as five requests add: no honest sender resets one
/// in five for long.
const RESET: u64 = 5;

/// A request that we reset costs as much as two requests add. A sender can provoke resets in ways
/// that `h2` does not count, such as an overflowing window; but an upstream can also cause them.
const RESET_BY_US: u64 = 2;

/// How many bytes of ours justify a `WINDOW_UPDATE`: less than the smallest frame with content.
const BYTES_PER_UPDATE: u64 = 8;

/// RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;
/// RFC 9113 section 4.1.
const HEAD_BYTES: usize = 9;

/// Kinds of frames and a flag, RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// More useless frames than the requests of a connection justify.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// What was framed on a connection, and what its sender may still spend.
#[derive(Debug)]
pub(super) struct Frames {
    received: FramePlace,
    sent: FramePlace,
    is_in_block: bool,
    /// The header block that is under way, or was.
    block: Block,
    reads_block: bool,
    has_fragment: bool,
    since: Option<Instant>,
    budget: u64,
    refilled: Instant,
    written: u64,
    updates: u64,
}

impl Frames {
    /// Of a connection from its first byte on, the preface of its sender included.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            received: FramePlace { payload_left: PREFACE_BYTES, ..FramePlace::default() },
            sent: FramePlace::default(),
            is_in_block: false,
            block: Block::default(),
            reads_block: false,
            has_fragment: false,
            since: None,
            budget: AHEAD,
            refilled: now,
            written: 0,
            updates: 0,
        }
    }

    /// When the header block, or other frame than `DATA`, began that is under way.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether a request came whose path has a fragment.
    pub(super) fn has_fragment(&self) -> bool {
        self.has_fragment
    }

    /// Measures what the sender sent.
    pub(super) fn receive(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.received.is_between() {
                self.since.get_or_insert(now);
            }
            let (before, payload_left) = (bytes, self.received.payload_left);
            if let Some((kind, flags)) = self.received.step(&mut bytes) {
                self.begin(kind, flags, now)?;
            }
            let payload = payload_left - self.received.payload_left.min(payload_left);
            if self.reads_block {
                self.block.take(before.get(..payload).unwrap_or_default());
            }
            if self.received.is_between() && !self.is_in_block {
                self.since = None;
                self.has_fragment |=
                    std::mem::take(&mut self.reads_block) && self.block.has_fragment();
            }
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8, flags: u8, now: Instant) -> Result<(), Flood> {
        match kind {
            // Bodies have a deadline of their own.
            DATA => {
                self.since = None;
                Ok(())
            }
            HEADERS => {
                self.is_in_block = flags & END_HEADERS == 0;
                self.reads_block = true;
                self.block.begin(flags);
                self.budget = AHEAD.min(self.budget + PER_REQUEST);
                Ok(())
            }
            WINDOW_UPDATE if self.updates < self.written / BYTES_PER_UPDATE => {
                self.updates += 1;
                Ok(())
            }
            CONTINUATION => {
                self.is_in_block = flags & END_HEADERS == 0;
                self.spend(1, now)
            }
            RST_STREAM => self.spend(RESET, now),
            _ => self.spend(1, now),
        }
    }

    /// Measures what was sent to it.
    pub(super) fn send(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        while !bytes.is_empty() {
            if let Some((RST_STREAM, _)) = self.sent.step(&mut bytes) {
                self.spend(RESET_BY_US, now)?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, cost: u64, now: Instant) -> Result<(), Flood> {
        if self.budget < cost {
            let passed = now.duration_since(self.refilled).as_millis();
            let earned =
                u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(PER_SECOND) / 1000;
            if earned > 0 {
                self.budget = AHEAD.min(self.budget.saturating_add(earned));
                self.refilled = now;
            }
        }
        self.budget = self.budget.checked_sub(cost).ok_or(Flood)?;
        Ok(())
    }
}

/// Where in its frames one direction is.
#[derive(Debug, Default)]
struct FramePlace {
    /// The head of the next frame, as far as it is there.
    head: [u8; HEAD_BYTES],
    filled: usize,
    payload_left: usize,
}

impl FramePlace {
    /// Whether the next byte begins a frame.
    fn is_between(&self) -> bool {
        self.filled == 0 && self.payload_left == 0
    }

    /// Takes some of `bytes`, of which there must be any; kind and flags once a head is whole.
    fn step(&mut self, bytes: &mut &[u8]) -> Option<(u8, u8)> {
        if self.payload_left > 0 {
            let (payload, behind) = bytes.split_at(self.payload_left.min(bytes.len()));
            self.payload_left -= payload.len();
            *bytes = behind;
            return None;
        }
        let (first, behind) = bytes.split_first()?;
        *bytes = behind;
        *self.head.get_mut(self.filled)? = *first;
        self.filled += 1;
        if self.filled < HEAD_BYTES {
            return None;
        }
        self.filled = 0;
        let [high, middle, low, kind, flags, ..] = self.head;
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some((kind, flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A connection behind its preface.
    fn frames(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.receive(&[b'x'; PREFACE_BYTES], now).unwrap();
        frames
    }

    #[test]
    fn a_header_is_under_way_from_its_first_byte_to_the_end_of_its_block() {
        let now = Instant::now();
        let all = [
            frame(HEADERS, 0, b"abc"),
            frame(CONTINUATION, 0, b""),
            frame(CONTINUATION, END_HEADERS, b"d"),
            frame(DATA, 0, b"body"),
        ]
        .concat();
        let block = all.len() - frame(DATA, 0, b"body").len();
        for cut in 0..=all.len() {
            let mut frames = frames(now);
            let later = now + Duration::from_secs(1);
            frames.receive(&all[..cut], later).unwrap();
            let is_head_of_data = cut > block && cut < block + HEAD_BYTES;
            let expected = (cut > 0 && cut < block || is_head_of_data).then_some(later);
            assert_eq!(frames.since, expected, "{cut}");
            frames.receive(&all[cut..], later + Duration::from_secs(1)).unwrap();
            assert_eq!(frames.since, None, "{cut}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_paid_for_by_time_and_requests() {
        let now = Instant::now();
        let mut frames = frames(now);
        let ping = |frames: &mut Frames, now| frames.begin(6, 0, now);
        for _ in 0..AHEAD {
            assert_eq!(ping(&mut frames, now), Ok(()));
        }
        assert_eq!(ping(&mut frames, now), Err(Flood));
        let later = now + Duration::from_secs(1);
        for _ in 0..PER_SECOND {
            assert_eq!(ping(&mut frames, later), Ok(()));
        }
        assert_eq!(ping(&mut frames, later), Err(Flood));
        frames.receive(&frame(HEADERS, END_HEADERS, b""), later).unwrap();
        assert_eq!(ping(&mut frames, later), Ok(()));
        assert_eq!(ping(&mut frames, later), Err(Flood));
        // However long it rests, it may not spend more at once than in the beginning.
        let much_later = later + Duration::from_hours(1);
        assert!((0..AHEAD).all(|_| ping(&mut frames, much_later).is_ok()));
        assert_eq!(ping(&mut frames, much_later), Err(Flood));
    }

    #[test]
    fn resets_are_paid_for_by_requests_on_either_side() {
        let now = Instant::now();
        let request = frame(HEADERS, END_HEADERS, b"");
        let reset = frame(RST_STREAM, 0, &[0; 4]);
        let until_flood = |requests: usize, by_us: bool| {
            let mut frames = frames(now);
            (0..100_000).position(|_| {
                for _ in 0..requests {
                    frames.receive(&request, now).unwrap();
                }
                let paid =
                    if by_us { frames.send(&reset, now) } else { frames.receive(&reset, now) };
                paid.is_err()
            })
        };
        assert_eq!(until_flood(1, false), Some(249));
        assert_eq!(until_flood(4, false), Some(996));
        assert_eq!(until_flood(5, false), None);
        assert_eq!(until_flood(1, true), Some(999));
        assert_eq!(until_flood(2, true), None);
    }

    #[test]
    fn whoever_is_sent_much_may_open_its_window_as_often() {
        let now = Instant::now();
        let mut frames = frames(now);
        let update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
        for _ in 0..10 * AHEAD {
            frames.send(&frame(DATA, 0, b"x"), now).unwrap();
            frames.receive(&update, now).unwrap();
        }
        let without_data = (0..10 * AHEAD).take_while(|_| frames.receive(&update, now).is_ok());
        assert!(without_data.count() < 4 * usize::try_from(AHEAD).unwrap());
    }
}
