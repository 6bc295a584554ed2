//! Random steps, each compared with a model of a few lines: the entries, their states, what is
//! due, and in which order.

use crate::faults::snapshot;
use crate::support::{World, accept, all, end, event, keyed, run, take};
use hookward_inbox::{EntryState, Filter, Inbox, OnDead, Policy, Tried, TryOutcome};
use std::collections::{BTreeMap, BTreeSet};

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

/// An event and where it is to go.
type Name = (String, &'static str);

/// The entries. Accepted are events for `erp`; a move brings them to `crm`.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Name, Entry>,
    order: u64,
    is_paused: bool,
}

impl Model {
    fn due(&self, now: u64) -> Vec<Name> {
        let is_head = |to: &str, entry: &Entry| {
            !self.entries.iter().any(|((_, at), other)| {
                let is_ahead =
                    entry.key.is_some() && other.key == entry.key && other.place < entry.place;
                let waits = match other.stand {
                    Stand::Queued { .. } => true,
                    Stand::Dead => other.holds,
                    Stand::Discarded { .. } => false,
                };
                *at == to && is_ahead && waits
            })
        };
        self.entries
            .iter()
            .filter(|((_, to), entry)| {
                let is_due = matches!(entry.stand, Stand::Queued { due } if due <= now);
                let is_paused = self.is_paused && *to == "erp";
                is_due && !is_paused && is_head(to, entry)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn accept(&mut self, id: &str, key: Option<u32>, holds: bool, now: u64) {
        self.order += 1;
        let name = (id.to_owned(), "erp");
        let place = match self.entries.get(&name) {
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
        self.entries.insert(name, entry);
    }

    fn of(&mut self, id: &str) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(move |((event, _), _)| event == id).map(|(_, entry)| entry)
    }

    /// What waits elsewhere goes there, unless it is there already.
    fn move_to(&mut self, to: &'static str, is_meant: impl Fn(&String) -> bool, now: u64) -> usize {
        let waits = |entry: &Entry| matches!(entry.stand, Stand::Queued { .. });
        let meant = self.entries.iter().filter(|((id, at), entry)| {
            let is_there = self.entries.contains_key(&(id.clone(), to));
            is_meant(id) && *at != to && waits(entry) && !is_there
        });
        let moving: Vec<Name> = meant.map(|(name, _)| name.clone()).collect();
        for name in &moving {
            let entry = self.entries.remove(name).unwrap();
            let stand = Stand::Queued { due: now };
            let moved = Entry { stand, failures: 0, refused: 0, sent: 0, ..entry };
            self.entries.insert((name.0.clone(), to), moved);
        }
        moving.len()
    }

    fn fail(&mut self, name: &Name, policy: &Policy, now: u64) {
        let entry = self.entries.get_mut(name).unwrap();
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
    listed.sort_by(|a, b| (&a.id, &a.to).cmp(&(&b.id, &b.to)));
    let found: Vec<(String, String, EntryState, u32)> = listed
        .into_iter()
        .map(|entry| {
            let state =
                if entry.state == EntryState::Ready { EntryState::Waiting } else { entry.state };
            (entry.id, entry.to, state, entry.attempts)
        })
        .collect();
    let mut expected: Vec<(String, String, EntryState, u32)> = model
        .entries
        .iter()
        .map(|((id, to), entry)| {
            let state = match entry.stand {
                Stand::Queued { .. } => EntryState::Waiting,
                Stand::Dead => EntryState::Dead,
                Stand::Discarded { .. } => EntryState::Discarded,
            };
            (id.clone(), (*to).to_owned(), state, entry.sent)
        })
        .collect();
    expected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    assert_eq!(found, expected, "{what}");
    let stats = inbox.stats();
    assert_eq!(stats.entries, expected.len(), "{what}");
    for at in &stats.destinations {
        let count = |state| {
            expected.iter().filter(|(_, to, found, _)| *to == at.to && *found == state).count()
                as u64
        };
        assert_eq!(at.ready + at.waiting, count(EntryState::Waiting), "{what}");
        assert_eq!((at.dead, at.in_flight), (count(EntryState::Dead), 0), "{what}");
    }
    let bytes: u64 = stats.destinations.iter().map(|at| at.bytes).sum();
    assert_eq!(bytes, stats.bytes, "{what}");
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
            let filter = Filter { id: Some(id.clone()), ..Filter::default() };
            inbox.select(&filter)
        };
        match random.u8(..18) {
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
                let in_turn: Vec<Name> = taken
                    .iter_mut()
                    .map(|attempt| {
                        let to = if attempt.to() == "erp" { "erp" } else { "crm" };
                        (attempt.read().unwrap().id, to)
                    })
                    .collect();
                let names: BTreeSet<Name> = in_turn.iter().cloned().collect();
                assert_eq!(names, model.due(now).into_iter().collect(), "{what}");
                assert_eq!(names.len(), in_turn.len(), "{what}");
                for (attempt, name) in taken.into_iter().zip(in_turn) {
                    if random.bool() {
                        run(attempt.begin());
                    }
                    if random.u8(..3) == 0 {
                        end(attempt, Tried::new(now, TryOutcome::Status(200)));
                        model.entries.remove(&name);
                    } else {
                        end(attempt, Tried::new(now, TryOutcome::Status(404)));
                        model.fail(&name, &world.policy, now);
                    }
                }
            }
            10 => {
                run(inbox.replay(seqs(), false, "ana")).unwrap();
                for entry in model.of(&id) {
                    if !matches!(entry.stand, Stand::Discarded { .. }) {
                        entry.failures = 0;
                        entry.refused = 0;
                        entry.stand = Stand::Queued { due: now };
                    }
                }
            }
            11 => {
                run(inbox.discard(seqs(), "ana")).unwrap();
                for entry in model.of(&id) {
                    if !matches!(entry.stand, Stand::Discarded { .. }) {
                        entry.stand = Stand::Discarded { until: now + TTL };
                    }
                }
            }
            12 => {
                run(inbox.erase("shop", &id)).unwrap();
                model.entries.retain(|(event, _), _| *event != id);
            }
            13 => {
                model.is_paused = random.bool();
                if model.is_paused {
                    run(inbox.pause("erp", None)).unwrap();
                } else {
                    run(inbox.resume("erp")).unwrap();
                }
            }
            14 | 15 => {
                // Of one event, or of all.
                let all = random.u8(..4) == 0;
                let filter = if all {
                    Filter::default()
                } else {
                    Filter { id: Some(id.clone()), ..Filter::default() }
                };
                let to = if random.u8(..4) == 0 { "erp" } else { "crm" };
                let moved = run(inbox.move_to(inbox.select(&filter), to, "ana")).unwrap();
                assert_eq!(moved, model.move_to(to, |event| all || *event == id, now), "{what}");
            }
            16 => {
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
