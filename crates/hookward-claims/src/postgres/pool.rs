//! The connections to the server, and their recovery.
//!
//! If a call finds no idle connection, a separate task opens one, so that the work continues if the
//! caller leaves. After any failure (nothing listens, a wrong password, a server that is starting,
//! tables that cannot be created) the next call tries again: at once after the first failure, then
//! after a pause that doubles up to [`LONGEST_PAUSE`]. Until then calls fail at once with the last
//! reason, unless they can wait for a busy connection.

use super::fault::{Remedy, ServerFault};
use super::server::PostgresServer;
use super::session::{Session, StatementKind};
use hookward_time::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The most connections of one process. Commits share flushes, so more connections carry more.
pub(super) const MOST: usize = 16;

/// The pause after the second failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause, and so the longest delay after the server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection is dropped if an answer is this late.
const SILENCE: Duration = Duration::from_secs(5);

/// All connections of a store.
pub(super) struct Pool {
    pub(super) server: PostgresServer,
    state: Mutex<PoolState>,
    /// Notified of every session that becomes idle, and of every failed attempt.
    changed: Notify,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Session>,
    /// How often all connections were dropped; connections from before are not used again.
    epoch: u64,
    /// Connections that are idle, lent, or being made.
    open: usize,
    /// Those of them that are being made.
    dialing: usize,
    failure: Option<Failure>,
}

/// The last attempt to connect, if it failed.
struct Failure {
    fault: ServerFault,
    at: Duration,
    /// Failures in a row before this one.
    before: u32,
}

/// A session for exclusive use until it is dropped.
pub(super) struct Loan {
    pool: Arc<Pool>,
    /// `None` once it was dropped.
    session: Option<Session>,
    epoch: u64,
    /// Whether the server may still be working on a request.
    is_busy: bool,
}

enum PoolSlot {
    Here(Box<Session>, u64),
    Queue,
}

impl Pool {
    /// Call it within the runtime that the connections use.
    pub(super) fn new(server: PostgresServer, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (state, changed, runtime) = (Mutex::default(), Notify::new(), Handle::current());
        Arc::new(Self { server, state, changed, clock, runtime })
    }

    /// A session, as soon as there is one.
    ///
    /// # Errors
    /// If there is none, the reason of the last failed attempt.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Loan, ServerFault> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the check, so that nothing is missed in between.
            changed.as_mut().enable();
            match self.place()? {
                PoolSlot::Here(session, epoch) => {
                    let (pool, session) = (Arc::clone(self), Some(*session));
                    return Ok(Loan { pool, session, epoch, is_busy: false });
                }
                PoolSlot::Queue => changed.await,
            }
        }
    }

    /// Drops all connections of an epoch because one of them is broken. The next calls open new
    /// ones, to the address that the server's name has then.
    fn clear(&self, epoch: u64) {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return;
        }
        state.epoch += 1;
        state.open -= state.idle.len();
        state.idle.clear();
    }

    fn place(self: &Arc<Self>) -> Result<PoolSlot, ServerFault> {
        let mut state = self.state.lock();
        while let Some(session) = state.idle.pop() {
            if !session.is_closed() {
                return Ok(PoolSlot::Here(Box::new(session), state.epoch));
            }
            state.open -= 1;
        }
        let may_dial = match &state.failure {
            None => state.open < MOST,
            // One after the other, until one of them succeeds.
            Some(failure) => {
                state.dialing == 0 && state.open < MOST && self.clock.monotonic() >= failure.next()
            }
        };
        if may_dial {
            state.open += 1;
            state.dialing += 1;
            let (pool, epoch) = (Arc::clone(self), state.epoch);
            self.runtime.spawn(async move { pool.dial(epoch).await });
            return Ok(PoolSlot::Queue);
        }
        match &state.failure {
            Some(failure) if state.open == 0 => Err(failure.fault.clone()),
            _ => Ok(PoolSlot::Queue),
        }
    }

    async fn dial(self: Arc<Self>, epoch: u64) {
        let undo = Dialing(Some(&self));
        let began = self.clock.monotonic();
        let dialed = Session::dial(&self.server).await;
        undo.done();
        let mut state = self.state.lock();
        state.dialing -= 1;
        match dialed {
            Ok(session) => {
                state.failure = None;
                drop(state);
                self.take_back(Some(session), epoch);
            }
            Err(fault) => {
                state.open -= 1;
                let before = match state.failure.take() {
                    None => 0,
                    // Simultaneous attempts fail together and count as one.
                    Some(last) if began < last.at => last.before,
                    Some(last) => last.before.saturating_add(1),
                };
                state.failure = Some(Failure { fault, at: self.clock.monotonic(), before });
                drop(state);
                self.changed.notify_waiters();
            }
        }
    }

    fn take_back(&self, session: Option<Session>, epoch: u64) {
        let mut state = self.state.lock();
        match session {
            Some(session) if epoch == state.epoch && !session.is_closed() => {
                state.idle.push(session);
            }
            _ => state.open -= 1,
        }
        drop(state);
        // A waiter takes it, or opens another in its place.
        self.changed.notify_one();
    }
}

/// Corrects the counts if the connecting task ends early.
struct Dialing<'a>(Option<&'a Arc<Pool>>);

impl Dialing<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let Some(pool) = self.0 else { return };
        let mut state = pool.state.lock();
        state.dialing -= 1;
        state.open -= 1;
        drop(state);
        pool.changed.notify_waiters();
    }
}

impl Failure {
    /// When the next attempt may be made. The first failure may be the end of an old connection,
    /// for example because the server restarts, so another attempt follows at once.
    fn next(&self) -> Duration {
        match self.before.checked_sub(1) {
            None => self.at,
            Some(before) => self.at.saturating_add(pause(before)),
        }
    }
}

impl Loan {
    /// Makes one call. If the caller leaves meanwhile, the loan finds out what happens to the
    /// session. A broken session is dropped, and so are older ones.
    pub(super) async fn ask(
        &mut self,
        question: StatementKind,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServerFault> {
        let Some(session) = &self.session else {
            return Err(ServerFault::new("does not serve: the connection is broken".to_owned()));
        };
        self.is_busy = true;
        let answer = session.ask(question, values).await;
        self.judged(answer)
    }

    /// The same for a question that is not prepared.
    pub(super) async fn run(
        &mut self,
        text: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServerFault> {
        let Some(session) = &self.session else {
            return Err(ServerFault::new("does not serve: the connection is broken".to_owned()));
        };
        self.is_busy = true;
        let answer = session.run(text, values).await;
        self.judged(answer)
    }

    fn judged(&mut self, answer: Result<Vec<Row>, ServerFault>) -> Result<Vec<Row>, ServerFault> {
        self.is_busy = false;
        if answer.as_ref().is_err_and(|fault| fault.remedy == Remedy::Reconnect) {
            self.pool.clear(self.epoch);
            let _broken = self.session.take();
        }
        answer
    }
}

impl Loan {
    /// Runs a command that gives nothing. As of [`ask`](Self::ask).
    pub(super) async fn execute(&mut self, command: &str) -> Result<(), ServerFault> {
        let Some(session) = &self.session else { return Ok(()) };
        self.is_busy = true;
        let answer = session.execute(command).await;
        self.is_busy = false;
        answer
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let session = self.session.take();
        match session {
            // The caller has left. Wait for its answer here, so that no other call has to.
            Some(session) if self.is_busy => {
                let (pool, epoch) = (Arc::clone(&self.pool), self.epoch);
                self.pool.runtime.spawn(async move {
                    let quiet = tokio::time::timeout(SILENCE, session.settle_down()).await;
                    pool.take_back(matches!(quiet, Ok(Ok(()))).then_some(session), epoch);
                });
            }
            session => self.pool.take_back(session, self.epoch),
        }
    }
}

/// How long to wait after so many pauses.
fn pause(pauses: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(pauses)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let pauses: Vec<u128> = (0..7).map(|pauses| pause(pauses).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
