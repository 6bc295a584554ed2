//! Changes and restarts under load: no event is lost or delivered twice, and no sender is refused
//! unnecessarily.

use crate::support::{Fate, Load, Proxy, Retries, Setup, Upstream, eventually, get, request};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often each event was seen by these upstreams.
fn seen_by(upstreams: &[&Upstream]) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for request in upstreams.iter().flat_map(|upstream| upstream.seen()) {
        *seen.entry(request.header("Hookward-Event-Id").to_owned()).or_insert(0) += 1;
    }
    seen
}

#[track_caller]
fn each_was_delivered(fates: &BTreeMap<String, Fate>) {
    let delivered = Ok((200, "delivered".to_owned(), String::new()));
    let otherwise: Vec<_> = fates.iter().filter(|(_, fate)| **fate != delivered).collect();
    assert!(otherwise.is_empty(), "{} of {}: {otherwise:?}", otherwise.len(), fates.len());
}

#[track_caller]
fn each_was_seen_once(fates: &BTreeMap<String, Fate>, seen: &BTreeMap<String, usize>) {
    let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert!(fates.keys().eq(seen.keys()), "{} sent, {} seen", fates.len(), seen.len());
}

fn reload(proxy: &Proxy, toml: &str) -> u16 {
    std::fs::write(proxy.file(), toml).unwrap();
    request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]).status
}

#[test]
fn routes_change_100_times_under_500_deliveries_a_second() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    let setup = Setup::new().upstream("erp", &erp, "").upstream("crm", &crm, "");
    let proxy = setup.clone().shop_to(&["erp"], "").start();
    let load = Load::on(proxy.address, 500);
    for round in 1..=100 {
        let to = if round % 2 == 0 { "erp" } else { "crm" };
        assert_eq!(reload(&proxy, &setup.clone().shop_to(&[to], "").toml()), 200);
        // A bad file in between changes nothing.
        if round % 10 == 0 {
            assert_eq!(reload(&proxy, "[server]\nnonsense = 1\n"), 422);
        }
        let due = round * 25;
        eventually("the load goes on", || load.ended() >= due);
    }
    let fates = load.stop();
    assert!(fates.len() >= 2500);
    each_was_delivered(&fates);
    each_was_seen_once(&fates, &seen_by(&[&erp, &crm]));
    assert!(erp.seen().len() > 500 && crm.seen().len() > 500, "both had their turns");
    let reloads = |result| proxy.metric("hookward_config_reloads_total", &[("result", result)]);
    assert_eq!((reloads("ok"), reloads("error")), (100, 10));
}

#[test]
fn one_of_two_addresses_restarts_every_second_and_no_sender_notices() {
    let [one, two] = [Upstream::start(), Upstream::start()];
    let proxy = Setup::new()
        .table(&format!("[upstreams.erp]\nurls = [\"{}\", \"{}\"]", one.url(), two.url()))
        .shop_to(&["erp"], "")
        .start();
    let load = Load::on(proxy.address, 200);
    for round in 0..5 {
        std::thread::sleep(Duration::from_millis(700));
        let restarting = if round % 2 == 0 { &one } else { &two };
        restarting.stop();
        std::thread::sleep(Duration::from_millis(300));
        restarting.start_again();
    }
    let fates = load.stop();
    assert!(fates.len() > 500, "{}", fates.len());
    each_was_delivered(&fates);
    each_was_seen_once(&fates, &seen_by(&[&one, &two]));
    assert!(one.seen().len() > 100 && two.seen().len() > 100, "both were used in between");
}

#[test]
fn a_drain_under_load_answers_or_refuses_each_and_loses_none() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).start();
    let load = Load::on(proxy.address, 200);
    eventually("the load is on", || load.ended() >= 200);
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(0));
    let fates = load.stop();
    let seen = seen_by(&[&erp]);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let mut delivered = 0;
    for (id, fate) in &fates {
        match fate {
            Ok((200, outcome, _)) if outcome == "delivered" => {
                delivered += 1;
                assert!(seen.contains_key(id), "{id} was said to be delivered");
            }
            Ok((503, _, reason)) if reason == "shutting_down" => assert!(!seen.contains_key(id)),
            // The connection was refused, or closed before the request was read.
            Err(_) => assert!(!seen.contains_key(id), "{id} was forwarded and not answered"),
            Ok(other) => panic!("{id}: {other:?}"),
        }
    }
    assert_eq!(delivered, seen.len());
    assert!(delivered >= 200);
}

/// A Redis of our own.
struct Redis {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect(
                "this test needs redis-server: `apt-get install redis-server`, or run `make test`",
            );
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("Redis listens", || std::net::TcpStream::connect(address).is_ok());
        Self { process, port, _directory: directory }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn two_replicas_on_one_redis_restart_in_turn_and_lose_and_double_nothing() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let setup = Setup::shop(&erp)
        .dedupe(&format!("store = \"redis\"\nurl = \"redis://127.0.0.1:{}/0\"", redis.port));
    let mut replicas = [setup.start(), setup.start()];
    let balancer = Arc::new(Mutex::new(replicas.iter().map(|r| r.address).collect::<Vec<_>>()));
    let load = Load::start(&balancer, 200, Retries::UntilDelivered);
    for round in 0..4 {
        let due = load.ended() + 100;
        eventually("the load goes on", || load.ended() >= due);
        let replica = &mut replicas[round % 2];
        replica.signal("TERM");
        // The balancer notices by the probe, as it does in a cluster; senders may be quicker.
        eventually("it says that it drains", || {
            std::net::TcpStream::connect(replica.admin).is_err()
                || get(replica.admin, "/readyz").status == 503
        });
        balancer.lock().unwrap().retain(|address| *address != replica.address);
        assert_eq!(replica.ends_within(Duration::from_secs(10)).code(), Some(0));
        *replica = setup.start();
        balancer.lock().unwrap().push(replica.address);
    }
    let due = load.ended() + 100;
    eventually("the load goes on", || load.ended() >= due);
    let fates = load.stop();
    each_was_seen_once(&fates, &seen_by(&[&erp]));
    for (id, fate) in &fates {
        let (status, outcome, _) = fate.as_ref().unwrap();
        // A sender whose connection broke after the event was accepted is told so on its retry.
        assert!(*status == 200 && ["delivered", "duplicate"].contains(&outcome.as_str()), "{id}");
    }
}
