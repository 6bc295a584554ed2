//! Segment files: names, headers, and sequential reading.
//!
//! A header says how much of the previous segment is valid: the rest was never acknowledged,
//! because its flush failed.

use crate::clock::Millis;
use crate::codec::{RecordReader, RecordWriter};
use crate::frame::{self, Seen};
use crate::record::Location;
use rustix::io::ReadWriteFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"hookwinb";
/// The format that this version reads and writes.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const HEADER: u32 = 48;
const WINDOW: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    /// The segment that was written before this one, zero if there was none, and its valid length.
    pub(crate) previous: u32,
    pub(crate) previous_length: u32,
    /// No entry of an earlier segment has this number or a higher one.
    pub(crate) next_seq: u64,
    pub(crate) created_at: Millis,
}

/// What a file begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Header(Header),
    /// A header that was being written when the process died.
    Unwritten,
    /// A format of another version.
    Format(u32),
    /// Not a segment, or a damaged header.
    Foreign,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut to = RecordWriter(&mut bytes);
        to.u32(FORMAT);
        to.u32(self.number);
        to.u32(self.previous);
        to.u32(self.previous_length);
        to.u64(self.next_seq);
        to.u64(self.created_at);
        let check = xxh3_64(&bytes);
        RecordWriter(&mut bytes).u64(check);
        bytes
    }
}

/// Reads the beginning of a segment.
pub(crate) fn start(file: &File) -> io::Result<Start> {
    let mut bytes = vec![0; HEADER as usize];
    let found = read_at_most(file, &mut bytes, 0)?;
    bytes.truncate(found);
    Ok(parse_start(&bytes))
}

fn parse_start(bytes: &[u8]) -> Start {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let is_beginning = MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC);
    if is_zero(bytes) || (bytes.len() < HEADER as usize && is_beginning) {
        return Start::Unwritten;
    }
    parse_header(bytes).unwrap_or(Start::Foreign)
}

fn parse_header(bytes: &[u8]) -> Option<Start> {
    let mut from = RecordReader(bytes);
    if from.array()? != *MAGIC {
        return None;
    }
    let format = from.u32()?;
    let header = Header {
        number: from.u32()?,
        previous: from.u32()?,
        previous_length: from.u32()?,
        next_seq: from.u64()?,
        created_at: from.u64()?,
    };
    let checked = bytes.get(..HEADER as usize - 8)?;
    let is_whole = from.u64()? == xxh3_64(checked);
    // Another version may keep its check elsewhere.
    match (format == FORMAT, is_whole) {
        (true, true) => Some(Start::Header(header)),
        (true, false) => None,
        (false, _) => Some(Start::Format(format)),
    }
}

pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// The numbers of all segments in a folder, ascending.
pub(crate) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|digits| digits.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create_new(true).read(true).append(true).mode(0o600).open(path)
}

pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

/// Where the bytes of a read may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From wherever they are, however long that takes.
    Disk,
    /// Only from what the kernel has in memory. A read that would have to wait for the disk gives an
    /// error, or less than was asked for.
    Memory,
}

impl Reach {
    /// No larger frame is read from there: copying and checking one takes a while, too.
    pub(crate) const fn most(self) -> usize {
        match self {
            Self::Disk => frame::LARGEST,
            Self::Memory => 64 << 10,
        }
    }

    pub(crate) fn read(self, file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Disk => read_at_most(file, into, offset),
            Self::Memory => {
                let into = &mut [IoSliceMut::new(into)];
                Ok(rustix::io::preadv2(file, into, offset, ReadWriteFlags::NOWAIT)?)
            }
        }
    }
}

/// Reads as much as there is, up to the length of `into`.
pub(crate) fn read_at_most(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(room) = into.get_mut(done..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Walks over the frames of a segment without holding more than a part of it.
pub(crate) struct Walk<'a> {
    file: &'a File,
    number: u32,
    /// The walk ends here.
    length: u32,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file, and the next frame in the buffer.
    base: u32,
    next: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(file: &'a File, number: u32, from: u32, length: u32) -> Self {
        Self { file, number, length, buffer: Vec::new(), base: from, next: 0 }
    }

    /// Where the next frame begins.
    pub(crate) fn at(&self) -> Location {
        let ahead = u32::try_from(self.next).unwrap_or(u32::MAX);
        Location { segment: self.number, offset: self.base.saturating_add(ahead) }
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Location, Seen<'_>)>> {
        let at = self.at();
        let left = self.length.saturating_sub(at.offset) as usize;
        if left == 0 {
            return Ok(None);
        }
        self.fill(frame::HEADER.min(left), left)?;
        // Without a valid header the end of the frame is unknown.
        let size = frame::extent(self.ahead(), at).unwrap_or(left);
        self.fill(size.min(left), left)?;
        let passed = size.min(left);
        let begin = self.next;
        self.next = begin + passed;
        let bytes = self.buffer.get(begin..).unwrap_or_default();
        Ok(Some((at, frame::parse(bytes, at))))
    }

    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.next..).unwrap_or_default()
    }

    /// Makes sure that `needed` of the `left` bytes are in the buffer, if the file has them.
    fn fill(&mut self, needed: usize, left: usize) -> io::Result<()> {
        if self.ahead().len() >= needed {
            return Ok(());
        }
        let at = self.at();
        self.buffer.drain(..self.next.min(self.buffer.len()));
        self.base = at.offset;
        self.next = 0;
        let held = self.buffer.len();
        self.buffer.resize(needed.max(WINDOW).min(left), 0);
        let room = self.buffer.get_mut(held..).unwrap_or_default();
        let count = read_at_most(self.file, room, u64::from(at.offset) + held as u64)?;
        self.buffer.truncate(held + count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_anything_else_is_refused() {
        let header =
            Header { number: 3, previous: 2, previous_length: 77, next_seq: 9, created_at: 5 };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER as usize);
        assert_eq!(parse_start(&bytes), Start::Header(header));
        for length in 0..bytes.len() {
            assert_eq!(parse_start(&bytes[..length]), Start::Unwritten, "cut at {length}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            let expected = if (8..12).contains(&at) {
                Start::Format(u32::from_le_bytes(*changed[8..].first_chunk().unwrap()))
            } else {
                Start::Foreign
            };
            assert_eq!(parse_start(&changed), expected, "byte {at}");
        }
    }
}
