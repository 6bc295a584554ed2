//! The segments of one folder: appending, flushing, reading back.

use crate::cipher::{CipherKeys, Locked};
use crate::clock::Millis;
use crate::disk::{Disk, FLUSHES_AT_ONCE};
use crate::frame::{self, Seen};
use crate::record::{ACCEPT, AcceptRecord, Location, LogRecord, Note};
use crate::segment::{self, Header, Reach};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much is read at first, which is usually the whole frame.
const GUESS: usize = 4 << 10;

/// The open files, shared with all readers.
#[derive(Debug)]
pub(crate) struct Shelf {
    files: RwLock<BTreeMap<u32, Arc<File>>>,
    keys: Option<CipherKeys>,
}

/// Why a record could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("its segment is no longer there")]
    NoSegment,
    #[error("it is damaged")]
    Damaged,
    #[error("it is encrypted, and its key is not configured")]
    NoKey,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A payload that was read.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) kind: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Payload {
    pub(crate) fn record(&self) -> Result<LogRecord<'_>, ReadError> {
        LogRecord::decode(self.kind, &self.bytes).ok_or(ReadError::Damaged)
    }
}

impl Shelf {
    pub(crate) fn new(keys: Option<CipherKeys>) -> Self {
        Self { files: RwLock::default(), keys }
    }

    pub(crate) fn add(&self, number: u32, file: Arc<File>) {
        self.files.write().insert(number, file);
    }

    /// Whoever drops what is given back may be the last to close the file.
    pub(crate) fn remove(&self, number: u32) -> Option<Arc<File>> {
        self.files.write().remove(&number)
    }

    pub(crate) fn file(&self, number: u32) -> Option<Arc<File>> {
        self.files.read().get(&number).map(Arc::clone)
    }

    /// Reads the payload of the frame at `at`.
    pub(crate) fn read(&self, at: Location) -> Result<Payload, ReadError> {
        self.read_within(Reach::Disk, at)
    }

    /// The same, from there. A frame of which not everything is there counts as damaged.
    pub(crate) fn read_within(&self, reach: Reach, at: Location) -> Result<Payload, ReadError> {
        let file = self.file(at.segment).ok_or(ReadError::NoSegment)?;
        let mut bytes = vec![0; GUESS];
        let mut held = reach.read(&file, &mut bytes, u64::from(at.offset))?;
        bytes.truncate(held);
        if let Seen::Short(size) = frame::parse(&bytes, at)
            && size <= reach.most()
        {
            bytes.resize(size, 0);
            let rest = bytes.get_mut(held..).unwrap_or_default();
            held += reach.read(&file, rest, u64::from(at.offset) + held as u64)?;
            bytes.truncate(held);
        }
        match frame::parse(&bytes, at) {
            Seen::Frame(found) => self.open(&found),
            _ => Err(ReadError::Damaged),
        }
    }

    /// The payload of a frame, decrypted.
    pub(crate) fn open(&self, found: &frame::Frame<'_>) -> Result<Payload, ReadError> {
        let bytes = if found.is_encrypted {
            let keys = self.keys.as_ref().ok_or(ReadError::NoKey)?;
            keys.open(found.payload, found.kind).map_err(|locked| match locked {
                Locked::NoSuchKey => ReadError::NoKey,
                Locked::Changed => ReadError::Damaged,
            })?
        } else {
            found.payload.to_vec()
        };
        Ok(Payload { kind: found.kind, bytes })
    }
}

/// The end of the log.
#[derive(Debug)]
struct Active {
    number: u32,
    file: Arc<File>,
    /// One for each flush at once, opened before anything was written: the kernel reports a failure
    /// once on each of them, and on one that is opened later not at all.
    handles: Vec<Arc<File>>,
    length: u32,
    flushed: u32,
}

/// What is appended to.
pub(crate) struct Log {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    shelf: Arc<Shelf>,
    /// The segment that is written, unless it failed.
    active: Option<Active>,
    /// The last one that was written, and how much of it is valid.
    last: (u32, u32),
    /// Segments whose end was never flushed, with what is valid of them.
    tails: Vec<(Arc<File>, u32)>,
}

impl Log {
    pub(crate) fn new(
        folder: &Path,
        disk: Arc<dyn Disk>,
        shelf: Arc<Shelf>,
        last: (u32, u32),
    ) -> Self {
        Self { folder: folder.to_owned(), disk, shelf, active: None, last, tails: Vec::new() }
    }

    /// How long the active segment is; zero if there is none.
    pub(crate) fn length(&self) -> u32 {
        self.active.as_ref().map_or(0, |active| active.length)
    }

    pub(crate) fn active(&self) -> Option<u32> {
        self.active.as_ref().map(|active| active.number)
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.flushed == active.length)
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        segment::path(&self.folder, number)
    }

    pub(crate) fn free(&self) -> io::Result<u64> {
        self.disk.free(&self.folder)
    }

    /// Ends the active segment, if there is one, and begins the next.
    pub(crate) fn roll(&mut self, next_seq: u64, now: Millis) -> io::Result<()> {
        if self.active.is_some() {
            self.flush()?;
            self.abandon();
        }
        let (previous, previous_length) = self.last;
        let number =
            previous.checked_add(1).ok_or_else(|| io::Error::other("too many segments"))?;
        let header = Header { number, previous, previous_length, next_seq, created_at: now };
        let path = segment::path(&self.folder, number);
        // One that could not be completed an instant ago.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = Arc::new(segment::create(&path)?);
        let written = self
            .disk
            .append(&file, &header.encode())
            .and_then(|()| self.disk.flush(&file))
            .and_then(|()| sync_folder(&self.folder));
        if let Err(error) = written {
            _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let more = (1..FLUSHES_AT_ONCE).map_while(|_| segment::open(&path).ok()).map(Arc::new);
        let handles = std::iter::once(Arc::clone(&file)).chain(more).collect();
        self.shelf.add(number, Arc::clone(&file));
        let length = segment::HEADER;
        self.active = Some(Active { number, file, handles, length, flushed: length });
        self.last = (number, length);
        Ok(())
    }

    /// Never writes to the active segment again. What was not flushed is not valid.
    pub(crate) fn abandon(&mut self) {
        if let Some(active) = self.active.take() {
            self.last = (active.number, active.flushed);
            if active.flushed < active.length {
                self.tails.push((active.file, active.flushed));
            }
        }
    }

    /// Cuts off ends that were never flushed. The segment behind such a one tells where it ends, so
    /// none may be deleted before this was done.
    pub(crate) fn cut_tails(&mut self) -> io::Result<()> {
        while let Some((file, length)) = self.tails.last() {
            file.set_len(u64::from(*length))?;
            self.disk.flush(file)?;
            self.tails.pop();
        }
        Ok(())
    }

    /// Appends an accept record to a group.
    pub(crate) fn accept(
        &self,
        group: &mut Vec<u8>,
        record: &AcceptRecord<'_>,
    ) -> io::Result<(Location, u64)> {
        self.framed(group, ACCEPT, |into| record.encode(into))
    }

    /// Appends a note to a group.
    pub(crate) fn note(&self, group: &mut Vec<u8>, note: &Note) -> io::Result<(Location, u64)> {
        self.framed(group, note.kind(), |into| note.encode(into))
    }

    fn framed(
        &self,
        group: &mut Vec<u8>,
        kind: u8,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<(Location, u64)> {
        let Some(active) = &self.active else { return Err(io::Error::other("no segment")) };
        let start = frame::begin(group);
        let ahead = u32::try_from(start).map_err(io::Error::other)?;
        let offset = active.length.checked_add(ahead);
        let offset = offset.ok_or_else(|| io::Error::other("the segment is full"))?;
        let at = Location { segment: active.number, offset };
        encode(group);
        if let Some(keys) = &self.shelf.keys {
            keys.seal(group, start + frame::HEADER, kind)
                .ok_or_else(|| io::Error::other("no random numbers to encrypt with"))?;
        }
        frame::finish(group, start, at, active.flushed, kind, self.shelf.keys.is_some());
        Ok((at, (group.len() - start) as u64))
    }

    /// Hands a group to the operating system, all of it or nothing.
    pub(crate) fn write(&mut self, group: &[u8]) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Err(io::Error::other("no segment")) };
        let added = u32::try_from(group.len()).map_err(io::Error::other)?;
        if let Err(error) = self.disk.append(&active.file, group) {
            // A full disk may have accepted a part of it.
            if active.file.set_len(u64::from(active.length)).is_err() {
                self.abandon();
            }
            return Err(error);
        }
        active.length = active.length.saturating_add(added);
        Ok(())
    }

    /// Makes everything durable. After an error the segment is not used again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Err(io::Error::other("no segment")) };
        match self.disk.flush(&active.file) {
            Ok(()) => {
                active.flushed = active.length;
                Ok(())
            }
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// The handles on which the active segment is flushed.
    pub(crate) fn handles(&self) -> &[Arc<File>] {
        self.active.as_ref().map_or(&[], |active| &active.handles)
    }

    /// So much of the active segment is durable.
    pub(crate) fn is_durable_up_to(&mut self, length: u32) {
        if let Some(active) = &mut self.active {
            active.flushed = active.flushed.max(length);
        }
    }

    /// Deletes a segment, durably.
    pub(crate) fn delete(&self, number: u32) -> io::Result<()> {
        match std::fs::remove_file(segment::path(&self.folder, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_folder(&self.folder)?;
        if let Some(file) = self.shelf.remove(number) {
            close_elsewhere(file);
        }
        Ok(())
    }
}

/// Gives the space of a deleted file back in small parts. For a whole segment that takes tens of
/// milliseconds in which a kernel may let nobody else have the processor, and the writer has others
/// waiting.
fn close_elsewhere(file: Arc<File>) {
    const PART: u64 = 1 << 20;
    const BETWEEN: Duration = Duration::from_millis(1);
    let close = move || {
        let mut length = file.metadata().map_or(0, |meta| meta.len());
        while length > PART {
            length -= PART;
            if file.set_len(length).is_err() {
                return;
            }
            std::thread::sleep(BETWEEN);
        }
    };
    // Without a thread, it is closed here.
    _ = std::thread::Builder::new().name("inbox-close".to_owned()).spawn(close);
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
