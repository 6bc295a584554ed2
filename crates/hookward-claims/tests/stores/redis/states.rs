//! Servers that answer, but do not do what a delivery needs.

use super::{Monitor, claims, deliver_soon, open};
use crate::redis_server::RedisServer;
use crate::world::{Ask, Result, WITHIN};
use hookward_claims::{Claims, Health};
use std::sync::Arc;
use std::time::Duration;

async fn ask(server: &RedisServer, command: &[&str]) {
    let mut connection = server.connection().await;
    let (name, arguments) = command.split_first().unwrap();
    let () = ::redis::cmd(name).arg(arguments).query_async(&mut connection).await.unwrap();
}

/// What readiness says is what deliveries meet: refused with `code`, and after `remedy` both well.
async fn refuses(server: &RedisServer, claims: &Arc<Claims<Result>>, code: &str, remedy: &[&str]) {
    let fault = claims.health(WITHIN).await.expect_err(code).to_string();
    assert!(fault.to_uppercase().contains(code), "{code}: {fault}");
    assert!(fault.contains(&format!("127.0.0.1:{}", server.port())), "{fault}");
    assert!(Ask::event("1").all(claims).await.is_err(), "{code}");
    ask(server, remedy).await;
    deliver_soon(claims, "1").await;
    let ready = async {
        while claims.health(WITHIN).await != Ok(Health::Good) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), ready).await.expect(code);
}

#[tokio::test]
async fn a_replica_is_not_ready_until_it_is_the_primary() {
    let primary = RedisServer::start().await;
    let port = format!("127.0.0.1 {}", primary.port());
    let server = RedisServer::start_with(&["--replicaof", &port]).await;
    let claims = claims(&server.url()).await;
    refuses(&server, &claims, "READ ONLY", &["REPLICAOF", "NO", "ONE"]).await;
}

#[tokio::test]
async fn a_primary_that_misses_its_replicas_is_not_ready() {
    let server = RedisServer::start_with(&["--min-replicas-to-write", "1"]).await;
    let claims = claims(&server.url()).await;
    let remedy = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    refuses(&server, &claims, "NOREPLICAS", &remedy).await;
}

#[tokio::test]
async fn a_full_server_is_not_ready() {
    let server = RedisServer::start_with(&["--maxmemory", "1"]).await;
    let claims = claims(&server.url()).await;
    refuses(&server, &claims, "OOM", &["CONFIG", "SET", "maxmemory", "0"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_do_what_a_delivery_needs_is_not_ready() {
    for (rules, code) in [
        (&["~*", "+@all", "-@scripting"][..], "NOPERM"),
        (&["~other:*", "+@all"], "NOPERM"),
        (&["~hookward:*", "+@all", "-set"], "CAN'T RUN THIS COMMAND"),
        (&["%R~hookward:*", "+@all"], "NOPERM"),
    ] {
        let server = RedisServer::start().await;
        let user = [&["ACL", "SETUSER", "hookward", "on", ">pass"][..], rules].concat();
        ask(&server, &user).await;
        let url = server.url().replace("redis://", "redis://hookward:pass@");
        let claims = claims(&url).await;
        let remedy = ["ACL", "SETUSER", "hookward", "~*", "+@all"];
        refuses(&server, &claims, code, &remedy).await;
    }
}

/// As docs/stores.md states them.
#[tokio::test]
async fn the_least_rights_are_enough() {
    let server = RedisServer::start().await;
    let page = include_str!("../../../../../docs/stores.md");
    let rules = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER hookward "));
    let rules: Vec<&str> = rules.expect("the page states them").split(' ').collect();
    ask(&server, &[&["ACL", "SETUSER", "hookward"][..], &rules].concat()).await;
    let claims = claims(&server.url().replace("redis://", "redis://hookward:password@")).await;
    assert_eq!(claims.health(WITHIN).await, Ok(Health::Good));
    deliver_soon(&claims, "1").await;
    assert_eq!(claims.store().entries(WITHIN).await, Ok(1));
    claims.forget(&"shop".into(), &"1".into(), &["erp".into()], WITHIN).await.unwrap();
}

#[tokio::test]
async fn a_node_of_a_cluster_is_refused() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]).await;
    let fault = open(&server.url()).await.err().expect("a cluster does not serve").to_string();
    let at = format!("the redis store at 127.0.0.1:{} runs in cluster mode", server.port());
    assert!(fault.starts_with(&at), "{fault}");
}

#[tokio::test]
async fn a_trial_is_no_event_and_is_made_once_a_second_at_most() {
    let server = RedisServer::start().await;
    let claims = claims(&server.url()).await;
    let mut commands = Monitor::on(&server).await;
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(claims.health(WITHIN).await, Ok(Health::Good));
        assert_eq!(claims.store().entries(WITHIN).await, Ok(0));
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let seen = commands.up_to_marker(&server).await;
    let settled = seen.iter().filter(|command| command.contains(":event:trial-"));
    // One claim of two keys and two settles, each sent twice where the script is new.
    assert!(settled.count() <= (seconds + 1) * 5, "{seen:#?}");
    let mut connection = server.connection().await;
    let keys: Vec<String> =
        ::redis::cmd("KEYS").arg("*:event:*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys, [""; 0]);
    // One that another process is at does not count either.
    ask(&server, &["SET", "hookward:event:trial-1", "f 1 1", "PX", "1000"]).await;
    assert_eq!(claims.store().entries(WITHIN).await, Ok(0));
}
