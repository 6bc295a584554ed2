//! Random steps of two instances over one store, compared with a model of claims.
//!
//! The model is section 3 of the contract in its simplest form: one map of states, one of
//! signatures. Whatever the order of copies, failures, lapses and look-ups, each answer must match
//! the model.

use crate::world::{Ask, Ending, HOLD, Kind, LEASE, Result, TTL, WITHIN, World, settle, word};
use hookward_claims::{Claim, Hold, Standing, Waiter};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::HashMap;
use std::time::Duration;

const CASES: u32 = 40;
const STEPS: std::ops::Range<usize> = 250..300;

#[test]
fn ten_thousand_steps_over_memory_agree_with_the_model() {
    check(Kind::Memory);
}

#[test]
fn ten_thousand_steps_over_disk_agree_with_the_model() {
    check(Kind::Disk);
}

#[test]
fn ten_thousand_steps_over_redis_agree_with_the_model() {
    check(Kind::Redis);
}

#[test]
fn ten_thousand_steps_over_postgres_agree_with_the_model() {
    check(Kind::Postgres);
}

fn check(kind: Kind) {
    // No regression file: a failing run prints its steps, and they are worth a test of their own.
    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let config = Config { max_shrink_iters: 100, ..config };
    let steps = proptest::collection::vec(step(), STEPS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let run = TestRunner::new(config).run(&steps, |steps| runtime.block_on(compare(kind, steps)));
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take {
        instance: usize,
        id: usize,
        alias: Option<usize>,
        body: u64,
        both: bool,
    },
    Look {
        instance: usize,
        id: usize,
        alias: Option<usize>,
    },
    /// Of the claims that are held, one of them.
    Settle {
        which: usize,
        ending: Ending,
    },
    Drop {
        which: usize,
        sent: bool,
    },
    Forget {
        instance: usize,
        id: usize,
    },
    Pass(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let (instance, id) = (0..2_usize, 0..4_usize);
    let alias = prop::option::weighted(0.3, 0..4_usize);
    let ending = prop_oneof![
        4 => Just(Ending::Delivered),
        3 => Just(Ending::Released),
        2 => Just(Ending::Uncertain),
    ];
    // No sum of these comes near a lease, a hold or a ttl, so that the real time which passes at
    // a server never decides.
    let pass = prop::sample::select(vec![1100, 2300, 4700]).prop_map(Duration::from_secs);
    prop_oneof![
        40 => (instance.clone(), id.clone(), alias.clone(), 1..3_u64, any::<bool>()).prop_map(
            |(instance, id, alias, body, both)| Step::Take { instance, id, alias, body, both }
        ),
        8 => (instance.clone(), id.clone(), alias)
            .prop_map(|(instance, id, alias)| Step::Look { instance, id, alias }),
        25 => (any::<usize>(), ending).prop_map(|(which, ending)| Step::Settle { which, ending }),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(which, sent)| Step::Drop { which, sent }),
        5 => (instance, id).prop_map(|(instance, id)| Step::Forget { instance, id }),
        10 => pass.prop_map(Step::Pass),
    ]
}

/// (event id, destination).
type Key = (usize, &'static str);

#[derive(Clone, Copy, Debug)]
enum State {
    InFlight { claim: Result, instance: usize, until: Duration },
    Delivered { body: u64, through: Duration },
    Uncertain { until: Duration },
}

#[derive(Default)]
struct Model {
    now: Duration,
    states: HashMap<Key, State>,
    /// The key that a signature was seen with, and until when that counts.
    signatures: HashMap<(usize, &'static str), (Key, Duration)>,
}

impl Model {
    fn state(&self, key: Key) -> Option<State> {
        let state = *self.states.get(&key)?;
        let stands = match state {
            State::InFlight { until, .. } | State::Uncertain { until } => self.now < until,
            State::Delivered { through, .. } => self.now <= through,
        };
        stands.then_some(state)
    }

    /// The state of `key`'s event if this signature is known under another key.
    fn signed_before(&self, key: Key, alias: Option<usize>) -> Option<State> {
        let (first, until) = *self.signatures.get(&(alias?, key.1))?;
        if first == key || until <= self.now { None } else { self.state(first) }
    }

    /// The state of `key` for a delivery with this signature. Notes the signature.
    fn look(&mut self, key: Key, alias: Option<usize>) -> Option<State> {
        if let Some(state) = self.signed_before(key, alias) {
            return Some(state);
        }
        let state = self.state(key);
        if let (Some(alias), Some(_)) = (alias, state) {
            self.signatures.insert((alias, key.1), (key, self.now + TTL + LEASE));
        }
        state
    }

    /// As `look`, and claims it where it is absent; true if so.
    fn take(
        &mut self,
        key: Key,
        alias: Option<usize>,
        claim: Result,
        instance: usize,
    ) -> (Option<State>, bool) {
        // A copy of what is under way here follows it, unless its signature tells of an end.
        if let Some(own @ State::InFlight { instance: holder, .. }) = self.state(key)
            && holder == instance
        {
            let seen = self.look(key, alias).filter(|s| !matches!(s, State::InFlight { .. }));
            return (Some(seen.unwrap_or(own)), false);
        }
        if let Some(state) = self.look(key, alias) {
            return (Some(state), false);
        }
        self.states.insert(key, State::InFlight { claim, instance, until: self.now + LEASE });
        self.look(key, alias);
        (None, true)
    }

    fn settle(&mut self, key: Key, claim: Result, ending: Ending, body: u64) {
        let own = matches!(
            self.states.get(&key),
            Some(State::InFlight { claim: holder, .. }) if *holder == claim
        );
        if !own && self.state(key).is_some() {
            return;
        }
        match ending {
            Ending::Delivered => {
                let through = self.now + TTL;
                self.states.insert(key, State::Delivered { body, through });
            }
            Ending::Uncertain => {
                self.states.insert(key, State::Uncertain { until: self.now + HOLD });
            }
            Ending::Released => {
                self.states.remove(&key);
            }
        }
    }
}

/// A claim that is held.
struct Held {
    claim: Claim<Result>,
    number: Result,
    key: Key,
    body: u64,
}

/// A copy that waits for the claim `number`, of its own instance or of the other.
struct Copy {
    waiter: Waiter<Result>,
    number: Result,
    here: bool,
    key: Key,
    alias: Option<usize>,
}

async fn compare(kind: Kind, steps: Vec<Step>) -> std::result::Result<(), TestCaseError> {
    let world = World::new(kind).await;
    let instances = [&world.here, &world.there];
    let mut model = Model::default();
    let (mut held, mut copies): (Vec<Held>, Vec<Copy>) = (Vec::new(), Vec::new());
    let mut number = 0;
    for step in steps {
        match step {
            Step::Take { instance, id, alias, body, both } => {
                let to: &[&'static str] = if both { &["erp", "crm"] } else { &["erp"] };
                let texts = (id.to_string(), alias.map(|alias| alias.to_string()));
                let ask = Ask::event(&texts.0).to(to).body(body);
                let ask = texts.1.as_deref().map_or(ask, |alias| ask.signed(alias));
                let holds = ask.all(instances[instance]).await.unwrap();
                for (hold, to) in holds.into_iter().zip(to) {
                    number += 1;
                    let key = (id, *to);
                    let (stood, won) = model.take(key, alias, number, instance);
                    prop_assert_eq!(word(&hold), expected(stood, won, body));
                    match (hold, stood) {
                        (Hold::Won(claim), _) => held.push(Held { claim, number, key, body }),
                        (Hold::InFlight(waiter), Some(State::InFlight { claim, .. })) => {
                            let here = waiter.same_body().is_some();
                            copies.push(Copy { waiter, number: claim, here, key, alias });
                        }
                        _ => {}
                    }
                }
            }
            Step::Look { instance, id, alias } => {
                let texts = (id.to_string(), alias.map(|alias| alias.to_string()));
                let ask = Ask::event(&texts.0).look();
                let ask = texts.1.as_deref().map_or(ask, |alias| ask.signed(alias));
                let seen = ask.one(instances[instance]).await;
                prop_assert_eq!(word(&seen), expected(model.look((id, "erp"), alias), false, 1));
            }
            Step::Settle { which, ending } => {
                if held.is_empty() {
                    continue;
                }
                let Held { claim, number, key, body } = held.swap_remove(which % held.len());
                settle(claim, ending, "why", number).await;
                model.settle(key, number, ending, body);
                copies = heard(copies, &mut model, number, Some(number)).await?;
            }
            Step::Drop { which, sent } => {
                if held.is_empty() {
                    continue;
                }
                let Held { claim, number, key, body } = held.swap_remove(which % held.len());
                if sent {
                    claim.sent();
                }
                drop(claim);
                let ending = if sent { Ending::Uncertain } else { Ending::Released };
                model.settle(key, number, ending, body);
                if kind.is_server() {
                    // It is settled behind the scenes; a round trip later it is done.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                copies = heard(copies, &mut model, number, None).await?;
            }
            Step::Forget { instance, id } => {
                let to = ["erp".into()];
                let stood = instances[instance]
                    .forget(&"shop".into(), &id.to_string().into(), &to, WITHIN)
                    .await;
                let stood = stood.unwrap().remove(0).1;
                match (model.state((id, "erp")), stood) {
                    (Some(State::InFlight { .. }), Standing::InFlight { .. })
                    | (None, Standing::Absent | Standing::Released { .. }) => {}
                    (Some(State::Delivered { .. }), Standing::Delivered { .. })
                    | (Some(State::Uncertain { .. }), Standing::Uncertain { .. }) => {
                        model.states.remove(&(id, "erp"));
                    }
                    (model, store) => prop_assert!(false, "{model:?} was forgotten as {store:?}"),
                }
            }
            Step::Pass(duration) => {
                world.pass(duration).await;
                model.now += duration;
            }
        }
    }
    Ok(())
}

fn expected(stood: Option<State>, won: bool, body: u64) -> &'static str {
    match stood {
        None if won => "won",
        None => "absent",
        Some(State::InFlight { .. }) => "in flight",
        Some(State::Delivered { body: accepted, .. }) if accepted == body => "delivered",
        Some(State::Delivered { .. }) => "delivered, another body",
        Some(State::Uncertain { .. }) => "uncertain",
    }
}

/// Lets those who waited for claim `number` hear what they must, and gives the others.
async fn heard(
    copies: Vec<Copy>,
    model: &mut Model,
    number: Result,
    result: Option<Result>,
) -> std::result::Result<Vec<Copy>, TestCaseError> {
    let (mut theirs, others): (Vec<Copy>, Vec<Copy>) =
        copies.into_iter().partition(|copy| copy.number == number);
    for copy in theirs.drain(..) {
        // Who waits for a claim of its own instance does not ask the store.
        let stands = if copy.here {
            model.state(copy.key)
        } else {
            match model.signed_before(copy.key, copy.alias).or(model.state(copy.key)) {
                // A later claim is under way: such a copy would go on waiting, for that one.
                Some(State::InFlight { .. }) => continue,
                _ => model.look(copy.key, copy.alias),
            }
        };
        let heard = copy.waiter.wait(WITHIN).await;
        let right = match (&heard, stands) {
            (Some(Ok(heard)), _) => copy.here && Some(**heard) == result,
            (Some(Err(Standing::Delivered { .. })), Some(State::Delivered { .. })) => !copy.here,
            (Some(Err(Standing::Uncertain { .. })), Some(State::Uncertain { .. }))
            | (Some(Err(Standing::Released { .. })), None) => !copy.here || result.is_none(),
            // Its winner was dropped after a later claim had taken its place.
            (Some(Err(Standing::Uncertain { .. } | Standing::Released { .. })), Some(_)) => {
                copy.here && result.is_none()
            }
            _ => false,
        };
        prop_assert!(right, "a copy heard {heard:?} when {stands:?} stood");
    }
    Ok(others)
}
