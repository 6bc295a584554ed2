//! `store = "redis"`: claims that several instances share.
//!
//! Every decision is one script on the server, so that it is atomic and costs one round trip.
//! Leases, holds and ttls are expiry times of keys, counted by the server: the clocks of the
//! instances do not matter. Scripts are sent once and called by their hash.
//!
//! The `redis` crate keeps one connection, shared by all calls and opened again when it breaks.
//! Every call is idempotent for its fence, so one that broke with its connection is tried again.

mod count;
mod reply;

use super::{
    ClaimStore, Counters, Fence, Health, Intent, Key, Settled, Standing, StoreError, Target,
    Verdict,
};
use crate::clock::Clock;
use crate::secret::Secret;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, Script,
    ScriptInvocation, ServerErrorKind, Value,
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use count::Count;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "redis";

/// What stands between the prefix and an event's key.
const EVENT: &str = "event:";

/// How long counting goes on when somebody asks.
const COUNT_FOR: Duration = Duration::from_millis(50);

/// The first version with all that the scripts need.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// One attempt to connect; a call waits no longer than its own time for it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection on which no answer has come for so long is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the note of a released claim can be read by copies that wait in other processes.
const NOTE_KEPT: Duration = Duration::from_secs(5);

/// Characters of a note.
const LONGEST_NOTE: usize = 256;

/// Claims in a Redis, or a Valkey, that several processes share.
pub struct RedisStore {
    client: Client,
    connection: ArcSwap<ConnectionManager>,
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
}

impl RedisStore {
    /// Connects to the server at `url`, whose password makes it a secret, within `within`. Every
    /// key begins with `prefix`. Called within the runtime that outlives the store.
    ///
    /// # Errors
    /// The URL is none, the server cannot be reached, or it is too old. Never says the URL.
    pub async fn open(
        url: &Secret,
        prefix: &str,
        clock: Arc<dyn Clock>,
        within: Duration,
    ) -> Result<Self, StoreError> {
        let client = client(url)?;
        let connection = connect(&client).map_err(|cause| error(&cause))?;
        let store = Self {
            client,
            connection: ArcSwap::from_pointee(connection),
            last_heard: Mutex::new(clock.monotonic()),
            prefix: prefix.to_owned(),
            scripts: Scripts {
                claim: Script::new(include_str!("claim.lua")),
                settle: Script::new(include_str!("settle.lua")),
                forget: Script::new(include_str!("forget.lua")),
                count: Script::new(include_str!("count.lua")),
            },
            count: tokio::sync::Mutex::new(Count::of(&format!("{prefix}{EVENT}"))),
            counters: Counters::default(),
            clock,
        };
        store.check_version(within).await?;
        Ok(store)
    }

    async fn check_version(&self, within: Duration) -> Result<(), StoreError> {
        let info = self.info("server", within).await?;
        let Some(version) = reply::too_old(&info, OLDEST_VERSION) else { return Ok(()) };
        let (major, minor) = OLDEST_VERSION;
        Err(problem(format!("is version {version}; {major}.{minor} is the oldest that serves")))
    }

    /// A part of `INFO`; empty where the user may not ask.
    async fn info(&self, section: &str, within: Duration) -> Result<String, StoreError> {
        let mut command = ::redis::cmd("INFO");
        command.arg(section);
        match self.call(Call::Command(&command), within).await? {
            Err(cause) if cause.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Ok(String::new())
            }
            answer => read(answer),
        }
    }

    /// Calls the server, once more if the connection broke on the way, all of it `within`.
    async fn call(
        &self,
        call: Call<'_>,
        within: Duration,
    ) -> Result<RedisResult<Value>, StoreError> {
        let attempts = async {
            let first = call.on(self.connection()).await;
            match first {
                Err(cause) if cause.is_unrecoverable_error() => call.on(self.connection()).await,
                Err(cause) if is_not_primary(&cause) => {
                    self.connect_anew();
                    call.on(self.connection()).await
                }
                answer => answer,
            }
        };
        if let Ok(answer) = tokio::time::timeout(within, attempts).await {
            *self.last_heard.lock() = self.clock.monotonic();
            return Ok(answer);
        }
        let silent_since = *self.last_heard.lock();
        if self.clock.monotonic().saturating_sub(silent_since) >= SILENCE {
            self.connect_anew();
        }
        Err(problem(format!("did not answer within {} ms", within.as_millis())))
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.load().as_ref().clone()
    }

    /// Gives up the connection and, with the next call, makes another: to where the name of the
    /// server leads by then.
    fn connect_anew(&self) {
        *self.last_heard.lock() = self.clock.monotonic();
        if let Ok(connection) = connect(&self.client) {
            self.connection.store(Arc::new(connection));
        }
    }

    fn name(&self, key: Key) -> String {
        format!("{}{EVENT}{key}", self.prefix)
    }

    fn alias_name(&self, alias: Key) -> String {
        format!("{}alias:{alias}", self.prefix)
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
        let replies: Vec<(String, i64)> = read(self.call(Call::Script(&script), within).await?)?;
        let standings: Option<Vec<Standing>> =
            replies.iter().map(|(value, left)| reply::standing(value, *left)).collect();
        standings.filter(|standings| standings.len() == targets.len()).ok_or_else(|| {
            problem("holds a value that is not ours; is the prefix shared?".to_owned())
        })
    }

    async fn settle(
        &self,
        key: Key,
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
        let settled: i64 = read(self.call(Call::Script(&script), within).await?)?;
        Ok(if settled == 1 { Settled::Applied } else { Settled::Stale })
    }

    async fn forget(&self, key: Key, within: Duration) -> Result<Standing, StoreError> {
        let mut script = self.scripts.forget.prepare_invoke();
        script.key(self.name(key));
        let (value, left): (String, i64) = read(self.call(Call::Script(&script), within).await?)?;
        reply::standing(&value, left).ok_or_else(|| {
            problem("holds a value that is not ours; is the prefix shared?".to_owned())
        })
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        let mut count = self.count.lock().await;
        let stop = self.clock.monotonic() + within.min(COUNT_FOR);
        loop {
            let (cursor, pattern) = count.next();
            let mut script = self.scripts.count.prepare_invoke();
            script.arg(cursor).arg(pattern);
            let (cursor, keys) = read(self.call(Call::Script(&script), within).await?)?;
            if count.add(cursor, keys) || self.clock.monotonic() >= stop {
                return Ok(count.latest());
            }
        }
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

/// What the server is asked.
enum Call<'a> {
    Script(&'a ScriptInvocation<'a>),
    Command(&'a Cmd),
}

impl Call<'_> {
    async fn on(&self, mut connection: ConnectionManager) -> RedisResult<Value> {
        match self {
            Self::Script(script) => script.invoke_async(&mut connection).await,
            Self::Command(command) => command.query_async(&mut connection).await,
        }
    }
}

fn read<T: FromRedisValue>(answer: RedisResult<Value>) -> Result<T, StoreError> {
    let parsed = answer.and_then(|value| Ok(::redis::from_redis_value(value)?));
    parsed.map_err(|cause| error(&cause))
}

fn client(url: &Secret) -> Result<Client, StoreError> {
    // Which cryptography TLS uses is said once per process; it may have been said before.
    let _said_before = rustls::crypto::ring::default_provider().install_default();
    let invalid =
        || problem("has no valid URL, as in redis://user:password@host:6379/0".to_owned());
    let url = std::str::from_utf8(url.expose()).map_err(|_| invalid())?;
    let info = url.into_connection_info().map_err(|_| invalid())?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info).map_err(|_| invalid())
}

/// A connection that will be made with its first call.
fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        // A call that cannot connect fails at once, and the next one tries again.
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_WITHIN))
        // Calls have their own times.
        .set_response_timeout(None);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Whether the server has become a replica: after a failover the primary is elsewhere.
fn is_not_primary(cause: &RedisError) -> bool {
    cause.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn millis(duration: Duration) -> u64 {
    // Redis takes no expiry of zero.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 53)
}

fn short(note: &str) -> String {
    note.chars().take(LONGEST_NOTE).collect()
}

fn error(cause: &RedisError) -> StoreError {
    problem(format!("does not serve: {cause}"))
}

fn problem(problem: String) -> StoreError {
    StoreError { store: NAME, problem }
}
