//! A server that answers, but does not do what a delivery needs.

use super::{claims, deliver, deliver_soon, open};
use crate::postgres_server::PostgresServer;
use crate::world::{Ask, Result, WITHIN, word};
use hookward_claims::{Claims, Health};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Health says so, and a delivery is refused, until `remedy` was done.
async fn refuses(claims: &Arc<Claims<Result>>, why: &str, remedy: impl FnOnce()) {
    let mut fault = String::new();
    for _ in 0..100 {
        fault = claims.health(WITHIN).await.err().map(|e| e.to_string()).unwrap_or_default();
        if fault.contains(why) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(fault.contains(why), "{why}: {fault}");
    assert!(fault.starts_with("the postgres store at 127.0.0.1:"), "{fault}");
    assert!(Ask::event("refused").all(claims).await.is_err(), "{why}");
    remedy();
    deliver_soon(claims, "refused").await;
    let ready = async {
        while claims.health(WITHIN).await != Ok(Health::Good) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ready).await.expect(why);
}

#[tokio::test]
async fn a_standby_is_not_ready_until_it_is_the_primary() {
    let primary = PostgresServer::start_with(&[]);
    let url = primary.database();
    deliver(&claims(&url).await, Ask::event("before")).await;
    let source = format!("host=127.0.0.1 port={} user=postgres", primary.port());
    let standby = PostgresServer::prepare(&[&format!("primary_conninfo={source}")], |data| {
        std::fs::remove_dir_all(data).unwrap();
        let bin = PostgresServer::program("pg_basebackup");
        let done = Command::new(bin).args(["-d", &source, "-c", "fast", "-D"]).arg(data).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        std::fs::write(data.join("standby.signal"), "").unwrap();
    });
    let port = format!(":{}/", primary.port());
    let store = claims(&url.replace(&port, &format!(":{}/", standby.port()))).await;
    assert_eq!(word(&Ask::event("before").look().one(&store).await), "delivered");
    refuses(&store, "it is a standby", || {
        assert_eq!(standby.sql("postgres", "SELECT pg_promote()"), "t");
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_misses_its_standby_is_not_ready() {
    let server = PostgresServer::start_with(&[]);
    let store = claims(&server.database()).await;
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'elsewhere'");
    server.reload();
    let mut fault = String::new();
    for _ in 0..50 {
        let health = store.health(Duration::from_millis(600)).await;
        fault = health.err().map(|fault| fault.to_string()).unwrap_or_default();
        if !fault.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(fault.contains("did not answer within"), "{fault}");
    server.sql("postgres", "ALTER SYSTEM RESET ALL");
    server.reload();
    deliver_soon(&store, "1").await;
}

/// The server's own words for a disk that is full, from a trigger that says them.
#[tokio::test]
async fn a_full_disk_is_not_ready() {
    let server = PostgresServer::start_with(&[]);
    let url = server.database();
    let database = url.rsplit('/').next().unwrap().to_owned();
    let store = claims(&url).await;
    deliver(&store, Ask::event("1")).await;
    server.sql(
        &database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE 'could not extend file \"base/5/16401\": No space left on device' \
             USING ERRCODE = 'disk_full'; \
         END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON hookward.standings \
           FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    refuses(&store, "its disk is full: could not extend file", || {
        server.sql(&database, "DROP TRIGGER full_disk ON hookward.standings");
    })
    .await;
    assert_eq!(word(&Ask::event("1").one(&store).await), "delivered");
}

#[tokio::test]
async fn a_user_who_lacks_a_right_is_not_ready() {
    let server = PostgresServer::start_with(&[]);
    let admin = server.database();
    let database = admin.rsplit('/').next().unwrap().to_owned();
    server.sql(&database, "CREATE ROLE hookward LOGIN");
    let url = admin.replace("postgres@", "hookward@");
    let fault = open(&url).await.err().expect("it may not make tables").to_string();
    assert!(fault.contains("the user lacks a right"), "{fault}");
    server.sql(&database, "CREATE SCHEMA hookward AUTHORIZATION hookward");
    let store = claims(&url).await;
    deliver(&store, Ask::event("1")).await;
    server.sql(&database, "REVOKE INSERT ON hookward.standings FROM hookward");
    refuses(&store, "the user lacks a right", || {
        server.sql(&database, "GRANT INSERT ON hookward.standings TO hookward");
    })
    .await;
}

/// As docs/stores.md states them.
#[tokio::test]
async fn the_least_rights_are_enough() {
    let server = PostgresServer::start_with(&[]);
    let page = include_str!("../../../../../docs/stores.md");
    for line in page.lines().filter(|line| line.ends_with("-- for Hookward")) {
        let database = if line.starts_with("CREATE SCHEMA") { "hookward" } else { "postgres" };
        server.sql(database, line);
    }
    let store = claims(&format!("postgres://hookward@127.0.0.1:{}/hookward", server.port())).await;
    assert_eq!(store.health(WITHIN).await, Ok(Health::Good));
    deliver(&store, Ask::event("1").signed("s")).await;
    assert_eq!(store.store().entries(WITHIN).await, Ok(1));
    store.forget(&"shop".into(), &"1".into(), &["erp".into()], WITHIN).await.unwrap();
    assert_eq!(
        server.sql("hookward", "SELECT rolsuper FROM pg_roles WHERE rolname = 'hookward'"),
        "f"
    );
}

#[tokio::test]
async fn a_trial_is_no_event() {
    let server = PostgresServer::shared();
    let url = tokio::task::spawn_blocking(move || server.database()).await.unwrap();
    let store = claims(&url).await;
    for _ in 0..20 {
        assert_eq!(store.health(WITHIN).await, Ok(Health::Good));
        assert_eq!(store.store().entries(WITHIN).await, Ok(0));
    }
}
