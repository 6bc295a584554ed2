//! The tables: versions, partitions, and transactions of other sessions.

use super::{SHORT, claims, deliver, deliver_soon, open, target};
use crate::postgres_server::PostgresServer;
use crate::world::{Ask, Expect, WITHIN, connect, new_database, word};
use hookward_claims::{ClaimKey, ClaimStore, Fence, Health, Intent, Settled, Standing, Verdict};
use std::time::Duration;
use tokio::time::Instant;

async fn sql(url: &str, text: &str) -> String {
    let rows = connect(url).await.simple_query(text).await.unwrap();
    let first = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    first.unwrap_or_default()
}

#[tokio::test]
async fn instances_that_start_at_once_set_the_tables_up_once() {
    let url = new_database().await;
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    assert_eq!(
        sql(&url, "SELECT count(*) || ' ' || max(version) FROM hookward.schema").await,
        "1 3"
    );
}

#[tokio::test]
async fn tables_of_version_1_are_brought_up_to_date_and_forget_nothing() {
    let url = new_database().await;
    let first = include_str!("../../../src/postgres/schema/1.sql");
    let made = "CREATE SCHEMA hookward; CREATE TABLE hookward.schema (version integer, works_for integer); \
                INSERT INTO hookward.schema VALUES (1, 1);";
    connect(&url).await.batch_execute(&format!("{made} {first}")).await.unwrap();
    let key = ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()).to_string();
    let deliver = format!("SELECT hookward.settle('{key}', 7, 'd', 0, 0, 600000, '', 1000)");
    sql(&url, &deliver).await;
    // A connection of the earlier version, which goes on.
    let earlier = connect(&url).await;
    let claim = "SELECT count(stood) FROM hookward.claim(ARRAY[$1::text::uuid], ARRAY[NULL::uuid], \
                 ARRAY[1000::bigint], ARRAY[1000::bigint], 1, false, 0, 1000)";
    let claim = earlier.prepare(claim).await.unwrap();
    let stands = earlier.query_one(&claim, &[&key]).await.unwrap().get::<_, i64>(0);
    assert_eq!(stands, 1);
    let known = Ask::event("1").one(&claims(&url).await).await;
    assert_eq!(word(&known), "delivered, another body");
    assert_eq!(sql(&url, "SELECT version FROM hookward.schema").await, "3");
    assert_eq!(earlier.query_one(&claim, &[&key]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn tables_of_an_unknown_version_are_refused_and_left_alone() {
    let url = new_database().await;
    deliver(&claims(&url).await, Ask::event("1")).await;
    sql(&url, "UPDATE hookward.schema SET version = 9, works_for = 9").await;
    let fault = open(&url).await.err().expect("version 9 is not known").to_string();
    assert!(fault.contains("version 9, made by a later Hookward"), "{fault}");
    assert_eq!(sql(&url, "SELECT count(*) FROM hookward.standings").await, "2");
    // A later version says from which one on its tables can be worked with.
    sql(&url, "UPDATE hookward.schema SET works_for = 1").await;
    assert_eq!(word(&Ask::event("1").one(&claims(&url).await).await), "delivered");
    sql(&url, "DELETE FROM hookward.schema").await;
    let fault = open(&url).await.err().expect("no version is said").to_string();
    assert!(fault.contains("not Hookward's"), "{fault}");
}

#[tokio::test]
async fn rows_are_only_added_so_a_transaction_held_open_costs_nothing() {
    let url = new_database().await;
    let store = claims(&url).await;
    let held = connect(&url).await;
    held.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM hookward.standings")
        .await
        .unwrap();
    for number in 0..50 {
        deliver(&store, Ask::event(&number.to_string()).signed("s").to(&["erp"])).await;
        store
            .forget(&"shop".into(), &number.to_string().into(), &["erp".into()], WITHIN)
            .await
            .unwrap();
    }
    assert_eq!(store.health(WITHIN).await, Ok(Health::Good));
    // What a connection did is counted when it ends, at the latest.
    drop(store);
    let counted = "SELECT coalesce(sum(n_tup_ins), 0) || ' ' || coalesce(sum(n_tup_upd + n_tup_del), 0) \
                   FROM pg_stat_user_tables WHERE relname LIKE 'standings%'";
    for _ in 0..200 {
        let counts = sql(&url, counted).await;
        let (added, changed) = counts.split_once(' ').unwrap();
        assert_eq!(changed, "0");
        // A claim, an end and a word that it is forgotten for each, and those of a trial.
        if added.parse::<u32>().unwrap() >= 150 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the rows were never counted");
}

#[tokio::test]
async fn a_table_that_somebody_locks_refuses_in_time_and_nothing_stays_claimed() {
    let url = new_database().await;
    let store = claims(&url).await;
    deliver(&store, Ask::event("1")).await;
    let other = connect(&url).await;
    other.batch_execute("BEGIN; LOCK TABLE hookward.standings").await.unwrap();
    let began = Instant::now();
    assert!(Ask { within: SHORT, ..Ask::event("2") }.all(&store).await.is_err());
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    deliver_soon(&store, "2").await;
    assert_eq!(word(&Ask::event("1").one(&store).await), "delivered");
}

#[tokio::test]
async fn partitions_are_made_for_any_ttl_and_dropped_once_they_are_over() {
    let url = new_database().await;
    let store = open(&url).await.unwrap();
    for (nth, days) in [1_u64, 4, 30, 400].into_iter().enumerate() {
        let target = target(&days.to_string());
        let fence = Fence(nth as u64 + 1);
        store.claim(&[target], fence, Intent::Claim, WITHIN).await.unwrap();
        let ttl = Duration::from_hours(24 * days);
        let verdict = Verdict::Delivered { fingerprint: days, ttl };
        let settled = store.settle(target.key, fence, &verdict, WITHIN).await;
        assert_eq!(settled, Ok(Settled::Applied), "{days} days");
    }
    let gaps = "SELECT count(*) FROM hookward.spans AS a WHERE a.ends < \
                (SELECT max(ends) FROM hookward.spans) AND NOT EXISTS \
                (SELECT FROM hookward.spans AS b WHERE b.starts = a.ends)";
    assert_eq!(sql(&url, gaps).await, "0");
    let spans: u32 = sql(&url, "SELECT count(*) FROM hookward.spans").await.parse().unwrap();
    assert!((20..60).contains(&spans), "{spans}");
    assert_eq!(store.entries(WITHIN).await, Ok(4));

    // A partition of last week, locked by a reader.
    let old = "CREATE TABLE hookward.standings_20200101 PARTITION OF hookward.standings \
                 FOR VALUES FROM ('2020-01-01') TO ('2020-01-02'); \
               CREATE TABLE hookward.aliases_20200101 PARTITION OF hookward.aliases \
                 FOR VALUES FROM ('2020-01-01') TO ('2020-01-02'); \
               INSERT INTO hookward.spans VALUES ('2020-01-01', '2020-01-02')";
    sql(&url, old).await;
    let held = connect(&url).await;
    held.batch_execute("BEGIN; SELECT * FROM hookward.standings").await.unwrap();
    let began = Instant::now();
    let refused = connect(&url).await.simple_query("SELECT hookward.clear_out()").await;
    assert!(refused.is_err(), "it is in use");
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    held.batch_execute("ROLLBACK").await.unwrap();
    // Upkeep begins with a round.
    let _other_instance = open(&url).await.unwrap();
    let is_gone = "SELECT to_regclass('hookward.standings_20200101') IS NULL \
                   AND to_regclass('hookward.aliases_20200101') IS NULL";
    for _ in 0..200 {
        if sql(&url, is_gone).await == "t" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sql(&url, is_gone).await, "t");
    assert_eq!(sql(&url, "SELECT hookward.clear_out()").await, "f", "no other is over");
    assert_eq!(store.entries(WITHIN).await, Ok(4));
}

/// A row that made an older one invalid leaves with it or after it.
#[tokio::test]
async fn what_was_forgotten_does_not_come_back_when_a_partition_is_dropped() {
    let url = new_database().await;
    let store = open(&url).await.unwrap();
    let target = target("1");
    store.claim(&[target], Fence(1), Intent::Claim, WITHIN).await.unwrap();
    let verdict = Verdict::Delivered { fingerprint: 1, ttl: Duration::from_hours(96) };
    store.settle(target.key, Fence(1), &verdict, WITHIN).await.unwrap();
    let stood = store.forget(target.key, WITHIN).await.unwrap();
    assert!(matches!(stood, Standing::Delivered { .. }), "{stood:?}");
    let kept = "SELECT string_agg(kind::text, '' ORDER BY number) FROM hookward.standings \
                WHERE leaves >= (SELECT leaves FROM hookward.standings WHERE kind = 'd')";
    assert_eq!(sql(&url, kept).await, "dr");
}

#[tokio::test]
async fn a_great_many_ids_are_estimated_and_few_are_counted() {
    let url = new_database().await;
    let store = open(&url).await.unwrap();
    let fill = "INSERT INTO hookward.standings (fence, since, expires, leaves, key, kind) \
                SELECT 1, 1, now() + interval '1 h', now() + interval '1 h', gen_random_uuid(), \
                CASE WHEN n % 2 = 0 THEN 'd' ELSE 'f' END::\"char\" FROM generate_series(1, ";
    sql(&url, &format!("{fill} 5000) AS n")).await;
    assert_eq!(store.entries(WITHIN).await, Ok(2500));
    sql(&url, &format!("{fill} 195000) AS n")).await;
    let estimated = store.entries(WITHIN).await.unwrap();
    assert!((70_000..130_000).contains(&estimated), "{estimated}");
}

#[tokio::test]
async fn a_look_waits_for_nobody() {
    let url = new_database().await;
    let store = claims(&url).await;
    let _held = Ask::event("1").one(&store).await.won();
    let other = connect(&url).await;
    let lock = "BEGIN; SELECT hookward.lock_keys(array_agg(key)) FROM hookward.standings";
    other.batch_execute(lock).await.unwrap();
    let hold = Ask { within: SHORT, ..Ask::event("1").look() }.one(&claims(&url).await).await;
    assert_eq!(word(&hold), "in flight");
    assert!(PostgresServer::shared().port() > 0);
}
