//! Storing an event: one call, one transaction.

use crate::attempt::{Sent, SharedAttempt};
use crate::commons::{Commons, Uuid, natural, number, span, uuid};
use crate::sealing::{EventName, seal_content, seal_name};
use hookward_claims::ClaimKey;
use hookward_inbox::{
    Accept, AcceptError, Accepted, Attempt, EntryProgress, EntryState, Limit, Live, Millis, OnDead,
    Phase, Stored,
};
use hookward_names::{EventId, SourceName, UpstreamName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Row;
use xxhash_rust::xxh3::xxh3_64;

/// What the server is asked. Told twice, an event is stored once: its tokens say which it is.
const ACCEPT: &str = "SELECT * FROM hookward.accept(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)";

/// The longest time that it may take; a sender's patience is mostly shorter.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

/// The server takes no value of 1 GiB.
const LARGEST: usize = 512 << 20;

/// The code of a disk that is full.
const DISK_FULL: &str = "53100";

/// What is told of the targets, one array for each column.
#[derive(Default)]
struct Columns {
    keys: Vec<Uuid>,
    aliases: Vec<Option<Uuid>>,
    lanes: Vec<Option<Uuid>>,
    dests: Vec<String>,
    tokens: Vec<i64>,
    claimed: Vec<bool>,
    holders: Vec<i64>,
    places: Vec<i64>,
    states: Vec<i8>,
    waits: Vec<i64>,
    tries: Vec<Vec<u8>>,
    progress: Vec<EntryProgress>,
    began: Vec<Millis>,
}

impl Commons {
    /// Stores an event. Once this is `Ok`, it is durable with all its destinations.
    pub(crate) async fn accept(self: &Arc<Self>, event: Accept) -> Result<Accepted, AcceptError> {
        let size = event.head.len() + event.body.len() + event.id.len() + event.kind.len();
        if size > LARGEST {
            return Err(AcceptError::TooLarge);
        }
        let share = size.div_ceil(event.targets.len().max(1));
        let bytes = i32::try_from(share).unwrap_or(i32::MAX);
        if self.local.lock().bytes.saturating_add(size as u64) > self.max_bytes {
            return Err(AcceptError::Full(Limit::MaxBytes));
        }
        let keys = self.keys.as_ref();
        let called = EventName {
            id: event.id.clone(),
            kind: event.kind.clone(),
            order_key: event.order_key.clone(),
            alias: event.alias.clone(),
        };
        let sealed = seal_name(keys, &called).zip(seal_content(keys, &event.head, &event.body));
        let Some((name, content)) = sealed else {
            let why = std::io::Error::other("the system gives no randomness to encrypt with");
            return Err(AcceptError::Failed(Arc::new(why)));
        };
        let now = self.now();
        let columns = self.columns(&event, now);
        self.database.will_keep(event.ttl);
        let (id_hash, fingerprint) = (hash(&event.id), event.fingerprint.cast_signed());
        let (ttl, holds) = (span(event.ttl), event.on_dead == OnDead::Hold);
        let (accepted, within) = (number(now), span(ACCEPT_WITHIN));
        let Columns { keys, aliases, lanes, dests, tokens, claimed, .. } = &columns;
        let Columns { holders, places, states, waits, tries, .. } = &columns;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 23] = [
            keys,
            aliases,
            lanes,
            dests,
            tokens,
            claimed,
            holders,
            places,
            states,
            waits,
            tries,
            &event.source,
            &name,
            &id_hash,
            &accepted,
            &fingerprint,
            &ttl,
            &holds,
            &bytes,
            &content,
            &event.note,
            &accepted,
            &within,
        ];
        let began = Instant::now();
        let answer = self.database.ask(ACCEPT, &values, ACCEPT_WITHIN).await;
        self.observer.flushed(began.elapsed());
        let rows = answer.map_err(|fault| match fault.code.as_deref() {
            Some(DISK_FULL) => AcceptError::Full(Limit::Disk),
            // A claim that lapsed is another's, who may have delivered.
            Some("HW001") => AcceptError::InDoubt(fault.error.to_string()),
            _ if fault.is_in_doubt => AcceptError::InDoubt(fault.error.to_string()),
            _ => AcceptError::Failed(Arc::new(std::io::Error::other(fault.error.to_string()))),
        })?;
        self.local.lock().bytes += size as u64;
        let stored = self.stored(&event, columns, &rows, now);
        self.wake.notify_waiters();
        stored.ok_or_else(|| AcceptError::InDoubt("the answer cannot be read".to_owned()))
    }

    fn columns(&self, event: &Accept, now: Millis) -> Columns {
        let (source, id) = (SourceName::from(&*event.source), EventId::from(&*event.id));
        let mut columns = Columns::default();
        for target in &event.targets {
            let to = UpstreamName::from(&*target.to);
            let policy = self.policy(&target.to);
            let mut progress = EntryProgress { budget_from: now, ..EntryProgress::default() };
            let lease = span(policy.takeover_after);
            let (state, wait, holder, began) = match &target.live {
                Live::None => (b'q', 0, 0, 0),
                Live::UnderWay(since) => {
                    let spent = number(now.saturating_sub(*since));
                    (b'f', (lease - spent).max(0), self.fence(), *since)
                }
                Live::Failed(tried) => {
                    let random = &mut **self.random.lock();
                    match policy.after_failure(&mut progress, tried, now, 0, random) {
                        Phase::Queued { due } => (b'q', number(due.saturating_sub(now)), 0, 0),
                        _ => (b'x', span(self.keep_dead), 0, 0),
                    }
                }
            };
            let alias = event.alias.as_ref().map(|alias| ClaimKey::of_alias(&source, alias, &to));
            let lane = event.order_key.as_ref().map(|key| ClaimKey::of_lane(&source, key, &to));
            columns.keys.push(uuid(ClaimKey::of(&source, &id, &to)));
            columns.aliases.push(alias.map(uuid));
            columns.lanes.push(lane.map(uuid));
            columns.dests.push(target.to.clone());
            columns.tokens.push(target.fence.map_or_else(|| self.fence(), u64::cast_signed));
            columns.claimed.push(target.fence.is_some());
            columns.holders.push(holder);
            columns.places.push(target.hold.as_ref().map_or(0, |hold| number(hold.place())));
            columns.states.push(state.cast_signed());
            columns.waits.push(wait);
            columns.tries.push(progress.to_bytes());
            columns.progress.push(progress);
            columns.began.push(began);
        }
        columns
    }

    /// What became of each target; `None` if the answer is not one.
    fn stored(
        self: &Arc<Self>,
        event: &Accept,
        columns: Columns,
        rows: &[Row],
        now: Millis,
    ) -> Option<Accepted> {
        let Columns { keys, aliases, dests, holders, progress, began, .. } = columns;
        let mut targets = Vec::with_capacity(rows.len());
        for (nth, row) in rows.iter().enumerate() {
            let seq = natural(row.try_get(0).ok()?);
            let state = row.try_get::<_, i8>(1).ok()?.cast_unsigned();
            let revived = row.try_get(2).ok()?;
            if revived {
                self.count(dests.get(nth)?, |ends| ends.revived += 1);
            }
            let fence = *holders.get(nth)?;
            targets.push(match state {
                b'f' => Stored::UnderWay(Attempt::of(Box::new(SharedAttempt::begun(
                    Arc::clone(self),
                    Sent {
                        seq,
                        fence,
                        key: *keys.get(nth)?,
                        alias: *aliases.get(nth)?,
                        source: event.source.clone(),
                        to: dests.get(nth)?.clone(),
                        name: Vec::new(),
                        accepted: now,
                        fingerprint: event.fingerprint,
                        ttl: event.ttl,
                        progress: progress.get(nth)?.clone(),
                        size: 0,
                        began: *began.get(nth)?,
                    },
                )))),
                b'q' | b'x' => Stored::Queued { seq, revived },
                b'd' | b'D' => Stored::Already(EntryState::Delivered),
                b'n' => Stored::Already(EntryState::Discarded),
                _ => Stored::Already(EntryState::Waiting),
            });
        }
        (targets.len() == event.targets.len()).then_some(Accepted { targets })
    }
}

/// By which an id is found although it may be encrypted.
pub(crate) fn hash(id: &str) -> i64 {
    xxh3_64(id.as_bytes()).cast_signed()
}
