//! Repeated kill -9 under load.

use super::on_disk;
use crate::support::{Connection, Event, PATIENCE, Reply, Response, Upstream, instant};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RESTARTS: usize = 50;
const SENDERS: usize = 3;

/// What the senders were told.
struct Told {
    /// For each event that was accepted, how many requests the upstream had seen by then: its own
    /// are among them.
    accepted: Mutex<HashMap<String, usize>>,
    /// Where the proxy is just now.
    proxy: Mutex<SocketAddr>,
    over: AtomicBool,
}

#[test]
fn fifty_crashes_under_load_lose_no_event_and_repeat_none_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    // Long enough that a crash often meets an event on its way.
    erp.otherwise(Reply::after(Duration::from_millis(2), Reply::Status(200)));
    let setup = on_disk(&erp, folder.path());
    let mut proxy = setup.start_unready();
    let told = Told {
        accepted: Mutex::default(),
        proxy: Mutex::new(proxy.address),
        over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (told, erp) = (&told, &erp);
                scope.spawn(move || told.deliver_until_over(sender, erp))
            })
            .collect();
        for _ in 0..RESTARTS {
            std::thread::sleep(Duration::from_millis(fastrand::u64(10..120)));
            proxy.crash();
            // What the dead process has sent arrives before anything of the next one, also where
            // it is read late.
            erp.settles();
            proxy = setup.start_unready();
            *told.proxy.lock().unwrap() = proxy.address;
        }
        told.over.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().unwrap();
        }
    });

    let accepted = told.accepted.into_inner().unwrap();
    assert!(accepted.len() > RESTARTS, "only {} events", accepted.len());
    let mut arrivals: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, seen) in erp.seen().iter().enumerate() {
        arrivals.entry(seen.header("Hookward-Event-Id").to_owned()).or_default().push(index);
    }
    let mut repeated = 0;
    for (id, seen_by_then) in &accepted {
        let arrivals = arrivals.get(id).unwrap_or_else(|| panic!("{id} was lost"));
        let late: Vec<_> = arrivals.iter().filter(|index| *index >= seen_by_then).collect();
        assert!(late.is_empty(), "{id} came again after it was accepted");
        repeated += usize::from(arrivals.len() > 1);
    }
    // What was on its way in a crash is sent again, and only that.
    assert!(repeated <= RESTARTS * SENDERS, "{repeated} of {} came twice", accepted.len());
    let mut connection = Connection::open(proxy.address);
    for id in accepted.keys() {
        let delivery = Event::order(id).signed().bytes(proxy.address);
        assert_eq!(connection.send(delivery).response().outcome(), "duplicate", "{id}");
    }
}

impl Told {
    /// One new event after the other, each again and again until it is accepted, and after each
    /// an old one once more.
    fn deliver_until_over(&self, sender: usize, erp: &Upstream) {
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let id = format!("evt-{sender}-{number}");
            self.deliver(&id);
            self.accepted.lock().unwrap().insert(id, erp.count());
            let old = format!("evt-{sender}-{}", fastrand::usize(0..=number));
            assert_eq!(self.deliver(&old).outcome(), "duplicate", "{old}");
        }
    }

    /// Delivers until there is a 2xx.
    fn deliver(&self, id: &str) -> Response {
        let delivery = Event::order(id).signed();
        let start = instant();
        loop {
            let to = *self.proxy.lock().unwrap();
            if let Ok(mut connection) = Connection::try_open(to)
                && connection.try_send(delivery.bytes(to)).is_ok()
                && let Ok(response) = connection.try_response()
            {
                if response.status / 100 == 2 {
                    return response;
                }
                // A copy that meets its own first delivery on its way is the only reason.
                assert_eq!(response.outcome(), "held", "{response:?}");
            }
            assert!(instant().saturating_sub(start) < PATIENCE, "{id} is not accepted");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
