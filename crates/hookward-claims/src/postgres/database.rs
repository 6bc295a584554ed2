//! The database of a store, for what else is kept in it: the inbox.

use super::asking::Asking;
use super::fault::ServerFault;
use super::server::{self, PostgresServer, PostgresTls};
use super::session::StatementKind;
use crate::StoreError;
use hookward_secret::Secret;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The pause before a listener connects again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Asks a server once, over a connection of its own. In contrast to a [`PostgresDatabase`], it creates no
/// tables.
///
/// # Errors
/// The URL or a file of `tls` cannot be used, or the server does not answer within `within`, or
/// refuses.
pub async fn ask_postgres_once(
    url: &Secret,
    tls: Option<&PostgresTls>,
    question: &str,
    within: Duration,
) -> Result<Vec<Row>, StoreError> {
    let server = PostgresServer::of(url, tls)?;
    let asking = async {
        let (client, _driver) = server::connect(&server).await?;
        client.query(question, &[]).await
    };
    let problem = match tokio::time::timeout(within, asking).await {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(fault)) => ServerFault::from(fault).problem,
        Err(_) => format!("did not answer within {} ms", within.as_millis()),
    };
    Err(StoreError { store: server::NAME, problem: format!("at {} {problem}", server.address) })
}

/// A handle to the database, its connections and their limits.
#[derive(Clone)]
pub struct PostgresDatabase {
    asking: Arc<Asking>,
}

/// Why a call to the database has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct AnswerFault {
    /// What is wrong.
    pub error: StoreError,
    /// The code with which the server refused it, as `53100`.
    pub code: Option<String>,
    /// Whether it may have been done all the same.
    pub is_in_doubt: bool,
}

impl PostgresDatabase {
    pub(super) fn new(asking: Arc<Asking>) -> Self {
        Self { asking }
    }

    /// Asks the server by a statement that each connection prepares once, again where that may help,
    /// all of it `within`. What it does has to be the same when it is done twice.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub async fn ask(
        &self,
        statement: &'static str,
        values: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, AnswerFault> {
        let answer = self.asking.ask_for(StatementKind::Other(statement), values, within).await;
        answer.map_err(|fault| AnswerFault {
            error: self.asking.problem(fault.problem),
            code: fault.code,
            is_in_doubt: fault.is_in_doubt,
        })
    }

    /// Gives the space back of rows that were deleted from a table of the schema.
    ///
    /// # Errors
    /// The server does not do it in time, or refuses.
    pub async fn vacuum(&self, table: &str, within: Duration) -> Result<(), String> {
        let is_a_name = table.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_a_name {
            return Err("no table has such a name".to_owned());
        }
        let vacuuming = async {
            let mut loan = self.asking.pool.session().await?;
            loan.execute(&format!("VACUUM hookward.{table}")).await
        };
        let done = tokio::time::timeout(within, vacuuming).await;
        done.map_err(|_| "took too long".to_owned())?.map_err(|fault| fault.problem)
    }

    /// Sees to it that ids can be remembered for `keep`.
    pub fn will_keep(&self, keep: Duration) {
        self.asking.longest.note(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
    }

    /// Tells `heard` of every notification on the channel `hookward`, and of every time at which some
    /// may have been missed, for as long as it is polled.
    pub async fn listen(&self, heard: &Notify) {
        loop {
            // A server that is away is noticed by everybody else, who say so.
            _ = server::listen(&self.asking.pool.server, || heard.notify_waiters()).await;
            heard.notify_waiters();
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDatabase").finish_non_exhaustive()
    }
}
