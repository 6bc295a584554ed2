//! `store = "redis"`: claims that several instances share.
//!
//! Every decision is one script on the server, so that it is atomic and costs one round trip.
//! Leases, holds and ttls are key expiries on the server, so the clocks of the instances do not
//! matter. Scripts are sent once and called by their hash.
//!
//! All calls share one connection, which `line` reopens when it breaks. Every call is idempotent
//! for its fence, so a call that failed with its connection is repeated.

mod count;
mod line;
mod reply;
mod server;
mod transfer;

use super::{
    Bookmark, ClaimKey, ClaimStore, Counters, Fence, Health, Intent, KnownFact, KnownPage, Moved,
    Settled, Standing, StoreError, Target, Verdict,
};
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ScriptInvocation, ServerErrorKind, Value,
};
use async_trait::async_trait;
use count::Count;
use hookward_secret::Secret;
use hookward_time::Clock;
use line::RedisLine;
use parking_lot::Mutex;
pub use server::RedisTls;
use server::{NAME, RedisServer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The text between the prefix and an event's key.
const EVENT: &str = "event:";

/// What stands between the prefix and another name of an event.
const ALIAS: &str = "alias:";

/// The text before a trial's key. It contains a letter that is not a hexadecimal digit, so that it
/// never counts as an event.
const TRIAL: &str = "trial-";

/// How long one request may spend on counting.
const COUNT_FOR: Duration = Duration::from_millis(50);

/// The first version with everything that the scripts need.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// A connection is dropped if no answer has come for this long.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the note of a released claim can be read by copies that wait in other processes.
const NOTE_KEPT: Duration = Duration::from_secs(5);

/// Characters of a note.
const LONGEST_NOTE: usize = 256;

/// Claims in a Redis, or a Valkey, that several processes share.
pub struct RedisStore {
    /// `host:port`.
    address: String,
    line: RedisLine,
    /// When the server last answered, or a connection was last made, in monotonic time.
    last_heard: Mutex<Duration>,
    prefix: String,
    scripts: Scripts,
    count: tokio::sync::Mutex<Count>,
    counters: Counters,
    clock: Arc<dyn Clock>,
}

struct Scripts {
    claim: Script,
    settle: Script,
    forget: Script,
    count: Script,
    export: Script,
    import: Script,
}

impl RedisStore {
    /// Connects to the server at `url`, which is a secret because it may contain a password, within
    /// `within`. Every key begins with `prefix`. Call it within a runtime that outlives the store.
    ///
    /// # Errors
    /// The URL is invalid, a file of `tls` cannot be used, the server cannot be reached, is too
    /// old, or is a Sentinel or a cluster node. The message contains the server's address, never
    /// the URL.
    pub async fn open(
        url: &Secret,
        tls: Option<&RedisTls>,
        prefix: &str,
        clock: Arc<dyn Clock>,
        within: Duration,
    ) -> Result<Self, StoreError> {
        let RedisServer { client, config, address } = RedisServer::of(url, tls)?;
        let store = Self {
            address,
            line: RedisLine::new(client, config, Arc::clone(&clock)),
            last_heard: Mutex::new(clock.monotonic()),
            prefix: prefix.to_owned(),
            scripts: Scripts {
                claim: Script::new(include_str!("claim.lua")),
                settle: Script::new(include_str!("settle.lua")),
                forget: Script::new(include_str!("forget.lua")),
                count: Script::new(include_str!("count.lua")),
                export: Script::new(include_str!("export.lua")),
                import: Script::new(include_str!("import.lua")),
            },
            count: tokio::sync::Mutex::new(Count::of(&format!("{prefix}{EVENT}"))),
            counters: Counters::default(),
            clock,
        };
        store.check_server(within).await?;
        Ok(store)
    }

    /// Refuses a server that can never work. [`ClaimStore::trial`] finds out about a server that
    /// may work later, such as a replica that a failover is about to promote.
    async fn check_server(&self, within: Duration) -> Result<(), StoreError> {
        let info = self.info("server", within).await?;
        if let Some(version) = reply::too_old(&info, OLDEST_VERSION) {
            let (major, minor) = OLDEST_VERSION;
            let oldest = format!("{major}.{minor} is the oldest that serves");
            return Err(self.problem(format_args!("is version {version}; {oldest}")));
        }
        reply::unfit(&info).map_or(Ok(()), |why| Err(self.problem(why)))
    }

    /// A section of `INFO`; empty if the user may not read it.
    async fn info(&self, section: &str, within: Duration) -> Result<String, StoreError> {
        let mut command = ::redis::cmd("INFO");
        command.arg(section);
        match self.call(Call::Command(&command), within).await? {
            Err(cause) if cause.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Ok(String::new())
            }
            answer => self.read(answer),
        }
    }

    /// Calls the server, once more if the connection was broken, all within `within`.
    async fn call(
        &self,
        call: Call<'_>,
        within: Duration,
    ) -> Result<RedisResult<Value>, StoreError> {
        let attempts = async {
            match self.call_once(&call).await {
                (answer, true) => answer,
                (_, false) => self.call_once(&call).await.0,
            }
        };
        if let Ok(answer) = tokio::time::timeout(within, attempts).await {
            *self.last_heard.lock() = self.clock.monotonic();
            return Ok(answer);
        }
        let silent_since = *self.last_heard.lock();
        let now = self.clock.monotonic();
        if now.saturating_sub(silent_since) >= SILENCE {
            *self.last_heard.lock() = now;
            self.line.give_up();
        }
        Err(self.problem(format_args!("did not answer within {} ms", within.as_millis())))
    }

    /// One attempt, and whether its answer is final.
    async fn call_once(&self, call: &Call<'_>) -> (RedisResult<Value>, bool) {
        let connected = match self.line.connection().await {
            Ok(connected) => connected,
            Err(cause) => return (Err(cause), true),
        };
        let answer = call.on(connected.connection.clone()).await;
        let is_last = !self.line.judge(&connected, &answer);
        (answer, is_last)
    }

    fn read<T: FromRedisValue>(&self, answer: RedisResult<Value>) -> Result<T, StoreError> {
        let parsed = answer.and_then(|value| Ok(::redis::from_redis_value(value)?));
        parsed.map_err(|cause| self.problem(format_args!("does not serve: {cause}")))
    }

    fn problem(&self, what: impl fmt::Display) -> StoreError {
        StoreError { store: NAME, problem: format!("at {} {what}", self.address) }
    }

    fn name(&self, key: ClaimKey) -> String {
        format!("{}{EVENT}{key}", self.prefix)
    }

    fn alias_name(&self, alias: ClaimKey) -> String {
        format!("{}{ALIAS}{alias}", self.prefix)
    }
}

#[async_trait]
impl ClaimStore for RedisStore {
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
        let mut script = self.scripts.claim.prepare_invoke();
        let take = if intent == Intent::Claim { "1" } else { "0" };
        script.arg(fence.0).arg(take).arg(self.clock.wall().0);
        for target in targets {
            script.key(self.name(target.key));
            let alias = target.alias.map(|alias| self.alias_name(alias)).unwrap_or_default();
            let keep = target.ttl.saturating_add(target.lease);
            script.arg(millis(target.lease)).arg(alias).arg(millis(keep));
        }
        let replies: Vec<(String, i64)> =
            self.read(self.call(Call::Script(&script), within).await?)?;
        let standings: Option<Vec<Standing>> =
            replies.iter().map(|(value, left)| reply::standing(value, *left)).collect();
        standings
            .filter(|standings| standings.len() == targets.len())
            .ok_or_else(|| self.problem("holds a value that is not ours; is the prefix shared?"))
    }

    async fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        let now = self.clock.wall().0;
        let (value, keep) = match verdict {
            Verdict::Delivered { fingerprint, ttl } => {
                // Remembered through its last instant.
                (format!("d {now} {fingerprint}"), ttl.saturating_add(Duration::from_millis(1)))
            }
            Verdict::Uncertain { hold, note } => (format!("u {now} {}", short(note)), *hold),
            Verdict::Released { note } if note.is_empty() => (String::new(), NOTE_KEPT),
            Verdict::Released { note } => (format!("r {}", short(note)), NOTE_KEPT),
        };
        let mut script = self.scripts.settle.prepare_invoke();
        script.key(self.name(key)).arg(fence.0).arg(value).arg(millis(keep));
        let settled: i64 = self.read(self.call(Call::Script(&script), within).await?)?;
        Ok(if settled == 1 { Settled::Applied } else { Settled::Stale })
    }

    async fn forget(&self, key: ClaimKey, within: Duration) -> Result<Standing, StoreError> {
        let mut script = self.scripts.forget.prepare_invoke();
        script.key(self.name(key));
        let (value, left): (String, i64) =
            self.read(self.call(Call::Script(&script), within).await?)?;
        reply::standing(&value, left)
            .ok_or_else(|| self.problem("holds a value that is not ours; is the prefix shared?"))
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        let mut count = self.count.lock().await;
        let stop = self.clock.monotonic() + within.min(COUNT_FOR);
        loop {
            let (cursor, pattern) = count.next();
            let mut script = self.scripts.count.prepare_invoke();
            script.arg(cursor).arg(pattern);
            let (cursor, keys) = self.read(self.call(Call::Script(&script), within).await?)?;
            if count.add(cursor, keys) || self.clock.monotonic() >= stop {
                return Ok(count.latest());
            }
        }
    }

    async fn export(&self, from: &Bookmark, within: Duration) -> Result<KnownPage, StoreError> {
        self.export_page(from, within).await
    }

    async fn import(&self, known: &[KnownFact], within: Duration) -> Result<Moved, StoreError> {
        self.import_all(known, within).await
    }

    /// Two destinations with an alias each, because a server can refuse calls on several keys.
    async fn trial(&self, within: Duration) -> Result<(), StoreError> {
        let began = self.clock.monotonic();
        let left = || within.saturating_sub(self.clock.monotonic().saturating_sub(began));
        let fence = Fence(fastrand::u64(1..));
        let number = ClaimKey::of_trial();
        let names = ["1", "2"].map(|nth| format!("{TRIAL}{number}-{nth}"));
        let lease = millis(crate::TRIAL_LEASE);
        let mut script = self.scripts.claim.prepare_invoke();
        script.arg(fence.0).arg("1").arg(self.clock.wall().0);
        for name in &names {
            script.key(format!("{}{EVENT}{name}", self.prefix));
            script.arg(lease).arg(format!("{}{ALIAS}{name}", self.prefix)).arg(lease);
        }
        let claimed: Vec<(String, i64)> =
            self.read(self.call(Call::Script(&script), left()).await?)?;
        if claimed.iter().any(|(value, _)| value != "c") {
            return Err(self.problem("does not take claims"));
        }
        for name in names {
            let name = format!("{}{EVENT}{name}", self.prefix);
            let mut script = self.scripts.settle.prepare_invoke();
            script.key(name).arg(fence.0).arg("").arg(lease);
            let _settled: i64 = self.read(self.call(Call::Script(&script), left()).await?)?;
        }
        Ok(())
    }

    async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        let memory = self.info("memory", within).await?;
        let limited = reply::info(&memory, "maxmemory").is_some_and(|bytes| bytes != "0");
        Ok(match reply::info(&memory, "maxmemory_policy") {
            Some(policy) if limited && policy != "noeviction" => Health::Degraded(format!(
                "maxmemory-policy is {policy}: when its memory is full, Redis forgets claims and \
                 delivered ids; set it to noeviction"
            )),
            _ => Health::Good,
        })
    }
}

/// A request to the server.
enum Call<'a> {
    Script(&'a ScriptInvocation<'a>),
    Command(&'a Cmd),
}

impl Call<'_> {
    async fn on(&self, mut connection: MultiplexedConnection) -> RedisResult<Value> {
        match self {
            Self::Script(script) => script.invoke_async(&mut connection).await,
            Self::Command(command) => command.query_async(&mut connection).await,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    // Redis does not accept an expiry of zero.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 53)
}

fn short(note: &str) -> String {
    note.chars().take(LONGEST_NOTE).collect()
}
