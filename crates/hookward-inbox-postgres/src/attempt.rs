//! The right to send an entry once, under a lease.

use crate::commons::{Commons, Lease, Uuid, number, span};
use crate::sealing::{EventName, open_content, open_name};
use hookward_inbox::{
    EntryAttempt, EntryProgress, Locked, Millis, Phase, StoredEvent, Tried, TryOutcome, Unreadable,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

const CONTENT: &str = "SELECT hookward.content($1)";
const END: &str = "SELECT hookward.end_attempt($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// How long reading the bytes may take, from the moment at which the entry was taken. A lease leaves
/// 10 s beside the upstream's `timeout`.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// One call that ends an attempt.
const END_WITHIN: Duration = Duration::from_secs(5);

/// An attempt that could not be made is due again after this.
const UNSENT: Duration = Duration::from_secs(1);

/// One that no key opens is tried again after this.
const NO_KEY: Duration = Duration::from_mins(1);

/// The pause before the database is told again of an end that it does not know.
const TELL_AGAIN: Duration = Duration::from_millis(500);

/// So often it is told of an attempt that came to nothing; its lease ends by itself.
const MOST_TELLINGS: u32 = 20;

/// What is sent, and under which fence.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) seq: u64,
    pub(crate) fence: i64,
    pub(crate) key: Uuid,
    pub(crate) alias: Option<Uuid>,
    pub(crate) source: String,
    pub(crate) to: String,
    pub(crate) name: Vec<u8>,
    pub(crate) accepted: Millis,
    pub(crate) fingerprint: u64,
    pub(crate) ttl: Duration,
    pub(crate) progress: EntryProgress,
    pub(crate) size: u64,
    pub(crate) began: Millis,
}

/// An entry that this instance sends.
#[derive(Debug)]
pub(crate) struct SharedAttempt {
    commons: Arc<Commons>,
    /// `None` once it is over.
    sent: Option<Sent>,
    seq: u64,
    source: String,
    to: String,
    is_begun: AtomicBool,
}

/// How an attempt is noted to have ended.
#[derive(Clone, Copy, Debug)]
struct Close {
    state: u8,
    /// How long until that changes by itself, in ms.
    wait: i64,
}

impl SharedAttempt {
    /// One that was taken, and is to be made.
    pub(crate) fn taken(commons: Arc<Commons>, sent: Sent) -> Self {
        {
            let mut local = commons.local.lock();
            let lease = Lease { attempt: sent.fence, fence: sent.fence, is_over: false };
            local.under_way.insert(sent.seq, lease);
            local.destinations.entry(sent.to.clone()).or_default().in_flight += 1;
        }
        let (seq, source, to) = (sent.seq, sent.source.clone(), sent.to.clone());
        Self { commons, sent: Some(sent), seq, source, to, is_begun: AtomicBool::new(false) }
    }

    /// One whose request is on its way already.
    pub(crate) fn begun(commons: Arc<Commons>, sent: Sent) -> Self {
        let attempt = Self::taken(commons, sent);
        attempt.is_begun.store(true, Ordering::Relaxed);
        attempt
    }

    fn put_back(&mut self, wait: Duration) {
        if let Some(sent) = self.sent.take() {
            let close = Close { state: b'q', wait: span(wait) };
            self.commons.tell(sent, close, Some(MOST_TELLINGS));
        }
    }

    fn unreadable(&mut self, why: &str, is_dead: bool) -> Unreadable {
        if is_dead && let Some(sent) = self.sent.take() {
            let wait = span(self.commons.keep_dead);
            self.commons.tell(sent, Close { state: b'x', wait }, None);
        }
        self.put_back(UNSENT);
        Unreadable { seq: self.seq, is_dead, why: why.to_owned() }
    }

    fn conclude(&mut self, tried: &Tried) -> oneshot::Receiver<()> {
        let Some(mut sent) = self.sent.take() else { return oneshot::channel().1 };
        let commons = &self.commons;
        commons.learn(&sent.to, tried.outcome);
        let now = commons.now();
        let progress = &mut sent.progress;
        if tried.outcome.is_delivered() {
            progress.note(tried);
            let close = Close { state: b'd', wait: span(commons.keep_delivered) };
            return commons.tell(sent, close, None);
        }
        let paused = commons.paused_between(&sent.to, progress.budget_from, now);
        let policy = commons.policy(&sent.to);
        let phase =
            policy.after_failure(progress, tried, now, paused, &mut **commons.random.lock());
        let close = match phase {
            Phase::Queued { due } => Close { state: b'q', wait: number(due.saturating_sub(now)) },
            _ => Close { state: b'x', wait: span(commons.keep_dead) },
        };
        commons.tell(sent, close, None)
    }
}

impl EntryAttempt for SharedAttempt {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn to(&self) -> &str {
        &self.to
    }

    fn read(&mut self) -> Result<StoredEvent, Unreadable> {
        let Some(sent) = self.sent.clone() else {
            return Err(self.unreadable("it is over", false));
        };
        let commons = Arc::clone(&self.commons);
        let seq = number(sent.seq);
        let asking = async { commons.database.ask(CONTENT, &[&seq], READ_WITHIN).await };
        let rows = match commons.runtime.block_on(asking) {
            Ok(rows) => rows,
            Err(fault) => return Err(self.unreadable(&fault.to_string(), false)),
        };
        if number(commons.now().saturating_sub(sent.began)) > span(READ_WITHIN) {
            return Err(self.unreadable("reading it took too long", false));
        }
        let sealed: Option<Vec<u8>> = rows.first().and_then(|row| row.try_get(0).ok()).flatten();
        let Some(sealed) = sealed else {
            return Err(self.unreadable("its bytes are not there", true));
        };
        let keys = commons.keys.as_ref();
        let opened = open_content(keys, &sealed)
            .and_then(|content| Ok((content, open_name(keys, &sent.name)?)));
        let ((head, body), EventName { id, kind, .. }) = match opened {
            Ok(opened) => opened,
            Err(Locked::Changed) => return Err(self.unreadable("it is damaged", true)),
            Err(Locked::NoSuchKey) => {
                // Another instance may have the key, and this one may get it.
                self.put_back(NO_KEY);
                let why = "it is encrypted with a key that is not configured";
                return Err(self.unreadable(why, false));
            }
        };
        let Sent { source, to, accepted, fingerprint, ttl, progress, .. } = sent;
        Ok(StoredEvent {
            seq: self.seq,
            source,
            id,
            kind,
            to,
            accepted_at: accepted,
            fingerprint,
            ttl,
            keys: Vec::new(),
            sent: progress.sent,
            replays: progress.replays,
            as_new: (progress.as_new != 0).then_some(progress.as_new),
            head,
            body,
        })
    }

    fn begin(&self) -> Option<oneshot::Receiver<()>> {
        self.is_begun.store(true, Ordering::Relaxed);
        None
    }

    fn end(mut self: Box<Self>, tried: Tried) -> oneshot::Receiver<()> {
        self.conclude(&tried)
    }

    fn give_back(mut self: Box<Self>, wait: Duration) {
        self.put_back(wait);
    }
}

impl Drop for SharedAttempt {
    fn drop(&mut self) {
        let Some(sent) = &self.sent else { return };
        if self.is_begun.load(Ordering::Relaxed) {
            let tried = Tried { uncertain: true, ..Tried::new(sent.began, TryOutcome::Broken) };
            drop(self.conclude(&tried));
        } else {
            self.put_back(UNSENT);
        }
    }
}

impl Commons {
    /// Tells the database how an attempt ended, until it knows, or `most` times.
    fn tell(
        self: &Arc<Self>,
        sent: Sent,
        close: Close,
        most: Option<u32>,
    ) -> oneshot::Receiver<()> {
        let (done, over) = oneshot::channel();
        let commons = Arc::clone(self);
        let settling = self.settling();
        if let Some(lease) = self.local.lock().under_way.get_mut(&sent.seq) {
            lease.is_over = true;
        }
        self.runtime.spawn(async move {
            let mut tellings = 0;
            loop {
                let fence = commons.fence_of(&sent);
                match commons.tell_once(&sent, fence, close).await {
                    // Its lease was renewed while the database was told.
                    Ok(false) if commons.fence_of(&sent) != fence => continue,
                    Ok(applied) => break commons.note_end(&sent, close, applied),
                    Err(why) => commons.trouble(&why),
                }
                tellings += 1;
                if most.is_some_and(|most| tellings >= most) {
                    break;
                }
                tokio::time::sleep(TELL_AGAIN).await;
            }
            {
                let mut local = commons.local.lock();
                // Once the database knows the end, the next attempt may have begun.
                if local.under_way.get(&sent.seq).is_some_and(|lease| lease.attempt == sent.fence) {
                    local.under_way.remove(&sent.seq);
                }
                if let Some(found) = local.destinations.get_mut(&sent.to) {
                    found.in_flight = found.in_flight.saturating_sub(1);
                }
            }
            drop(settling);
            // Whoever waits finds it ended.
            _ = done.send(());
            commons.wake.notify_waiters();
        });
        over
    }

    /// The fence that the database has for an attempt.
    fn fence_of(&self, sent: &Sent) -> i64 {
        let local = self.local.lock();
        let lease = local.under_way.get(&sent.seq).filter(|lease| lease.attempt == sent.fence);
        lease.map_or(sent.fence, |lease| lease.fence)
    }

    async fn tell_once(&self, sent: &Sent, fence: i64, close: Close) -> Result<bool, String> {
        let (seq, state, progress) =
            (number(sent.seq), close.state.cast_signed(), sent.progress.to_bytes());
        let (fingerprint, ttl) = (sent.fingerprint.cast_signed(), span(sent.ttl));
        let (wall, within) = (number(self.now()), span(END_WITHIN));
        self.database.will_keep(sent.ttl);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
            &seq,
            &fence,
            &state,
            &close.wait,
            &progress,
            &sent.key,
            &sent.alias,
            &fingerprint,
            &ttl,
            &wall,
            &within,
        ];
        let rows = self.database.ask(END, &values, END_WITHIN).await;
        let rows = rows.map_err(|fault| fault.error.to_string())?;
        let applied = rows.first().and_then(|row| row.try_get(0).ok());
        applied.ok_or_else(|| "the end of an attempt was answered oddly".to_owned())
    }

    fn note_end(&self, sent: &Sent, close: Close, applied: bool) {
        match close.state {
            b'd' if applied => {
                self.count(&sent.to, |ends| ends.delivered += 1);
                let mut local = self.local.lock();
                local.bytes = local.bytes.saturating_sub(sent.size);
            }
            b'x' if applied => self.count(&sent.to, |ends| ends.dead += 1),
            _ => {}
        }
    }
}
