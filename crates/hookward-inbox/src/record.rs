//! The records of the log, which are the payloads of frames.
//!
//! An [`AcceptRecord`] holds an event with all its destinations. A [`Note`] changes the state of
//! one of them; the latest one in the log counts.

use crate::clock::Millis;
use crate::codec::{RecordReader, RecordWriter};
use crate::progress::EntryProgress;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// The state of an entry, as a store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is due then.
    Queued {
        /// When.
        due: Millis,
    },
    /// It is being sent.
    InFlight {
        /// Since then.
        since: Millis,
    },
    /// It was given up.
    Dead {
        /// When.
        at: Millis,
    },
    /// Its destination has it; it is kept for a replay.
    Delivered {
        /// So long.
        until: Millis,
    },
    /// It is never to be sent, which is remembered.
    Discarded {
        /// So long.
        until: Millis,
    },
}

/// One destination of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventPart<'a> {
    pub(crate) seq: u64,
    pub(crate) to: &'a str,
    /// Its place in the order of its key: its own `seq`, that of the dead entry it revives, or one
    /// that was reserved when its live attempt began.
    pub(crate) place: u64,
    /// The dead entry that it supersedes, and the place of that one's accept record; zero: none.
    pub(crate) revives: u64,
    pub(crate) revives_home: Location,
    pub(crate) phase: Phase,
    pub(crate) progress: EntryProgress,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcceptRecord<'a> {
    pub(crate) source: &'a str,
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) accepted_at: Millis,
    pub(crate) fingerprint: u64,
    pub(crate) ttl: Millis,
    pub(crate) order_key: Option<&'a str>,
    pub(crate) holds: bool,
    pub(crate) keys: &'a [u8],
    /// Where it stood before it was copied forward; segment zero: nowhere.
    pub(crate) copied_from: Location,
    pub(crate) parts: Vec<EventPart<'a>>,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Why an entry was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The receiver has it.
    Delivered,
    /// It was dead, or had been discarded, and its time is over.
    Expired,
    /// Its bytes were erased.
    Erased,
    /// The sender sent it anew after it had died.
    Revived,
}

/// A pause of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The name of the destination.
    pub to: String,
    /// When it begins.
    pub from: Millis,
    /// The end; zero: not known yet.
    pub until: Millis,
}

impl Pause {
    /// Whether nothing is to be sent at this time.
    #[must_use]
    pub fn holds_at(&self, now: Millis) -> bool {
        self.from <= now && (self.until == 0 || now < self.until)
    }

    /// How much of the time between these two it takes.
    #[must_use]
    pub fn within(&self, from: Millis, to: Millis) -> Millis {
        let end = if self.until == 0 { to } else { self.until.min(to) };
        end.saturating_sub(self.from.max(from))
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    State {
        seq: u64,
        home: Location,
        phase: Phase,
        progress: EntryProgress,
    },
    Attempt {
        seq: u64,
        at: Millis,
    },
    Gone {
        seq: u64,
        home: Location,
        end: End,
    },
    /// The payload of this frame was overwritten.
    Scrubbed {
        home: Location,
    },
    /// All pauses that still matter. Later notes of this kind replace earlier ones.
    Pauses(Vec<Pause>),
}

/// The payload of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogRecord<'a> {
    Accept(AcceptRecord<'a>),
    Note(Note),
}

pub(crate) const ACCEPT: u8 = 1;
const STATE: u8 = 2;
const ATTEMPT: u8 = 3;
const GONE: u8 = 4;
const SCRUBBED: u8 = 5;
const PAUSES: u8 = 6;

impl Note {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::State { .. } => STATE,
            Self::Attempt { .. } => ATTEMPT,
            Self::Gone { .. } => GONE,
            Self::Scrubbed { .. } => SCRUBBED,
            Self::Pauses(_) => PAUSES,
        }
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let mut to = RecordWriter(into);
        match self {
            Self::State { seq, home, phase, progress } => {
                to.u64(*seq);
                home.encode(&mut to);
                phase.encode(&mut to);
                progress.encode(&mut to);
            }
            Self::Attempt { seq, at } => {
                to.u64(*seq);
                to.u64(*at);
            }
            Self::Gone { seq, home, end } => {
                to.u64(*seq);
                home.encode(&mut to);
                to.u8(end.to_byte());
            }
            Self::Scrubbed { home } => home.encode(&mut to),
            Self::Pauses(pauses) => {
                to.u32(u32::try_from(pauses.len()).unwrap_or(u32::MAX));
                for pause in pauses {
                    to.bytes(pause.to.as_bytes());
                    to.u64(pause.from);
                    to.u64(pause.until);
                }
            }
        }
    }
}

impl AcceptRecord<'_> {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let mut to = RecordWriter(into);
        to.bytes(self.source.as_bytes());
        to.bytes(self.id.as_bytes());
        to.bytes(self.kind.as_bytes());
        to.u64(self.accepted_at);
        to.u64(self.fingerprint);
        to.u64(self.ttl);
        to.u8(u8::from(self.order_key.is_some()) | (u8::from(self.holds) << 1));
        to.bytes(self.order_key.unwrap_or_default().as_bytes());
        to.bytes(self.keys);
        self.copied_from.encode(&mut to);
        to.u16(u16::try_from(self.parts.len()).unwrap_or(u16::MAX));
        for part in &self.parts {
            to.u64(part.seq);
            to.bytes(part.to.as_bytes());
            to.u64(part.place);
            to.u64(part.revives);
            part.revives_home.encode(&mut to);
            part.phase.encode(&mut to);
            part.progress.encode(&mut to);
        }
        to.bytes(self.head);
        to.bytes(self.body);
    }
}

impl<'a> LogRecord<'a> {
    /// Reads a payload; `None` where this version does not know it.
    pub(crate) fn decode(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut from = RecordReader(payload);
        let record = match kind {
            ACCEPT => Self::Accept(decode_accept(&mut from)?),
            STATE => Self::Note(Note::State {
                seq: from.u64()?,
                home: Location::decode(&mut from)?,
                phase: Phase::decode(&mut from)?,
                progress: EntryProgress::decode(&mut from)?,
            }),
            ATTEMPT => Self::Note(Note::Attempt { seq: from.u64()?, at: from.u64()? }),
            GONE => Self::Note(Note::Gone {
                seq: from.u64()?,
                home: Location::decode(&mut from)?,
                end: End::from_byte(from.u8()?)?,
            }),
            SCRUBBED => Self::Note(Note::Scrubbed { home: Location::decode(&mut from)? }),
            PAUSES => {
                let count = from.u32()?;
                let pause = |_| {
                    let to = from.text()?.to_owned();
                    Some(Pause { to, from: from.u64()?, until: from.u64()? })
                };
                Self::Note(Note::Pauses((0..count).map(pause).collect::<Option<_>>()?))
            }
            _ => return None,
        };
        from.0.is_empty().then_some(record)
    }
}

fn decode_accept<'a>(from: &mut RecordReader<'a>) -> Option<AcceptRecord<'a>> {
    let source = from.text()?;
    let id = from.text()?;
    let kind = from.text()?;
    let accepted_at = from.u64()?;
    let fingerprint = from.u64()?;
    let ttl = from.u64()?;
    let flags = from.u8()?;
    let order_key = from.text()?;
    let keys = from.bytes()?;
    let copied_from = Location::decode(from)?;
    let count = from.u16()?;
    let mut parts = Vec::with_capacity(usize::from(count).min(64));
    for _ in 0..count {
        parts.push(EventPart {
            seq: from.u64()?,
            to: from.text()?,
            place: from.u64()?,
            revives: from.u64()?,
            revives_home: Location::decode(from)?,
            phase: Phase::decode(from)?,
            progress: EntryProgress::decode(from)?,
        });
    }
    Some(AcceptRecord {
        source,
        id,
        kind,
        accepted_at,
        fingerprint,
        ttl,
        order_key: (flags & 1 != 0).then_some(order_key),
        holds: flags & 2 != 0,
        keys,
        copied_from,
        parts,
        head: from.bytes()?,
        body: from.bytes()?,
    })
}

impl Location {
    fn encode(self, to: &mut RecordWriter<'_>) {
        to.u32(self.segment);
        to.u32(self.offset);
    }

    fn decode(from: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self { segment: from.u32()?, offset: from.u32()? })
    }
}

impl Phase {
    fn encode(self, to: &mut RecordWriter<'_>) {
        let (kind, time) = match self {
            Self::Queued { due } => (0, due),
            Self::InFlight { since } => (1, since),
            Self::Dead { at } => (2, at),
            Self::Delivered { until } => (3, until),
            Self::Discarded { until } => (4, until),
        };
        to.u8(kind);
        to.u64(time);
    }

    fn decode(from: &mut RecordReader<'_>) -> Option<Self> {
        let kind = from.u8()?;
        let time = from.u64()?;
        Some(match kind {
            0 => Self::Queued { due: time },
            1 => Self::InFlight { since: time },
            2 => Self::Dead { at: time },
            3 => Self::Delivered { until: time },
            4 => Self::Discarded { until: time },
            _ => return None,
        })
    }
}

impl End {
    fn to_byte(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Expired => 1,
            Self::Erased => 2,
            Self::Revived => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Delivered, Self::Expired, Self::Erased, Self::Revived]
            .into_iter()
            .find(|end| end.to_byte() == byte)
    }
}
