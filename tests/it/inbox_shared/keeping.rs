//! How events are kept in the database: space comes back, nobody's transaction holds anything up, and
//! what is encrypted shows nothing.

use super::{SOON, at, database, drained, kept, on, stored};
use crate::inbox::trials::encrypted;
use crate::support::{Connection, Event, PostgresServer, Reply, Sender, Upstream, eventually};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn sql(folder: &Path, text: &str) -> String {
    let url = database(folder);
    PostgresServer::shared().sql(url.rsplit('/').next().unwrap(), text)
}

fn shows(folder: &Path, text: &str) -> bool {
    stored(folder).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn bytes_of_what_was_delivered_leave_and_what_waits_is_copied_forward() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(503));
    let later = "retry = { first = \"24h\", longest = \"24h\" }";
    let proxy = at(&erp.url(), folder.path(), "spill", later).start();
    let waits = Event::order("evt-waits").signed();
    assert_eq!(Sender::to(&proxy).deliver(&waits).outcome(), "queued");
    let seq = sql(folder.path(), "SELECT seq FROM hookward.entries");
    let slot = sql(folder.path(), "SELECT slot FROM hookward.entries");
    assert_eq!(sql(folder.path(), &format!("SELECT hookward.drop_slot({slot})")), "t");
    assert_ne!(sql(folder.path(), "SELECT slot FROM hookward.entries"), slot, "copied forward");
    assert_eq!(sql(folder.path(), &format!("SELECT to_regclass('hookward.events_{slot}')")), "");

    let body = format!(r#"{{"seq":[{seq}]}}"#);
    let length = body.len().to_string();
    let (admin, mut connection) = (proxy.admin, Connection::open(proxy.admin));
    let request = format!(
        "POST /inbox/replay HTTP/1.1\r\nHost: {admin}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(connection.send(request.into_bytes()).response().status, 200);
    drained(&proxy);
    assert_eq!(erp.saw(2)[1].body, waits.body);
    assert!(shows(folder.path(), "evt-waits"), "its slot is there yet");
    // As if a quarter of a minute had passed, twice.
    for _ in 0..2 {
        sql(folder.path(), "UPDATE hookward.slots SET opened = 0");
        sql(
            folder.path(),
            "SELECT hookward.drop_slot(which) FROM hookward.look_after_slots() WHERE is_to_drop",
        );
    }
    assert!(!shows(folder.path(), "evt-waits"), "and gone");
    assert_eq!(sql(folder.path(), "SELECT count(*) FROM hookward.slots"), "1");
}

#[test]
fn bytes_leave_from_among_those_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(503)).next(Reply::Status(200)).next(Reply::Status(503));
    let later = "max_concurrent = 1\nretry = { first = \"24h\", longest = \"24h\" }";
    let proxy = at(&erp.url(), folder.path(), "queued", later).start();
    for id in ["waits-0", "ends-0", "waits-1"] {
        let sent = erp.count();
        // So much that it is not copied forward.
        let delivery = Event::order(id).padded_to(50_000).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
        erp.saw(sent + 1);
    }
    eventually("it has ended", || {
        sql(folder.path(), "SELECT count(*) FROM hookward.entries") == "2"
    });
    assert!(shows(folder.path(), "ends-0"));
    let slots = "SELECT string_agg(slot::text, ',') FROM hookward.slots";
    let before = sql(folder.path(), slots);
    sql(folder.path(), "UPDATE hookward.slots SET opened = opened - 40000");
    // The upkeep comes by within ten seconds.
    eventually("its bytes leave", || !shows(folder.path(), "ends-0"));
    assert!(shows(folder.path(), "waits-0") && shows(folder.path(), "waits-1"));
    assert_eq!(sql(folder.path(), slots), before);
}

#[test]
fn a_transaction_that_somebody_holds_open_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "queued", SOON).start();
    let first = Event::order("evt-0").signed();
    assert_eq!(Sender::to(&proxy).deliver(&first).outcome(), "queued");
    drained(&proxy);
    let slot = sql(folder.path(), "SELECT max(slot) FROM hookward.slots");
    let mut held = Command::new(PostgresServer::program("psql"))
        .args([&database(folder.path()), "-XAtq", "-c"])
        .arg(format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM hookward.entries; \
             SELECT count(*) FROM hookward.events_{slot}; SELECT pg_sleep(60)"
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for n in 1..30 {
        let delivery = Event::order(&format!("evt-{n}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    drained(&proxy);
    erp.saw(30);
    held.kill().unwrap();
    held.wait().unwrap();
}

#[test]
fn an_encrypted_inbox_shows_nothing_and_is_read_with_older_keys_as_well() {
    let folder = tempfile::tempdir().unwrap();
    encrypted(folder.path(), || on(folder.path()), || stored(folder.path()));
}
