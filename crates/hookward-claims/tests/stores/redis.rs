//! Stress tests of a store on the network.

mod monitor;
mod setting_up;
mod states;

use crate::again::{again, role};
use crate::hop::Hop;
use crate::redis_server::RedisServer;
use crate::world::{
    Ask, Ending, Expect, HOLD, Kind, LEASE, Result, TTL, WITHIN, World, open_redis, settle,
    the_clocks_do_not_matter, word,
};
use hookward_claims::{
    ClaimKey, ClaimStore, Claims, Fence, Health, Hold, Intent, RedisStore, Standing, StoreError,
    Target, Verdict,
};
use hookward_secret::Secret;
use hookward_time::{Clock, SystemClock};
use monitor::Monitor;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(300);
const STANDSTILL: Duration = Duration::from_secs(3);

async fn open(url: &str) -> std::result::Result<RedisStore, StoreError> {
    let url = Secret::from(url.to_owned());
    RedisStore::open(&url, None, "hookward:", Arc::new(SystemClock::new()), WITHIN).await
}

async fn claims(url: &str) -> Arc<Claims<Result>> {
    Claims::new(Arc::new(open(url).await.unwrap()), Arc::new(SystemClock::new()))
}

#[tokio::test]
async fn a_delivery_costs_one_round_trip_to_claim_and_one_to_settle() {
    let server = RedisServer::start().await;
    let claims = claims(&server.url()).await;
    // The first of each script sends it.
    deliver(&claims, Ask::event("first")).await;
    let mut commands = Monitor::on(&server).await;
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
    let seen = commands.up_to_marker(&server).await;
    assert_eq!(seen.len(), 20 * 5, "{seen:#?}");
    assert!(seen.iter().all(|command| command.contains("\"EVALSHA\"")), "{seen:#?}");
}

#[tokio::test]
async fn copies_of_one_process_cost_the_server_nothing() {
    let server = RedisServer::start().await;
    let claims = claims(&server.url()).await;
    deliver(&claims, Ask::event("first")).await;
    let mut commands = Monitor::on(&server).await;
    let claim = Ask::event("1").one(&claims).await.won();
    let mut copies = Vec::new();
    for _ in 0..40 {
        copies.push(tokio::spawn(Ask::event("1").one(&claims).await.in_flight().wait(WITHIN)));
    }
    claim.delivered(Arc::new(1)).await;
    for copy in copies {
        assert!(matches!(copy.await.unwrap(), Some(Ok(_))));
    }
    assert_eq!(commands.up_to_marker(&server).await.len(), 2);
}

#[tokio::test]
async fn everything_that_is_written_expires() {
    let world = World::new(Kind::Redis).await;
    let server = world.redis();
    deliver(&world.here, Ask::event("delivered").signed("s")).await;
    let held = Ask::event("in flight").signed("t").one(&world.here).await.won();
    for (id, ending) in [("uncertain", Ending::Uncertain), ("released", Ending::Released)] {
        let claim = Ask::event(id).signed(id).one(&world.here).await.won();
        settle(claim, ending, "note", 1).await;
    }
    let mut connection = server.connection().await;
    let keys: Vec<String> =
        ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 8);
    for key in keys {
        assert!(key.starts_with("hookward:"), "{key}");
        let left: i64 = ::redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(left > 0, "{key} never expires");
    }
    drop(held);
}

#[tokio::test]
async fn the_clocks_of_the_instances_do_not_matter() {
    let server = RedisServer::start().await;
    let url = server.url();
    the_clocks_do_not_matter(async |clock| open_redis(&url, clock).await).await;
}

#[tokio::test]
async fn a_server_that_stands_still_for_three_seconds_holds_nobody_up_and_nothing_is_lost() {
    let server = RedisServer::start().await;
    let (here, there) = (claims(&server.url()).await, claims(&server.url()).await);
    let delivered = Ask::event("delivered meanwhile").one(&here).await.won();
    let uncertain = Ask::event("of unknown fate").one(&here).await.won();
    server.freeze();
    let frozen = Instant::now();

    let refused = Ask { within: SHORT, ..Ask::event("new") }.all(&here).await.err().unwrap();
    let expected =
        format!("the redis store at 127.0.0.1:{} did not answer within 300 ms", server.port());
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
    let mut server = RedisServer::start().await;
    let claims = claims(&server.url()).await;
    deliver(&claims, Ask::event("1")).await;
    server.kill();
    for _ in 0..3 {
        let began = Instant::now();
        assert!(Ask::event("2").all(&claims).await.is_err());
        assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
        assert!(claims.health(WITHIN).await.is_err());
    }
    server.restart().await;
    deliver_soon(&claims, "2").await;
    // What was found out in the last second counts.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(claims.health(WITHIN).await.unwrap(), Health::Good);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_delivery() {
    let server = RedisServer::start().await;
    let claims = claims(&server.url()).await;
    for round in 0..5 {
        let mut connection = server.connection().await;
        let _killed: i64 = ::redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query_async(&mut connection)
            .await
            .unwrap();
        deliver(&claims, Ask::event(&round.to_string())).await;
    }
    assert_eq!(claims.store().counters().errors(), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    let server = RedisServer::start().await;
    let hop = Hop::to(server.port()).await;
    let claims = claims(&hop.url()).await;
    deliver(&claims, Ask::event("first")).await;
    hop.cut_next_answer();
    let claim = Ask::event("1").one(&claims).await.won();
    hop.cut_next_answer();
    claim.delivered(Arc::new(1)).await;
    assert_eq!(word(&Ask::event("1").one(&claims).await), "delivered");
    assert_eq!(claims.store().counters().errors(), 0);
}

#[tokio::test]
async fn a_slow_network_delays_but_does_not_break() {
    let server = RedisServer::start().await;
    let hop = Hop::to(server.port()).await;
    let (slow, quick) = (claims(&hop.url()).await, claims(&server.url()).await);
    hop.delay(Duration::from_millis(150));
    let claim = Ask::event("1").one(&slow).await.won();
    let copy = tokio::spawn(Ask::event("1").one(&quick).await.in_flight().wait(WITHIN));
    let slow_copy = Ask::event("1").one(&slow).await.in_flight();
    claim.delivered(Arc::new(1)).await;
    assert!(matches!(copy.await.unwrap(), Some(Err(Standing::Delivered { .. }))));
    assert!(matches!(slow_copy.wait(WITHIN).await, Some(Ok(_))));

    // Too slow for this sender: refused in time, and nothing stays claimed.
    let mut commands = Monitor::on(&server).await;
    hop.delay(Duration::from_secs(1));
    let began = Instant::now();
    let hurried = Ask { within: Duration::from_millis(100), ..Ask::event("2") };
    assert!(hurried.all(&slow).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Its claim is still on the way, and so is the word that calls it off, behind it.
    let key = ClaimKey::of(&"shop".into(), &"2".into(), &"erp".into());
    let done = |verb: &str| format!(" lua] \"{verb}\" \"hookward:event:{key}\"");
    for verb in ["SET", "DEL"] {
        let seen = commands.until(|command| command.contains(&done(verb)));
        tokio::time::timeout(WITHIN, seen).await.expect(verb);
    }
    deliver(&quick, Ask::event("2")).await;
}

#[tokio::test]
async fn after_a_failover_the_new_primary_is_found() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let hop = Hop::to(old.port()).await;
    let claims = claims(&hop.url()).await;
    deliver(&claims, Ask::event("1")).await;
    let mut connection = old.connection().await;
    let port = new.port().to_string();
    let () = ::redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", &port])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(Ask::event("2").all(&claims).await.is_err(), "a replica takes no claims");
    // The old one lives on, as a replica; the name leads to the new one.
    hop.lead_to(new.port());
    deliver_soon(&claims, "2").await;
}

#[tokio::test]
async fn a_password_is_used_and_never_said() {
    let server = RedisServer::start_with(&["--requirepass", "hunter2-hunter2"]).await;
    let host = format!("127.0.0.1:{}", server.port());
    let right = claims(&format!("redis://:hunter2-hunter2@{host}/0")).await;
    deliver(&right, Ask::event("1")).await;
    for url in [
        format!("redis://:hunter3-hunter3@{host}/0"),
        format!("redis://{host}/0"),
        "redis://:hunter2-hunter2@127.0.0.1:1/0".to_owned(),
        "http://:hunter2-hunter2@127.0.0.1:1/0".to_owned(),
        "hunter2-hunter2".to_owned(),
    ] {
        let refusal = open(&url).await.err().unwrap().to_string();
        assert!(refusal.starts_with("the redis store "), "{refusal}");
        assert!(!refusal.contains("hunter"), "{refusal}");
    }
}

#[test]
fn a_connection_can_be_encrypted() {
    const TEST: &str = "redis::a_connection_can_be_encrypted";
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(url) = role() {
        runtime.block_on(async { deliver(&claims(&url).await, Ask::event("1")).await });
        println!("went well");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = runtime.block_on(RedisServer::start_with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
    ]));
    let mut believing = again(TEST, &format!("rediss://localhost:{tls_port}/0"));
    let output = believing.env("SSL_CERT_FILE", file("cert.pem")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("went well"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // Who does not know the certificate does not talk to it.
    let refused = runtime.block_on(open(&format!("rediss://localhost:{tls_port}/0")));
    assert!(refused.is_err());
    drop(server);
}

#[tokio::test]
async fn a_server_that_may_forget_claims_is_reported() {
    let server =
        RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"])
            .await;
    let claims = claims(&server.url()).await;
    match claims.health(WITHIN).await.unwrap() {
        Health::Degraded(why) => assert!(why.contains("maxmemory-policy is allkeys-lru"), "{why}"),
        Health::Good => panic!("allkeys-lru forgets claims"),
    }
}

#[tokio::test]
async fn a_value_of_somebody_else_is_an_error_and_is_left_alone() {
    let server = RedisServer::start().await;
    let store = open(&server.url()).await.unwrap();
    let key = ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into());
    let name = format!("hookward:event:{key}");
    let mut connection = server.connection().await;
    let () = ::redis::cmd("SET")
        .arg(&[&name, "something else"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let target = Target { key, alias: None, lease: LEASE, ttl: TTL };
    let claim = store.claim(&[target], Fence(1), Intent::Claim, WITHIN).await;
    assert!(claim.unwrap_err().to_string().contains("not ours"));
    let value: String = ::redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
    assert_eq!(value, "something else");
}

#[tokio::test]
async fn prefixes_keep_installations_apart() {
    let server = RedisServer::start().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let url = Secret::from(server.url());
    let store = RedisStore::open(&url, None, "other:", Arc::clone(&clock), WITHIN).await.unwrap();
    let other: Arc<Claims<Result>> = Claims::new(Arc::new(store), clock);
    let claims = claims(&server.url()).await;
    deliver(&claims, Ask::event("1")).await;
    deliver(&other, Ask::event("1")).await;
}

#[tokio::test]
async fn only_what_is_ours_is_counted_on_a_shared_server() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    let mut fill = ::redis::pipe();
    for number in 0..3_000 {
        fill.cmd("SET").arg(format!("other:event:{number}")).arg("x").ignore();
    }
    fill.exec_async(&mut connection).await.unwrap();
    let claims = claims(&server.url()).await;
    assert_eq!(claims.store().entries(WITHIN).await.unwrap(), 0);
    for number in 0..25 {
        let id = number.to_string();
        deliver(&claims, Ask::event(&id).signed(&id)).await;
    }
    assert_eq!(claims.store().entries(WITHIN).await.unwrap(), 25, "aliases are no events");
}

#[tokio::test]
async fn a_note_may_hold_anything_and_is_cut() {
    let server = RedisServer::start().await;
    let store = open(&server.url()).await.unwrap();
    let target = Target {
        key: ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()),
        alias: None,
        lease: LEASE,
        ttl: TTL,
    };
    for (fence, note) in [" a  b ", "é\n\"'", "", &"ü".repeat(1000)].into_iter().enumerate() {
        let fence = Fence(fence as u64);
        store.claim(&[target], fence, Intent::Claim, WITHIN).await.unwrap();
        let verdict = Verdict::Uncertain { hold: HOLD, note: note.to_owned() };
        store.settle(target.key, fence, &verdict, WITHIN).await.unwrap();
        let expected: String = note.chars().take(256).collect();
        match store.forget(target.key, WITHIN).await.unwrap() {
            Standing::Uncertain { note, .. } => assert_eq!(note, expected),
            other => panic!("{other:?}"),
        }
    }
}

async fn deliver(claims: &Arc<Claims<Result>>, ask: Ask<'_>) {
    let claim = ask.one(claims).await.won();
    claim.delivered(Arc::new(1)).await;
}

/// Delivers like a sender: retries until it is accepted.
async fn deliver_soon(claims: &Arc<Claims<Result>>, id: &str) {
    for _ in 0..500 {
        match Ask::event(id).all(claims).await.map(|mut holds| holds.remove(0)) {
            Ok(Hold::Won(claim)) => return claim.delivered(Arc::new(1)).await,
            Ok(Hold::InFlight(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Ok(other) => panic!("{}", word(&other)),
        }
    }
    panic!("not taken in five seconds")
}

/// The state of an event once it is no longer in flight.
async fn soon_known(claims: &Arc<Claims<Result>>, id: &str) -> Hold<Result> {
    for _ in 0..500 {
        match Ask::event(id).look().one(claims).await {
            Hold::InFlight(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            hold => return hold,
        }
    }
    panic!("in flight for five seconds")
}
