//! The changes since the last commit, as written to the operating system.
//!
//! An append to a journal is one `write` without a flush, so it survives the end of the process,
//! and no call waits for the disk. Once its records are committed to the id file, the journal is no
//! longer needed. Two files alternate, and each has a number, so that a journal that is already in
//! the id file is never read again.
//!
//! A power cut can leave a journal that ends in the middle of a record. It is read up to there, and
//! the records that are known to be missing are counted. Any other damage is an error: half a
//! journal must not be taken for a whole one.

use super::record::{JournalRecord, RECORD_BYTES};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAGIC: &[u8; 8] = b"hookwj1\n";
const HEADER_BYTES: usize = 24;
const CHECK_BYTES: usize = 8;
const FRAME_BYTES: usize = RECORD_BYTES + CHECK_BYTES;

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    number: u64,
    /// It is complete up to here.
    length: u64,
}

/// A journal as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JournalContent {
    /// Nothing was ever written to it since it was last emptied.
    Empty,
    /// These records, in the order in which they were written, and the minimum number of missing
    /// ones: a file that was cut between two records does not show it.
    Records { number: u64, records: Vec<JournalRecord>, lost: usize },
    /// It was cut off before its first record, so it is unknown how many it had.
    Headless,
    /// Not a journal, or damaged; the rest of the sentence.
    Damaged(String),
}

impl Journal {
    /// Empties the file and starts journal `number` in it.
    pub(super) fn start(path: &Path, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(0)?;
        let mut journal = Self { file, number, length: 0 };
        journal.write(&header(number))?;
        Ok(journal)
    }

    /// Hands a record to the operating system.
    pub(super) fn append(&mut self, record: &JournalRecord) -> io::Result<()> {
        let mut frame = [0; FRAME_BYTES];
        let (body, check) = frame.split_at_mut(RECORD_BYTES);
        body.copy_from_slice(&record.to_bytes());
        check.copy_from_slice(&xxh3_64_with_seed(body, self.number).to_le_bytes());
        self.write(&frame)
    }

    /// Writes all of it or, from a reader's point of view, nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A full disk may have accepted a part of it.
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }
}

/// Reads a journal; a missing file is an empty one.
pub(super) fn read(path: &Path) -> io::Result<JournalContent> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(JournalContent::Empty),
        Err(error) => return Err(error),
    };
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> JournalContent {
    let Some((head, frames)) = bytes.split_at_checked(HEADER_BYTES) else {
        return cut_short(bytes, MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC));
    };
    let Some(number) = number_in(head) else { return cut_short(bytes, false) };
    let mut records = Vec::with_capacity(frames.len() / FRAME_BYTES);
    let mut lost = 0;
    let mut rest = frames.chunks(FRAME_BYTES);
    for frame in rest.by_ref() {
        match record_in(frame, number) {
            Some(record) => records.push(record),
            // The power failed in the middle of this frame: nothing but zeros can follow it.
            None if rest.clone().all(is_zero) => {
                lost = 1 + rest.len();
                break;
            }
            None => {
                let at = HEADER_BYTES + records.len() * FRAME_BYTES;
                return JournalContent::Damaged(format!("is damaged at byte {at}"));
            }
        }
    }
    JournalContent::Records { number, records, lost }
}

/// What a file without a complete header is: a journal, if a power cut could have left it like
/// this.
fn cut_short(bytes: &[u8], is_beginning: bool) -> JournalContent {
    if bytes.is_empty() {
        JournalContent::Empty
    } else if is_beginning || is_zero(bytes) {
        JournalContent::Headless
    } else {
        JournalContent::Damaged("does not begin as a journal does".to_owned())
    }
}

fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (named, check) = header.split_at_mut(HEADER_BYTES - CHECK_BYTES);
    let (magic, digits) = named.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    digits.copy_from_slice(&number.to_le_bytes());
    check.copy_from_slice(&xxh3_64_with_seed(named, 0).to_le_bytes());
    header
}

fn number_in(head: &[u8]) -> Option<u64> {
    let (_, digits) = head.split_at_checked(MAGIC.len())?;
    let number = u64::from_le_bytes(*digits.first_chunk()?);
    (header(number) == head).then_some(number)
}

fn record_in(frame: &[u8], number: u64) -> Option<JournalRecord> {
    let (body, check) = frame.split_at_checked(RECORD_BYTES)?;
    let expected = xxh3_64_with_seed(body, number).to_le_bytes();
    if check != expected {
        return None;
    }
    JournalRecord::from_bytes(body.first_chunk()?)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClaimKey;

    fn records() -> Vec<JournalRecord> {
        (0..5).map(|n| JournalRecord::Forgotten { key: ClaimKey::from_bytes([n; 16]) }).collect()
    }

    fn written(number: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::start(&path, number).unwrap();
        for record in records() {
            journal.append(&record).unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(
            parse(&written(7)),
            JournalContent::Records { number: 7, records: records(), lost: 0 }
        );
    }

    #[test]
    fn a_journal_started_again_holds_nothing_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::start(&path, 1).unwrap().append(&records()[0]).unwrap();
        Journal::start(&path, 3).unwrap();
        assert_eq!(
            read(&path).unwrap(),
            JournalContent::Records { number: 3, records: vec![], lost: 0 }
        );
        assert_eq!(read(&folder.path().join("other")).unwrap(), JournalContent::Empty);
    }

    #[test]
    fn a_journal_cut_anywhere_reads_as_far_as_it_goes() {
        let whole = written(7);
        for length in 0..whole.len() {
            // After a power cut a file is short, or filled with zeros.
            let mut zeroed = whole[..length].to_vec();
            let short = parse(&zeroed);
            zeroed.resize(whole.len(), 0);
            let frames = length.saturating_sub(HEADER_BYTES) / FRAME_BYTES;
            let is_between =
                length >= HEADER_BYTES && (length - HEADER_BYTES).is_multiple_of(FRAME_BYTES);
            // In a short file, only the record that was cut in two is known to be missing.
            let missing = [usize::from(!is_between), records().len() - frames];
            for (found, missing) in [short, parse(&zeroed)].into_iter().zip(missing) {
                match found {
                    JournalContent::Empty => assert_eq!(length, 0),
                    JournalContent::Headless => assert!(length < HEADER_BYTES),
                    JournalContent::Records { number, records: read, lost } => {
                        assert_eq!((number, read.as_slice()), (7, &records()[..frames]));
                        assert_eq!(lost, missing, "cut at {length}");
                    }
                    JournalContent::Damaged(_) => {
                        assert!(length < HEADER_BYTES, "cut at {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_before_the_last_record_is_damage() {
        let whole = written(7);
        for at in 0..whole.len() - FRAME_BYTES {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(matches!(parse(&changed), JournalContent::Damaged(_)), "byte {at}");
        }
    }

    #[test]
    fn a_foreign_file_is_damage() {
        for text in ["x", "a file of somebody else, longer than a header is"] {
            assert!(matches!(parse(text.as_bytes()), JournalContent::Damaged(_)), "{text}");
        }
    }
}
