//! Operators' changes: replay, discard, erase, pause, resume. Each is durable before it is
//! answered.

use crate::accepting::{Plan, PlannedPart};
use crate::clock::Millis;
use crate::index::Stand;
use crate::record::{End, Location, Note, Pause, Phase, Record};
use crate::writer::Writer;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why a change was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The disk refused it. A part of it may be in force until a restart.
    #[error("the change could not be made durable: {0}")]
    Failed(Arc<io::Error>),
    /// The inbox was closed.
    #[error("the inbox is closed")]
    Closed,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;

pub(crate) enum Change {
    Replay { seqs: Vec<u64>, as_new: bool, reply: Reply<usize> },
    Discard { seqs: Vec<u64>, reply: Reply<usize> },
    Erase { source: String, id: String, reply: Reply<usize> },
    Pause { to: String, until: Option<Millis>, reply: Reply<()> },
    Resume { to: String, reply: Reply<()> },
}

impl Change {
    pub(crate) fn refuse(self, error: &io::Error) {
        let refused = failed(error);
        match self {
            Self::Replay { reply, .. }
            | Self::Discard { reply, .. }
            | Self::Erase { reply, .. } => {
                _ = reply.send(Err(refused));
            }
            Self::Pause { reply, .. } | Self::Resume { reply, .. } => _ = reply.send(Err(refused)),
        }
    }
}

fn failed(error: &io::Error) -> ChangeError {
    ChangeError::Failed(Arc::new(io::Error::new(error.kind(), error.to_string())))
}

impl Writer {
    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Replay { seqs, as_new, reply } => {
                _ = reply.send(self.replay(&seqs, as_new).map_err(|error| failed(&error)));
            }
            Change::Discard { seqs, reply } => {
                _ = reply.send(self.discard(&seqs).map_err(|error| failed(&error)));
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

    fn replay(&mut self, seqs: &[u64], as_new: bool) -> io::Result<usize> {
        let notes: Vec<Note> = seqs.iter().filter_map(|seq| self.replayed(*seq, as_new)).collect();
        let changed = notes.len();
        self.write_durably(notes)?;
        Ok(changed)
    }

    /// Due now, with a budget of its own. What is being sent or was discarded stays as it is.
    fn replayed(&mut self, seq: u64, as_new: bool) -> Option<Note> {
        let now = self.shared.clock.now();
        let stand = self.shared.core.lock().index.get(seq)?.stand();
        if matches!(stand, Stand::InFlight | Stand::Discarded) {
            return None;
        }
        let mut known = self.shared.known(seq).ok()?;
        let progress = &mut known.progress;
        progress.failures = 0;
        progress.refused = 0;
        progress.budget_from = now;
        progress.replays = progress.replays.saturating_add(1);
        progress.as_new = if as_new { progress.replays } else { 0 };
        let phase = Phase::Queued { due: now };
        Some(Note::State { seq, home: known.home, phase, progress: known.progress })
    }

    /// Keeps of each entry that it was discarded, for the ttl of its event, and not its bytes.
    fn discard(&mut self, seqs: &[u64]) -> io::Result<usize> {
        let stubs: Vec<(Note, Plan)> = seqs.iter().filter_map(|seq| self.stub(*seq)).collect();
        let changed = stubs.len();
        self.replace(stubs)?;
        Ok(changed)
    }

    fn stub(&self, seq: u64) -> Option<(Note, Plan)> {
        let now = self.shared.clock.now();
        let stand = self.shared.core.lock().index.get(seq)?.stand();
        if matches!(stand, Stand::Delivered | Stand::Discarded) {
            return None;
        }
        let known = self.shared.known(seq).ok()?;
        let payload = self.shared.shelf.read(known.home).ok()?;
        let Ok(Record::Accept(record)) = payload.record() else { return None };
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
