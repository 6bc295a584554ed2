//! Exactly one delivery of each event: section 3 of the contract.

use crate::support::{
    Connection, Delivery, Event, Gate, Proxy, Reply, Response, Sender, Setup, Upstream, eventually,
    get, instant, request, unix_now,
};
use std::time::Duration;

fn outcomes(responses: &[Response]) -> Vec<&str> {
    responses.iter().map(Response::outcome).collect()
}

#[test]
fn a_repeated_delivery_is_a_duplicate_and_the_upstream_sees_one() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    assert_eq!(sender.deliver(&delivery).verdict(), (200, "delivered", String::new()));
    for _ in 0..3 {
        assert_eq!(sender.deliver(&delivery).verdict(), (200, "duplicate", String::new()));
    }
    erp.saw(1);
    assert_eq!((proxy.ended("delivered", ""), proxy.ended("duplicate", "")), (1, 3));
    assert_eq!(proxy.metric("hookward_dedupe_entries", &[("store", "memory")]), 1);
}

#[test]
fn fifty_copies_at_once_reach_the_upstream_once() {
    let erp = Upstream::start();
    erp.next(Reply::after(Duration::from_millis(100), Reply::Status(200)));
    let proxy = Setup::shop(&erp).start();
    let copies = vec![Event::order("evt-1").signed(); 50];
    let responses = Sender::to(&proxy).deliver_at_once(&copies);
    for response in &responses {
        assert_eq!(response.status, 200);
        assert!(["delivered", "duplicate"].contains(&response.outcome()), "{response:?}");
    }
    erp.saw(1);
    assert_eq!(proxy.metric("hookward_in_flight", &[]), 0);
}

/// Deliveries whose state the store has reported.
fn asked_of_the_store(proxy: &Proxy) -> i64 {
    proxy.metric("hookward_stage_duration_seconds_count", &[("stage", "dedupe")])
}

/// What a delivery and a copy of it are told when the upstream gives `reply` while both wait.
fn delivery_and_copy(
    delivery: &Delivery,
    proxy: &Proxy,
    erp: &Upstream,
    reply: Reply,
) -> [Response; 2] {
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, reply));
    let sender = Sender::to(proxy);
    let before = asked_of_the_store(proxy);
    let winner = sender.start(delivery);
    erp.saw(1);
    let copy = sender.start(delivery);
    eventually("the copy waits", || asked_of_the_store(proxy) == before + 2);
    gate.open();
    [winner.join().unwrap(), copy.join().unwrap()]
}

#[test]
fn a_copy_that_waited_gets_the_winners_answer() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("evt-1").signed();
    let accepted = Reply::Whole(202, "X-Erp: yes\r\n".to_owned(), b"queued".to_vec());
    for response in delivery_and_copy(&delivery, &proxy, &erp, accepted) {
        assert_eq!(response.verdict(), (202, "delivered", String::new()));
        assert_eq!((response.header("X-Erp"), response.text().as_str()), (Some("yes"), "queued"));
    }
    erp.saw(1);
}

#[test]
fn a_copy_that_waited_gets_the_winners_body_up_to_64_kib_and_an_empty_one_beyond() {
    for (size, of_the_copy) in [(64 * 1024, 64 * 1024), (64 * 1024 + 1, 0)] {
        let erp = Upstream::start();
        let accepted = Reply::Whole(202, "X-Erp: yes\r\n".to_owned(), vec![b'a'; size]);
        let proxy = Setup::shop(&erp).start();
        let delivery = Event::order("evt-1").signed();
        let responses = delivery_and_copy(&delivery, &proxy, &erp, accepted);
        for (response, expected) in responses.iter().zip([size, of_the_copy]) {
            assert_eq!(response.verdict(), (202, "delivered", String::new()), "{size}");
            assert_eq!(response.header("X-Erp"), Some("yes"), "{size}");
            assert_eq!(response.body.len(), expected, "{size}");
        }
        erp.saw(1);
    }
}

#[test]
fn a_copy_of_a_failing_delivery_gets_its_failure_and_the_retry_is_forwarded() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("evt-1").signed();
    for response in delivery_and_copy(&delivery, &proxy, &erp, Reply::Status(500)) {
        assert_eq!(response.verdict(), (500, "failed", "upstream_error".to_owned()));
    }
    erp.saw(1);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    erp.saw(2);
}

#[test]
fn an_event_that_failed_first_is_delivered_once_on_the_retry() {
    let erp = Upstream::start();
    erp.next(Reply::Status(503)).next(Reply::Status(400));
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    let responses: Vec<_> = (0..4).map(|_| sender.deliver(&delivery)).collect();
    assert_eq!(outcomes(&responses), ["failed", "failed", "delivered", "duplicate"]);
    let seen = erp.saw(3);
    assert!(seen.iter().all(|seen| seen.body == delivery.body));
}

#[test]
fn a_sender_whose_patience_ran_out_is_told_duplicate_on_its_retry() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .shop_to(&["erp"], "respond_within = \"200ms\"")
        .start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();

    let start = instant();
    let first = sender.deliver(&delivery);
    let took = instant().saturating_sub(start);
    assert_eq!(first.verdict(), (503, "held", "still_working".to_owned()));
    assert!(first.header("Retry-After").is_some());
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");

    let early = sender.deliver(&delivery);
    assert_eq!(early.verdict(), (503, "held", "in_flight".to_owned()));
    assert_eq!(early.header("Retry-After"), Some("1"));

    gate.open();
    eventually("the forwarding ends", || proxy.metric("hookward_in_flight", &[]) == 0);
    assert_eq!(sender.deliver(&delivery).verdict(), (200, "duplicate", String::new()));
    erp.saw(1);
    // Its own line said `still_working`; another says how it ended.
    let ended = |line: &str| line.contains("late end") && line.contains("result=200");
    eventually("the log says so", || proxy.log().lines().any(ended));
}

#[test]
fn a_sender_that_hangs_up_does_not_stop_the_forwarding() {
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    sender.deliver_and_leave(&delivery);
    erp.saw(1);
    gate.open();
    eventually("the forwarding ends", || proxy.metric("hookward_in_flight", &[]) == 0);
    assert_eq!(sender.deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
}

#[test]
fn a_sender_that_half_closes_still_gets_its_answer() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let mut connection = Connection::open(proxy.address);
    connection.send(Event::order("evt-1").signed().bytes(proxy.address)).half_close();
    assert_eq!(connection.response().outcome(), "delivered");
    erp.saw(1);
}

/// An upstream that got the whole request and gave no valid answer may have accepted the event.
#[test]
fn an_event_of_unknown_fate_is_held_and_then_forwarded_again() {
    for (fault, status, reason) in [
        (Reply::Close, 502, "upstream_broken"),
        (Reply::Raw(b"this is not HTTP\r\n\r\n".to_vec()), 502, "upstream_broken"),
        (Reply::Hang, 504, "upstream_timeout"),
    ] {
        let erp = Upstream::start();
        erp.next(fault.clone());
        let proxy = Setup::new()
            .dedupe("uncertain_hold = \"1s\"")
            .upstream("erp", &erp, "timeout = \"400ms\"")
            .shop_to(&["erp"], "")
            .start();
        let sender = Sender::to(&proxy);
        let delivery = Event::order("evt-1").signed();
        let first = sender.deliver(&delivery);
        assert_eq!(first.verdict(), (status, "failed", reason.to_owned()), "{fault:?}");
        let held = sender.deliver(&delivery);
        assert_eq!(held.verdict(), (503, "held", "uncertain".to_owned()), "{fault:?}");
        assert_eq!(held.header("Retry-After"), Some("1"));
        assert_eq!(erp.seen().len(), 1, "not forwarded while it is held");
        eventually("the hold is over", || {
            let response = sender.deliver(&delivery);
            assert!(["held", "delivered"].contains(&response.outcome()), "{response:?}");
            response.outcome() == "delivered"
        });
        erp.saw(2);
    }
}

#[test]
fn what_was_not_sent_whole_is_not_uncertain() {
    let gone = Upstream::unreachable();
    let proxy = Setup::new()
        .table(&format!("[upstreams.erp]\nurl = \"http://{gone}\""))
        .shop_to(&["erp"], "")
        .start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    for _ in 0..2 {
        let response = sender.deliver(&delivery);
        assert_eq!(response.verdict(), (503, "failed", "upstream_unreachable".to_owned()));
        assert!(response.header("Retry-After").is_some());
    }
    let labels = [("upstream", "erp"), ("result", "unreachable")];
    assert!(proxy.metric("hookward_upstream_requests_total", &labels) >= 1);
}

#[test]
fn a_memory_store_of_1000_recognises_the_last_900_of_5000() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).dedupe("capacity = 1000").start();
    let mut connection = Connection::open(proxy.address);
    let mut deliver = |id: usize| {
        let delivery = Event::order(&format!("evt-{id}")).signed();
        connection.send(delivery.bytes(proxy.address)).response().outcome().to_owned()
    };
    for id in 0..5000 {
        assert_eq!(deliver(id), "delivered");
    }
    for id in 4100..5000 {
        assert_eq!(deliver(id), "duplicate", "the {id}th of 5000");
    }
    let scrape = proxy.scrape();
    let store = [("store", "memory")];
    let (entries, evicted) = (
        scrape.sum("hookward_dedupe_entries", &store),
        scrape.sum("hookward_dedupe_evicted_total", &store),
    );
    assert!((900..=1000).contains(&entries), "{entries} entries");
    assert!((4000..=4100).contains(&evicted), "{evicted} evicted");
}

#[test]
fn an_id_is_forgotten_after_its_ttl_which_hits_do_not_renew() {
    let erp = Upstream::start();
    // Without a timestamp in the scheme the ttl may be shorter than any age.
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.hub]\npath = \"/hub\"\npreset = \"github\"\ndedupe_ttl = \"2s\"\n\
             secrets = [{ env = \"HUB_SECRET\" }]\n\
             [[sources.hub.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("HUB_SECRET", "a-secret-of-the-hub-for-tests")
        .start();
    let sender = Sender::to(&proxy);
    let body = b"{}";
    let signature = crate::support::hmac_sha256_hex("a-secret-of-the-hub-for-tests", body);
    let delivery = Delivery::post("/hub", body)
        .with("X-Hub-Signature-256", &format!("sha256={signature}"))
        .with("X-GitHub-Delivery", "guid-1")
        .with("X-GitHub-Event", "push");
    let start = instant();
    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
    let mut duplicates = 0;
    eventually("the id is forgotten", || {
        let outcome = sender.deliver(&delivery).outcome().to_owned();
        duplicates += usize::from(outcome == "duplicate");
        outcome == "delivered"
    });
    let remembered = instant().saturating_sub(start);
    assert!(duplicates > 0, "it was remembered at first");
    assert!(remembered >= Duration::from_millis(1900), "forgotten after {remembered:?}");
    erp.saw(2);
}

#[test]
fn a_delivered_id_with_another_body_is_a_duplicate_that_is_counted() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    assert_eq!(sender.deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    let other = Event::order("evt-1").padded_to(500).signed();
    assert_eq!(sender.deliver(&other).outcome(), "duplicate");
    let labels = [("source", "shop")];
    assert_eq!(proxy.metric("hookward_dedupe_body_mismatch_total", &labels), 1);
    erp.saw(1);
}

#[test]
fn an_old_retry_of_a_finished_event_is_answered_200_and_of_an_unfinished_one_401() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).table("[sources.shop.timestamp]\nmax_age = \"2s\"").start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    let unfinished = Event::order("evt-2").signed();
    erp.next(Reply::Status(200)).next(Reply::Status(500));
    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
    assert_eq!(sender.deliver(&unfinished).outcome(), "failed");
    let written = unix_now();
    eventually("the window is over", || unix_now() > written + 3);
    assert_eq!(sender.deliver(&delivery).verdict(), (200, "duplicate", String::new()));
    let late = sender.deliver(&unfinished);
    assert_eq!(late.verdict(), (401, "rejected", "timestamp_too_old".to_owned()));
    erp.saw(2);
}

#[test]
fn the_operator_can_look_up_and_forget_an_event() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt/1 é").signed();
    let path = "/dedupe/shop/evt%2F1%20%C3%A9";
    assert_eq!(get(proxy.admin, path).status, 404);
    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
    let found = get(proxy.admin, path);
    assert_eq!(found.status, 200);
    assert!(found.text().contains("\"erp\"") && found.text().contains("delivered"), "{found:?}");
    assert_eq!(sender.deliver(&delivery).outcome(), "duplicate");
    assert!(request(proxy.admin, "DELETE", path, &[]).status < 300);
    assert_eq!(get(proxy.admin, path).status, 404);
    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
    erp.saw(2);
}
