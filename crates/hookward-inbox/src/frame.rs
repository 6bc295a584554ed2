//! Frames: the form of a record in a segment file.
//!
//! ```text
//! length u32 | kind u8 | flags u8 | 0 u16 | flushed u32 | header check u32 | payload | check u64
//! ```
//!
//! `flushed` is how much of the file was durable when the frame was written. It distinguishes a
//! torn end, which was never acknowledged, from damage to durable data. The checksums are seeded
//! with the frame's location, so a frame that was copied elsewhere is invalid.

use crate::record::Location;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) const HEADER: usize = 16;
const CHECK: usize = 8;
const ENCRYPTED: u8 = 1;
/// A disk writes all of so many bytes, or nothing.
const SECTOR: usize = 512;
/// No frame is larger than this; a length above it is damage.
pub(crate) const LARGEST: usize = 1 << 30;

/// What begins at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    Frame(Frame<'a>),
    /// The bytes end before the frame does; so many are needed.
    Short(usize),
    BadHeader,
    /// The header holds, the payload does not; so long is the frame.
    BadPayload(usize),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) is_encrypted: bool,
    pub(crate) flushed: u32,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn size(&self) -> usize {
        size(self.payload.len())
    }
}

/// Of a frame with such a payload.
pub(crate) fn size(payload: usize) -> usize {
    HEADER + payload + CHECK
}

/// Leaves room for a header; the payload follows. Returns where the frame begins in the buffer.
pub(crate) fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    start
}

/// Completes the frame that begins at `start` of the buffer.
pub(crate) fn finish(
    buffer: &mut Vec<u8>,
    start: usize,
    at: Location,
    flushed: u32,
    kind: u8,
    is_encrypted: bool,
) {
    let length = u32::try_from(buffer.len() - start - HEADER).unwrap_or(u32::MAX);
    let mut header = [0; HEADER];
    let fields = length
        .to_le_bytes()
        .into_iter()
        .chain([kind, if is_encrypted { ENCRYPTED } else { 0 }, 0, 0])
        .chain(flushed.to_le_bytes());
    for (byte, field) in header.iter_mut().zip(fields) {
        *byte = field;
    }
    let (fields, check) = header.split_at_mut(12);
    check.copy_from_slice(&header_check(fields, at));
    if let Some(room) = buffer.get_mut(start..start + HEADER) {
        room.copy_from_slice(&header);
    }
    let sum = xxh3_64_with_seed(buffer.get(start..).unwrap_or_default(), seed(at));
    buffer.extend_from_slice(&sum.to_le_bytes());
}

/// How long the frame at the beginning of `bytes` is, by its header; `None` if that does not hold.
/// A header that is not there whole needs the bytes of one.
pub(crate) fn extent(bytes: &[u8], at: Location) -> Option<usize> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Some(HEADER) };
    let (fields, check) = header.split_at(12);
    let [l0, l1, l2, l3, ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    (check == header_check(fields, at) && length <= LARGEST).then(|| size(length))
}

/// Reads the frame at the beginning of `bytes`, which are from `at`.
pub(crate) fn parse(bytes: &[u8], at: Location) -> Seen<'_> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Seen::Short(HEADER) };
    let [l0, l1, l2, l3, kind, flags, _, _, f0, f1, f2, f3, check @ ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (fields, _) = header.split_at(12);
    if check != header_check(fields, at) || length > LARGEST {
        return Seen::BadHeader;
    }
    let whole = size(length);
    let Some((framed, _)) = bytes.split_at_checked(whole) else { return Seen::Short(whole) };
    let (checked, sum) = framed.split_at(whole - CHECK);
    if sum != xxh3_64_with_seed(checked, seed(at)).to_le_bytes() {
        return Seen::BadPayload(whole);
    }
    let (_, payload) = checked.split_at(HEADER);
    let flushed = u32::from_le_bytes([f0, f1, f2, f3]);
    Seen::Frame(Frame { kind, is_encrypted: flags & ENCRYPTED != 0, flushed, payload })
}

/// Whether the frame that does not read at the beginning of `rest`, up to the end of the newest
/// file, can be what a crash leaves of a write that was never flushed.
///
/// Such a write is short, or has sectors that never reached the disk and read as zeros. No later
/// frame says that it was durable. Anything else is damage.
pub(crate) fn is_torn(rest: &[u8], at: Location) -> bool {
    let unread = match parse(rest, at) {
        Seen::Frame(_) => return false,
        Seen::Short(_) => return true,
        // With the rest of its last sector.
        Seen::BadPayload(whole) => {
            let end = (at.offset as usize + whole).next_multiple_of(SECTOR) - at.offset as usize;
            rest.get(..end).unwrap_or(rest)
        }
        Seen::BadHeader => rest,
    };
    has_unwritten_sector(unread, at) && !says_durable(rest, at)
}

fn has_unwritten_sector(unread: &[u8], at: Location) -> bool {
    const SHORTEST: usize = 16;
    let first = (SECTOR - at.offset as usize % SECTOR).min(unread.len());
    let (head, aligned) = unread.split_at(first);
    std::iter::once(head)
        .chain(aligned.chunks(SECTOR))
        .any(|sector| sector.len() >= SHORTEST && sector.iter().all(|byte| *byte == 0))
}

fn says_durable(rest: &[u8], at: Location) -> bool {
    (1..rest.len()).any(|ahead| {
        let Ok(step) = u32::try_from(ahead) else { return false };
        let place = Location { offset: at.offset.saturating_add(step), ..at };
        match parse(rest.get(ahead..).unwrap_or_default(), place) {
            Seen::Frame(frame) => frame.flushed > at.offset,
            _ => false,
        }
    })
}

fn seed(at: Location) -> u64 {
    (u64::from(at.segment) << 32) | u64::from(at.offset)
}

fn header_check(fields: &[u8], at: Location) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(fields, seed(at)).to_le_bytes();
    [a, b, c, d]
}
