//! The way to ask the server, again where that helps.

use super::fault::{Remedy, ServerFault};
use super::pool::Pool;
use super::server::NAME;
use super::session::StatementKind;
use crate::StoreError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How often a call is made at most. When a server restarts, two connections in a row can be
/// broken.
pub(super) const MOST_ATTEMPTS: u32 = 3;

/// How much later than expected a row may expire; partitions exist this long in advance.
const AHEAD: Duration = Duration::from_hours(48);

/// The way to ask the server.
pub(super) struct Asking {
    pub(super) pool: Arc<Pool>,
    pub(super) longest: Longest,
}

impl Asking {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, longest: Longest::default() }
    }

    /// Calls the server, repeatedly if that may help, all within `within`.
    pub(super) async fn ask_for(
        &self,
        question: StatementKind,
        values: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, ServerFault> {
        let attempts = async {
            let mut left = MOST_ATTEMPTS;
            let mut was_in_doubt = false;
            loop {
                left -= 1;
                let mut fault = match self.ask_once(question, values).await {
                    Ok(rows) => return Ok(rows),
                    Err(fault) => fault,
                };
                was_in_doubt |= fault.is_in_doubt;
                fault.is_in_doubt = was_in_doubt;
                match fault.remedy {
                    Remedy::Repeat | Remedy::Reconnect if left > 0 => {}
                    Remedy::MakeRoom if left > 0 => {
                        self.ask_once(StatementKind::MakeRoom, &[&self.longest.reach()]).await?;
                    }
                    _ => return Err(fault),
                }
            }
        };
        let late = || format!("did not answer within {} ms", within.as_millis());
        let answer = tokio::time::timeout(within, attempts).await;
        answer
            .unwrap_or_else(|_| Err(ServerFault { is_in_doubt: true, ..ServerFault::new(late()) }))
    }

    pub(super) async fn ask(
        &self,
        question: StatementKind,
        values: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        let answer = self.ask_for(question, values, within).await;
        answer.map_err(|fault| self.problem(fault.problem))
    }

    pub(super) async fn ask_once(
        &self,
        question: StatementKind,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServerFault> {
        self.pool.session().await?.ask(question, values).await
    }

    pub(super) async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        let rows = self.ask(StatementKind::Entries, &[], within).await?;
        let counted = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok());
        counted.and_then(|counted| u64::try_from(counted).ok()).ok_or_else(|| self.unreadable())
    }

    pub(super) fn unreadable(&self) -> StoreError {
        self.problem("gave an answer that is not Hookward's; are its functions changed?")
    }

    pub(super) fn problem(&self, what: impl fmt::Display) -> StoreError {
        StoreError { store: NAME, problem: format!("at {} {what}", self.pool.server.address) }
    }
}

/// The longest time that anything has had to be kept so far, in ms.
#[derive(Default)]
pub(super) struct Longest(AtomicU64);

impl Longest {
    /// Records how long something has to be kept.
    pub(super) fn note(&self, keep: u64) {
        if self.0.load(Ordering::Relaxed) < keep {
            self.0.fetch_max(keep, Ordering::Relaxed);
        }
    }

    /// How far ahead partitions must reach, in ms.
    pub(super) fn reach(&self) -> i64 {
        let ahead = u64::try_from(AHEAD.as_millis()).unwrap_or(u64::MAX);
        let reach = self.0.load(Ordering::Relaxed).saturating_add(ahead);
        i64::try_from(reach).unwrap_or(i64::MAX)
    }
}
