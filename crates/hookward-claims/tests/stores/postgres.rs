//! Stress tests of a database on the network.

mod setting_up;
mod states;
mod tables;

use crate::hop::Hop;
use crate::postgres_server::PostgresServer;
use crate::world::{
    Ask, Expect, Result, WITHIN, new_database, open_postgres, the_clocks_do_not_matter, word,
};
use hookward_claims::{
    ClaimKey, ClaimStore, Claims, Fence, Health, Hold, Intent, PostgresStore, Settled, Standing,
    StoreError, Target, Verdict,
};
use hookward_secret::Secret;
use hookward_time::SystemClock;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(300);
const STANDSTILL: Duration = Duration::from_secs(3);

async fn open(url: &str) -> std::result::Result<PostgresStore, StoreError> {
    let url = Secret::from(url.to_owned());
    PostgresStore::open(&url, None, Arc::new(SystemClock::new()), WITHIN).await
}

async fn claims(url: &str) -> Arc<Claims<Result>> {
    Claims::new(Arc::new(open(url).await.unwrap()), Arc::new(SystemClock::new()))
}

/// The same database by way of a hop.
fn by(hop: &Hop, url: &str, port: u16) -> String {
    url.replace(&format!(":{port}"), &format!(":{}", hop.port()))
}

fn target(id: &str) -> Target {
    let key = ClaimKey::of(&"shop".into(), &id.into(), &"erp".into());
    Target { key, alias: None, lease: Duration::from_secs(40), ttl: Duration::from_hours(96) }
}

#[tokio::test]
async fn a_delivery_costs_one_round_trip_to_claim_and_one_to_settle() {
    let server = PostgresServer::start_with(&["log_statement=all"]);
    let claims = claims(&server.database()).await;
    // What starts the store and makes partitions is over after the first.
    deliver(&claims, Ask::event("first")).await;
    tokio::time::sleep(SHORT).await;
    let calls = || server.log().lines().filter(|line| line.contains("LOG:  execute")).count();
    let before = calls();
    for number in 0..20 {
        let id = number.to_string();
        let to = ["erp", "crm", "bi"];
        let holds = Ask::event(&id).signed(&id).to(&to).all(&claims).await.unwrap();
        for hold in holds {
            hold.won().delivered(Arc::new(1)).await;
        }
        assert_eq!(word(&Ask::event(&id).one(&claims).await), "delivered");
    }
    // Per event: one claim for three destinations, three settles, one claim that finds it known.
    assert_eq!(calls() - before, 20 * 5);
}

#[tokio::test]
async fn the_clocks_of_the_instances_do_not_matter() {
    let url = new_database().await;
    the_clocks_do_not_matter(async |clock| open_postgres(&url, clock).await).await;
}

#[tokio::test]
async fn a_server_that_stands_still_for_three_seconds_holds_nobody_up_and_nothing_is_lost() {
    let server = PostgresServer::start_with(&[]);
    let url = server.database();
    let (here, there) = (claims(&url).await, claims(&url).await);
    let delivered = Ask::event("delivered meanwhile").one(&here).await.won();
    let uncertain = Ask::event("of unknown fate").one(&here).await.won();
    server.freeze();
    let frozen = Instant::now();

    let refused = Ask { within: SHORT, ..Ask::event("new") }.all(&here).await.err().unwrap();
    let expected =
        format!("the postgres store at 127.0.0.1:{} did not answer within 300 ms", server.port());
    assert_eq!(refused.to_string(), expected);
    assert!(frozen.elapsed() < STANDSTILL, "{:?}", frozen.elapsed());
    delivered.delivered(Arc::new(1)).await;
    uncertain.uncertain("", Arc::new(1)).await;
    // This process knows, whatever the server does.
    assert_eq!(word(&Ask::event("delivered meanwhile").one(&here).await), "delivered");
    assert_eq!(word(&Ask::event("of unknown fate").one(&here).await), "uncertain");
    assert!(here.store().counters().errors() >= 3);

    tokio::time::sleep_until(frozen + STANDSTILL).await;
    server.thaw();
    assert_eq!(word(&soon_known(&there, "delivered meanwhile").await), "delivered");
    assert_eq!(word(&soon_known(&there, "of unknown fate").await), "uncertain");
    // The claim that was given up is called off, so the sender's retry is forwarded.
    deliver_soon(&there, "new").await;
}

#[tokio::test]
async fn a_server_that_went_away_is_used_again_once_it_is_back() {
    let mut server = PostgresServer::start_with(&[]);
    let claims = claims(&server.database()).await;
    deliver(&claims, Ask::event("1")).await;
    for end in [PostgresServer::kill, PostgresServer::stop] {
        end(&mut server);
        for _ in 0..3 {
            let began = Instant::now();
            assert!(Ask::event("2").all(&claims).await.is_err());
            assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
            assert!(claims.health(WITHIN).await.is_err());
        }
        server.restart();
        let id = format!("after {}", server.log().len());
        deliver_soon(&claims, &id).await;
        assert_eq!(word(&Ask::event("1").one(&claims).await), "delivered", "it was kept");
        // What was found out in the last second counts.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(claims.health(WITHIN).await.unwrap(), Health::Good);
    }
}

#[tokio::test]
async fn connections_that_were_closed_while_idle_cost_no_delivery() {
    let url = new_database().await;
    let claims = claims(&url).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5 {
        let many = (0..6).map(|nth| format!("{round} {nth}")).map(|id| {
            let claims = Arc::clone(&claims);
            tokio::spawn(async move { deliver(&claims, Ask::event(&id)).await })
        });
        for delivery in many.collect::<Vec<_>>() {
            delivery.await.unwrap();
        }
        crate::world::connect(&url).await.batch_execute(others).await.unwrap();
    }
    deliver(&claims, Ask::event("last")).await;
    assert_eq!(claims.store().counters().errors(), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    let (url, port) = (new_database().await, PostgresServer::shared().port());
    let hop = Hop::to(port).await;
    let claims = claims(&by(&hop, &url, port)).await;
    deliver(&claims, Ask::event("first")).await;
    tokio::time::sleep(SHORT).await;
    hop.cut_next_answer();
    let claim = Ask::event("1").one(&claims).await.won();
    hop.cut_next_answer();
    claim.delivered(Arc::new(1)).await;
    assert_eq!(word(&Ask::event("1").one(&claims).await), "delivered");
    assert_eq!(claims.store().counters().errors(), 0);
}

#[tokio::test]
async fn a_slow_network_delays_but_does_not_break() {
    let (url, port) = (new_database().await, PostgresServer::shared().port());
    let hop = Hop::to(port).await;
    let (slow, quick) = (claims(&by(&hop, &url, port)).await, claims(&url).await);
    hop.delay(Duration::from_millis(100));
    let claim = Ask::event("1").one(&slow).await.won();
    let copy = tokio::spawn(Ask::event("1").one(&quick).await.in_flight().wait(WITHIN));
    let slow_copy = Ask::event("1").one(&slow).await.in_flight();
    claim.delivered(Arc::new(1)).await;
    assert!(matches!(copy.await.unwrap(), Some(Err(Standing::Delivered { .. }))));
    assert!(matches!(slow_copy.wait(WITHIN).await, Some(Ok(_))));

    // Too slow for this sender: refused in time, and nothing stays claimed.
    hop.delay(Duration::from_secs(1));
    let began = Instant::now();
    let hurried = Ask { within: Duration::from_millis(60), ..Ask::event("2") };
    assert!(hurried.all(&slow).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    deliver_soon(&quick, "2").await;
    // Long after everything has arrived, no claim blocks anyone.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(word(&Ask::event("2").look().one(&quick).await), "delivered");
}

/// A claim and its release travel on different connections, so either may arrive first.
#[tokio::test]
async fn a_claim_that_arrives_after_it_was_called_off_takes_nothing() {
    let store = open(&new_database().await).await.unwrap();
    let (target, released) = (target("1"), Verdict::Released { note: String::new() });
    let (late, other) = (Fence(1), Fence(2));
    let claim =
        async |fence| store.claim(&[target], fence, Intent::Claim, WITHIN).await.unwrap().remove(0);
    let settle =
        async |fence, verdict| store.settle(target.key, fence, verdict, WITHIN).await.unwrap();
    assert_eq!(settle(late, &released).await, Settled::Applied);
    assert_eq!(claim(late).await, Standing::Absent);
    // Also where another claim came and went between the two.
    assert_eq!(claim(other).await, Standing::Claimed);
    assert_eq!(settle(Fence(3), &released).await, Settled::Stale);
    assert!(matches!(claim(Fence(4)).await, Standing::InFlight { .. }));
    assert_eq!(settle(other, &released).await, Settled::Applied);
    for called_off in [late, other, Fence(3)] {
        assert_eq!(claim(called_off).await, Standing::Absent, "{called_off:?}");
    }
    assert_eq!(claim(Fence(4)).await, Standing::Claimed);
}

async fn deliver(claims: &Arc<Claims<Result>>, ask: Ask<'_>) {
    let claim = ask.one(claims).await.won();
    claim.sent();
    claim.delivered(Arc::new(1)).await;
}

/// Delivers an event as soon as it can be claimed.
async fn deliver_soon(claims: &Arc<Claims<Result>>, id: &str) {
    for _ in 0..500 {
        let hold = Ask::event(id).all(claims).await.map(|mut holds| holds.remove(0));
        match hold {
            Ok(Hold::Won(claim)) => return claim.delivered(Arc::new(1)).await,
            Ok(Hold::InFlight(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(other) => panic!("{}", word(&other)),
        }
    }
    panic!("{id} could not be delivered");
}

/// The state of an event, once it is known.
async fn soon_known(claims: &Arc<Claims<Result>>, id: &str) -> Hold<Result> {
    for _ in 0..500 {
        match Ask::event(id).look().all(claims).await.map(|mut holds| holds.remove(0)) {
            Ok(Hold::InFlight(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(hold) => return hold,
        }
    }
    panic!("nothing is known of {id}");
}
