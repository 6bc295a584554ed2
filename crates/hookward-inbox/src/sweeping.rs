//! Reclaims space: copies the needed part of a segment forward and deletes the file, or overwrites
//! the bytes of ended events in place.
//!
//! A note is needed while the segment of its accept record exists: without the note the event would
//! come back. One segment is swept at a time, and a segment that was half copied when the process
//! died comes first, so there are never more than two copies of a record.

use crate::clock::Millis;
use crate::frame::Seen;
use crate::index::{Entry, Stand};
use crate::log::ReadError;
use crate::plan::{Plan, PlannedPart};
use crate::record::{ACCEPT, AcceptRecord, Location, LogRecord, Note};
use crate::segment::{self, Walk};
use crate::sweep::Sweep;
use crate::usage::SegmentUsage;
use crate::writer::Writer;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// How long the bytes of an ended event may stay before its segment is swept.
const PATIENCE: Millis = 20_000;
/// How much of a segment is swept before the writer handles the next events.
const SLICE: u32 = 1 << 20;

/// What one slice of a segment asks for.
#[derive(Default)]
struct Slice {
    copies: Vec<Plan>,
    notes: Vec<Note>,
    scrubbed: Vec<(Location, u32)>,
}

impl Writer {
    /// Chooses the next segment to be swept, deleting those of which nothing is needed.
    pub(crate) fn choose_sweep(&mut self) {
        let now = self.shared.clock.now();
        if self.sweep.is_some() {
            return;
        }
        let old = |segment: &SegmentUsage| {
            segment.garbage_since.is_some_and(|since| since.saturating_add(PATIENCE) <= now)
        };
        let is_active_old = self.log.active().is_some_and(|active| {
            self.shared.core.lock().usage.segments.get(&active).is_some_and(old)
        });
        if is_active_old && self.roll().is_err() {
            return;
        }
        let active = self.log.active();
        let segments: Vec<(u32, SegmentUsage)> = {
            let core = self.shared.core.lock();
            core.usage.segments.iter().map(|(number, usage)| (*number, usage.clone())).collect()
        };
        if let Some((number, _)) = segments.iter().find(|(_, usage)| usage.is_half_copied) {
            return self.start_sweep(*number, true);
        }
        for (number, usage) in &segments {
            if Some(*number) == active {
                continue;
            }
            if usage.entries == 0 && usage.homes.is_empty() {
                self.delete(*number);
            } else if old(usage) {
                return self.start_sweep(*number, usage.live * 2 <= usage.total);
            }
        }
    }

    fn start_sweep(&mut self, number: u32, is_copy: bool) {
        let Some(file) = self.shared.shelf.file(number) else { return };
        let length = file.metadata().map_or(0, |meta| u32::try_from(meta.len()).unwrap_or(0));
        let next = segment::HEADER;
        self.sweep = Some(Sweep { number, file, next, length, is_copy });
    }

    /// Sweeps the next slice.
    pub(crate) fn go_on_sweeping(&mut self) {
        let Some(mut sweep) = self.sweep.take() else { return };
        match self.sweep_slice(&mut sweep) {
            Ok(()) if sweep.next < sweep.length => self.sweep = Some(sweep),
            Ok(()) => self.swept(sweep),
            Err(error) => {
                // It is chosen again, but not at once.
                self.trouble(&format!("a segment cannot be swept: {error}"));
                self.set_garbage(sweep.number, Some(self.shared.clock.now()));
            }
        }
    }

    fn swept(&mut self, sweep: Sweep) {
        let Sweep { number, is_copy, file, .. } = sweep;
        drop(file);
        let entries = {
            let core = self.shared.core.lock();
            core.usage.segments.get(&number).map_or(0, |usage| usage.entries)
        };
        if !is_copy {
            self.set_garbage(number, None);
        } else if entries == 0 {
            self.delete(number);
        } else {
            // Something in it does not read: it stays, for somebody to look at.
            self.trouble("a segment has entries that do not read; it is kept");
            self.set_garbage(number, None);
            if let Some(usage) = self.shared.core.lock().usage.segments.get_mut(&number) {
                usage.is_half_copied = false;
            }
        }
    }

    fn set_garbage(&self, number: u32, since: Option<Millis>) {
        if let Some(usage) = self.shared.core.lock().usage.segments.get_mut(&number) {
            usage.garbage_since = since;
        }
    }

    fn delete(&mut self, number: u32) {
        match self.log.delete(number) {
            Ok(()) => self.shared.core.lock().usage.deleted(number),
            Err(error) => self.trouble(&format!("a segment cannot be deleted: {error}")),
        }
    }

    /// Overwrites at once what is left of all events that ended.
    pub(crate) fn scrub_everything(&mut self) -> io::Result<()> {
        self.roll()?;
        // What a sweep goes on with later must not be what is overwritten now.
        self.sweep = None;
        let active = self.log.active();
        let numbers: Vec<u32> = {
            let core = self.shared.core.lock();
            let with_garbage =
                core.usage.segments.iter().filter(|(_, usage)| usage.garbage_since.is_some());
            with_garbage.map(|(number, _)| *number).filter(|n| Some(*n) != active).collect()
        };
        for number in numbers {
            self.start_sweep(number, false);
            let Some(mut sweep) = self.sweep.take() else { continue };
            while sweep.next < sweep.length {
                self.sweep_slice(&mut sweep)?;
            }
            self.set_garbage(number, None);
        }
        Ok(())
    }

    fn sweep_slice(&mut self, sweep: &mut Sweep) -> io::Result<()> {
        let end = sweep.next.saturating_add(SLICE).min(sweep.length);
        let file = Arc::clone(&sweep.file);
        let mut walk = Walk::new(&file, sweep.number, sweep.next, sweep.length);
        let mut slice = Slice::default();
        while walk.at().offset < end {
            match walk.next()? {
                None => break,
                Some((at, Seen::Frame(found))) if sweep.is_copy || found.kind == ACCEPT => {
                    let size = u32::try_from(found.size()).unwrap_or(u32::MAX);
                    let payload = self.shared.shelf.open(&found).map_err(io::Error::other)?;
                    match payload.record().map_err(io::Error::other)? {
                        LogRecord::Accept(record) => {
                            self.sweep_accept(&record, at, size, sweep.is_copy, &mut slice);
                        }
                        LogRecord::Note(note) => self.sweep_note(note, at, &mut slice),
                    }
                }
                // Overwritten before, or of no interest.
                Some(_) => {}
            }
        }
        sweep.next = walk.at().offset;
        self.write_copies(slice.copies, slice.notes)?;
        self.scrub(sweep.number, &slice.scrubbed)
    }

    fn sweep_accept(
        &self,
        record: &AcceptRecord<'_>,
        at: Location,
        size: u32,
        is_copy: bool,
        slice: &mut Slice,
    ) {
        let mut needed = Vec::new();
        for part in &record.parts {
            let entry = self.shared.core.lock().index.get(part.seq).copied();
            let Some(entry) = entry else { continue };
            let progress = match self.progress_if_home(part.seq, &entry, at) {
                Ok(Some(found)) => found.unwrap_or_else(|| part.progress.clone()),
                Ok(None) => continue,
                // It is there, and what is known of it does not read: leave it alone.
                Err(_) => return,
            };
            let phase = self.shared.core.lock().phase(&entry);
            needed.push(PlannedPart::of(part, phase, progress));
        }
        if is_copy && !needed.is_empty() {
            slice.copies.push(Plan::copy(record, at, needed, true));
        } else if !is_copy && needed.is_empty() {
            slice.notes.push(Note::Scrubbed { home: at });
            slice.scrubbed.push((at, size));
        }
    }

    /// What is known of an entry apart from its accept record, if that is the one at `at`.
    #[expect(
        clippy::option_option,
        reason = "not its home; its home and nothing else known; known"
    )]
    fn progress_if_home(
        &self,
        seq: u64,
        entry: &Entry,
        at: Location,
    ) -> Result<Option<Option<crate::progress::EntryProgress>>, ReadError> {
        if !entry.is_noted() {
            return Ok((entry.at == at).then_some(None));
        }
        let known = self.shared.known_at(seq, entry.at)?;
        Ok((known.home == at).then_some(Some(known.progress)))
    }

    fn sweep_note(&self, note: Note, at: Location, slice: &mut Slice) {
        let core = self.shared.core.lock();
        // What is about this segment goes with it.
        let is_elsewhere = |home: &Location| {
            home.segment != at.segment && core.usage.segments.contains_key(&home.segment)
        };
        let is_needed = match &note {
            Note::State { seq, home, .. } => {
                is_elsewhere(home) && core.index.get(*seq).is_some_and(|entry| entry.at == at)
            }
            Note::Gone { home, .. } | Note::Scrubbed { home } => is_elsewhere(home),
            Note::Attempt { seq, .. } => {
                core.index.get(*seq).is_some_and(|entry| entry.stand() == Stand::InFlight)
            }
            // Each segment begins with those that matter.
            Note::Pauses(_) => false,
        };
        drop(core);
        if is_needed {
            slice.notes.push(note);
        }
    }

    /// Overwrites payloads, and gives their space back. That they are to be is durable.
    fn scrub(&self, number: u32, frames: &[(Location, u32)]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let path = self.log.path(number);
        let file = OpenOptions::new().write(true).open(path)?;
        for (at, size) in frames {
            let header = u32::try_from(crate::frame::HEADER).unwrap_or(0);
            let (from, length) = (at.offset + header, size.saturating_sub(header));
            overwrite(&file, u64::from(from), u64::from(length))?;
        }
        file.sync_data()?;
        for (at, size) in frames {
            // Only whole blocks come back; a file system that cannot do that keeps zeros.
            let header = u64::try_from(crate::frame::HEADER).unwrap_or(0);
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            let (from, length) = (u64::from(at.offset) + header, u64::from(*size) - header);
            _ = rustix::fs::fallocate(&file, flags, from, length);
        }
        Ok(())
    }
}

fn overwrite(file: &File, from: u64, length: u64) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut done = 0;
    while done < length {
        let some = usize::try_from(length - done).unwrap_or(ZEROS.len()).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..some).unwrap_or_default(), from + done)?;
        done += some as u64;
    }
    Ok(())
}
