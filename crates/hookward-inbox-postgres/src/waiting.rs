//! How many events wait, by source and destination: for names that a configuration has no more.

use crate::commons::{Commons, WITHIN, natural};
use hookward_claims::{PostgresTls, StoreError, ask_postgres_once};
use hookward_inbox::WaitingCount;
use hookward_secret::Secret;
use std::time::Duration;
use tokio_postgres::Row;

const WAITING: &str = "SELECT source, dest, count(*) FROM hookward.entries \
     WHERE state IN ('q', 'b', 'f') GROUP BY source, dest ORDER BY source, dest";
const HAS_TABLES: &str = "SELECT to_regclass('hookward.entries') IS NOT NULL";

impl Commons {
    /// Counts what waits or is being sent, by any instance.
    pub(crate) async fn waiting(&self) -> Result<Vec<WaitingCount>, String> {
        let rows = self.database.ask(WAITING, &[], WITHIN).await;
        Ok(rows.map_err(|fault| fault.to_string())?.iter().filter_map(count_of).collect())
    }
}

/// Counts what waits in the database at `url`, without a [`SharedInbox`](crate::SharedInbox). Changes
/// nothing; without tables there, the counts are empty.
///
/// # Errors
/// As of [`ask_postgres_once`].
pub async fn waiting_at(
    url: &Secret,
    tls: Option<&PostgresTls>,
    within: Duration,
) -> Result<Vec<WaitingCount>, StoreError> {
    let rows = ask_postgres_once(url, tls, HAS_TABLES, within).await?;
    if !rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        return Ok(Vec::new());
    }
    let rows = ask_postgres_once(url, tls, WAITING, within).await?;
    Ok(rows.iter().filter_map(count_of).collect())
}

fn count_of(row: &Row) -> Option<WaitingCount> {
    Some(WaitingCount {
        source: row.try_get(0).ok()?,
        to: row.try_get(1).ok()?,
        events: natural(row.try_get(2).ok()?),
    })
}
