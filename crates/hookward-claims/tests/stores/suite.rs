//! The promises of section 3 of the contract about claims, for every store.

use crate::world::{Ask, Expect, HOLD, Kind, LEASE, Result, TTL, WITHIN, World, word};
use hookward_claims::Waiter;
use hookward_claims::{ClaimKey, Claims, Fence, Hold, Intent, Settled, Standing, Target, Verdict};
use hookward_time::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);
const MOMENT: Duration = Duration::from_secs(100);

macro_rules! for_every_store {
    (in $module:ident $kind:ident: $($test:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::World::new(super::Kind::$kind).await).await;
                }
            )*
        }
    };
    ($($test:ident)*) => {
        for_every_store! { in memory Memory: $($test)* }
        for_every_store! { in disk Disk: $($test)* }
        for_every_store! { in redis Redis: $($test)* }
        for_every_store! { in postgres Postgres: $($test)* }
    };
}

mod aliases;
mod forgetting;

for_every_store! {
    a_copy_here_gets_the_winners_result
    a_copy_on_another_instance_learns_that_it_was_delivered
    forty_copies_over_two_instances_are_forwarded_once
    a_delivered_event_is_known_through_its_ttl_and_hits_do_not_renew_it
    a_released_event_is_forwarded_again_and_its_copies_are_not_forwarded_in_its_place
    an_uncertain_event_is_refused_for_its_hold_and_then_absent
    a_claim_left_behind_lapses_with_its_lease
    a_late_settle_with_an_old_fence_changes_nothing
    a_late_delivery_of_a_lapsed_claim_is_remembered
    a_dropped_claim_is_released_or_uncertain_once_sent
    a_panic_while_forwarding_releases_the_claim
    a_settle_that_nobody_waits_for_is_settled
    a_take_that_is_cancelled_leaves_nothing_claimed
    each_destination_has_its_own_claim
    another_body_is_still_a_duplicate_and_told_apart
    a_copy_whose_time_is_up_is_told_so
    calls_can_be_repeated_with_the_same_fence
}

async fn a_copy_here_gets_the_winners_result(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let copy = Ask::event("1").one(&world.here).await.in_flight();
    let late_copy = Ask::event("1").one(&world.here).await.in_flight();
    let waiting = tokio::spawn(copy.wait(WITHIN));
    claim.delivered(Arc::new(7)).await;
    assert!(matches!(waiting.await.unwrap(), Some(Ok(result)) if *result == 7));
    assert!(matches!(late_copy.wait(WITHIN).await, Some(Ok(result)) if *result == 7));
    assert_eq!(word(&Ask::event("1").one(&world.here).await), "delivered");
}

async fn a_copy_on_another_instance_learns_that_it_was_delivered(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let waiting = tokio::spawn(Ask::event("1").one(&world.there).await.in_flight().wait(WITHIN));
    claim.delivered(Arc::new(7)).await;
    let since = world.clock.wall();
    assert!(
        matches!(waiting.await.unwrap(), Some(Err(Standing::Delivered { since: at, .. })) if at == since)
    );
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "delivered");
}

async fn forty_copies_over_two_instances_are_forwarded_once(world: World) {
    let forwarded = Arc::new(AtomicUsize::new(0));
    let copies: Vec<_> = (0..40)
        .map(|number| {
            let claims = if number % 2 == 0 { &world.here } else { &world.there };
            let (claims, forwarded) = (Arc::clone(claims), Arc::clone(&forwarded));
            tokio::spawn(async move {
                match Ask::event("1").one(&claims).await {
                    Hold::Won(claim) => {
                        forwarded.fetch_add(1, Ordering::SeqCst);
                        claim.sent();
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        claim.delivered(Arc::new(7)).await;
                        "ok"
                    }
                    Hold::Delivered { .. } => "ok",
                    Hold::InFlight(waiter) => match waiter.wait(WITHIN).await {
                        Some(Ok(_) | Err(Standing::Delivered { .. })) => "ok",
                        _ => "another outcome",
                    },
                    other => word(&other),
                }
            })
        })
        .collect();
    for copy in copies {
        assert_eq!(copy.await.unwrap(), "ok");
    }
    assert_eq!(forwarded.load(Ordering::SeqCst), 1);
}

async fn a_delivered_event_is_known_through_its_ttl_and_hits_do_not_renew_it(world: World) {
    deliver(&world.here, Ask::event("1")).await;
    let since = world.clock.wall();
    world.pass(TTL.saturating_sub(MOMENT)).await;
    for claims in [&world.here, &world.there] {
        let hold = Ask::event("1").one(claims).await;
        assert!(
            matches!(hold, Hold::Delivered { since: at, same_body: true } if at == since),
            "a moment before its ttl is over it is {}",
            word(&hold)
        );
    }
    world.pass(MOMENT).await;
    if !world.kind.is_server() {
        // There, a little real time has passed as well.
        assert_eq!(word(&Ask::event("1").look().one(&world.here).await), "delivered");
    }
    world.pass(MILLI).await;
    assert_eq!(word(&Ask::event("1").look().one(&world.there).await), "absent");
    assert_eq!(word(&Ask::event("1").one(&world.here).await), "won");
}

async fn a_released_event_is_forwarded_again_and_its_copies_are_not_forwarded_in_its_place(
    world: World,
) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let here = Ask::event("1").one(&world.here).await.in_flight();
    let there = Ask::event("1").one(&world.there).await.in_flight();
    claim.released("upstream_error 500", Arc::new(5)).await;
    assert!(matches!(here.wait(WITHIN).await, Some(Ok(result)) if *result == 5));
    match there.wait(WITHIN).await {
        Some(Err(Standing::Released { note })) if world.kind.is_server() => {
            assert_eq!(note, "upstream_error 500");
        }
        Some(Err(Standing::Released { note })) => assert_eq!(note, ""),
        other => panic!("{other:?}"),
    }
    assert_eq!(word(&Ask::event("1").look().one(&world.there).await), "absent");
    deliver(&world.there, Ask::event("1")).await;
    assert_eq!(word(&Ask::event("1").one(&world.here).await), "delivered");
}

async fn an_uncertain_event_is_refused_for_its_hold_and_then_absent(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let there = Ask::event("1").one(&world.there).await.in_flight();
    claim.sent();
    claim.uncertain("upstream_timeout", Arc::new(4)).await;
    let heard = there.wait(WITHIN).await;
    assert!(
        matches!(&heard, Some(Err(Standing::Uncertain { note, .. })) if note == "upstream_timeout"),
        "{heard:?}"
    );
    world.pass(HOLD.saturating_sub(MOMENT)).await;
    for claims in [&world.here, &world.there] {
        match Ask::event("1").one(claims).await {
            Hold::Uncertain { left } => {
                assert!(left <= MOMENT && left > MOMENT / 2, "{left:?}");
            }
            other => panic!("{}", word(&other)),
        }
    }
    world.pass(MOMENT).await;
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "won");
}

async fn a_claim_left_behind_lapses_with_its_lease(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    world.pass(LEASE.saturating_sub(MOMENT)).await;
    for claims in [&world.here, &world.there] {
        assert_eq!(word(&Ask::event("1").one(claims).await), "in flight");
    }
    world.pass(MOMENT).await;
    let next = Ask::event("1").one(&world.here).await.won();
    next.delivered(Arc::new(1)).await;
    // The one that was thought dead wakes up.
    claim.released("", Arc::new(2)).await;
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "delivered");
}

async fn a_late_settle_with_an_old_fence_changes_nothing(world: World) {
    let (store, key) =
        (world.here.store(), ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()));
    let (old, new) = (Fence(1), Fence(2));
    let target = Target { key, alias: None, lease: LEASE, ttl: TTL };
    let delivered = Verdict::Delivered { fingerprint: 3, ttl: TTL };
    let uncertain = Verdict::Uncertain { hold: HOLD, note: String::new() };
    let released = Verdict::Released { note: String::new() };
    let verdicts = [&delivered, &uncertain, &released];
    let claim =
        async |fence| store.claim(&[target], fence, Intent::Claim, WITHIN).await.unwrap().remove(0);
    let look =
        async || store.claim(&[target], Fence(0), Intent::Look, WITHIN).await.unwrap().remove(0);

    assert_eq!(claim(old).await, Standing::Claimed);
    world.pass(LEASE).await;
    assert_eq!(claim(new).await, Standing::Claimed);
    for verdict in verdicts {
        assert_eq!(store.settle(key, old, verdict, WITHIN).await.unwrap(), Settled::Stale);
        assert!(matches!(look().await, Standing::InFlight { .. }), "after {verdict:?}");
    }
    assert_eq!(store.settle(key, new, &uncertain, WITHIN).await.unwrap(), Settled::Applied);
    for verdict in [&delivered, &released] {
        assert_eq!(store.settle(key, old, verdict, WITHIN).await.unwrap(), Settled::Stale);
        assert!(matches!(look().await, Standing::Uncertain { .. }), "after {verdict:?}");
    }
    world.pass(HOLD).await;
    let newest = Fence(3);
    assert_eq!(claim(newest).await, Standing::Claimed);
    assert_eq!(store.settle(key, newest, &delivered, WITHIN).await.unwrap(), Settled::Applied);
    for verdict in [&uncertain, &released] {
        assert_eq!(store.settle(key, new, verdict, WITHIN).await.unwrap(), Settled::Stale);
        assert!(matches!(look().await, Standing::Delivered { fingerprint: 3, .. }));
    }
}

async fn a_late_delivery_of_a_lapsed_claim_is_remembered(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    world.pass(LEASE + MOMENT).await;
    claim.delivered(Arc::new(1)).await;
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "delivered");
}

async fn a_dropped_claim_is_released_or_uncertain_once_sent(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let copy = Ask::event("1").one(&world.here).await.in_flight();
    drop(claim);
    assert!(matches!(copy.wait(WITHIN).await, Some(Err(Standing::Released { .. }))));
    let claim = soon_won(&world.there, Ask::event("1")).await;
    claim.sent();
    let copy = Ask::event("1").one(&world.there).await.in_flight();
    drop(claim);
    assert!(matches!(copy.wait(WITHIN).await, Some(Err(Standing::Uncertain { .. }))));
    assert_eq!(word(&Ask::event("1").one(&world.here).await), "uncertain");
}

async fn a_panic_while_forwarding_releases_the_claim(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let task = tokio::spawn(async move {
        let _held = claim;
        std::panic::resume_unwind(Box::new("a forwarder that panics"));
    });
    assert!(task.await.unwrap_err().is_panic());
    drop(soon_won(&world.there, Ask::event("1")).await);
}

async fn a_settle_that_nobody_waits_for_is_settled(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let copy = Ask::event("1").one(&world.here).await.in_flight();
    {
        let mut settling = Box::pin(claim.delivered(Arc::new(9)));
        let _ = futures_poll_once(settling.as_mut()).await;
    }
    assert!(matches!(copy.wait(WITHIN).await, Some(Ok(result)) if *result == 9));
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "delivered");
}

async fn a_take_that_is_cancelled_leaves_nothing_claimed(world: World) {
    for round in 0..20 {
        let id = round.to_string();
        {
            let mut taking = Box::pin(Ask::event(&id).to(&["erp", "crm"]).all(&world.here));
            let _ = futures_poll_once(taking.as_mut()).await;
        }
        drop(soon_won(&world.there, Ask::event(&id)).await);
        drop(soon_won(&world.here, Ask::event(&id).to(&["crm"])).await);
    }
}

async fn each_destination_has_its_own_claim(world: World) {
    let both = Ask::event("1").to(&["erp", "crm"]);
    let mut holds = both.all(&world.here).await.unwrap().into_iter();
    let (erp, crm) = (holds.next().unwrap().won(), holds.next().unwrap().won());
    erp.delivered(Arc::new(1)).await;
    crm.released("", Arc::new(2)).await;
    let mut holds = both.all(&world.there).await.unwrap().into_iter();
    assert_eq!(word(&holds.next().unwrap()), "delivered");
    holds.next().unwrap().won().delivered(Arc::new(3)).await;
    let holds = both.look().all(&world.here).await.unwrap();
    assert_eq!(holds.iter().map(word).collect::<Vec<_>>(), ["delivered", "delivered"]);
}

async fn another_body_is_still_a_duplicate_and_told_apart(world: World) {
    let claim = Ask::event("1").body(1).one(&world.here).await.won();
    let same = Ask::event("1").body(1).one(&world.here).await.in_flight();
    let other = Ask::event("1").body(2).one(&world.here).await.in_flight();
    assert_eq!((same.same_body(), other.same_body()), (Some(true), Some(false)));
    claim.delivered(Arc::new(1)).await;
    for claims in [&world.here, &world.there] {
        assert_eq!(word(&Ask::event("1").body(1).one(claims).await), "delivered");
        assert_eq!(word(&Ask::event("1").body(2).one(claims).await), "delivered, another body");
    }
}

async fn a_copy_whose_time_is_up_is_told_so(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    for claims in [&world.here, &world.there] {
        let copy: Waiter<Result> = Ask::event("1").one(claims).await.in_flight();
        let heard = copy.wait(Duration::from_millis(60)).await;
        assert!(heard.is_none(), "{heard:?}");
    }
    drop(claim);
}

async fn calls_can_be_repeated_with_the_same_fence(world: World) {
    let (store, key) =
        (world.here.store(), ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()));
    let target = Target { key, alias: None, lease: LEASE, ttl: TTL };
    for _ in 0..2 {
        let standings = store.claim(&[target], Fence(5), Intent::Claim, WITHIN).await.unwrap();
        assert_eq!(standings, [Standing::Claimed]);
    }
    let verdict = Verdict::Delivered { fingerprint: 3, ttl: TTL };
    for _ in 0..2 {
        store.settle(key, Fence(5), &verdict, WITHIN).await.unwrap();
    }
    let standings = store.claim(&[target], Fence(6), Intent::Claim, WITHIN).await.unwrap();
    assert!(matches!(standings[..], [Standing::Delivered { fingerprint: 3, .. }]));
}

async fn deliver(claims: &Arc<Claims<Result>>, ask: Ask<'_>) {
    let claim = ask.one(claims).await.won();
    claim.sent();
    claim.delivered(Arc::new(1)).await;
}

/// What is released behind the scenes is won a little later.
async fn soon_won(claims: &Arc<Claims<Result>>, ask: Ask<'_>) -> hookward_claims::Claim<Result> {
    for _ in 0..500 {
        match ask.one(claims).await {
            Hold::Won(claim) => return claim,
            Hold::InFlight(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            other => panic!("{}", word(&other)),
        }
    }
    panic!("still in flight")
}

/// Polls a future once and gives up on it.
async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> bool {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut future).poll(context);
        std::task::Poll::Ready(polled.is_ready())
    })
    .await
}

#[tokio::test]
async fn expired_ids_leave_the_memory() {
    let world = World::new(Kind::Memory).await;
    for number in 0..100 {
        deliver(&world.here, Ask::event(&number.to_string())).await;
    }
    assert_eq!(world.here.store().entries(WITHIN).await.unwrap(), 100);
    world.pass(TTL + MOMENT).await;
    assert_eq!(world.here.store().entries(WITHIN).await.unwrap(), 0);
}
