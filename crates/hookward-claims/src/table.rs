//! The state machine of claims within one process, over any memory of delivered ids.
//!
//! Claims in flight and uncertain claims are kept here, so that no cache can evict them. A decision
//! about a key is made under the lock of its shard, and checks the delivered ids last. A delivered
//! id is remembered before its claim is removed, so no one finds it absent in between.

use super::delivered::DeliveredId;
use super::shards::Shards;
use crate::{ClaimKey, Fence, Intent, KnownFact, Settled, Standing, StoreError, Target, Verdict};
use hashbrown::HashMap;
use hookward_time::{Clock, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

/// How many names of one held event are remembered with it. Each needs a signature by the sender,
/// so a sender that retries never reaches the limit.
const MOST_ALIASES: usize = 64;

/// The delivered ids and their names.
pub(super) trait Recall: Send + Sync {
    /// The facts about a delivered id.
    fn find(&self, key: ClaimKey) -> Result<Option<DeliveredId>, StoreError>;
    /// Remembers a delivered id for `ttl` from now.
    fn remember(&self, key: ClaimKey, delivery: DeliveredId, ttl: Duration);
    /// Records that a key is uncertain for `hold` from now, if that should outlive the process.
    fn doubt(&self, _key: ClaimKey, _since: UnixMillis, _hold: Duration) {}
    /// Forgets what was recorded about a key.
    fn forget(&self, key: ClaimKey) -> Result<(), StoreError>;
    /// The key that an alias points to, even if that key has been forgotten.
    fn alias(&self, alias: ClaimKey) -> Result<Option<ClaimKey>, StoreError>;
    /// Points an alias to a key for at least `keep`.
    fn link(&self, alias: ClaimKey, to: ClaimKey, keep: Duration);
    /// Points an alias to the key of a delivered event for at least `keep`, if such links are
    /// protected better than others.
    fn link_delivered(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.link(alias, to, keep);
    }
    /// Records that the event of a link has been delivered; the link is kept for `left`.
    fn promote(&self, _alias: ClaimKey, _to: ClaimKey, _left: Duration) {}
}

/// An uncertain hold that a process left behind.
pub(super) struct Restored {
    pub(super) key: ClaimKey,
    pub(super) since: UnixMillis,
    pub(super) left: Duration,
}

/// The states of all keys.
pub(super) struct Table<R> {
    shards: Shards<Shard>,
    /// Held while an alias is looked up and set; taken before a shard's lock, never after.
    alias_locks: Shards<()>,
    recall: R,
    clock: Arc<dyn Clock>,
}

/// The keys of one shard that are held: in flight or uncertain.
#[derive(Default)]
struct Shard {
    held: HashMap<ClaimKey, HeldKey>,
    /// At this size, expired holds are swept.
    sweep_at: usize,
}

struct HeldKey {
    state: KeyState,
    since: UnixMillis,
    /// The first instant of monotonic time at which it no longer holds.
    until: Duration,
    /// The names that its copies came with, each with the last instant at which it counts.
    aliases: Vec<(ClaimKey, Duration)>,
}

enum KeyState {
    InFlight(Fence),
    Uncertain { note: String },
}

impl<R: Recall> Table<R> {
    /// A table in which nothing is held.
    pub(super) fn new(recall: R, clock: Arc<dyn Clock>) -> Self {
        Self { shards: Shards::new(), alias_locks: Shards::new(), recall, clock }
    }

    /// The memory of delivered ids.
    pub(super) fn recall(&self) -> &R {
        &self.recall
    }

    /// As [`claim`](Self::claim), for each target.
    pub(super) fn claim_all(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
    ) -> Result<Vec<Standing>, StoreError> {
        targets.iter().map(|target| self.claim(target, fence, intent)).collect()
    }

    /// The state of the target, after taking it if that is the intent and it was absent.
    pub(super) fn claim(
        &self,
        target: &Target,
        fence: Fence,
        intent: Intent,
    ) -> Result<Standing, StoreError> {
        let Some(alias) = target.alias else {
            return self.claim_key(target, fence, intent);
        };
        let _alias_is_ours = self.alias_locks.of(alias).lock();
        if let Some(first) = self.recall.alias(alias)?.filter(|first| *first != target.key) {
            let first = Target { key: first, alias: None, ..*target };
            let standing = self.claim_key(&first, fence, Intent::Look)?;
            if standing != Standing::Absent {
                return Ok(standing);
            }
        }
        let standing = self.claim_key(target, fence, intent)?;
        let keep = target.alias_kept();
        match standing {
            Standing::Absent => {}
            Standing::Delivered { .. } => self.recall.link_delivered(alias, target.key, keep),
            _ => self.recall.link(alias, target.key, keep),
        }
        Ok(standing)
    }

    /// Ends the claim of `fence`, unless there is a later one or its result.
    pub(super) fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
    ) -> Result<Settled, StoreError> {
        let mut shard = self.shards.of(key).lock();
        let now = self.clock.monotonic();
        let standing_later_claim = match shard.held.get(&key) {
            Some(HeldKey { state: KeyState::InFlight(holder), .. }) if *holder == fence => false,
            Some(held) if held.until > now => true,
            Some(_) | None => self.recall.find(key)?.is_some(),
        };
        if standing_later_claim {
            return Ok(Settled::Stale);
        }
        let since = self.clock.wall();
        match verdict {
            Verdict::Delivered { fingerprint, ttl } => {
                self.recall.remember(key, DeliveredId { since, fingerprint: *fingerprint }, *ttl);
                let held = shard.held.remove(&key);
                for (alias, until) in held.into_iter().flat_map(|held| held.aliases) {
                    if let Some(left) = until.checked_sub(now) {
                        self.recall.promote(alias, key, left);
                    }
                }
            }
            Verdict::Uncertain { hold, note } => {
                self.recall.doubt(key, since, *hold);
                let state = KeyState::Uncertain { note: note.clone() };
                let until = now.saturating_add(*hold);
                let aliases = shard.held.remove(&key).map(|held| held.aliases).unwrap_or_default();
                shard.hold(key, HeldKey { state, since, until, aliases }, now);
            }
            Verdict::Released { .. } => {
                shard.held.remove(&key);
            }
        }
        Ok(Settled::Applied)
    }

    /// Restores an uncertain hold of an earlier process.
    pub(super) fn restore(&self, Restored { key, since, left }: Restored) {
        let now = self.clock.monotonic();
        let state = KeyState::Uncertain { note: String::new() };
        let (until, aliases) = (now.saturating_add(left), Vec::new());
        let held = HeldKey { state, since, until, aliases };
        self.shards.of(key).lock().hold(key, held, now);
    }

    /// Takes over what another store knew, unless as much is known here; whether it did.
    pub(super) fn adopt(&self, known: &KnownFact) -> Result<bool, StoreError> {
        match known {
            KnownFact::Alias { alias, to, left } => {
                let _alias_is_ours = self.alias_locks.of(*alias).lock();
                let is_new = self.recall.alias(*alias)?.is_none();
                if is_new {
                    self.recall.link_delivered(*alias, *to, *left);
                }
                Ok(is_new)
            }
            KnownFact::Delivered { key, since, fingerprint, left } => {
                let mut shard = self.shards.of(*key).lock();
                let stands = self.standing(&shard, *key, self.clock.monotonic())?;
                let is_new = matches!(stands, Standing::Absent | Standing::Uncertain { .. });
                if is_new {
                    let delivery = DeliveredId { since: *since, fingerprint: *fingerprint };
                    self.recall.remember(*key, delivery, *left);
                    shard.held.remove(key);
                }
                Ok(is_new)
            }
            KnownFact::Uncertain { key, since, left, note } => {
                let mut shard = self.shards.of(*key).lock();
                let now = self.clock.monotonic();
                let is_new = self.standing(&shard, *key, now)? == Standing::Absent;
                if is_new {
                    self.recall.doubt(*key, *since, *left);
                    let (until, aliases) = (now.saturating_add(*left), Vec::new());
                    let state = KeyState::Uncertain { note: note.clone() };
                    shard.hold(*key, HeldKey { state, since: *since, until, aliases }, now);
                }
                Ok(is_new)
            }
        }
    }

    /// Makes a key absent unless it is in flight, and returns its state before.
    pub(super) fn forget(&self, key: ClaimKey) -> Result<Standing, StoreError> {
        let mut shard = self.shards.of(key).lock();
        let standing = self.standing(&shard, key, self.clock.monotonic())?;
        match standing {
            Standing::Delivered { .. } => self.recall.forget(key)?,
            Standing::Uncertain { .. } => {
                self.recall.forget(key)?;
                shard.held.remove(&key);
            }
            _ => {}
        }
        Ok(standing)
    }

    fn claim_key(
        &self,
        target: &Target,
        fence: Fence,
        intent: Intent,
    ) -> Result<Standing, StoreError> {
        let mut shard = self.shards.of(target.key).lock();
        if intent == Intent::Claim && shard.is_held_by(fence, target.key) {
            return Ok(Standing::Claimed);
        }
        let now = self.clock.monotonic();
        let standing = self.standing(&shard, target.key, now)?;
        if standing != Standing::Absent || intent == Intent::Look {
            shard.note_alias(target, now);
            return Ok(standing);
        }
        let held = HeldKey {
            state: KeyState::InFlight(fence),
            since: self.clock.wall(),
            until: now.saturating_add(target.lease),
            aliases: target
                .alias
                .map(|alias| (alias, target.alias_until(now)))
                .into_iter()
                .collect(),
        };
        shard.hold(target.key, held, now);
        Ok(Standing::Claimed)
    }

    fn standing(
        &self,
        shard: &Shard,
        key: ClaimKey,
        now: Duration,
    ) -> Result<Standing, StoreError> {
        if let Some(held) = shard.held.get(&key).filter(|held| held.until > now) {
            return Ok(match &held.state {
                KeyState::InFlight(_) => Standing::InFlight { since: held.since },
                KeyState::Uncertain { note } => Standing::Uncertain {
                    since: held.since,
                    left: held.until.saturating_sub(now),
                    note: note.clone(),
                },
            });
        }
        Ok(match self.recall.find(key)? {
            Some(DeliveredId { since, fingerprint }) => Standing::Delivered { since, fingerprint },
            None => Standing::Absent,
        })
    }
}

impl Target {
    /// How long its alias is kept.
    fn alias_kept(&self) -> Duration {
        self.ttl.saturating_add(self.lease)
    }

    /// The last instant of monotonic time at which its alias counts.
    fn alias_until(&self, now: Duration) -> Duration {
        now.saturating_add(self.alias_kept())
    }
}

impl Shard {
    /// Notes the name that a copy of what is held came with. A hold that has lapsed takes no more:
    /// its event is absent for everybody but the holder.
    fn note_alias(&mut self, target: &Target, now: Duration) {
        let held = self.held.get_mut(&target.key).filter(|held| held.until > now);
        let (Some(alias), Some(held)) = (target.alias, held) else { return };
        let until = target.alias_until(now);
        if let Some(known) = held.aliases.iter_mut().find(|(known, _)| *known == alias) {
            known.1 = until;
        } else if held.aliases.len() < MOST_ALIASES {
            held.aliases.push((alias, until));
        }
    }

    fn is_held_by(&self, fence: Fence, key: ClaimKey) -> bool {
        matches!(
            self.held.get(&key),
            Some(HeldKey { state: KeyState::InFlight(holder), .. }) if *holder == fence
        )
    }

    fn hold(&mut self, key: ClaimKey, held: HeldKey, now: Duration) {
        if self.held.len() >= self.sweep_at {
            self.held.retain(|_, held| held.until > now);
            // Sweeping again only after as many new holds keeps it cheap on average.
            self.sweep_at = (self.held.len() * 2).max(64);
        }
        self.held.insert(key, held);
    }
}
