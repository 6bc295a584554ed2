//! Race tests: the shipping code under `shuttle`'s scheduler.

use super::lock::racing;
use super::*;
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::{Clock, ManualClock};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

const SCHEDULES: usize = 3_000;

/// The number of simulated processes that share a store.
fn instances(count: usize) -> Vec<Arc<Claims<usize>>> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(UnixMillis(0)));
    let store = Arc::new(MemoryStore::new(1000, Arc::clone(&clock)));
    (0..count).map(|_| Claims::new(Arc::clone(&store) as _, Arc::clone(&clock))).collect()
}

struct Event(SourceName, EventId);

impl Event {
    fn of_id(id: &str) -> Self {
        Self("shop".into(), id.into())
    }
}

impl Claimable for Event {
    fn source(&self) -> &SourceName {
        &self.0
    }

    fn event_id(&self) -> &EventId {
        &self.1
    }
}

fn request<'a>(event: &'a Event, alias: Option<&'a str>, intent: Intent) -> ClaimRequest<'a> {
    static ERP: std::sync::LazyLock<[(UpstreamName, Duration); 1]> =
        std::sync::LazyLock::new(|| [("erp".into(), Duration::from_secs(40))]);
    let terms = ClaimTerms {
        alias,
        destinations: ERP.as_slice(),
        fingerprint: 1,
        ttl: Duration::from_hours(1),
        uncertain_hold: Duration::from_secs(30),
        intent,
        within: Duration::from_secs(5),
    };
    ClaimRequest::of(event, terms)
}

async fn take(claims: &Arc<Claims<usize>>, id: &str, alias: Option<&str>) -> Hold<usize> {
    let mut holds = claims.take(request(&Event::of_id(id), alias, Intent::Claim)).await.unwrap();
    assert_eq!(holds.len(), 1);
    holds.remove(0)
}

/// How a winner ends its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Delivered,
    Uncertain,
    Released,
}

/// What happened to the copies of one event.
#[derive(Default)]
struct Tally {
    /// Being forwarded at this moment.
    under_way: AtomicUsize,
    forwarded: AtomicUsize,
    told_delivered: AtomicUsize,
}

/// One copy: forwards if it may, and ends with the given ending; `None` drops its claim.
fn copy(
    claims: &Arc<Claims<usize>>,
    tally: &Tally,
    id: &str,
    alias: Option<&str>,
    end: Option<Ending>,
) {
    shuttle::future::block_on(async {
        match take(claims, id, alias).await {
            Hold::Won(claim) => {
                assert_eq!(tally.under_way.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                tally.forwarded.fetch_add(1, Ordering::SeqCst);
                shuttle::thread::yield_now();
                tally.under_way.fetch_sub(1, Ordering::SeqCst);
                match end {
                    Some(Ending::Delivered) => claim.delivered(Arc::new(7)).await,
                    Some(Ending::Uncertain) => claim.uncertain("", Arc::new(7)).await,
                    Some(Ending::Released) => claim.released("", Arc::new(7)).await,
                    None => drop(claim),
                }
            }
            Hold::Delivered { .. } => {
                tally.told_delivered.fetch_add(1, Ordering::SeqCst);
            }
            Hold::InFlight(waiter) => {
                if let Winner::Here = place_of(&waiter) {
                    let heard = waiter.wait(Duration::from_secs(5)).await;
                    if end == Some(Ending::Delivered) {
                        assert!(matches!(heard, Some(Ok(result)) if *result == 7));
                        tally.told_delivered.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            Hold::Uncertain { .. } => assert_ne!(end, Some(Ending::Delivered)),
            Hold::Unguarded | Hold::Absent => panic!("a claim was asked for"),
        }
    });
}

/// The waiter's winner; polling a store would need timers, which a schedule does not have.
enum Winner {
    Here,
    Elsewhere,
}

fn place_of(waiter: &Waiter<usize>) -> Winner {
    match waiter.same_body() {
        Some(_) => Winner::Here,
        None => Winner::Elsewhere,
    }
}

fn race(
    instance_count: usize,
    copies: &'static [(&'static str, Option<&'static str>, Option<Ending>)],
    check: fn(&Tally),
) {
    let test = move || {
        let instances = instances(instance_count);
        let tally = Arc::new(Tally::default());
        let threads: Vec<_> = copies
            .iter()
            .zip(instances.iter().cycle())
            .map(|((id, alias, end), claims)| {
                let (claims, tally) = (Arc::clone(claims), Arc::clone(&tally));
                shuttle::thread::spawn(move || copy(&claims, &tally, id, *alias, *end))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        check(&tally);
    };
    racing::check(test, SCHEDULES);
}

#[test]
fn copies_that_race_are_forwarded_once_and_all_hear_of_it() {
    race(1, &[("1", None, Some(Ending::Delivered)); 4], |tally| {
        assert_eq!(tally.forwarded.load(Ordering::SeqCst), 1);
        assert_eq!(tally.told_delivered.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn copies_of_a_failing_event_are_forwarded_one_after_the_other_or_wait() {
    race(1, &[("1", None, Some(Ending::Released)); 4], |tally| {
        assert!(tally.forwarded.load(Ordering::SeqCst) >= 1);
    });
}

#[test]
fn a_dropped_claim_wakes_its_copies_and_blocks_nobody() {
    race(
        1,
        &[("1", None, None), ("1", None, None), ("1", None, Some(Ending::Uncertain))],
        |tally| {
            assert!(tally.forwarded.load(Ordering::SeqCst) >= 1);
        },
    );
}

#[test]
fn two_ids_with_one_signature_are_forwarded_once() {
    race(
        1,
        &[
            ("1", Some("sig"), Some(Ending::Delivered)),
            ("2", Some("sig"), Some(Ending::Delivered)),
            ("1", Some("sig"), Some(Ending::Delivered)),
        ],
        |tally| assert_eq!(tally.forwarded.load(Ordering::SeqCst), 1),
    );
}

#[test]
fn two_instances_that_race_forward_once() {
    race(2, &[("1", None, Some(Ending::Delivered)); 4], |tally| {
        assert_eq!(tally.forwarded.load(Ordering::SeqCst), 1);
    });
    race(2, &[("1", Some("sig"), Some(Ending::Released)); 4], |tally| {
        assert!(tally.forwarded.load(Ordering::SeqCst) >= 1);
    });
}
