//! Several instances that share a Redis behave as one for each event.

use super::{forty_copies_reach_the_upstream_once, shared, two};
use crate::support::{
    Delivery, Event, Gate, Proxy, Redis, Reply, Response, Sender, Setup, Upstream, eventually, get,
    instant, request,
};
use std::time::Duration;

/// Delivers to `winner`, then a copy to `other`, opens the gate once the copy waits, and gives what
/// both were told.
fn winner_and_copy(
    [winner, other]: &[Proxy; 2],
    redis: &Redis,
    erp: &Upstream,
    gate: &Gate,
    delivery: &Delivery,
) -> [Response; 2] {
    let arrived = erp.count();
    let first = Sender::to(winner).start(delivery);
    erp.saw(arrived + 1);
    let asked = || redis.calls().get("evalsha").copied().unwrap_or_default();
    let before = asked();
    let copy = Sender::to(other).start(delivery);
    // It requests the claim, and then asks for its state.
    eventually("the copy waits", || asked() >= before + 2);
    gate.open();
    [first.join().unwrap(), copy.join().unwrap()]
}

#[test]
fn forty_copies_over_two_instances_reach_the_upstream_once() {
    let redis = Redis::start();
    let setup = |erp: &Upstream| Setup::shop(erp).dedupe(&shared(&redis.url()));
    forty_copies_reach_the_upstream_once(setup, "redis");
}

#[test]
fn a_copy_on_the_other_instance_waits_for_the_outcome() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let instances = two(&Setup::shop(&erp).dedupe(&shared(&redis.url())));
    let delivery = Event::order("evt-1").signed();
    let [winner, copy] = winner_and_copy(&instances, &redis, &erp, &gate, &delivery);
    assert_eq!(winner.verdict(), (200, "delivered", String::new()));
    assert_eq!(copy.status, 200);
    assert!(["delivered", "duplicate"].contains(&copy.outcome()), "{copy:?}");
    erp.saw(1);
}

#[test]
fn a_copy_on_the_other_instance_waits_no_longer_than_its_own_patience() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let setup = Setup::new()
        .dedupe(&shared(&redis.url()))
        .upstream("erp", &erp, "")
        .shop_to(&["erp"], "respond_within = \"300ms\"");
    let [winner, other] = two(&setup);
    let delivery = Event::order("evt-1").signed();
    let first = Sender::to(&winner).start(&delivery);
    erp.saw(1);

    let start = instant();
    let copy = Sender::to(&other).deliver(&delivery);
    let took = instant().saturating_sub(start);
    assert_eq!(copy.verdict(), (503, "held", "in_flight".to_owned()));
    assert_eq!(copy.header("Retry-After"), Some("1"));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    let known = get(other.admin, "/dedupe/shop/evt-1").text();
    assert!(known.contains("in_flight"), "{known}");

    assert_eq!(first.join().unwrap().reason(), "still_working");
    gate.open();
    eventually("the forwarding ends", || winner.metric("hookward_in_flight", &[]) == 0);
    assert_eq!(Sender::to(&other).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
}

#[test]
fn a_copy_on_the_other_instance_is_told_the_winners_failure() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let instances = two(&Setup::shop(&erp).dedupe(&shared(&redis.url())));
    for (fault, status, reason) in [
        (Reply::Status(500), 500, "upstream_error"),
        (Reply::Status(503), 503, "upstream_error"),
        (Reply::Status(429), 429, "upstream_busy"),
        (Reply::Status(404), 502, "upstream_refused"),
        (Reply::Close, 502, "upstream_broken"),
    ] {
        let gate = Gate::default();
        let before = erp.count();
        erp.next(Reply::behind(&gate, fault));
        let delivery = Event::order(&format!("evt-{status}-{reason}")).signed();
        for told in winner_and_copy(&instances, &redis, &erp, &gate, &delivery) {
            assert_eq!(told.verdict(), (status, "failed", reason.to_owned()));
        }
        erp.saw(before + 1);
        // Whoever comes next finds what the failure left, on both instances.
        let [_, other] = &instances;
        let retry = Sender::to(other).deliver(&delivery);
        let expected = if reason == "upstream_broken" { "held" } else { "delivered" };
        assert_eq!(retry.outcome(), expected, "after {status} {reason}");
    }
}

#[test]
fn an_event_of_unknown_fate_is_held_on_every_instance() {
    let redis = Redis::start();
    let erp = Upstream::start();
    erp.next(Reply::Close);
    let setup = Setup::shop(&erp).dedupe(&shared(&redis.url())).dedupe("uncertain_hold = \"1s\"");
    let [one, other] = two(&setup);
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&one).deliver(&delivery).reason(), "upstream_broken");
    let held = Sender::to(&other).deliver(&delivery);
    assert_eq!(held.verdict(), (503, "held", "uncertain".to_owned()));
    assert_eq!(held.header("Retry-After"), Some("1"));
    eventually("the hold is over", || {
        let response = Sender::to(&other).deliver(&delivery);
        assert!(["held", "delivered"].contains(&response.outcome()), "{response:?}");
        response.outcome() == "delivered"
    });
    erp.saw(2);
    assert_eq!(Sender::to(&one).deliver(&delivery).outcome(), "duplicate");
}

/// One instance is killed with an event on its way, one is stopped and comes back late: the
/// claims of both lapse at the upstream's `timeout` + 10 s, and what the late one says counts no
/// more.
#[test]
fn a_dead_instances_claim_lapses_and_a_late_one_changes_nothing() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let setup = Setup::new()
        .dedupe(&shared(&redis.url()))
        .upstream("erp", &erp, "timeout = \"1s\"")
        .shop_to(&["erp"], "respond_within = \"800ms\"");
    let [mut killed, stopped] = two(&setup);
    let survivor = setup.start();
    let start = instant();
    let deliveries = ["evt-killed", "evt-stopped"].map(|id| Event::order(id).signed());
    for (proxy, delivery) in [&killed, &stopped].into_iter().zip(&deliveries) {
        let before = erp.count();
        erp.next(Reply::Hang);
        Sender::to(proxy).deliver_and_leave(delivery);
        erp.saw(before + 1);
    }
    killed.crash();
    stopped.signal("STOP");

    for (index, delivery) in deliveries.iter().enumerate() {
        let mut held = 0;
        eventually("the claim lapses", || {
            let response = Sender::to(&survivor).deliver(delivery);
            if response.outcome() == "delivered" {
                return true;
            }
            assert_eq!(response.verdict(), (503, "held", "in_flight".to_owned()));
            held += 1;
            false
        });
        let lapsed = instant().saturating_sub(start);
        assert!(lapsed >= Duration::from_secs(10), "it lapsed after {lapsed:?}");
        assert!(lapsed < Duration::from_secs(14), "it lapsed after {lapsed:?}");
        assert!(held > 0 || index > 0, "copies were held meanwhile");
    }
    erp.saw(4);

    stopped.signal("CONT");
    eventually("the late instance gives up", || stopped.metric("hookward_in_flight", &[]) == 0);
    for proxy in [&stopped, &survivor] {
        for delivery in &deliveries {
            assert_eq!(Sender::to(proxy).deliver(delivery).outcome(), "duplicate");
        }
    }
    erp.saw(4);
}

#[test]
fn a_delivery_costs_redis_two_calls_and_a_duplicate_one() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).dedupe(&shared(&redis.url())).start();
    // The scripts are sent with their first calls.
    let first = Event::order("evt-first").signed();
    assert_eq!(Sender::to(&proxy).deliver(&first).outcome(), "delivered");
    for (outcome, calls) in [("delivered", 2), ("duplicate", 1)] {
        let before = redis.calls();
        for number in 0..20 {
            let delivery = Event::order(&format!("evt-{number}")).signed();
            assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), outcome);
        }
        let mut spent = redis.calls();
        for (name, count) in &mut spent {
            *count -= before.get(name).copied().unwrap_or_default();
        }
        // What the scripts do themselves costs no round trip; `info` is this test's question.
        spent.retain(|name, count| {
            *count > 0 && !["get", "set", "del", "pttl", "info"].contains(&name.as_str())
        });
        let asked: Vec<_> = spent.into_iter().collect();
        assert_eq!(asked, [("evalsha".to_owned(), 20 * calls)], "20 × {outcome}");
    }
}

#[test]
fn a_reload_and_a_restart_keep_what_is_shared() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let setup = Setup::shop(&erp).dedupe(&shared(&redis.url()));
    let mut proxy = setup.start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let reload = request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]);
    assert_eq!(reload.status, 200);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    proxy.crash();
    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
}

#[test]
fn instances_with_different_prefixes_share_nothing() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let delivery = Event::order("evt-1").signed();
    for prefix in ["one:", "other:"] {
        let keys = format!("{}\nprefix = \"{prefix}\"", shared(&redis.url()));
        let proxy = Setup::shop(&erp).dedupe(&keys).start();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{prefix}");
    }
    erp.saw(2);
}
