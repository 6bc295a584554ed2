//! Instances that are killed, and a server that is: what was told 200 arrives.

use super::{SOON, at, drained, order};
use crate::inbox::trials::{SENDERS, arrived, moody, size, told_during, weekend};
use crate::support::{
    Connection, Event, Gate, PATIENCE, PostgresServer, Reply, Sender, Setup, Upstream, eventually,
    get, instant,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A claim of an instance that was killed lapses after 11 s, and its sender's next deliveries may meet
/// more kills.
const LEASES: Duration = Duration::from_mins(5);

fn stored_at(url: &str, erp: &Upstream, delivery: &str) -> Setup {
    Setup::new()
        .dedupe(&format!("store = \"postgres\"\nurl = \"{url}\"\nuncertain_hold = \"100ms\""))
        .table(&format!("[upstreams.erp]\nurl = \"{}\"\ntimeout = \"1s\"\n{SOON}", erp.url()))
        .shop_to(&["erp"], "")
        .table(&format!("delivery = \"{delivery}\""))
}

#[test]
fn kills_of_instances_and_of_the_server_lose_nothing_that_was_told_200() {
    let kills = size("HOOKWARD_TRIALS", 6);
    let mut server = PostgresServer::start_with(&[]);
    let url = server.database();
    let erp = moody(40 * kills);
    let setup = stored_at(&url, &erp, "spill");
    let mut instances = [setup.start_unready(), setup.start_unready()];
    let addresses = instances.each_ref().map(|proxy| Mutex::new(proxy.address));
    let told = told_during(&addresses, SENDERS, LEASES, || {
        for kill in 0..kills {
            std::thread::sleep(Duration::from_millis(fastrand::u64(50..300)));
            if kill % 3 == 2 {
                server.kill();
                server.restart();
                continue;
            }
            let nth = kill % 2;
            instances[nth].crash();
            instances[nth] = setup.start_unready();
            *addresses[nth].lock().unwrap() = instances[nth].address;
        }
        std::thread::sleep(Duration::from_millis(300));
    });
    for proxy in &instances {
        eventually("it is ready", || get(proxy.admin, "/readyz").status == 200);
        drained(proxy);
    }
    assert!(told.len() > kills, "only {} events", told.len());
    arrived(&erp, &told, kills);
    assert_eq!(instances[0].metric("hookward_inbox_events", &[("state", "dead")]), 0);
}

/// Instances die in the middle of live attempts and of those from the inbox, and a key keeps its order.
#[test]
fn kills_of_instances_do_not_change_the_order_of_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let erp = moody(60);
    let setup = stored_at(&super::database(folder.path()), &erp, "spill")
        .table("order_key = \"json:/order\"");
    let mut instances = [setup.start_unready(), setup.start_unready()];
    let addresses = Mutex::new([instances[0].address, instances[1].address]);
    let over = AtomicBool::new(false);
    let last: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|number| {
                let (over, addresses) = (&over, &addresses);
                scope.spawn(move || deliver_steps(number, over, addresses))
            })
            .collect();
        for kill in 0..4 {
            std::thread::sleep(Duration::from_millis(fastrand::u64(100..300)));
            instances[kill % 2].crash();
            instances[kill % 2] = setup.start_unready();
            addresses.lock().unwrap()[kill % 2] = instances[kill % 2].address;
        }
        over.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    drained(&instances[0]);
    let mut steps: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for seen in erp.seen() {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let step = body["step"].as_u64().unwrap();
        steps.entry(body["order"].as_u64().unwrap()).or_default().push(step);
    }
    for (number, last) in last.into_iter().enumerate() {
        let seen = &steps[&(number as u64)];
        assert!(seen.is_sorted(), "order {number}: {seen:?}");
        assert!((0..last).all(|step| seen.contains(&step)), "order {number}: {seen:?}");
    }
}

/// Steps of one order, each at another instance and until it is told 200; how many there were.
fn deliver_steps(number: u64, over: &AtomicBool, addresses: &Mutex<[SocketAddr; 2]>) -> u64 {
    for step in 0.. {
        let event = order(&format!("evt-{number}-{step}"), number, step);
        let start = instant();
        for turn in step.. {
            if over.load(Ordering::Relaxed) && turn == step {
                return step;
            }
            let [first, second] = *addresses.lock().unwrap();
            let to = if turn.is_multiple_of(2) { first } else { second };
            if let Ok(mut connection) = Connection::try_open(to)
                && connection.try_send(event.bytes(to)).is_ok()
                && connection.try_response().is_ok_and(|told| told.status == 200)
            {
                break;
            }
            assert!(instant().saturating_sub(start) < PATIENCE * 2, "step {step} is not accepted");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    0
}

/// While the server is away nothing is told 200 that is not stored, and nothing is sent twice.
#[test]
fn a_server_that_is_restarted_under_load_loses_and_doubles_nothing() {
    let mut server = PostgresServer::start_with(&[]);
    let url = server.database();
    let erp = moody(0);
    let proxy = stored_at(&url, &erp, "queued").start();
    let told = told_during(&[Mutex::new(proxy.address)], 4, LEASES, || {
        for is_crash in [true, false] {
            std::thread::sleep(Duration::from_millis(300));
            if is_crash {
                server.kill();
            } else {
                server.stop();
            }
            eventually("it is told", || get(proxy.admin, "/readyz").status == 503);
            assert_eq!(get(proxy.admin, "/inbox").status, 503, "no empty list");
            server.restart();
            eventually("it is ready again", || get(proxy.admin, "/readyz").status == 200);
        }
        std::thread::sleep(Duration::from_millis(300));
    });
    drained(&proxy);
    arrived(&erp, &told, 0);
}

/// A server that hangs may store the event after nobody believes in it any more. It is sent once more
/// all the same, and not twice.
#[test]
fn an_event_of_which_the_server_does_not_say_whether_it_is_stored_is_not_sent_twice() {
    for hangs in [Duration::from_secs(1), Duration::from_secs(12)] {
        let server = PostgresServer::start_with(&[]);
        let erp = Upstream::start();
        let gate = Gate::default();
        erp.next(Reply::behind(&gate, Reply::Status(500)));
        let proxy = stored_at(&server.database(), &erp, "spill").start();
        let delivery = Event::order("evt-1").signed();
        let first = Sender::to(&proxy).start(&delivery);
        erp.saw(1);
        server.freeze();
        gate.open();
        let told = first.join().unwrap();
        assert_eq!(told.status, 503, "{told:?}");
        let frozen = instant();
        while instant().saturating_sub(frozen) + Duration::from_secs(4) < hangs {
            std::thread::sleep(Duration::from_millis(100));
        }
        server.thaw();
        eventually("the sender is content", || Sender::to(&proxy).deliver(&delivery).status == 200);
        drained(&proxy);
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
        assert_eq!(erp.saw(2)[1].header("Idempotency-Key"), "\"shop:evt-1\"");
    }
}

#[test]
fn a_weekend_against_a_closed_port_arrives_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = folder.path();
    weekend(|erp| at(&erp.url(), path, "spill", SOON));
}
