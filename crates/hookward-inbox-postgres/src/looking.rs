//! Looking: one entry, lists.

use crate::accepting::hash;
use crate::commons::{Commons, WITHIN, number, uuid};
use crate::entry::{EntryRow, columns};
use crate::sealing::open_name;
use hookward_claims::ClaimKey;
use hookward_inbox::{EntryState, Filter, Listed, Locked, OpenError, Page};
use hookward_names::{EventId, SourceName, UpstreamName};
use std::time::Duration;

const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM hookward.entries WHERE key = $1");
const BY_SEQ: &str = concat!("SELECT ", columns!(), " FROM hookward.entries WHERE seq = $1");
const SOME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM hookward.entries WHERE seq >= $1 AND ($2::text IS NULL OR source = $2) \
     AND ($3::text IS NULL OR dest = $3) AND ($4::\"char\"[] IS NULL OR state = ANY ($4)) \
     AND ($5::boolean IS NULL OR state <> 'q' OR (due <= hookward.now_ms()) = $5) \
     AND ($6::bigint IS NULL OR accepted >= $6) AND ($7::bigint IS NULL OR accepted < $7) \
     AND ($8::bigint IS NULL OR id_hash = $8) ORDER BY seq LIMIT $9"
);

/// One name for each key that names are encrypted with: its number is at the end.
const NAMES: &str = "SELECT DISTINCT ON (substring(name FROM length(name) - 3)) name \
     FROM hookward.entries WHERE get_byte(name, 0) <> 0";

/// A delivery waits for it.
const FIND_WITHIN: Duration = Duration::from_secs(2);

/// Rows of one call.
const AT_ONCE: usize = 1_000;

impl Commons {
    /// Whether there is a key for everything.
    pub(crate) async fn try_keys(&self) -> Result<(), OpenError> {
        let rows = self.database.ask(NAMES, &[], WITHIN).await;
        let rows = rows.map_err(|fault| OpenError::Database(fault.to_string()))?;
        for row in &rows {
            let name: Vec<u8> = row.try_get(0).unwrap_or_default();
            if open_name(self.keys.as_ref(), &name) == Err(Locked::NoSuchKey) {
                let what = "events in the database are encrypted with a key that is not configured";
                return Err(OpenError::Database(what.to_owned()));
            }
        }
        Ok(())
    }

    /// The entry of (source, event id, destination).
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn find(
        &self,
        source: &str,
        id: &str,
        to: &str,
    ) -> Result<Option<Listed>, String> {
        let key =
            ClaimKey::of(&SourceName::from(source), &EventId::from(id), &UpstreamName::from(to));
        let answer = self.database.ask(BY_KEY, &[&uuid(key)], FIND_WITHIN).await;
        let rows = answer.map_err(|fault| fault.to_string())?;
        let entry = rows.first().and_then(EntryRow::of);
        Ok(entry.map(|entry| entry.listed(self.keys.as_ref(), self.now())))
    }

    pub(crate) async fn show(&self, seq: u64) -> Result<Option<Listed>, String> {
        let rows = self.database.ask(BY_SEQ, &[&number(seq)], WITHIN).await;
        let rows = rows.map_err(|fault| fault.to_string())?;
        let entry = rows.first().and_then(EntryRow::of);
        Ok(entry.map(|entry| entry.listed(self.keys.as_ref(), self.now())))
    }

    /// Entries that fit, by number, from `cursor` on; the number of the next one if there are more.
    async fn some(
        &self,
        filter: &Filter,
        limit: usize,
        cursor: u64,
    ) -> Result<(Vec<Listed>, Option<u64>), String> {
        let (states, is_due) = wanted(filter.state);
        let states: Option<Vec<i8>> =
            states.map(|states| states.iter().map(|state| state.cast_signed()).collect());
        let (since, until) = (filter.since.map(number), filter.until.map(number));
        let (id_hash, at_once) = (filter.id.as_deref().map(hash), number(AT_ONCE as u64));
        let mut from = number(cursor);
        let mut found = Vec::new();
        loop {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
                &from,
                &filter.source,
                &filter.to,
                &states,
                &is_due,
                &since,
                &until,
                &id_hash,
                &at_once,
            ];
            let rows = self.database.ask(SOME, &values, WITHIN).await;
            let rows = rows.map_err(|fault| fault.to_string())?;
            let now = self.now();
            for row in &rows {
                let Some(entry) = EntryRow::of(row) else { continue };
                from = number(entry.seq + 1);
                let listed = entry.listed(self.keys.as_ref(), now);
                if !filter.fits(&listed) {
                    continue;
                }
                if found.len() >= limit {
                    return Ok((found, Some(listed.seq)));
                }
                found.push(listed);
            }
            if rows.len() < AT_ONCE {
                return Ok((found, None));
            }
        }
    }

    pub(crate) async fn list(
        &self,
        filter: &Filter,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Page, String> {
        let (events, next) = self.some(filter, limit, cursor.unwrap_or(0)).await?;
        Ok(Page { events, next })
    }

    pub(crate) async fn select(&self, filter: &Filter) -> Result<Vec<u64>, String> {
        let (found, _) = self.some(filter, usize::MAX, 0).await?;
        Ok(found.into_iter().map(|listed| listed.seq).collect())
    }
}

/// The letters of a state, and whether it is due, where that matters.
fn wanted(state: Option<EntryState>) -> (Option<&'static [u8]>, Option<bool>) {
    match state {
        None => (None, None),
        Some(EntryState::Ready) => (Some(b"q"), Some(true)),
        Some(EntryState::Waiting) => (Some(b"qb"), Some(false)),
        Some(EntryState::InFlight) => (Some(b"f"), None),
        Some(EntryState::Dead) => (Some(b"x"), None),
        Some(EntryState::Delivered) => (Some(b"d"), None),
        Some(EntryState::Discarded) => (Some(b"n"), None),
    }
}
