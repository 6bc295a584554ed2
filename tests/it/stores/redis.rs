//! `store = "redis"` when Redis or the network fails.

use super::shared;
use crate::support::{
    Event, Gate, Hop, Proxy, Redis, Reply, Sender, Setup, Upstream, eventually, get, hookward,
    instant, printed, request,
};
use std::net::TcpListener;
use std::time::Duration;

const PASSWORD: &str = "the-password-of-a-redis";

/// What a test does to a Redis to make it serve no more, and to undo that.
struct Outage {
    name: &'static str,
    begin: fn(&mut Redis),
    end: fn(&mut Redis),
}

const OUTAGES: [Outage; 2] = [
    Outage { name: "gone", begin: Redis::stop, end: Redis::restart },
    Outage { name: "mute", begin: |redis| redis.pause(), end: |redis| redis.resume() },
];

fn patient_for(patience: &str, erp: &Upstream, url: &str) -> Setup {
    Setup::new()
        .dedupe(&shared(url))
        .upstream("erp", erp, "")
        .shop_to(&["erp"], &format!("respond_within = \"{patience}\""))
}

fn store_errors(proxy: &Proxy) -> i64 {
    proxy.metric("hookward_dedupe_store_errors_total", &[("store", "redis")])
}

#[test]
fn without_redis_for_three_seconds_events_are_refused_and_then_taken_again() {
    for outage in OUTAGES {
        let mut redis = Redis::start();
        let erp = Upstream::start();
        let proxy = patient_for("500ms", &erp, &redis.url()).start();
        let sender = Sender::to(&proxy);
        assert_eq!(sender.deliver(&Event::order("evt-before").signed()).outcome(), "delivered");
        assert_eq!(store_errors(&proxy), 0);

        (outage.begin)(&mut redis);
        let delivery = Event::order("evt-1").signed();
        let began = instant();
        let mut refused = 0;
        while instant().saturating_sub(began) < Duration::from_secs(3) {
            let asked = instant();
            let response = sender.deliver(&delivery);
            let took = instant().saturating_sub(asked);
            let expected = (503, "rejected", "store_unavailable".to_owned());
            assert_eq!(response.verdict(), expected, "{}", outage.name);
            assert!(response.header("Retry-After").is_some(), "{}: {response:?}", outage.name);
            assert!(took < Duration::from_millis(2500), "{}: {took:?}", outage.name);
            refused += 1;
        }
        assert!(store_errors(&proxy) >= refused, "{}", outage.name);
        assert_eq!(proxy.ended("rejected", "store_unavailable"), refused);
        let ready = get(proxy.admin, "/readyz");
        assert_eq!(ready.status, 503, "{}", outage.name);
        assert!(ready.text().contains("redis"), "{}: {ready:?}", outage.name);
        assert_eq!(get(proxy.admin, "/healthz").status, 200);
        assert_eq!(get(proxy.admin, "/dedupe/shop/evt-1").status, 503, "{}", outage.name);

        (outage.end)(&mut redis);
        let ended = instant();
        eventually("it is ready again", || get(proxy.admin, "/readyz").status == 200);
        // What was asked while it was mute, it does now; each late claim is given up at once.
        eventually("the event is taken", || {
            let response = sender.deliver(&delivery);
            assert!(["held", "delivered"].contains(&response.outcome()), "{response:?}");
            response.outcome() == "delivered"
        });
        let took = instant().saturating_sub(ended);
        assert!(took < Duration::from_secs(5), "{}: {took:?}", outage.name);
        assert_eq!(sender.deliver(&delivery).outcome(), "duplicate", "{}", outage.name);
        erp.saw(2);
    }
}

#[test]
fn without_redis_events_are_forwarded_and_counted_where_that_is_chosen() {
    for outage in OUTAGES {
        let mut redis = Redis::start();
        let erp = Upstream::start();
        let proxy =
            patient_for("2s", &erp, &redis.url()).dedupe("on_store_error = \"forward\"").start();
        let sender = Sender::to(&proxy);
        (outage.begin)(&mut redis);
        let delivery = Event::order("evt-1").signed();
        for (nth, outcome) in ["delivered", "duplicate", "duplicate"].into_iter().enumerate() {
            let response = sender.deliver(&delivery);
            let expected = (200, outcome, String::new());
            assert_eq!(response.verdict(), expected, "{}, the {nth}th", outage.name);
            erp.saw(1);
        }
        assert_eq!(sender.deliver(&Event::order("evt-3").signed()).outcome(), "delivered");
        erp.saw(2);
        assert!(store_errors(&proxy) >= 2, "{}", outage.name);
        (outage.end)(&mut redis);
        eventually("it is ready again", || get(proxy.admin, "/readyz").status == 200);
        let other = Setup::shop(&erp).dedupe(&shared(&redis.url())).start();
        eventually("the store is told", || {
            get(other.admin, "/dedupe/shop/evt-1").text().contains("delivered")
        });
        assert_eq!(Sender::to(&other).deliver(&delivery).outcome(), "duplicate");
        let later = Event::order("evt-2").signed();
        assert_eq!(sender.deliver(&later).outcome(), "delivered", "{}", outage.name);
        assert_eq!(sender.deliver(&later).outcome(), "duplicate", "{}", outage.name);
        erp.saw(3);
    }
}

#[test]
fn an_event_that_was_accepted_while_redis_was_mute_is_remembered_by_all_in_the_end() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let setup = Setup::shop(&erp).dedupe(&shared(&redis.url()));
    let [proxy, other] = [setup.start(), setup.start()];
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    let winner = sender.start(&delivery);
    erp.saw(1);
    redis.pause();
    gate.open();
    assert_eq!(winner.join().unwrap().verdict(), (200, "delivered", String::new()));
    let again = sender.deliver(&delivery);
    assert_eq!(again.verdict(), (200, "duplicate", String::new()), "it knows by itself");
    redis.resume();
    eventually("Redis has been told", || {
        get(other.admin, "/dedupe/shop/evt-1").text().contains("delivered")
    });
    assert_eq!(Sender::to(&other).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
}

#[test]
fn a_slow_redis_makes_no_answer_later_than_the_senders_patience() {
    let redis = Redis::start();
    let hop = Hop::to(redis.address());
    let erp = Upstream::start();
    let proxy = patient_for("2s", &erp, &redis.url_by(hop.address())).start();
    let sender = Sender::to(&proxy);
    let timed = |id: &str| {
        let start = instant();
        let response = sender.deliver(&Event::order(id).signed());
        let took = instant().saturating_sub(start);
        assert!(took < Duration::from_secs(3), "{id} took {took:?}");
        response
    };
    hop.delay(Duration::from_millis(40));
    assert_eq!(timed("evt-1").outcome(), "delivered", "slow, but not too slow");
    hop.delay(Duration::from_secs(4));
    for id in ["evt-2", "evt-3"] {
        assert_eq!(timed(id).verdict(), (503, "rejected", "store_unavailable".to_owned()));
    }
    hop.delay(Duration::ZERO);
    // The late claims, whose answers were lost, are given up.
    for id in ["evt-2", "evt-3"] {
        eventually("a late claim blocks nobody", || {
            let response = timed(id);
            assert!(response.status == 503 || response.outcome() == "delivered", "{response:?}");
            response.outcome() == "delivered"
        });
    }
    assert_eq!(timed("evt-1").outcome(), "duplicate");
    erp.saw(3);
}

#[test]
fn a_redis_that_may_forget_claims_when_it_is_full_is_told_of_in_readiness() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).dedupe(&shared(&redis.url())).start();
    assert!(!get(proxy.admin, "/readyz").text().contains("noeviction"));
    redis.configure("maxmemory", "100mb");
    redis.configure("maxmemory-policy", "allkeys-lru");
    let ready = get(proxy.admin, "/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.text().contains("noeviction"), "{ready:?}");
}

#[test]
fn a_full_redis_refuses_events_until_there_is_room() {
    let redis = Redis::start();
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).dedupe(&shared(&redis.url())).start();
    let sender = Sender::to(&proxy);
    let delivered = Event::order("evt-1").signed();
    assert_eq!(sender.deliver(&delivered).outcome(), "delivered");
    redis.configure("maxmemory", "1");
    let refused = sender.deliver(&Event::order("evt-2").signed());
    assert_eq!(refused.verdict(), (503, "rejected", "store_unavailable".to_owned()));
    redis.configure("maxmemory", "0");
    assert_eq!(sender.deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
    assert_eq!(sender.deliver(&delivered).outcome(), "duplicate");
    erp.saw(2);
}

#[test]
fn a_broken_connection_costs_no_event_an_answer() {
    let redis = Redis::start();
    let hop = Hop::to(redis.address());
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).dedupe(&shared(&redis.url_by(hop.address()))).start();
    for number in 0..20 {
        hop.break_connections();
        let delivery = Event::order(&format!("evt-{number}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{number}");
    }
    erp.saw(20);
}

#[test]
fn a_redis_that_cannot_be_used_ends_the_start_with_3_and_a_sentence() {
    let redis = Redis::with_password(PASSWORD);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let erp = Upstream::start();
    for (what, url) in [
        ("nobody listens", format!("redis://:{PASSWORD}@{}/0", Upstream::unreachable())),
        ("nobody answers", format!("redis://:{PASSWORD}@{}/0", mute.local_addr().unwrap())),
        ("a wrong password", format!("redis://:{PASSWORD}-not@{}/0", redis.address())),
        ("no password", format!("redis://{}/0", redis.address())),
    ] {
        let mut proxy = Setup::shop(&erp)
            .dedupe("store = \"redis\"\nurl = { env = \"REDIS_URL\" }")
            .environment("REDIS_URL", &url)
            .spawn();
        assert_eq!(proxy.ends_within(Duration::from_secs(8)).code(), Some(3), "{what}");
        eventually(what, || proxy.log().contains("the redis store"));
        assert!(!proxy.log().contains(PASSWORD), "{what}: {}", proxy.log());
        assert!(!proxy.log().contains("panicked"), "{what}: {}", proxy.log());
    }
}

#[test]
fn the_password_of_a_redis_is_never_shown() {
    let mut redis = Redis::with_password(PASSWORD);
    let erp = Upstream::start();
    let setup = Setup::shop(&erp)
        .log("level = \"trace\"")
        .dedupe("store = \"redis\"\nurl = { env = \"REDIS_URL\" }")
        .environment("REDIS_URL", &redis.url());
    let proxy = setup.start();
    let sender = Sender::to(&proxy);
    assert_eq!(sender.deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    redis.stop();
    let refused = sender.deliver(&Event::order("evt-2").signed());
    assert_eq!(refused.reason(), "store_unavailable");
    let mut shown = vec![("an answer", refused.text())];
    for path in ["/status", "/readyz", "/metrics", "/dedupe/shop/evt-1"] {
        shown.push((path, get(proxy.admin, path).text()));
    }
    let moved =
        setup.toml().replace("{ env = \"REDIS_URL\" }", "\"redis://:pass-two@127.0.0.1:1/0\"");
    std::fs::write(proxy.file(), moved).unwrap();
    let reload = request(proxy.admin, "POST", "/reload", &[("Content-Length", "0")]);
    shown.push(("/reload", reload.text()));
    std::fs::write(proxy.file(), setup.toml()).unwrap();
    for url in [redis.url(), format!("redis://:{PASSWORD}@[nonsense"), PASSWORD.to_owned()] {
        for arguments in [vec!["check"], vec!["dedupe", "get", "shop", "evt-1"], vec!["run"]] {
            let output = hookward()
                .args(&arguments)
                .arg("--config")
                .arg(proxy.file())
                .env("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
                .env("REDIS_URL", &url)
                .output()
                .unwrap();
            assert!(output.status.code().is_some_and(|code| code <= 3), "{}", printed(&output));
            shown.push(("a command", printed(&output)));
        }
    }
    eventually("it is logged", || proxy.log().contains("store_unavailable"));
    shown.push(("the log", proxy.log()));
    for (what, text) in shown {
        assert!(!text.contains(PASSWORD), "{what} shows the password: {text}");
        assert!(!text.contains("pass-two"), "{what} shows the password: {text}");
    }
}
