//! Random steps, each compared with a model of a few lines: the entries, their states, what is
//! due, and in which order.

use crate::faults::snapshot;
use crate::support::{World, accept, all, end, event, keyed, run, take};
use hookward_inbox::{EntryState, Inbox, OnDead, Policy, Tried, TryOutcome};
use std::collections::BTreeMap;

const TTL: u64 = 96 * 3_600_000;

#[derive(Clone, Debug, PartialEq)]
enum Stand {
    Queued { due: u64 },
    Dead,
    Discarded { until: u64 },
}

#[derive(Clone, Debug)]
struct Entry {
    stand: Stand,
    key: Option<u32>,
    holds: bool,
    place: u64,
    failures: u32,
    refused: u16,
    sent: u32,
}

/// The entries, by event id.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    order: u64,
    is_paused: bool,
}

impl Model {
    fn due(&self, now: u64) -> Vec<String> {
        let is_head = |entry: &Entry| {
            !self.entries.values().any(|other| {
                let is_ahead =
                    entry.key.is_some() && other.key == entry.key && other.place < entry.place;
                let waits = match other.stand {
                    Stand::Queued { .. } => true,
                    Stand::Dead => other.holds,
                    Stand::Discarded { .. } => false,
                };
                is_ahead && waits
            })
        };
        self.entries
            .iter()
            .filter(|(_, entry)| {
                let is_due = matches!(entry.stand, Stand::Queued { due } if due <= now);
                is_due && !self.is_paused && is_head(entry)
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn accept(&mut self, id: &str, key: Option<u32>, holds: bool, now: u64) {
        self.order += 1;
        let place = match self.entries.get(id) {
            // Revived: it has the place of the dead one, if that has one.
            Some(dead) if dead.stand == Stand::Dead => dead.place,
            Some(_) => return,
            None => self.order,
        };
        let entry = Entry {
            stand: Stand::Queued { due: now },
            key,
            holds,
            place,
            failures: 0,
            refused: 0,
            sent: 0,
        };
        self.entries.insert(id.to_owned(), entry);
    }

    fn fail(&mut self, id: &str, policy: &Policy, now: u64) {
        let entry = self.entries.get_mut(id).unwrap();
        entry.failures += 1;
        entry.refused += 1;
        entry.sent += 1;
        let wait = (2_000 << (entry.failures - 1)).min(900_000);
        entry.stand = if entry.refused >= policy.refused_after {
            Stand::Dead
        } else {
            Stand::Queued { due: now + wait }
        };
    }
}

fn check(inbox: &Inbox, model: &Model, what: &str) {
    let mut listed = all(inbox);
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    let found: Vec<(String, EntryState, u32)> = listed
        .into_iter()
        .map(|entry| {
            let state =
                if entry.state == EntryState::Ready { EntryState::Waiting } else { entry.state };
            (entry.id, state, entry.attempts)
        })
        .collect();
    let expected: Vec<(String, EntryState, u32)> = model
        .entries
        .iter()
        .map(|(id, entry)| {
            let state = match entry.stand {
                Stand::Queued { .. } => EntryState::Waiting,
                Stand::Dead => EntryState::Dead,
                Stand::Discarded { .. } => EntryState::Discarded,
            };
            (id.clone(), state, entry.sent)
        })
        .collect();
    assert_eq!(found, expected, "{what}");
    let stats = inbox.stats();
    assert_eq!(stats.entries, expected.len(), "{what}");
    if let Some(erp) = stats.destinations.iter().find(|stats| stats.to == "erp") {
        let count = |state| expected.iter().filter(|(_, found, _)| *found == state).count() as u64;
        assert_eq!(erp.ready + erp.waiting, count(EntryState::Waiting), "{what}");
        assert_eq!((erp.dead, erp.in_flight), (count(EntryState::Dead), 0), "{what}");
        assert_eq!(erp.bytes, stats.bytes, "{what}");
    }
}

#[test]
fn whatever_happens_it_agrees_with_the_model() {
    for seed in 0..30 {
        steps(seed);
    }
}

fn steps(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new();
    world.segment_bytes = 3_000;
    world.policy = Policy { refused_after: 3, ..Policy::default() };
    if !seed.is_multiple_of(2) {
        world.keys = vec![[7; 32]];
    }
    let mut inbox = world.open();
    let mut model = Model::default();
    // Folders of crashes, kept while they are used.
    let mut crashed = Vec::new();
    for step in 0..150 {
        let what = format!("seed {seed}, step {step}");
        let now = world.clock.now();
        let id = format!("e{}", random.u8(..40));
        let seqs = || {
            let filter = hookward_inbox::Filter { id: Some(id.clone()), ..Default::default() };
            inbox.select(&filter)
        };
        match random.u8(..16) {
            0..=4 => {
                // The key and what a dead one does depend on the id, as a route and a body would say.
                let n: u32 = id[1..].parse().unwrap();
                let key = (!n.is_multiple_of(4)).then_some(n % 3);
                let holds = key == Some(2);
                let on_dead = if holds { OnDead::Hold } else { OnDead::Skip };
                match key {
                    Some(key) => accept(&inbox, keyed(&id, &key.to_string(), on_dead)),
                    None => accept(&inbox, event(&id, &["erp"])),
                };
                model.accept(&id, key, holds, now);
            }
            5..=9 => {
                let mut taken = take(&inbox);
                let mut ids: Vec<String> =
                    taken.iter_mut().map(|attempt| attempt.read().unwrap().id).collect();
                let in_turn = ids.clone();
                ids.sort();
                assert_eq!(ids, model.due(now), "{what}");
                for (attempt, id) in taken.into_iter().zip(in_turn) {
                    if random.bool() {
                        run(attempt.begin());
                    }
                    if random.u8(..3) == 0 {
                        end(attempt, Tried::new(now, TryOutcome::Status(200)));
                        model.entries.remove(&id);
                    } else {
                        end(attempt, Tried::new(now, TryOutcome::Status(404)));
                        model.fail(&id, &world.policy, now);
                    }
                }
            }
            10 => {
                run(inbox.replay(seqs(), false)).unwrap();
                if let Some(entry) = model.entries.get_mut(&id)
                    && !matches!(entry.stand, Stand::Discarded { .. })
                {
                    entry.failures = 0;
                    entry.refused = 0;
                    entry.stand = Stand::Queued { due: now };
                }
            }
            11 => {
                run(inbox.discard(seqs())).unwrap();
                if let Some(entry) = model.entries.get_mut(&id)
                    && !matches!(entry.stand, Stand::Discarded { .. })
                {
                    entry.stand = Stand::Discarded { until: now + TTL };
                }
            }
            12 => {
                run(inbox.erase("shop", &id)).unwrap();
                model.entries.remove(&id);
            }
            13 => {
                model.is_paused = random.bool();
                if model.is_paused {
                    run(inbox.pause("erp", None)).unwrap();
                } else {
                    run(inbox.resume("erp")).unwrap();
                }
            }
            14 => {
                world.clock.pass(random.u64(..40_000));
                run(inbox.tidy());
            }
            _ => {
                run(inbox.tidy());
                let copy = snapshot(&world);
                inbox.close();
                drop(inbox);
                if random.bool() {
                    world.folder = copy;
                } else {
                    crashed.push(copy);
                }
                let (opened, recovery) = world.try_open().unwrap();
                assert_eq!((recovery.torn, recovery.interrupted), (None, 0), "{what}");
                inbox = opened;
            }
        }
        if random.u8(..3) == 0 {
            world.clock.pass(random.u64(..3_000));
        }
        let now = world.clock.now();
        model
            .entries
            .retain(|_, entry| !matches!(entry.stand, Stand::Discarded { until } if until <= now));
        check(&inbox, &model, &what);
    }
}
