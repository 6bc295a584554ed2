//! Reads the log at start.

use crate::clock::Millis;
use crate::core::Core;
use crate::frame::{self, Frame, Seen};
use crate::log::{ReadError, Shelf, sync_folder};
use crate::record::{Location, LogRecord, Note};
use crate::segment::{self, Header, Start, Walk};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found when an inbox was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Entries that are there.
    pub entries: usize,
    /// Segment files that were read.
    pub segments: usize,
    /// What was cut off: writes that were never flushed, and that nobody was promised.
    pub torn: Option<Torn>,
    /// Entries that were being sent when the process ended; each waits for `uncertain_hold`.
    pub interrupted: usize,
}

/// The torn end of the newest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// Why an inbox cannot be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database of a shared inbox does not serve it.
    #[error("{0}")]
    Database(String),
    /// Another process has it open.
    #[error("{} is used by another process", .0.display())]
    InUse(PathBuf),
    /// Written by another version.
    #[error("{} has format {found}; this version reads format {}", .file.display(), segment::FORMAT)]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Durable bytes do not read.
    #[error("{} is damaged at byte {offset}: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Encrypted with a key that is not configured.
    #[error("{} is encrypted at byte {offset} with a key that is not configured", .file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The file system refused.
    #[error("cannot open the inbox in {}: {error}", .file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

pub(crate) fn refused(file: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |error| OpenError::Io { file: file.to_owned(), error }
}

struct Recovered {
    number: u32,
    path: PathBuf,
    file: Arc<File>,
    length: u32,
    header: Header,
}

/// Reads all segments into `core`, and cuts off what is torn. Gives the last one with its valid length.
pub(crate) fn recover(
    folder: &Path,
    shelf: &Shelf,
    core: &mut Core,
    now: Millis,
) -> Result<(Recovery, (u32, u32)), OpenError> {
    let Scanned { recovery, segments, unwritten } = scan(folder, shelf, core, now)?;
    // Only now is anything changed: all of it was read.
    for path in &unwritten {
        std::fs::remove_file(path).map_err(refused(path))?;
    }
    let mut last = (0, 0);
    for (segment, end) in segments {
        tidy(&segment, end).map_err(refused(&segment.path))?;
        shelf.add(segment.number, Arc::clone(&segment.file));
        last = (segment.number, end);
    }
    sync_folder(folder).map_err(refused(folder))?;
    Ok((recovery, last))
}

/// What was read.
pub(crate) struct Scanned {
    recovery: Recovery,
    /// Each with its valid length.
    segments: Vec<(Recovered, u32)>,
    /// Files whose header was never written.
    unwritten: Vec<PathBuf>,
}

/// Reads all segments into `core`. Changes nothing.
pub(crate) fn scan(
    folder: &Path,
    shelf: &Shelf,
    core: &mut Core,
    now: Millis,
) -> Result<Scanned, OpenError> {
    let (found, unwritten) = open_all(folder)?;
    let mut recovery = Recovery { segments: found.len(), ..Recovery::default() };
    let mut scan = Scan { shelf, core, now, unread: BTreeSet::new() };
    let mut cuts = Vec::new();
    for (at, segment) in found.iter().enumerate() {
        scan.core.next_seq = scan.core.next_seq.max(segment.header.next_seq);
        let begin = Location { segment: segment.number, offset: 0 };
        scan.core.usage.placed(begin, u64::from(segment::HEADER));
        let newest = at + 1 == found.len();
        let end = scan.segment(segment, newest)?;
        if end < segment.length && newest {
            let bytes = u64::from(segment.length - end);
            recovery.torn =
                Some(Torn { file: segment.path.clone(), offset: u64::from(end), bytes });
        }
        cuts.push(end);
    }
    if let Some(at) = scan.unread.first() {
        let file = segment::path(folder, at.segment);
        let offset = u64::from(at.offset);
        return Err(OpenError::Damaged { file, offset, what: "the check of a record fails" });
    }
    recovery.entries = scan.core.index.len();
    Ok(Scanned { recovery, segments: found.into_iter().zip(cuts).collect(), unwritten })
}

/// Cuts off what is not valid, and makes durable what a killed process left to the system.
fn tidy(segment: &Recovered, end: u32) -> io::Result<()> {
    if segment.file.metadata()?.len() > u64::from(end) {
        segment.file.set_len(u64::from(end))?;
    }
    segment.file.sync_data()
}

/// Opens all segments, and tells how much of each is valid; apart from them, files whose header was
/// never written.
fn open_all(folder: &Path) -> Result<(Vec<Recovered>, Vec<PathBuf>), OpenError> {
    let numbers = segment::numbers(folder).map_err(refused(folder))?;
    let newest = numbers.last().copied();
    let mut all: Vec<Recovered> = Vec::new();
    let mut unwritten = Vec::new();
    for number in numbers {
        let path = segment::path(folder, number);
        let file = segment::open(&path).map_err(refused(&path))?;
        let length = file.metadata().map_err(refused(&path))?.len();
        let damaged = |what| OpenError::Damaged { file: path.clone(), offset: 0, what };
        let header = match segment::start(&file).map_err(refused(&path))? {
            Start::Header(header) if header.number == number => header,
            Start::Format(found) => return Err(OpenError::Format { file: path, found }),
            Start::Unwritten if Some(number) == newest => {
                unwritten.push(path);
                continue;
            }
            Start::Unwritten | Start::Header(_) | Start::Foreign => {
                return Err(damaged("it does not begin as a segment does"));
            }
        };
        let length = u32::try_from(length).map_err(|_| damaged("it is too long"))?;
        if let Some(previous) = all.last_mut()
            && previous.number == header.previous
        {
            if previous.length < header.previous_length {
                return Err(OpenError::Damaged {
                    file: previous.path.clone(),
                    offset: u64::from(previous.length),
                    what: "its end is missing",
                });
            }
            previous.length = header.previous_length;
        }
        all.push(Recovered { number, path, file: Arc::new(file), length, header });
    }
    Ok((all, unwritten))
}

struct Scan<'a> {
    shelf: &'a Shelf,
    core: &'a mut Core,
    now: Millis,
    /// Frames that do not read; a note has to say later that they were overwritten.
    unread: BTreeSet<Location>,
}

impl Scan<'_> {
    /// Reads one segment. Gives where it ends, which is before its length if it is torn.
    fn segment(&mut self, segment: &Recovered, is_newest: bool) -> Result<u32, OpenError> {
        let mut walk = Walk::new(&segment.file, segment.number, segment::HEADER, segment.length);
        loop {
            let place = walk.at();
            let next = walk.next().map_err(refused(&segment.path))?;
            let what = match next {
                None => return Ok(segment.length),
                Some((at, Seen::Frame(found))) => match self.apply(&found, at) {
                    Ok(()) => continue,
                    Err(ReadError::NoKey) => {
                        let offset = u64::from(at.offset);
                        return Err(OpenError::NoKey { file: segment.path.clone(), offset });
                    }
                    Err(_) => "a record does not read",
                },
                Some((at, Seen::BadPayload(_))) if !is_newest => {
                    self.unread.insert(at);
                    continue;
                }
                Some((_, Seen::BadPayload(_))) => "the check of a record fails",
                Some((_, Seen::BadHeader)) => "the check of a record's header fails",
                Some((_, Seen::Short(_))) => "a record is cut off",
            };
            if is_newest && is_torn(segment, place).map_err(refused(&segment.path))? {
                return Ok(place.offset);
            }
            let offset = u64::from(place.offset);
            return Err(OpenError::Damaged { file: segment.path.clone(), offset, what });
        }
    }

    fn apply(&mut self, found: &Frame<'_>, at: Location) -> Result<(), ReadError> {
        let size = found.size() as u64;
        let opened;
        let record = if found.is_encrypted {
            opened = self.shelf.open(found)?;
            opened.record()?
        } else {
            LogRecord::decode(found.kind, found.payload).ok_or(ReadError::Damaged)?
        };
        match record {
            LogRecord::Accept(record) => self.core.accept(&record, at, size, self.now),
            LogRecord::Note(note) => {
                if let Note::Scrubbed { home } = &note {
                    self.unread.remove(home);
                }
                self.core.note(&note, Some((at, size)), self.now);
            }
        }
        Ok(())
    }
}

fn is_torn(segment: &Recovered, at: Location) -> io::Result<bool> {
    let left = segment.length.saturating_sub(at.offset) as usize;
    let mut rest = vec![0; left];
    let count = segment::read_at_most(&segment.file, &mut rest, u64::from(at.offset))?;
    rest.truncate(count);
    Ok(frame::is_torn(&rest, at))
}
