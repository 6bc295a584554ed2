//! Groups on their way to the disk. While one is flushed, the next one is written, and its flush
//! begins beside the first: an event does not wait for a slow flush that began before it arrived.
//!
//! A group is applied, and its senders answered, once its own flush and all that began before it have
//! returned without an error. After an error everything that was not applied is refused.

use crate::clock::instant;
use crate::command::Flushed;
use crate::writer::Writer;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

impl Writer {
    /// Whether a group that is not durable yet changes one of these.
    pub(crate) fn is_pending(&self, touched: &[u64]) -> bool {
        let mut groups = self.pending.iter();
        groups.any(|group| touched.iter().any(|id| group.touched.contains(id)))
    }

    fn needs_flush(&self) -> bool {
        self.pending.back().is_some_and(|last| last.end > self.covered)
    }

    /// How long until a flush may begin that is needed, at most so long.
    pub(crate) fn until_flush(&self, most: Duration) -> Duration {
        let wait = self.flushers.until_next().filter(|_| self.needs_flush());
        wait.map_or(most, |wait| wait.min(most))
    }

    /// Begins to flush what was written, beside flushes that have been under way for a while.
    pub(crate) fn begin_flush(&mut self) {
        if !self.needs_flush() || self.flushers.until_next() != Some(Duration::ZERO) {
            return;
        }
        let covers = self.log.length();
        if self.flushers.begin(self.log.handles(), covers) {
            self.covered = covers;
        } else if !self.flushers.is_busy() {
            // All threads are still busy with a segment that was given up.
            let (began, flushed) = (instant(), self.log.flush());
            self.settle(flushed.map(|()| covers), began.elapsed());
        }
    }

    /// Applies what is durable with these flushes.
    pub(crate) fn land(&mut self, flushed: Vec<Flushed>) {
        for flushed in flushed {
            let took = flushed.took;
            match self.flushers.landed(flushed) {
                Some(result) => self.settle(result, took),
                None => self.observer.flushed(took),
            }
        }
        self.begin_flush();
    }

    fn settle(&mut self, flushed: io::Result<u32>, took: Duration) {
        match flushed {
            Ok(covers) => {
                self.observer.flushed(took);
                self.flushed_at = Some(instant());
                self.log.is_durable_up_to(covers);
                self.unflushed.retain(|_, (_, end)| *end > covers);
                while self.pending.front().is_some_and(|group| group.end <= covers) {
                    let Some(group) = self.pending.pop_front() else { break };
                    self.apply(group.steps, true);
                }
            }
            Err(error) => {
                self.trouble(&format!("the inbox cannot write: {error}"));
                self.log.abandon();
                self.lose(&error);
            }
        }
    }

    /// Waits until every group is durable, or refused.
    pub(crate) fn drain(&mut self) {
        while !self.pending.is_empty() {
            self.begin_flush();
            if self.flushers.is_busy() {
                let flushed = self.shared.wait_for_flushes();
                self.land(flushed);
            }
        }
    }

    /// The segment is not used any more: what is not durable in it is refused, or written anew.
    pub(crate) fn lose(&mut self, error: &io::Error) {
        self.flushers.forget();
        self.flush_failed();
        self.covered = 0;
        for group in std::mem::take::<VecDeque<_>>(&mut self.pending) {
            self.give_up(group.steps, error);
        }
    }
}
