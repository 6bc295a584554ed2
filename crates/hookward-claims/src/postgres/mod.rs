//! `store = "postgres"`: claims that several instances share, in a PostgreSQL database.
//!
//! Every decision is one call of a function on the server (`schema/`) in its own transaction: it is
//! atomic and costs one round trip. A decision about a key is made under a lock of that key.
//! Leases, holds and ttls follow the server's clock, so the clocks of the instances do not matter.
//! `docs/decisions` explains the design of the tables.
//!
//! Every call is idempotent for its fence, so a call that failed with its connection is repeated.

mod asking;
mod database;
mod fault;
mod pool;
mod schema;
mod server;
mod session;
mod transfer;
mod upkeep;
mod value;

use super::{
    Bookmark, ClaimKey, ClaimStore, Counters, Fence, Health, Intent, KnownFact, KnownPage, Moved,
    Settled, Standing, StoreError, Target, Verdict,
};
use asking::Asking;
use async_trait::async_trait;
pub use database::{AnswerFault, PostgresDatabase, ask_postgres_once};
use hookward_secret::Secret;
use hookward_time::Clock;
use pool::Pool;
use server::{NAME, PostgresServer};
pub use server::{PostgresTls, postgres_url_fault, postgres_url_refuses_tls};
use session::StatementKind;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use upkeep::Upkeep;
use value::{Id, millis, short};

/// How long the note of a released claim can be read by copies that wait in other processes.
const NOTE_KEPT: Duration = Duration::from_secs(5);

/// Claims in a PostgreSQL database that several processes share.
pub struct PostgresStore {
    asking: Arc<Asking>,
    counters: Counters,
    clock: Arc<dyn Clock>,
    _upkeep: Upkeep,
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
        let pool = Pool::new(PostgresServer::of(url, tls)?, Arc::clone(&clock));
        let asking = Arc::new(Asking::new(pool));
        asking.entries(within).await?;
        let upkeep = Upkeep::start(Arc::clone(&asking));
        Ok(Self { asking, counters: Counters::default(), clock, _upkeep: upkeep })
    }

    /// The database, for what else is kept in it.
    #[must_use]
    pub fn database(&self) -> PostgresDatabase {
        PostgresDatabase::new(Arc::clone(&self.asking))
    }

    fn wall(&self) -> i64 {
        self.clock.wall().0
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
        let rows = self.asking.ask(StatementKind::Claim, &values, within).await?;
        let standings: Option<Vec<Standing>> = rows.iter().map(value::standing).collect();
        standings
            .filter(|standings| standings.len() == targets.len())
            .ok_or_else(|| self.asking.unreadable())
    }

    async fn settle(
        &self,
        key: ClaimKey,
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
        let rows = self.asking.ask(StatementKind::Settle, &values, within).await?;
        match rows.first().and_then(|row| row.try_get::<_, bool>(0).ok()) {
            Some(true) => Ok(Settled::Applied),
            Some(false) => Ok(Settled::Stale),
            None => Err(self.asking.unreadable()),
        }
    }

    async fn forget(&self, key: ClaimKey, within: Duration) -> Result<Standing, StoreError> {
        let values: [&(dyn ToSql + Sync); 3] = [&Id(key), &self.wall(), &millis(within)];
        let rows = self.asking.ask(StatementKind::Forget, &values, within).await?;
        rows.first().and_then(value::standing).ok_or_else(|| self.asking.unreadable())
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        self.asking.entries(within).await
    }

    async fn export(&self, from: &Bookmark, within: Duration) -> Result<KnownPage, StoreError> {
        self.asking.export(from, within).await
    }

    async fn import(&self, known: &[KnownFact], within: Duration) -> Result<Moved, StoreError> {
        self.asking.import(known, within).await
    }

    async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        self.asking.entries(within).await.map(|_| Health::Good)
    }
}
