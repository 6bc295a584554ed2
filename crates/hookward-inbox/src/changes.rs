//! What people change: replay, discard, move, erase, pause, resume. Each is durable before it is answered.

use crate::clock::Millis;
use crate::command::{Change, failed};
use crate::deeds::{self, DeedKind};
use crate::index::Stand;
use crate::plan::{Plan, PlannedPart};
use crate::record::{End, Location, LogRecord, Note, Pause, Phase};
use crate::writer::Writer;
use std::io;
use std::sync::Arc;

impl Writer {
    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Replay { seqs, as_new, by, reply } => {
                _ = reply.send(self.replay(&seqs, as_new, &by).map_err(|error| failed(&error)));
            }
            Change::Discard { seqs, by, reply } => {
                _ = reply.send(self.discard(&seqs, &by).map_err(|error| failed(&error)));
            }
            Change::Move { seqs, to, by, reply } => {
                _ = reply.send(self.move_to(&seqs, &to, &by).map_err(|error| failed(&error)));
            }
            Change::Erase { source, id, reply } => {
                _ = reply.send(self.erase(&source, &id).map_err(|error| failed(&error)));
            }
            Change::Pause { to, until, reply } => {
                let result = self.change_pauses(|pauses, now| {
                    end_pause(pauses, &to, now);
                    pauses.push(Pause { to, from: now, until: until.unwrap_or(0) });
                });
                _ = reply.send(result.map_err(|error| failed(&error)));
            }
            Change::Resume { to, reply } => {
                let result = self.change_pauses(|pauses, now| end_pause(pauses, &to, now));
                _ = reply.send(result.map_err(|error| failed(&error)));
            }
        }
    }

    fn replay(&mut self, seqs: &[u64], as_new: bool, by: &str) -> io::Result<usize> {
        let notes = seqs.iter().filter_map(|seq| self.replayed(*seq, as_new, by));
        let notes: Vec<Note> = notes.collect();
        let changed = notes.len();
        self.write_durably(notes)?;
        Ok(changed)
    }

    /// Due now, with a budget of its own. What is being sent or was discarded stays as it is.
    fn replayed(&self, seq: u64, as_new: bool, by: &str) -> Option<Note> {
        let now = self.shared.clock.now();
        let stand = self.shared.core.lock().index.get(seq)?.stand();
        if matches!(stand, Stand::InFlight | Stand::Discarded) {
            return None;
        }
        let mut known = self.shared.known(seq).ok()?;
        known.progress.replayed(now, as_new, by);
        let phase = Phase::Queued { due: now };
        Some(Note::State { seq, home: known.home, phase, progress: known.progress })
    }

    /// Keeps of each entry that it was discarded, for the ttl of its event, and not its bytes.
    fn discard(&mut self, seqs: &[u64], by: &str) -> io::Result<usize> {
        let stubs: Vec<(Note, Plan)> = seqs.iter().filter_map(|seq| self.stub(*seq, by)).collect();
        let changed = stubs.len();
        self.replace(stubs)?;
        Ok(changed)
    }

    fn stub(&self, seq: u64, by: &str) -> Option<(Note, Plan)> {
        let now = self.shared.clock.now();
        let stand = self.shared.core.lock().index.get(seq)?.stand();
        if matches!(stand, Stand::Delivered | Stand::Discarded) {
            return None;
        }
        let mut known = self.shared.known(seq).ok()?;
        deeds::append(&mut known.progress.deeds, now, DeedKind::Discarded, by);
        let payload = self.shared.shelf.read(known.home).ok()?;
        let Ok(LogRecord::Accept(record)) = payload.record() else { return None };
        let part = record.parts.iter().find(|part| part.seq == seq)?;
        let phase = Phase::Discarded { until: now.saturating_add(record.ttl) };
        let part = PlannedPart::of(part, phase, known.progress);
        let gone = Note::Gone { seq, home: known.home, end: End::Expired };
        Some((gone, Plan::copy(&record, Location::default(), vec![part], false)))
    }

    /// Erases the bytes of an event, those that were about to be removed anyway too.
    fn erase(&mut self, source: &str, id: &str) -> io::Result<usize> {
        let names: Vec<Arc<str>> = {
            let core = self.shared.core.lock();
            let count = u16::try_from(core.names.len()).unwrap_or(u16::MAX);
            (0..count).map(|number| core.names.name(number)).collect()
        };
        let mut notes = Vec::new();
        for to in names {
            let Some((seq, _)) = self.shared.find(source, id, &to) else { continue };
            let home = self.shared.known(seq).map(|known| known.home).unwrap_or_default();
            notes.push(Note::Gone { seq, home, end: End::Erased });
        }
        let erased = notes.len();
        self.write_durably(notes)?;
        self.scrub_everything()?;
        Ok(erased)
    }

    fn change_pauses(&mut self, change: impl FnOnce(&mut Vec<Pause>, Millis)) -> io::Result<()> {
        let now = self.shared.clock.now();
        let mut pauses = self.shared.core.lock().pauses(now);
        change(&mut pauses, now);
        self.write_durably(vec![Note::Pauses(pauses)])
    }
}

fn end_pause(pauses: &mut [Pause], to: &str, now: Millis) {
    for pause in pauses.iter_mut().filter(|pause| pause.to == to) {
        if pause.until == 0 || pause.until > now {
            pause.until = now.max(1);
        }
    }
}
