//! Several instances that share a PostgreSQL, and its failures.

use super::{forty_copies_reach_the_upstream_once, two};
use crate::support::{
    Event, Fate, Gate, Load, PostgresServer, Reply, Retries, Sender, Setup, Upstream, eventually,
    get, hookward, printed,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PASSWORD: &str = "the-password-of-a-postgres";

/// The keys of a store in this database.
fn shared(url: &str) -> String {
    format!("store = \"postgres\"\nurl = \"{url}\"")
}

#[test]
fn forty_copies_over_two_instances_reach_the_upstream_once() {
    let url = PostgresServer::shared().database();
    let setup = |erp: &Upstream| Setup::shop(erp).dedupe(&shared(&url));
    for proxy in forty_copies_reach_the_upstream_once(setup, "postgres") {
        assert!(get(proxy.admin, "/status").text().contains("\"postgres\""));
    }
}

#[test]
fn a_copy_on_the_other_instance_is_told_the_winners_end() {
    let erp = Upstream::start();
    let url = PostgresServer::shared().database();
    let [winner, other] = two(&Setup::shop(&erp).dedupe(&shared(&url)));
    for (nth, (reply, expected)) in [
        (Reply::Status(500), (500, "failed", "upstream_error")),
        (Reply::Close, (502, "failed", "upstream_broken")),
        (Reply::Status(200), (200, "delivered", "")),
    ]
    .into_iter()
    .enumerate()
    {
        let gate = Gate::default();
        erp.next(Reply::behind(&gate, reply));
        let delivery = Event::order(&format!("evt-{nth}")).signed();
        let first = Sender::to(&winner).start(&delivery);
        erp.saw(nth + 1);
        let copy = Sender::to(&other).start(&delivery);
        // It requests the claim, and then asks for its state.
        std::thread::sleep(Duration::from_millis(300));
        gate.open();
        let (first, copy) = (first.join().unwrap(), copy.join().unwrap());
        let (status, outcome, reason) = expected;
        assert_eq!(first.verdict(), (status, outcome, reason.to_owned()));
        if status == 200 {
            assert!(copy.status == 200, "{copy:?}");
        } else {
            assert_eq!(copy.verdict(), (status, outcome, reason.to_owned()));
        }
        erp.saw(nth + 1);
    }
}

/// The server is killed and started again under load, twice; no event is lost, and none is doubled.
#[test]
fn a_restart_of_the_server_under_load_loses_and_doubles_nothing() {
    let mut server = PostgresServer::start_with(&[]);
    let erp = Upstream::start();
    let setup = Setup::shop(&erp).dedupe(&shared(&server.database()));
    let instances = two(&setup);
    let addresses = instances.iter().map(|proxy| proxy.address).collect();
    let load = Load::start(&Arc::new(Mutex::new(addresses)), 60, Retries::UntilDelivered);
    for _ in 0..2 {
        let due = load.ended() + 60;
        eventually("the load goes on", || load.ended() >= due);
        server.kill();
        eventually("it is told", || get(instances[0].admin, "/readyz").status == 503);
        server.restart();
        for proxy in &instances {
            eventually("it is ready again", || get(proxy.admin, "/readyz").status == 200);
        }
    }
    let due = load.ended() + 60;
    eventually("the load goes on", || load.ended() >= due);
    let fates: BTreeMap<String, Fate> = load.stop();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for request in erp.seen() {
        *seen.entry(request.header("Hookward-Event-Id").to_owned()).or_insert(0) += 1;
    }
    for (id, fate) in &fates {
        let (status, outcome, _) = fate.as_ref().unwrap();
        assert!(*status == 200 && ["delivered", "duplicate"].contains(&outcome.as_str()), "{id}");
        assert_eq!(seen.get(id), Some(&1), "{id}: {fate:?}");
    }
    assert_eq!(seen.len(), fates.len());
}

/// A server that asks everybody but the test for a password, a database on it, and its URL.
fn guarded() -> (PostgresServer, String, String) {
    let server = PostgresServer::prepare(&[], |data| {
        let rules = "host all postgres 127.0.0.1/32 trust\n\
                     host all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    });
    let admin = server.database();
    let database = admin.rsplit('/').next().unwrap().to_owned();
    server.sql(&database, &format!("CREATE ROLE hookward LOGIN PASSWORD '{PASSWORD}'"));
    server.sql(&database, "CREATE SCHEMA hookward AUTHORIZATION hookward");
    let url = admin.replace("postgres@", &format!("hookward:{PASSWORD}@"));
    (server, database, url)
}

#[test]
fn a_password_that_was_wrong_for_a_while_costs_no_restart_and_is_never_shown() {
    let (server, database, url) = guarded();
    let erp = Upstream::start();
    let setup = Setup::shop(&erp)
        .log("level = \"trace\"")
        .dedupe("store = \"postgres\"\nurl = { env = \"DB_URL\" }")
        .environment("DB_URL", &url);
    let proxy = setup.start();
    let sender = Sender::to(&proxy);
    assert_eq!(sender.deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    server.sql(&database, "ALTER ROLE hookward PASSWORD 'another'");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hookward'";
    server.sql(&database, cut);
    let refused = sender.deliver(&Event::order("evt-2").signed());
    assert_eq!(refused.verdict(), (503, "rejected", "store_unavailable".to_owned()));
    let ready = get(proxy.admin, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("password authentication failed"), "{ready:?}");
    let mut shown = vec![ready.text(), refused.text()];

    server.sql(&database, &format!("ALTER ROLE hookward PASSWORD '{PASSWORD}'"));
    eventually("it is ready again", || get(proxy.admin, "/readyz").status == 200);
    assert_eq!(sender.deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
    assert_eq!(sender.deliver(&Event::order("evt-1").signed()).outcome(), "duplicate");
    erp.saw(2);

    for path in ["/status", "/metrics", "/dedupe/shop/evt-1"] {
        shown.push(get(proxy.admin, path).text());
    }
    for url in [url.clone(), url.replace("postgres://", "http://"), PASSWORD.to_owned()] {
        let mut check = hookward();
        check.args(["check", "--config"]).arg(proxy.file()).env("DB_URL", &url);
        shown.push(printed(&check.env("SHOP_SECRET", "a-secret-of-the-shop").output().unwrap()));
    }
    shown.push(proxy.log());
    for text in shown {
        assert!(!text.contains(PASSWORD), "the password is shown: {text}");
    }
}

#[test]
fn a_database_that_cannot_be_used_ends_the_start_with_3_and_a_sentence() {
    let (server, database, url) = guarded();
    let erp = Upstream::start();
    let unreachable = Upstream::unreachable();
    server.sql(
        &database,
        "CREATE TABLE hookward.schema (version int, works_for int); \
         INSERT INTO hookward.schema VALUES (7, 7); GRANT ALL ON hookward.schema TO hookward",
    );
    for (why, url) in [
        ("later Hookward", url.clone()),
        ("password authentication failed", url.replace(PASSWORD, &format!("{PASSWORD}-not"))),
        ("does not exist", url.replace(&database, "nowhere")),
        ("does not serve", format!("postgres://hookward:{PASSWORD}@{unreachable}/hookward")),
    ] {
        let mut proxy = Setup::shop(&erp)
            .dedupe("store = \"postgres\"\nurl = { env = \"DB_URL\" }")
            .environment("DB_URL", &url)
            .spawn();
        assert_eq!(proxy.ends_within(Duration::from_secs(15)).code(), Some(3), "{why}");
        eventually(why, || proxy.log().contains("the postgres store at 127.0.0.1:"));
        assert!(proxy.log().contains(why), "{why}: {}", proxy.log());
        assert!(!proxy.log().contains(PASSWORD), "{why}: {}", proxy.log());
        assert!(!proxy.log().contains("panicked"), "{why}: {}", proxy.log());
    }
}
