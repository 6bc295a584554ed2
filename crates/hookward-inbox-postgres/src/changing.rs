//! What people change. Each change is committed before it is answered.

use crate::commons::{Commons, Uuid, WITHIN, failed, number, uuid};
use crate::entry::{EntryRow, columns};
use hookward_claims::ClaimKey;
use hookward_inbox::{ChangeError, DeedKind, EntryProgress, Millis};
use hookward_names::{EventId, SourceName, UpstreamName};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::Row;

pub(crate) const READ: &str =
    concat!("SELECT ", columns!(), " FROM hookward.entries WHERE seq = ANY ($1)");
const REPLAY: &str = "SELECT hookward.replay($1, $2, $3)";
const DISCARD: &str = "SELECT unnest(hookward.discard($1, $2, $3))";
const ERASE: &str = "SELECT * FROM hookward.erase($1)";
const RESTS: &str = "SELECT hookward.slots_with_rests()";
pub(crate) const DROP_SLOT: &str = "SELECT hookward.drop_slot($1)";
const PAUSE: &str = "SELECT hookward.pause($1, $2, $3, $4)";
const NAMES: &str = "SELECT DISTINCT dest FROM hookward.entries";

/// So many entries are changed in one transaction.
const AT_ONCE: usize = 500;

/// So often it is tried to drop a slot that somebody reads.
const DROPS: u32 = 25;

impl Commons {
    /// Makes entries due now, with a budget of their own; how many were changed.
    pub(crate) async fn replay(
        &self,
        seqs: Vec<u64>,
        as_new: bool,
        by: &str,
    ) -> Result<usize, ChangeError> {
        let mut changed = 0;
        for some in seqs.chunks(AT_ONCE) {
            let deed = |progress: &mut EntryProgress, now| progress.replayed(now, as_new, by);
            let rows = self.change_entries(REPLAY, some, deed).await?;
            let count: i32 = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
            changed += usize::try_from(count).unwrap_or(0);
        }
        self.wake.notify_waiters();
        Ok(changed)
    }

    /// Never sends these entries again; how many were changed. Their bytes leave with their slot.
    pub(crate) async fn discard(&self, seqs: Vec<u64>, by: &str) -> Result<usize, ChangeError> {
        let mut changed = 0;
        for some in seqs.chunks(AT_ONCE) {
            let deed =
                |progress: &mut EntryProgress, now| progress.remember(now, DeedKind::Discarded, by);
            let rows = self.change_entries(DISCARD, some, deed).await?;
            for row in &rows {
                let to: String = row.try_get(0).unwrap_or_default();
                self.count(&to, |ends| ends.discarded += 1);
            }
            changed += rows.len();
        }
        self.wake.notify_waiters();
        Ok(changed)
    }

    /// Reads entries, notes `deed` in the history of each, and has `statement` change those whose
    /// attempts are still as they were read.
    async fn change_entries(
        &self,
        statement: &'static str,
        seqs: &[u64],
        deed: impl Fn(&mut EntryProgress, Millis),
    ) -> Result<Vec<Row>, ChangeError> {
        let seqs: Vec<i64> = seqs.iter().copied().map(number).collect();
        let rows = self.change(READ, &[&seqs]).await?;
        let now = self.now();
        let (mut wanted, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for mut entry in rows.iter().filter_map(EntryRow::of) {
            deed(&mut entry.progress, now);
            wanted.push(number(entry.seq));
            before.push(entry.written);
            after.push(entry.progress.to_bytes());
        }
        self.change(statement, &[&wanted, &before, &after]).await
    }

    /// Erases an event at all destinations: its entries, and the files in which its bytes are. Gives
    /// how many entries there were.
    pub(crate) async fn erase(&self, source: &str, id: &str) -> Result<usize, ChangeError> {
        let mut names: BTreeSet<String> = self.local.lock().destinations.keys().cloned().collect();
        let rows = self.change(NAMES, &[]).await?;
        names.extend(rows.iter().filter_map(|row| row.try_get::<_, String>(0).ok()));
        let (source, id) = (SourceName::from(source), EventId::from(id));
        let keys: Vec<Uuid> = names
            .iter()
            .map(|to| uuid(ClaimKey::of(&source, &id, &UpstreamName::from(to.as_str()))))
            .collect();
        let rows = self.change(ERASE, &[&keys]).await?;
        for row in &rows {
            let to: String = row.try_get(0).unwrap_or_default();
            self.count(&to, |ends| ends.erased += 1);
        }
        // Bytes of events that were delivered moments ago are there as well.
        for row in self.change(RESTS, &[]).await? {
            self.drop_slot(row.try_get(0).unwrap_or(0)).await?;
        }
        self.wake.notify_waiters();
        Ok(rows.len())
    }

    /// Drops a slot, which its readers may delay for a moment.
    async fn drop_slot(&self, slot: i64) -> Result<(), ChangeError> {
        let mut left = DROPS;
        loop {
            match self.database.ask(DROP_SLOT, &[&slot], WITHIN).await {
                Ok(_) => return Ok(()),
                Err(fault) if left == 0 => return Err(failed(&fault.to_string())),
                Err(_) => left -= 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends nothing to a destination until `until`, or until it is resumed; or ends that.
    pub(crate) async fn pause(
        &self,
        to: &str,
        is_pause: bool,
        until: Option<Millis>,
    ) -> Result<(), ChangeError> {
        let (until, wall) = (until.map_or(0, number), number(self.now()));
        self.change(PAUSE, &[&to, &is_pause, &until, &wall]).await?;
        // In force here before it is answered.
        self.learn_pauses().await.map_err(|why| failed(&why))?;
        self.wake.notify_waiters();
        Ok(())
    }
}
