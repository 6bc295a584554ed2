//! Starting, stopping and reloading: section 8 of the contract.

use crate::support::{
    Connection, Event, Gate, Reply, Sender, Setup, Upstream, eventually, get, hookward, printed,
    request,
};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

#[test]
fn a_delivery_under_way_is_finished_after_sigterm() {
    for signal in ["TERM", "INT"] {
        let erp = Upstream::start();
        let gate = Gate::default();
        erp.next(Reply::behind(&gate, Reply::Status(200)));
        let mut proxy = Setup::shop(&erp).start();
        let under_way = Sender::to(&proxy).start(&Event::order("evt-1").signed());
        erp.saw(1);
        proxy.signal(signal);
        eventually("it says that it drains", || get(proxy.admin, "/readyz").status == 503);
        gate.open();
        let response = under_way.join().unwrap();
        assert_eq!(response.verdict(), (200, "delivered", String::new()), "{signal}");
        assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(0), "{signal}");
    }
}

#[test]
fn a_forwarding_whose_sender_left_is_finished_after_sigterm() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let mut proxy = Setup::shop(&erp).start();
    Sender::to(&proxy).deliver_and_leave(&Event::order("evt-1").signed());
    erp.saw(1);
    proxy.signal("TERM");
    eventually("it says that it drains", || get(proxy.admin, "/readyz").status == 503);
    gate.open();
    assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn an_idle_process_stops_within_two_seconds() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).start();
    // A kept connection is idle, too.
    let mut kept = Connection::open(proxy.address);
    let delivery = Event::order("evt-1").signed().bytes(proxy.address);
    assert_eq!(kept.send(delivery).response().outcome(), "delivered");
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(2)).code(), Some(0));
    assert!(kept.closes_within(Duration::from_secs(1)));
}

#[test]
fn a_log_that_nobody_reads_stops_no_delivery() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).unread_log().start();
    let mut connection = Connection::open(proxy.address);
    // A pipe holds 64 KiB and a line is at least 200 bytes.
    for number in 0..1000 {
        let delivery = Event::order(&format!("evt-{number}")).signed().bytes(proxy.address);
        assert_eq!(connection.send(delivery).response().outcome(), "delivered");
    }
    erp.saw(1000);
}

#[test]
fn a_drain_that_takes_too_long_is_cut_off_with_exit_code_1() {
    let erp = Upstream::start();
    erp.otherwise(Reply::Hang);
    let mut proxy = Setup::shop(&erp).server("drain_timeout = \"300ms\"").start();
    let under_way = Sender::to(&proxy);
    under_way.deliver_and_leave(&Event::order("evt-1").signed());
    erp.saw(1);
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(1));
}

#[test]
fn a_second_signal_stops_at_once_with_130() {
    let erp = Upstream::start();
    erp.otherwise(Reply::Hang);
    let mut proxy = Setup::shop(&erp).start();
    Sender::to(&proxy).deliver_and_leave(&Event::order("evt-1").signed());
    erp.saw(1);
    proxy.signal("TERM");
    eventually("it says that it drains", || get(proxy.admin, "/readyz").status == 503);
    proxy.signal("TERM");
    let status = proxy.ends_within(Duration::from_secs(10));
    assert_eq!((status.code(), status.signal()), (Some(130), None));
}

#[test]
fn a_new_connection_while_draining_is_refused_or_told_so() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let mut proxy = Setup::shop(&erp).start();
    let mut kept = Connection::open(proxy.address);
    let under_way = Sender::to(&proxy).start(&Event::order("evt-1").signed());
    erp.saw(1);
    proxy.signal("TERM");
    eventually("it says that it drains", || get(proxy.admin, "/readyz").status == 503);
    // It may be closed already; if it answers, then with the reason.
    if kept.try_send(Event::order("evt-2").signed().bytes(proxy.address)).is_ok()
        && let Ok(response) = kept.try_response()
    {
        assert_eq!(response.verdict(), (503, "rejected", "shutting_down".to_owned()));
    }
    drop(kept);
    gate.open();
    assert_eq!(under_way.join().unwrap().outcome(), "delivered");
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(0));
    erp.saw(1);
}

#[test]
fn an_address_that_is_taken_ends_the_process_with_3_and_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let erp = Upstream::start();
    for setup in [
        Setup::shop(&erp).server(&format!("listen = [\"127.0.0.1:0\", \"{address}\"]")),
        Setup::shop(&erp).admin(&format!("listen = \"{address}\"")),
    ] {
        let mut proxy = setup.spawn();
        assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(3));
        eventually("it says which", || proxy.log().contains(&address.to_string()));
    }
}

#[test]
fn a_wrong_configuration_ends_the_process_with_2_and_all_problems() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.toml");
    let toml = "[server]\nlisten = [\"127.0.0.1:0\"]\nmax_bdy = \"1MiB\"\n\
                [dedupe]\nttl = \"soon\"\n[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n\
                [sources.shop]\npath = \"/shop\"\npreset = \"opentiends\"\nsecrets = [{ env = \"X\" }]\n\
                [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"epr\"]\n";
    std::fs::write(&file, toml).unwrap();
    for command in ["run", "check"] {
        let output = hookward().args([command, "--config"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        let problems = printed(&output);
        for part in ["max_bdy", "max_body", "soon", "opentiends", "opentiendas", "epr", "erp"] {
            assert!(problems.contains(part), "{part} is not in {problems}");
        }
    }
}

#[test]
fn a_reload_takes_the_new_file_and_keeps_every_delivered_id() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    let setup = Setup::new().upstream("erp", &erp, "").upstream("crm", &crm, "");
    let proxy = setup.clone().shop_to(&["erp"], "").start();
    let sender = Sender::to(&proxy);
    let hash = || {
        let status: serde_json::Value =
            serde_json::from_slice(&get(proxy.admin, "/status").body).unwrap();
        status["config_hash"].as_str().unwrap().to_owned()
    };
    let first = Event::order("evt-1").signed();
    assert_eq!(sender.deliver(&first).outcome(), "delivered");
    let before = hash();

    std::fs::write(proxy.file(), setup.clone().shop_to(&["erp", "crm"], "").toml()).unwrap();
    assert_eq!(request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]).status, 200);
    assert_ne!(hash(), before);
    assert_eq!(sender.deliver(&first).outcome(), "delivered", "the CRM had not got it");
    erp.saw(1);
    crm.saw(1);

    std::fs::write(proxy.file(), setup.shop_to(&["crm"], "").toml()).unwrap();
    proxy.signal("HUP");
    let reloads = || proxy.metric("hookward_config_reloads_total", &[("result", "ok")]);
    eventually("it reloads on SIGHUP", || reloads() == 2);
    assert_eq!(sender.deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
    assert_eq!(sender.deliver(&first).outcome(), "duplicate");
    erp.saw(1);
    crm.saw(2);
}

#[test]
fn a_reload_of_a_wrong_file_leaves_the_old_configuration_serving() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    std::fs::write(proxy.file(), "[server]\nnonsense = 1\n").unwrap();
    let response = request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]);
    assert_eq!(response.status, 422);
    assert!(response.text().contains("nonsense"), "{response:?}");
    let reloads = |result| proxy.metric("hookward_config_reloads_total", &[("result", result)]);
    assert_eq!((reloads("error"), reloads("ok")), (1, 0));
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(response.outcome(), "delivered");
}

#[test]
fn a_delivery_under_way_survives_a_reload_and_its_copies_still_wait_for_it() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    let winner = sender.start(&delivery);
    erp.saw(1);
    assert_eq!(request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]).status, 200);
    let copy = sender.start(&delivery);
    eventually("both are in the house", || proxy.metric("hookward_connections", &[]) >= 2);
    gate.open();
    assert_eq!(winner.join().unwrap().outcome(), "delivered");
    assert_eq!(copy.join().unwrap().status, 200);
    erp.saw(1);
}

/// What a balancer in front of a rolling restart relies on.
#[test]
fn during_drain_delay_new_requests_are_served_while_readyz_says_503() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).server("drain_delay = \"2s\"").start();
    let mut kept = Connection::open(proxy.address);
    let delivery = |id: &str| Event::order(id).signed();
    assert_eq!(kept.send(delivery("evt-1").bytes(proxy.address)).response().outcome(), "delivered");
    proxy.signal("TERM");
    eventually("it says that it is about to stop", || get(proxy.admin, "/readyz").status == 503);
    assert_eq!(get(proxy.admin, "/healthz").status, 200);
    assert_eq!(Sender::to(&proxy).deliver(&delivery("evt-2")).outcome(), "delivered", "a new one");
    let on_kept = kept.send(delivery("evt-3").bytes(proxy.address)).response();
    assert_eq!(on_kept.outcome(), "delivered", "one that is open");
    assert_eq!(proxy.ends_within(Duration::from_secs(5)).code(), Some(0));
    assert_eq!(erp.saw(3).len(), 3);
}

#[test]
fn a_second_signal_during_drain_delay_stops_at_once_with_130() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).server("drain_delay = \"60s\"").start();
    proxy.signal("TERM");
    eventually("it says that it is about to stop", || get(proxy.admin, "/readyz").status == 503);
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(130));
}
