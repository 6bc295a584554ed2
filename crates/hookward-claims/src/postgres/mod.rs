//! `store = "postgres"`: claims that several instances share, in a PostgreSQL database.
//!
//! Every decision is one call of a function on the server (`schema/`) in its own transaction: it is
//! atomic and costs one round trip. A decision about a key is made under a lock of that key.
//! Leases, holds and ttls follow the server's clock, so the clocks of the instances do not matter.
//! `docs/decisions` explains the design of the tables.
//!
//! Every call is idempotent for its fence, so a call that failed with its connection is repeated.

mod fault;
mod pool;
mod schema;
mod server;
mod session;
mod upkeep;
mod value;

use super::{
    ClaimStore, Counters, Fence, Health, Intent, Key, Settled, Standing, StoreError, Target,
    Verdict,
};
use async_trait::async_trait;
use fault::{Fault, Remedy};
use hookward_secret::Secret;
use hookward_time::Clock;
use pool::Pool;
use server::Server;
pub use server::{postgres_url_fault, postgres_url_refuses_tls};
use session::Question;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use upkeep::{Longest, Upkeep};
use value::{Id, millis, short};

const NAME: &str = "postgres";

/// How often a call is made at most. When a server restarts, two connections in a row can be
/// broken.
const MOST_ATTEMPTS: u32 = 3;

/// How long the note of a released claim can be read by copies that wait in other processes.
const NOTE_KEPT: Duration = Duration::from_secs(5);

/// The TLS settings of an encrypted connection. By default it trusts the system's CAs, shows no
/// client certificate and checks the URL's host.
#[derive(Clone, Debug, Default)]
pub struct PostgresTls {
    /// PEM file of the CAs to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The server name to request and verify; `None`: the URL's host.
    pub sni: Option<String>,
}

/// Claims in a PostgreSQL database that several processes share.
pub struct PostgresStore {
    asking: Arc<Asking>,
    counters: Counters,
    clock: Arc<dyn Clock>,
    _upkeep: Upkeep,
}

/// The way to ask the server.
struct Asking {
    pool: Arc<Pool>,
    longest: Longest,
}

impl PostgresStore {
    /// Connects to the server at `url`, which is a secret because it may contain a password, and
    /// creates the tables if necessary, all within `within`. Call it within a runtime that outlives
    /// the store.
    ///
    /// # Errors
    /// The URL is invalid, a file of `tls` cannot be used, the server cannot be reached or is too
    /// old, or its tables cannot be created or have an unknown version. The message contains the
    /// server's address, never the URL.
    pub async fn open(
        url: &Secret,
        tls: Option<&PostgresTls>,
        clock: Arc<dyn Clock>,
        within: Duration,
    ) -> Result<Self, StoreError> {
        let pool = Pool::new(Server::of(url, tls)?, Arc::clone(&clock));
        let asking = Arc::new(Asking { pool, longest: Longest::default() });
        asking.entries(within).await?;
        let upkeep = Upkeep::start(Arc::clone(&asking));
        Ok(Self { asking, counters: Counters::default(), clock, _upkeep: upkeep })
    }

    fn wall(&self) -> i64 {
        self.clock.wall().0
    }
}

impl Asking {
    /// Calls the server, repeatedly if that may help, all within `within`.
    async fn ask(
        &self,
        question: Question,
        values: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        let attempts = async {
            let mut left = MOST_ATTEMPTS;
            loop {
                left -= 1;
                let fault = match self.ask_once(question, values).await {
                    Ok(rows) => return Ok(rows),
                    Err(fault) => fault,
                };
                match fault.remedy {
                    Remedy::Repeat | Remedy::Reconnect if left > 0 => {}
                    Remedy::MakeRoom if left > 0 => {
                        self.ask_once(Question::MakeRoom, &[&self.longest.reach()]).await?;
                    }
                    _ => return Err(fault),
                }
            }
        };
        if let Ok(answer) = tokio::time::timeout(within, attempts).await {
            return answer.map_err(|fault: Fault| self.problem(fault.problem));
        }
        Err(self.problem(format_args!("did not answer within {} ms", within.as_millis())))
    }

    async fn ask_once(
        &self,
        question: Question,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        self.pool.session().await?.ask(question, values).await
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        let rows = self.ask(Question::Entries, &[], within).await?;
        let counted = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok());
        counted.and_then(|counted| u64::try_from(counted).ok()).ok_or_else(|| self.unreadable())
    }

    fn unreadable(&self) -> StoreError {
        self.problem("gave an answer that is not Hookward's; are its functions changed?")
    }

    fn problem(&self, what: impl fmt::Display) -> StoreError {
        StoreError { store: NAME, problem: format!("at {} {what}", self.pool.server.address) }
    }
}

#[async_trait]
impl ClaimStore for PostgresStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        let keys: Vec<Id> = targets.iter().map(|target| Id(target.key)).collect();
        let names: Vec<Option<Id>> = targets.iter().map(|target| target.alias.map(Id)).collect();
        let leases: Vec<i64> = targets.iter().map(|target| millis(target.lease)).collect();
        let kept: Vec<i64> =
            targets.iter().map(|target| millis(target.ttl.saturating_add(target.lease))).collect();
        for keep in &kept {
            self.asking.longest.note(keep.unsigned_abs());
        }
        let (holder, take) = (fence.0.cast_signed(), intent == Intent::Claim);
        let (wall, patience) = (self.wall(), millis(within));
        let values: [&(dyn ToSql + Sync); 8] =
            [&keys, &names, &leases, &kept, &holder, &take, &wall, &patience];
        let rows = self.asking.ask(Question::Claim, &values, within).await?;
        let standings: Option<Vec<Standing>> = rows.iter().map(value::standing).collect();
        standings
            .filter(|standings| standings.len() == targets.len())
            .ok_or_else(|| self.asking.unreadable())
    }

    async fn settle(
        &self,
        key: Key,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        let (kind, body, keep, note) = match verdict {
            Verdict::Delivered { fingerprint, ttl } => {
                (value::DELIVERED, fingerprint.cast_signed(), millis(*ttl), String::new())
            }
            Verdict::Uncertain { hold, note } => (value::UNCERTAIN, 0, millis(*hold), short(note)),
            Verdict::Released { note } if note.is_empty() => (value::RELEASED, 0, 0, String::new()),
            Verdict::Released { note } => (value::RELEASED, 0, millis(NOTE_KEPT), short(note)),
        };
        self.asking.longest.note(keep.unsigned_abs());
        let (id, holder) = (Id(key), fence.0.cast_signed());
        let (wall, patience) = (self.wall(), millis(within));
        let values: [&(dyn ToSql + Sync); 8] =
            [&id, &holder, &kind, &wall, &body, &keep, &note, &patience];
        let rows = self.asking.ask(Question::Settle, &values, within).await?;
        match rows.first().and_then(|row| row.try_get::<_, bool>(0).ok()) {
            Some(true) => Ok(Settled::Applied),
            Some(false) => Ok(Settled::Stale),
            None => Err(self.asking.unreadable()),
        }
    }

    async fn forget(&self, key: Key, within: Duration) -> Result<Standing, StoreError> {
        let values: [&(dyn ToSql + Sync); 3] = [&Id(key), &self.wall(), &millis(within)];
        let rows = self.asking.ask(Question::Forget, &values, within).await?;
        rows.first().and_then(value::standing).ok_or_else(|| self.asking.unreadable())
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        self.asking.entries(within).await
    }

    async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        self.asking.entries(within).await.map(|_| Health::Good)
    }
}
