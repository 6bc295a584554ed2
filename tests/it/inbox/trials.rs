//! Crashes under load, a compressed weekend, a full disk, encryption. Sizes are scaled down for
//! every day; `HOOKWARD_TRIALS=200` and `HOOKWARD_WEEKEND=50000` run the full size.

use super::{SOON, at, drained, kept, on, order, stored};
use crate::support::{
    Connection, Event, Gate, PATIENCE, Reply, Sender, Setup, Upstream, eventually, instant,
    resident_bytes,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub fn size(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// New events one after the other, each until it is told 200, until `over` says that it is enough.
/// Each is accepted within `patience`.
pub fn deliver_until(
    over: &AtomicBool,
    proxy: &Mutex<SocketAddr>,
    sender: usize,
    patience: Duration,
) -> Vec<String> {
    let mut told = Vec::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("evt-{sender}-{number}");
        let delivery = Event::order(&id).signed();
        let start = instant();
        loop {
            let to = *proxy.lock().unwrap();
            if let Ok(mut connection) = Connection::try_open(to)
                && connection.try_send(delivery.bytes(to)).is_ok()
                && let Ok(response) = connection.try_response()
                && response.status == 200
            {
                told.push(id);
                break;
            }
            assert!(instant().saturating_sub(start) < patience, "{id} is not accepted");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    told
}

/// Senders at once while something is killed.
pub const SENDERS: usize = 64;

/// The ids that `senders` at once were told 200 for while `kill` ran, each at one of these addresses.
pub fn told_during(
    addresses: &[Mutex<SocketAddr>],
    senders: usize,
    patience: Duration,
    kill: impl FnOnce(),
) -> Vec<String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending: Vec<_> = (0..senders)
            .map(|sender| {
                let (over, address) = (&over, &addresses[sender % addresses.len()]);
                scope.spawn(move || deliver_until(over, address, sender, patience))
            })
            .collect();
        kill();
        over.store(true, Ordering::Relaxed);
        sending.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// A receiver that fails so often, and then accepts everything.
pub fn moody(failures: usize) -> Upstream {
    let erp = Upstream::start();
    erp.otherwise(Reply::after(Duration::from_millis(1), Reply::Status(200)));
    for _ in 0..failures {
        erp.next(Reply::Status(500)).next(Reply::Status(200));
    }
    erp
}

/// Every event that was told 200 was accepted by its receiver, always under one key, and at most once
/// more than something was killed.
#[track_caller]
pub fn arrived(erp: &Upstream, told: &[String], kills: usize) {
    let mut arrivals: HashMap<String, (HashSet<String>, usize)> = HashMap::new();
    let (mut accepted, mut most) = (0, 0);
    for seen in erp.seen() {
        let (keys, times) =
            arrivals.entry(seen.header("Hookward-Event-Id").to_owned()).or_default();
        keys.insert(seen.header("Idempotency-Key").to_owned());
        if seen.status == Some(200) {
            *times += 1;
            accepted += 1;
            most = most.max(*times);
        }
    }
    for id in told {
        let (keys, times) = arrivals.get(id).unwrap_or_else(|| panic!("{id} was lost"));
        assert!(*times > 0, "{id} was lost");
        assert_eq!(keys.len(), 1, "one key for all attempts of {id}: {keys:?}");
        assert!(*times <= kills + 1, "{id} was accepted {times} times, with {kills} kills");
    }
    println!(
        "{} told 200, {accepted} accepted, each {most} times at most, {kills} kills",
        told.len()
    );
    // A kill repeats at most what each sender waits for, and the 64 attempts from the inbox.
    assert!(accepted <= arrivals.len() + kills * (SENDERS + 64), "{accepted} accepted");
}

#[test]
fn kills_at_random_under_load_lose_nothing_that_was_told_200() {
    let kills = size("HOOKWARD_TRIALS", 8);
    let folder = tempfile::tempdir().unwrap();
    // Half of the attempts fail, so that there is always something in the inbox.
    let erp = moody(50 * kills);
    let setup = kept(&erp, folder.path(), "spill", SOON).dedupe("uncertain_hold = \"100ms\"");
    let mut proxy = setup.start_unready();
    let address = [Mutex::new(proxy.address)];
    let told = told_during(&address, SENDERS, PATIENCE, || {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..200)));
            proxy.crash();
            proxy = setup.start_unready();
            *address[0].lock().unwrap() = proxy.address;
        }
    });
    drained(&proxy);
    assert!(told.len() > kills, "only {} events", told.len());
    arrived(&erp, &told, kills);
    assert_eq!(proxy.metric("hookward_inbox_events", &[("state", "dead")]), 0);
}

#[test]
fn a_weekend_against_a_closed_port_arrives_whole_and_in_order_once_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    weekend(|erp| at(&erp.url(), folder.path(), "spill", SOON));
}

/// Stores events for a receiver that is away, and watches them arrive.
pub fn weekend(setup: impl FnOnce(&Upstream) -> Setup) {
    const ORDERS: u64 = 50;
    const SENDERS: u64 = 10;
    let events = size("HOOKWARD_WEEKEND", 1_000) as u64;
    let erp = Upstream::start();
    erp.stop();
    let proxy = setup(&erp).table("order_key = \"json:/order\"").start();
    let to = proxy.address;
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let mut connection = Connection::open(to);
                for number in (sender..events).step_by(10) {
                    // All of one order come from one sender, one after the other.
                    let (order_number, step) = (number % ORDERS, number / ORDERS);
                    let event = order(&format!("evt-{number}"), order_number, step);
                    let told = connection.send(event.bytes(to)).response();
                    assert_eq!(told.outcome(), "queued", "{told:?}");
                }
            });
        }
    });
    let before = resident_bytes(proxy.pid());
    erp.start_again();
    eventually_drained(&proxy, &erp, events);
    let mut steps: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for seen in erp.seen() {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let (order, step) = (body["order"].as_u64().unwrap(), body["step"].as_u64().unwrap());
        steps.entry(order).or_default().push(step);
    }
    assert_eq!(erp.count() as u64, events, "each once");
    for (order, steps) in steps {
        assert!(steps.is_sorted(), "order {order}: {steps:?}");
    }
    let after = resident_bytes(proxy.pid());
    assert!(after < before + (64 << 20), "{before} before, {after} after");
}

/// As long as it makes progress, it may take its time.
#[track_caller]
fn eventually_drained(proxy: &crate::support::Proxy, erp: &Upstream, events: u64) {
    let (mut seen, mut since) = (0, instant());
    while (erp.count() as u64) < events {
        if erp.count() > seen {
            (seen, since) = (erp.count(), instant());
        }
        assert!(instant().saturating_sub(since) < PATIENCE, "stuck at {seen} of {events}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drained(proxy);
}

#[test]
fn a_full_disk_takes_nothing_in_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    // Without a small disk, a limit on the use of the large one simulates it.
    let least = if mounted { "1MiB" } else { "1PiB" };
    let erp = Upstream::start();
    erp.otherwise(Reply::Status(500));
    let proxy = {
        let setup = crate::support::Setup::new()
            .dedupe(&format!(
                "store = \"disk\"\npath = {:?}",
                folder.path().join("data").display().to_string()
            ))
            .table(&format!("[inbox]\nmin_free = \"{least}\""))
            .upstream("erp", &erp, "retry = { first = \"200ms\", longest = \"200ms\" }")
            .shop_to(&["erp"], "")
            .table("delivery = \"spill\"");
        setup.start()
    };
    let mut queued = Vec::new();
    let mut refused = 0;
    for number in 0..60 {
        let id = format!("evt-{number}");
        let told = Sender::to(&proxy).deliver(&Event::order(&id).padded_to(100_000).signed());
        match told.verdict() {
            (200, "queued", _) => queued.push(id),
            (500, "failed", reason) if reason == "upstream_error" => refused += 1,
            other => panic!("{other:?}"),
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 0, "the disk is full");
    assert_eq!(mounted, !queued.is_empty(), "some were taken in before");
    let ready = crate::support::get(proxy.admin, "/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("takes nothing in"), "{}", ready.text());
    erp.otherwise(Reply::Status(200));
    drained(&proxy);
    let arrived: Vec<String> =
        erp.seen().iter().rev().map(|seen| seen.header("Hookward-Event-Id").to_owned()).collect();
    for id in &queued {
        assert!(arrived.contains(id), "{id}");
    }
    drop(proxy);
    if mounted {
        _ = Command::new("umount").arg("-l").arg(folder.path()).status();
    }
}

#[test]
fn an_encrypted_inbox_shows_nothing_and_is_read_with_older_keys_as_well() {
    let folder = tempfile::tempdir().unwrap();
    encrypted(folder.path(), || on(folder.path()), || stored(folder.path()));
}

/// Looks for an event in what an encrypted inbox stores, and reads it with its old key and a new one.
pub fn encrypted(folder: &Path, inbox: impl Fn() -> Setup, stored: impl Fn() -> Vec<u8>) {
    let key = |name: &str, byte: u8| {
        let path = folder.join(name);
        std::fs::write(&path, [byte; 32]).unwrap();
        format!("{{ file = {:?} }}", path.display().to_string())
    };
    let (old, new) = (key("old.key", 7), key("new.key", 8));
    let nobody = format!("http://{}", Upstream::unreachable());
    let with = |encrypt: &str, url: &str| {
        // The crash may come in the middle of an attempt.
        inbox()
            .dedupe("uncertain_hold = \"1s\"")
            .table(&format!("encrypt = {encrypt}"))
            .table(&format!("[upstreams.erp]\nurl = \"{url}\"\ntimeout = \"1s\"\n{SOON}"))
            .shop_to(&["erp"], "")
            .table("delivery = \"queued\"")
    };
    let mut proxy = with(&old, &nobody).start();
    let told = Sender::to(&proxy).deliver(&Event::order("evt-secret").padded_to(300).signed());
    assert_eq!(told.outcome(), "queued");
    proxy.crash();
    let bytes = stored();
    let shows = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!bytes.is_empty() && !shows("evt-secret") && !shows("order.created"));
    let mut other = with(&new, &nobody).spawn();
    assert_eq!(other.ends_within(Duration::from_secs(10)).code(), Some(3), "{}", other.log());
    assert!(other.log().contains("key that is not configured"), "{}", other.log());

    let erp = Upstream::start();
    let proxy = with(&format!("[{new}, {old}]"), &erp.url()).start();
    drained(&proxy);
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "evt-secret");
}

#[test]
fn damage_is_refused_at_the_start_with_its_place_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("http://{}", Upstream::unreachable());
    let setup = at(&nobody, folder.path(), "queued", SOON);
    let mut proxy = setup.start();
    for n in 0..5 {
        let told = Sender::to(&proxy).deliver(&Event::order(&format!("evt-{n}")).signed());
        assert_eq!(told.outcome(), "queued");
    }
    proxy.crash();
    let inbox = folder.path().join("data/inbox");
    let largest = std::fs::read_dir(&inbox)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[400] ^= 1;
    std::fs::write(&largest, &bytes).unwrap();
    let mut proxy = setup.spawn();
    assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(3), "{}", proxy.log());
    let name = largest.file_name().unwrap().to_str().unwrap().to_owned();
    eventually("it is said", || {
        let log = proxy.log();
        log.contains(&name) && log.contains("damaged at byte")
    });
    assert_eq!(std::fs::read(&largest).unwrap(), bytes);
}

#[test]
fn a_reload_that_drops_an_upstream_keeps_its_events_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    dropped_upstream(|| on(folder.path()));
}

/// Takes an upstream away whose event waits, and gives it back.
pub fn dropped_upstream(inbox: impl Fn() -> Setup) {
    let (erp, crm) = (Upstream::start(), Upstream::start());
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(500)));
    let both = |to: &str| {
        inbox()
            .upstream("crm", &crm, SOON)
            .table(&if to == "erp" {
                format!("[upstreams.erp]\nurl = \"{}\"\n{SOON}", erp.url())
            } else {
                String::new()
            })
            .shop_to(&[to], "")
            .table("delivery = \"queued\"")
    };
    let proxy = both("erp").start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    erp.saw(1);
    let reload = |setup: &crate::support::Setup| {
        std::fs::write(proxy.file(), setup.toml()).unwrap();
        let told = crate::support::request(proxy.admin, "POST", "/reload", &[]);
        assert_eq!(told.status, 200, "{told:?}");
        told.text()
    };
    // The attempt under way counts: the event waits once it has failed.
    let without = reload(&both("crm"));
    assert!(without.contains("1 event waits in the inbox for erp"), "{without}");
    gate.open();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-2").signed()).outcome(), "queued");
    crm.saw(1);
    assert_eq!(erp.count(), 1, "no further attempt");
    reload(&both("erp"));
    drained(&proxy);
    assert_eq!(erp.seen().last().unwrap().header("Hookward-Event-Id"), "evt-1");
}
