//! What all parts of a shared inbox have in common: the way to the database, the settings, and what
//! this process knows by itself.

use hookward_claims::{ClaimKey, PostgresDatabase};
use hookward_inbox::{
    ChangeError, CipherKeys, DestinationStats, Ends, Millis, Observer, Pause, Policy, Ramp, Random,
    TimeSource, TryOutcome,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// One call to the database for a person, or by the upkeep.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// A fault that goes on is told again after this.
const TELL_AGAIN: Millis = 60_000;

pub(crate) struct Commons {
    pub(crate) database: PostgresDatabase,
    pub(crate) clock: Box<dyn TimeSource>,
    pub(crate) runtime: Handle,
    pub(crate) keys: Option<CipherKeys>,
    pub(crate) max_bytes: u64,
    pub(crate) keep_dead: Duration,
    pub(crate) keep_delivered: Duration,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) random: Mutex<Random>,
    pub(crate) local: Mutex<OwnView>,
    /// Told of what can make something due.
    pub(crate) wake: Notify,
    /// Ends of attempts, and holds of lanes, that the database has not been told of yet.
    pub(crate) settling: AtomicUsize,
    /// The process ends: nothing more is taken.
    pub(crate) is_closing: AtomicBool,
    fences: AtomicU64,
    told_at: AtomicU64,
}

/// What this process knows by itself.
#[derive(Default)]
pub(crate) struct OwnView {
    pub(crate) destinations: BTreeMap<String, LocalDestination>,
    /// Sources that are configured; `None`: all are.
    pub(crate) sources: Option<Vec<String>>,
    pub(crate) pauses: Vec<Pause>,
    /// As of the last look, all destinations that have entries.
    pub(crate) figures: Vec<DestinationStats>,
    /// Bytes that are kept, as of the last look, and what was added here since.
    pub(crate) bytes: u64,
    /// Entries that are sent from here, or whose end the database has not confirmed yet.
    pub(crate) under_way: HashMap<u64, Lease>,
    /// When something will be due, as of the last look.
    pub(crate) next_due: Option<Millis>,
}

/// What an attempt holds in the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The attempt that it is for, by the fence that it began under.
    pub(crate) attempt: i64,
    /// The fence that the database has now; another one than at the beginning if it was renewed.
    pub(crate) fence: i64,
    /// The attempt has ended, and the database is being told how.
    pub(crate) is_over: bool,
}

/// What is known of one destination.
#[derive(Clone, Default)]
pub(crate) struct LocalDestination {
    /// Absent where the configuration does not have it.
    pub(crate) policy: Option<Policy>,
    pub(crate) ramp: Ramp,
    pub(crate) in_flight: u64,
    pub(crate) ends: Ends,
}

/// What a shared inbox is made of.
pub(crate) struct Ingredients {
    pub(crate) database: PostgresDatabase,
    pub(crate) clock: Box<dyn TimeSource>,
    pub(crate) settings: hookward_inbox::Settings,
}

impl Commons {
    /// Called within the runtime in which the inbox lives.
    pub(crate) fn new(ingredients: Ingredients) -> Self {
        let Ingredients { database, clock, settings } = ingredients;
        let local = OwnView { sources: settings.sources, ..OwnView::default() };
        let commons = Self {
            database,
            clock,
            runtime: Handle::current(),
            keys: settings.keys,
            max_bytes: settings.max_bytes,
            keep_dead: settings.keep_dead,
            keep_delivered: settings.keep_delivered,
            observer: settings.observer,
            random: Mutex::new(settings.random),
            local: Mutex::new(local),
            wake: Notify::new(),
            settling: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            fences: AtomicU64::new(fastrand::u64(..)),
            told_at: AtomicU64::new(0),
        };
        commons.configure(&settings.destinations);
        commons
    }

    pub(crate) fn configure(&self, destinations: &[(String, Policy)]) {
        let mut local = self.local.lock();
        for found in local.destinations.values_mut() {
            found.policy = None;
        }
        for (name, policy) in destinations {
            local.destinations.entry(name.clone()).or_default().policy = Some(policy.clone());
        }
    }

    /// A number that no other instance has; zero stands for none.
    pub(crate) fn fence(&self) -> i64 {
        let next = || self.fences.fetch_add(1, Ordering::Relaxed).cast_signed();
        match next() {
            0 => next(),
            fence => fence,
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) fn policy(&self, to: &str) -> Policy {
        let local = self.local.lock();
        let found = local.destinations.get(to);
        found.and_then(|found| found.policy.clone()).unwrap_or_default()
    }

    pub(crate) fn learn(&self, to: &str, outcome: TryOutcome) {
        let now = self.now();
        let mut local = self.local.lock();
        if let Some(found) = local.destinations.get_mut(to) {
            found.ramp.learn(outcome, found.policy.as_ref(), now);
        }
    }

    /// How much of the time between these two a destination was paused.
    pub(crate) fn paused_between(&self, to: &str, from: Millis, until: Millis) -> Millis {
        let local = self.local.lock();
        let pauses = local.pauses.iter().filter(|pause| pause.to == to);
        pauses.map(|pause| pause.within(from, until)).sum()
    }

    pub(crate) fn count(&self, to: &str, count: impl FnOnce(&mut Ends)) {
        count(&mut self.local.lock().destinations.entry(to.to_owned()).or_default().ends);
    }

    /// Asks the database, for a change that somebody waits for.
    pub(crate) async fn change(
        &self,
        statement: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ChangeError> {
        let answer = self.database.ask(statement, values, WITHIN).await;
        answer.map_err(|fault| failed(&fault.error.to_string()))
    }

    /// What is under way until this is dropped is waited for when the process ends.
    pub(crate) fn settling(self: &Arc<Self>) -> Settling {
        self.settling.fetch_add(1, Ordering::SeqCst);
        Settling(Arc::clone(self))
    }

    /// Says what is wrong, once a minute at most.
    pub(crate) fn trouble(&self, what: &dyn fmt::Display) {
        let now = self.now();
        let told_at = self.told_at.load(Ordering::Relaxed);
        let is_due = told_at == 0 || now.saturating_sub(told_at) >= TELL_AGAIN || now < told_at;
        if is_due && self.told_at.swap(now.max(1), Ordering::Relaxed) == told_at {
            self.observer.trouble(&what.to_string());
        }
    }
}

impl fmt::Debug for Commons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commons").finish_non_exhaustive()
    }
}

/// Something that the database is being told, or asked.
pub(crate) struct Settling(Arc<Commons>);

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The database refused a change, or did not answer.
pub(crate) fn failed(why: &str) -> ChangeError {
    ChangeError::Failed(Arc::new(io::Error::other(why.to_owned())))
}

/// A key as text that the server reads as a `uuid`.
pub(crate) fn uuid(key: ClaimKey) -> Uuid {
    Uuid(*key.as_bytes())
}

/// 16 bytes, as the server has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl ToSql for Uuid {
    fn to_sql(
        &self,
        _type: &tokio_postgres::types::Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(of: &tokio_postgres::types::Type) -> bool {
        *of == tokio_postgres::types::Type::UUID
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> tokio_postgres::types::FromSql<'a> for Uuid {
    fn from_sql(
        _type: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    fn accepts(of: &tokio_postgres::types::Type) -> bool {
        *of == tokio_postgres::types::Type::UUID
    }
}

/// A span as the server counts it, in ms.
pub(crate) fn span(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 86_400_000;
    i64::try_from(duration.as_millis()).unwrap_or(CENTURY).clamp(0, CENTURY)
}

/// A time, or a count, as the server has it.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The same back; what is below zero is zero.
pub(crate) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
