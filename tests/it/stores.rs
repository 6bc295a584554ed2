//! Claims on disk, or shared through a Redis or a PostgreSQL.

mod crashes;
mod disk;
mod full_disk;
mod instances;
mod lookups;
mod moving;
mod postgres;
mod redis;

use crate::support::{Event, Proxy, Reply, Response, Sender, Setup, Upstream};
use std::path::Path;
use std::time::Duration;

/// The shop's proxy with a store in this folder.
fn on_disk(erp: &Upstream, folder: &Path) -> Setup {
    Setup::shop(erp).dedupe(&disk(folder))
}

/// The keys of a store in this folder.
fn disk(folder: &Path) -> String {
    format!("store = \"disk\"\npath = \"{}\"", folder.display())
}

/// The keys of a store at this URL.
fn shared(url: &str) -> String {
    format!("store = \"redis\"\nurl = \"{url}\"")
}

/// Two instances of the same configuration.
fn two(setup: &Setup) -> [Proxy; 2] {
    [setup.start(), setup.start()]
}

/// Delivers twenty copies to each of two instances at once: the upstream sees one, and all copies
/// are told 200. Then each instance has one entry in `store`, and knows the event.
fn forty_copies_reach_the_upstream_once(
    setup: impl FnOnce(&Upstream) -> Setup,
    store: &str,
) -> [Proxy; 2] {
    let erp = Upstream::start();
    erp.next(Reply::after(Duration::from_millis(150), Reply::Status(200)));
    let instances = two(&setup(&erp));
    let copies = vec![Event::order("evt-1").signed(); 20];
    let responses: Vec<Response> = std::thread::scope(|scope| {
        let halves: Vec<_> = instances
            .iter()
            .map(|proxy| (Sender::to(proxy), &copies))
            .map(|(sender, copies)| scope.spawn(move || sender.deliver_at_once(copies)))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert_eq!(responses.len(), 40);
    for response in &responses {
        assert_eq!(response.status, 200, "{response:?}");
        assert!(["delivered", "duplicate"].contains(&response.outcome()), "{response:?}");
    }
    erp.saw(1);
    for proxy in &instances {
        let again = Sender::to(proxy).deliver(&copies[0]);
        assert_eq!(again.verdict(), (200, "duplicate", String::new()));
        assert_eq!(proxy.metric("hookward_dedupe_entries", &[("store", store)]), 1);
    }
    erp.saw(1);
    instances
}
