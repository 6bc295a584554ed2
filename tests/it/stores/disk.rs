//! `store = "disk"`: delivered ids outlive the process.

use super::{disk, on_disk};
use crate::support::{Event, Reply, Sender, Setup, Upstream, eventually, get, request};
use std::fs;
use std::path::Path;
use std::time::Duration;

const ENTRIES: (&str, &[(&str, &str)]) = ("hookward_dedupe_entries", &[("store", "disk")]);

#[test]
fn what_a_sender_was_told_is_delivered_is_a_duplicate_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on_disk(&erp, folder.path());
    let delivery = Event::order("evt-1").signed();

    let mut proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).verdict(), (200, "delivered", String::new()));
    proxy.crash();

    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).verdict(), (200, "duplicate", String::new()));
    erp.saw(1);
    assert_eq!(proxy.metric(ENTRIES.0, ENTRIES.1), 1);
    let other = Event::order("evt-1").padded_to(500).signed();
    assert_eq!(Sender::to(&proxy).deliver(&other).outcome(), "duplicate");
    let mismatches = proxy.metric("hookward_dedupe_body_mismatch_total", &[("source", "shop")]);
    assert_eq!(mismatches, 1, "the body is known as well");
}

#[test]
fn a_journal_that_was_cut_is_read_as_far_as_it_goes_and_the_log_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on_disk(&erp, folder.path());
    let mut proxy = setup.start();
    for number in 0..20 {
        let delivery = Event::order(&format!("evt-{number}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    }
    proxy.crash();
    // What is committed is not in question; the longer journal has the last ids.
    let journals = ["journal.0", "journal.1"].map(|name| folder.path().join(name));
    let length = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
    let longest = journals.iter().max_by_key(|path| length(path)).unwrap();
    let bytes = fs::read(longest).unwrap();
    assert!(bytes.len() > 24 + 49, "there is a record to cut");
    fs::write(longest, &bytes[..bytes.len() - 7]).unwrap();

    let proxy = setup.start();
    eventually("it is told", || {
        let log = proxy.log();
        let line = log.lines().find(|line| line.contains("journal was cut off")).unwrap_or("");
        line.contains("lost=1") && line.contains(longest.to_str().unwrap())
    });
}

#[test]
fn a_stop_in_good_order_loses_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on_disk(&erp, folder.path());
    let deliveries: Vec<_> = (0..20).map(|n| Event::order(&format!("evt-{n}")).signed()).collect();
    for expected in ["delivered", "duplicate", "duplicate"] {
        let mut proxy = setup.start();
        for delivery in &deliveries {
            assert_eq!(Sender::to(&proxy).deliver(delivery).outcome(), expected);
        }
        eventually("all are counted", || proxy.metric(ENTRIES.0, ENTRIES.1) == 20);
        proxy.signal("TERM");
        assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(0));
    }
    erp.saw(20);
}

#[test]
fn an_event_in_flight_at_kill_9_is_forwarded_on_its_retry() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Hang);
    let setup = on_disk(&erp, folder.path());
    let delivery = Event::order("evt-1").signed();

    let mut proxy = setup.start();
    Sender::to(&proxy).deliver_and_leave(&delivery);
    erp.saw(1);
    proxy.crash();

    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    erp.saw(2);
}

#[test]
fn an_event_of_unknown_fate_is_held_across_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Close);
    let setup = on_disk(&erp, folder.path());
    let delivery = Event::order("evt-1").signed();

    let mut proxy = setup.start();
    let first = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(first.verdict(), (502, "failed", "upstream_broken".to_owned()));
    proxy.crash();

    let proxy = setup.start();
    let held = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(held.verdict(), (503, "held", "uncertain".to_owned()));
    let left: u64 = held.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=30).contains(&left), "{left} s");
    erp.saw(1);
}

#[test]
fn what_an_operator_forgot_stays_forgotten_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on_disk(&erp, folder.path());
    let delivery = Event::order("evt-1").signed();

    let mut proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    assert_eq!(request(proxy.admin, "DELETE", "/dedupe/shop/evt-1", &[]).status, 200);
    proxy.crash();

    let proxy = setup.start();
    assert_eq!(get(proxy.admin, "/dedupe/shop/evt-1").status, 404);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    erp.saw(2);
}

#[test]
fn a_second_process_on_the_same_folder_ends_with_3_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on_disk(&erp, folder.path());
    let first = setup.start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&first).deliver(&delivery).outcome(), "delivered");

    let mut second = setup.spawn();
    assert_eq!(second.ends_within(Duration::from_secs(5)).code(), Some(3));
    let path = folder.path().display().to_string();
    eventually("it says why", || {
        let log = second.log();
        log.contains(&path) && log.contains("in use by another process")
    });
    assert_eq!(Sender::to(&first).deliver(&delivery).outcome(), "duplicate");
    assert_eq!(Sender::to(&first).deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
}

/// What befalls a store's folder.
type Damage = fn(&Path);

#[test]
fn what_is_not_a_whole_store_is_refused_with_3_and_left_as_it_is() {
    let erp = Upstream::start();
    let whole = tempfile::tempdir().unwrap();
    // A store with one committed id and one in the journal.
    let mut proxy = on_disk(&erp, whole.path()).start();
    let sender = Sender::to(&proxy);
    assert_eq!(sender.deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    let first = fs::read(whole.path().join("journal.1")).unwrap();
    let taken_turns = || whole.path().join("journal.0").exists();
    eventually("the first id is in the id file", taken_turns);
    assert!(first.len() > 24, "the first id was in the first journal");
    assert_eq!(sender.deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
    proxy.crash();

    let cases: [(&str, &str, Damage); 5] = [
        ("an id file that is somebody else's", "ids.redb", |folder| {
            fs::write(folder.join("ids.redb"), "a file of somebody else".repeat(500)).unwrap();
        }),
        ("an id file that was cut short", "ids.redb", |folder| {
            let length = fs::metadata(folder.join("ids.redb")).unwrap().len();
            let file = fs::File::options().write(true).open(folder.join("ids.redb")).unwrap();
            file.set_len(length / 2).unwrap();
        }),
        ("an id file with nothing in it", "ids.redb", |folder| {
            fs::write(folder.join("ids.redb"), "").unwrap();
        }),
        ("a journal that is somebody else's", "journal.0", |folder| {
            fs::write(folder.join("journal.0"), "a diary of somebody else".repeat(10)).unwrap();
        }),
        ("no id file beside somebody's files", "ids.redb", |folder| {
            fs::remove_file(folder.join("ids.redb")).unwrap();
            fs::write(folder.join("letter.txt"), "dear").unwrap();
        }),
    ];
    for (what, named, damage) in cases {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        damage(folder.path());
        let before = contents(folder.path());
        let mut proxy = on_disk(&erp, folder.path()).spawn();
        assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(3), "{what}");
        eventually(what, || proxy.log().contains(named));
        let log = proxy.log();
        assert!(log.contains(&folder.path().display().to_string()), "{what}: {log}");
        assert!(!log.contains("panicked"), "{what}: {log}");
        let changed: Vec<_> = contents(folder.path())
            .into_iter()
            .filter(|file| !before.contains(file))
            .map(|(name, bytes)| format!("{name}, {} bytes", bytes.len()))
            .collect();
        assert!(changed.is_empty(), "{what}: changed {changed:?}; {log}");
        assert_eq!(contents(folder.path()).len(), before.len(), "{what}: files are gone");
    }

    let file = whole.path().join("journal.1");
    let mut proxy = on_disk(&erp, &file).spawn();
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(3), "a file as the folder");
    eventually("it says so", || proxy.log().contains("is not a folder"));
    // The original of the cases is valid, so nothing else causes a refusal.
    let proxy = on_disk(&erp, whole.path()).start();
    for id in ["evt-1", "evt-2"] {
        let outcome = Sender::to(&proxy).deliver(&Event::order(id).signed()).outcome().to_owned();
        assert_eq!(outcome, "duplicate", "{id}");
    }
}

/// Every file except the lock, which holds no data.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "lock")
        .collect();
    contents.sort();
    contents
}

#[test]
fn a_reload_keeps_the_folder_and_says_that_another_takes_a_restart() {
    let [folder, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let erp = Upstream::start();
    let proxy = on_disk(&erp, folder.path()).start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    fs::write(proxy.file(), Setup::shop(&erp).dedupe(&disk(other.path())).toml()).unwrap();
    let reload = request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]);
    assert_eq!(reload.status, 200);
    assert!(reload.text().contains("takes a restart"), "{reload:?}");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
}
