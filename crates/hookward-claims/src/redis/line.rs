//! The connection to the server, and its recovery.
//!
//! All calls share it. The first call that needs it opens it in a separate task, so that the work
//! continues if the caller leaves. After any failure (nothing listens, a wrong password,
//! `-LOADING`, an answer that is not Redis at all) the next call tries again after a pause that
//! doubles up to [`LONGEST_PAUSE`]. Until then calls fail at once with the last reason.

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
};
use hookward_time::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause, and so the longest delay after the server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often at most a connection is dropped because its server answers, but not as needed.
const DOUBTED_AFTER: Duration = Duration::from_secs(1);

/// The way to the server.
pub(super) struct RedisLine {
    client: Client,
    config: AsyncConnectionConfig,
    current: Mutex<Current>,
    clock: Arc<dyn Clock>,
}

struct Current {
    attempt: Arc<SetUp>,
    /// Earlier attempts in a row that did not lead to a working connection.
    failures: u32,
}

/// One attempt to connect, and the resulting connection.
pub(super) struct SetUp {
    outcome: watch::Receiver<Option<CallOutcome>>,
    began: Duration,
    /// Whether the server has answered anything on it.
    has_served: AtomicBool,
    is_given_up: AtomicBool,
}

#[derive(Clone)]
struct CallOutcome {
    connection: RedisResult<MultiplexedConnection>,
    at: Duration,
}

/// A connection and the attempt that opened it, which is dropped if it does not work.
pub(super) struct Established {
    pub(super) connection: MultiplexedConnection,
    attempt: Arc<SetUp>,
}

impl RedisLine {
    /// A connection to the server of `client`; the first attempt begins at once.
    pub(super) fn new(
        client: Client,
        config: AsyncConnectionConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let attempt = SetUp::begin(&client, &config, &clock);
        Self { client, config, current: Mutex::new(Current { attempt, failures: 0 }), clock }
    }

    /// The connection, once it is open.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub(super) async fn connection(&self) -> RedisResult<Established> {
        let attempt = self.latest();
        let mut outcome = attempt.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        match outcome.map(|outcome| outcome.connection) {
            Some(connection) => Ok(Established { connection: connection?, attempt }),
            None => Err((ErrorKind::Io, "the attempt to connect was cut short").into()),
        }
    }

    /// Records the result of a call, and returns whether to repeat the call at once.
    pub(super) fn judge(&self, connected: &Established, answer: &RedisResult<Value>) -> bool {
        let attempt = &connected.attempt;
        match answer {
            Err(cause) if !is_answer(cause) => attempt.give_up(),
            answer => {
                attempt.has_served.store(true, Ordering::Release);
                let doubtful = answer.as_ref().is_err_and(leads_elsewhere);
                let age = self.clock.monotonic().saturating_sub(attempt.began);
                if !doubtful || age < DOUBTED_AFTER {
                    return false;
                }
                attempt.give_up();
            }
        }
        true
    }

    /// Drops the current connection. The next call opens another, to the address that the server's
    /// name has then.
    pub(super) fn give_up(&self) {
        self.current.lock().attempt.give_up();
    }

    fn latest(&self) -> Arc<SetUp> {
        let mut current = self.current.lock();
        let has_served = current.attempt.has_served.load(Ordering::Acquire);
        let Some(over_since) = current.attempt.over_since() else {
            return Arc::clone(&current.attempt);
        };
        // A connection that worked and broke is replaced at once.
        let rest = if has_served { Duration::ZERO } else { pause(current.failures) };
        if self.clock.monotonic() >= over_since.saturating_add(rest) {
            current.failures = if has_served { 0 } else { current.failures.saturating_add(1) };
            current.attempt = SetUp::begin(&self.client, &self.config, &self.clock);
        }
        Arc::clone(&current.attempt)
    }
}

impl SetUp {
    fn begin(client: &Client, config: &AsyncConnectionConfig, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let (tell, outcome) = watch::channel(None);
        let (client, config, clock) = (client.clone(), config.clone(), Arc::clone(clock));
        let began = clock.monotonic();
        tokio::spawn(async move {
            let connection = client.get_multiplexed_async_connection_with_config(&config).await;
            let at = clock.monotonic();
            tell.send_replace(Some(CallOutcome { connection, at }));
        });
        let (has_served, is_given_up) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { outcome, began, has_served, is_given_up })
    }

    /// Since when it is useless; `None` while it is being opened or works.
    fn over_since(&self) -> Option<Duration> {
        match &*self.outcome.borrow() {
            Some(CallOutcome { connection: Err(_), at }) => Some(*at),
            Some(CallOutcome { connection: Ok(_), at }) => {
                self.is_given_up.load(Ordering::Acquire).then_some(*at)
            }
            // Its task was killed.
            None => self.outcome.has_changed().is_err().then_some(self.began),
        }
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }
}

/// How long to wait after so many failures before the one that has just happened.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

/// Whether the error comes from the server, rather than from the connection or an unreadable
/// answer.
fn is_answer(cause: &RedisError) -> bool {
    matches!(cause.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether another connection may get another answer: a new one finds the primary after a failover,
/// and sends the password again after a rotation.
fn leads_elsewhere(cause: &RedisError) -> bool {
    cause.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || cause.kind() == ErrorKind::Server(ServerErrorKind::MasterDown)
        || matches!(cause.code(), Some("NOAUTH" | "WRONGPASS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let pauses: Vec<u128> = (0..7).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
