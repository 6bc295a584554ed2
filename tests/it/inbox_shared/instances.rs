//! What several instances keep between them.

use super::order::{ordered, steps};
use super::{SOON, at, database, drained, kept, on, order};
use crate::inbox::guard::{guarded, push};
use crate::inbox::trials::dropped_upstream;
use crate::support::{
    Event, Gate, PostgresServer, Reply, Sender, Upstream, eventually, instant, request,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often each event was seen.
fn arrivals(erp: &Upstream) -> BTreeMap<String, usize> {
    let mut arrivals = BTreeMap::new();
    for seen in erp.seen() {
        *arrivals.entry(seen.header("Hookward-Event-Id").to_owned()).or_default() += 1;
    }
    arrivals
}

#[test]
fn each_event_is_sent_once_whichever_instance_stored_it() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.otherwise(Reply::after(Duration::from_millis(5), Reply::Status(200)));
    let setup = kept(&erp, folder.path(), "queued", SOON);
    let instances = [setup.start(), setup.start()];
    for n in 0..60 {
        let delivery = Event::order(&format!("evt-{n}")).signed();
        let told = Sender::to(&instances[n % 2]).deliver(&delivery);
        assert_eq!(told.verdict(), (200, "queued", String::new()));
        let copy = Sender::to(&instances[(n + 1) % 2]).deliver(&delivery);
        assert_eq!(copy.verdict(), (200, "duplicate", String::new()), "at the other one");
    }
    drained(&instances[0]);
    let arrivals = arrivals(&erp);
    assert_eq!(arrivals.len(), 60);
    assert!(arrivals.values().all(|times| *times == 1), "{arrivals:?}");
    let delivered = [("upstream", "erp"), ("end", "delivered")];
    let ended: i64 =
        instances.iter().map(|proxy| proxy.metric("hookward_inbox_ended_total", &delivered)).sum();
    assert_eq!(ended, 60, "each is counted by the instance that sent it");
}

#[test]
fn another_instance_takes_over_the_attempt_of_one_that_died() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Hang);
    let setup = kept(&erp, folder.path(), "queued", SOON).dedupe("uncertain_hold = \"1s\"");
    let mut first = setup.start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&first).deliver(&delivery).outcome(), "queued");
    erp.saw(1);
    let second = setup.start();
    let died = instant();
    first.crash();
    assert_eq!(Sender::to(&second).deliver(&delivery).outcome(), "duplicate");
    let seen = erp.saw_at_least(2);
    let waited = instant().saturating_sub(died);
    // The upstream's `timeout` of 2 s, and 10 s.
    assert!(waited > Duration::from_secs(9), "after {waited:?}");
    assert_eq!(seen[1].header("Hookward-Attempt"), "2");
    assert_eq!(seen[1].header("Idempotency-Key"), seen[0].header("Idempotency-Key"));
    drained(&second);
    erp.saw(2);
}

#[test]
fn an_end_that_comes_late_changes_nothing_but_a_delivery_counts() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("http://{}", Upstream::unreachable());
    let later = "retry = { first = \"24h\", longest = \"24h\" }";
    let proxy = at(&nobody, folder.path(), "spill", later).start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    let url = database(folder.path());
    let name = url.rsplit('/').next().unwrap();
    let end = |state: &str| {
        let call = format!(
            "SELECT hookward.end_attempt(seq, 1, '{state}', 0, progress, key, NULL, 0, 60000, 0, 1000) \
             FROM hookward.entries"
        );
        PostgresServer::shared().sql(name, &call)
    };
    let before = PostgresServer::shared().sql(name, "SELECT * FROM hookward.entries");
    assert_eq!((end("q"), end("x")), ("f".to_owned(), "f".to_owned()));
    assert_eq!(PostgresServer::shared().sql(name, "SELECT * FROM hookward.entries"), before);
    assert_eq!(end("d"), "t");
    drained(&proxy);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate", "it is delivered");
}

/// An attempt that fails may be due again before the answer arrives that its end is committed.
#[test]
fn an_event_that_is_due_again_at_once_does_not_wait_for_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    for _ in 0..200 {
        // Never three failures in a row, which would be an outage.
        erp.next(Reply::Status(500)).next(Reply::Status(500)).next(Reply::Status(200));
    }
    let at_once = "retry = { first = \"1ms\", longest = \"1ms\" }";
    let proxy = kept(&erp, folder.path(), "queued", at_once).start();
    for n in 0..200 {
        let delivery = Event::order(&format!("evt-{n}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    }
    drained(&proxy);
}

#[test]
fn a_lease_that_ends_during_its_attempt_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(500)));
    let proxy = kept(&erp, folder.path(), "queued", &format!("timeout = \"20s\"\n{SOON}")).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    erp.saw(1);
    let url = database(folder.path());
    let sql = |text: &str| PostgresServer::shared().sql(url.rsplit('/').next().unwrap(), text);
    let first = sql("UPDATE hookward.entries SET due = 0 RETURNING fence");
    let renewed =
        format!("SELECT fence <> {first} AND due > hookward.now_ms() FROM hookward.entries");
    eventually("it is renewed", || sql(&renewed) == "t");
    erp.saw(1);
    gate.open();
    // Long before the lease of 30 s ends.
    drained(&proxy);
    assert_eq!(erp.saw(2)[1].header("Hookward-Attempt"), "2");
}

/// The answer to a change may be lost, and it is told again.
#[test]
fn a_move_that_is_told_twice_moves_once_and_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.otherwise(Reply::Status(503));
    let later = "retry = { first = \"24h\", longest = \"24h\" }";
    let mut proxy = kept(&erp, folder.path(), "spill", later).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    proxy.crash();
    let url = database(folder.path());
    let sql = |text: &str| PostgresServer::shared().sql(url.rsplit('/').next().unwrap(), text);
    let row = sql("SELECT seq || ',' || quote_literal(progress::text) FROM hookward.entries");
    let (seq, progress) = row.split_once(',').unwrap();
    sql("SELECT hookward.make_room(now() + interval '100 days')");
    let tell = |key: u8| {
        sql(&format!(
            "SELECT hookward.move_entries(ARRAY[{seq}::bigint], ARRAY[{progress}::bytea], ARRAY['1'::bytea], \
             ARRAY['00000000-0000-0000-0000-0000000000{key:02}'::uuid], ARRAY[NULL::uuid], \
             ARRAY[NULL::uuid], 'billing', 0, 1000)"
        ))
    };
    assert_eq!((tell(1), tell(1), tell(2)), ("1".to_owned(), "1".to_owned(), "0".to_owned()));
    let left = "SELECT count(*) || min(dest) || (min(seq) <> ";
    assert_eq!(sql(&format!("{left}{seq}) FROM hookward.entries")), "1billingtrue");
}

#[test]
fn a_pause_holds_on_every_instance() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = kept(&erp, folder.path(), "spill", SOON);
    let instances = [setup.start(), setup.start()];
    let ask = |nth: usize, what: &str| {
        let told = request(instances[nth].admin, "POST", &format!("/upstreams/erp/{what}"), &[]);
        assert_eq!(told.status, 200, "{told:?}");
    };
    ask(0, "pause");
    let paused = [("upstream", "erp")];
    eventually("the other one hears of it", || {
        instances[1].metric("hookward_inbox_paused", &paused) == 1
    });
    for (nth, instance) in instances.iter().enumerate() {
        let delivery = Event::order(&format!("evt-{nth}")).signed();
        assert_eq!(Sender::to(instance).deliver(&delivery).outcome(), "queued");
    }
    std::thread::sleep(Duration::from_millis(300));
    erp.saw(0);
    ask(1, "resume");
    drained(&instances[0]);
    erp.saw(2);
}

#[test]
fn a_reload_that_drops_an_upstream_keeps_its_events_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    dropped_upstream(|| on(folder.path()));
}

#[test]
fn the_replay_guard_knows_the_signature_of_an_event_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("http://{}", Upstream::unreachable());
    let setup = on(folder.path()).table(&format!("[upstreams.erp]\nurl = \"{nobody}\"\n{SOON}"));
    let setup = guarded(setup, "erp", "queued");
    let instances = [setup.start(), setup.start()];
    let with_id = |id: &str| push(id, "{\"n\":1}");
    assert_eq!(Sender::to(&instances[0]).deliver(&with_id("one")).outcome(), "queued");
    for instance in &instances {
        assert_eq!(Sender::to(instance).deliver(&with_id("another")).outcome(), "duplicate");
    }
}

#[test]
fn a_key_keeps_its_order_over_instances_and_through_failures() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    for _ in 0..10 {
        erp.next(Reply::Status(500)).next(Reply::Status(200)).next(Reply::Status(404));
    }
    let setup = ordered(&erp, folder.path(), "spill", SOON, "");
    let instances = [setup.start(), setup.start()];
    for step in 0..10 {
        for number in 0..4 {
            let event = order(&format!("evt-{number}-{step}"), number, step);
            let [first, second] = &instances;
            let to = if (step + number).is_multiple_of(2) { first } else { second };
            let told = Sender::to(to).deliver(&event);
            assert!(["queued", "delivered"].contains(&told.outcome()), "{told:?}");
        }
    }
    drained(&instances[1]);
    let expected: Vec<u64> = (0..10).collect();
    for (order, steps) in steps(&erp) {
        assert_eq!(steps, expected, "of order {order}");
    }
}

#[test]
fn spill_does_not_overtake_a_live_attempt_of_another_instance() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(500)));
    let setup = ordered(&erp, folder.path(), "spill", SOON, "");
    let instances = [setup.start(), setup.start()];
    let first = Sender::to(&instances[0]).start(&order("a", 1, 0));
    erp.saw(1);
    let second = Sender::to(&instances[1]).deliver(&order("b", 1, 1));
    assert_eq!(second.outcome(), "queued", "it waits behind the first");
    let other = Sender::to(&instances[1]).deliver(&order("c", 2, 0));
    assert_eq!(other.outcome(), "delivered", "another key");
    gate.open();
    assert_eq!(first.join().unwrap().outcome(), "queued");
    drained(&instances[1]);
    assert_eq!(steps(&erp)["1"], [0, 1]);
}

#[test]
fn a_copy_that_waits_on_another_instance_hears_that_the_event_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(500)));
    let setup = on(folder.path())
        .upstream("erp", &erp, "retry = { first = \"24h\", longest = \"24h\" }")
        .shop_to(&["erp"], "")
        .table("delivery = \"spill\"");
    let instances = [setup.start(), setup.start()];
    let delivery = Event::order("evt-1").signed();
    let first = Sender::to(&instances[0]).start(&delivery);
    erp.saw(1);
    let copy = Sender::to(&instances[1]).start(&delivery);
    std::thread::sleep(Duration::from_millis(300));
    gate.open();
    assert_eq!(first.join().unwrap().outcome(), "queued");
    assert_eq!(copy.join().unwrap().verdict(), (200, "duplicate", String::new()));
}
