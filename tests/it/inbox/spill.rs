//! `delivery = "spill"`: stored only if the live attempt does not succeed in time.

use super::{SOON, at, drained, kept, on};
use crate::support::{Event, Gate, Reply, Sender, Upstream, eventually};
use std::time::Duration;

/// Retries that do not come while a test looks.
const LATER: &str = "retry = { first = \"24h\", longest = \"24h\" }";

#[test]
fn a_receiver_that_answers_is_heard_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Whole(201, "X-From: erp\r\n".to_owned(), b"made".to_vec()));
    let proxy = kept(&erp, folder.path(), "spill", SOON).start();
    let delivery = Event::order("evt-1").signed().with("Hookward-Attempt", "7");
    let told = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(told.verdict(), (201, "delivered", String::new()));
    assert_eq!((told.body.as_slice(), told.header("X-From")), (&b"made"[..], Some("erp")));
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    let seen = erp.saw(1);
    assert_eq!(seen[0].all("Hookward-Attempt"), ["1"]);
    assert!(seen[0].all("Hookward-Queued-At").is_empty());
    assert_eq!(proxy.metric("hookward_inbox_accepted_total", &[]), 0);
}

#[test]
fn every_end_but_2xx_is_stored_and_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy =
        kept(&erp, folder.path(), "spill", SOON).dedupe("uncertain_hold = \"300ms\"").start();
    for (n, reply) in [Reply::Status(500), Reply::Status(404), Reply::Status(302), Reply::Close]
        .iter()
        .enumerate()
    {
        erp.next(reply.clone());
        let delivery = Event::order(&format!("evt-{n}")).signed();
        let told = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(told.verdict(), (200, "queued", String::new()), "{reply:?}");
        drained(&proxy);
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
        let seen = erp.saw(2 * n + 2);
        assert_eq!(seen[2 * n + 1].header("Hookward-Attempt"), "2");
        assert_eq!(seen[2 * n + 1].body, seen[2 * n].body);
    }
    let accepted = [("source", "shop"), ("mode", "spill")];
    assert_eq!(proxy.metric("hookward_inbox_accepted_total", &accepted), 4);
}

#[test]
fn a_refused_connection_is_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Upstream::unreachable();
    let mut proxy = at(&format!("http://{nobody}"), folder.path(), "spill", SOON).start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    // In good order: an attempt that a crash cut off would count.
    proxy.signal("TERM");
    assert!(proxy.ends_within(Duration::from_secs(10)).success(), "{}", proxy.log());
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "spill", SOON).start();
    drained(&proxy);
    assert_eq!(erp.saw(1)[0].header("Hookward-Attempt"), "1");
}

#[test]
fn a_receiver_that_is_late_settles_what_has_been_stored_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let gate = Gate::default();
    erp.next(Reply::behind(&gate, Reply::Status(200)));
    let proxy = on(folder.path())
        .upstream("erp", &erp, SOON)
        .shop_to(&["erp"], "respond_within = \"1s\"")
        .table("delivery = \"spill\"")
        .start();
    let delivery = Event::order("evt-1").signed();
    let told = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(told.verdict(), (200, "queued", String::new()));
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate", "under way");
    let in_flight = [("upstream", "erp"), ("state", "in_flight")];
    assert_eq!(proxy.metric("hookward_inbox_events", &in_flight), 1);
    gate.open();
    drained(&proxy);
    erp.saw(1);
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate", "and delivered");
}

#[test]
fn a_sender_that_hangs_up_does_not_lose_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::after(Duration::from_millis(200), Reply::Status(503)));
    let proxy = kept(&erp, folder.path(), "spill", SOON).start();
    Sender::to(&proxy).deliver_and_leave(&Event::order("evt-1").signed());
    let seen = erp.saw_at_least(2);
    assert_eq!(seen[1].header("Hookward-Attempt"), "2");
}

#[test]
fn those_that_failed_are_stored_and_each_settles_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (erp, crm) = (Upstream::start(), Upstream::start());
    crm.next(Reply::Status(500));
    let proxy = on(folder.path())
        .upstream("erp", &erp, SOON)
        .upstream("crm", &crm, SOON)
        .shop_to(&["erp", "crm"], "")
        .table("delivery = \"spill\"")
        .start();
    let delivery = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).verdict(), (200, "queued", String::new()));
    drained(&proxy);
    erp.saw(1);
    assert_eq!(crm.saw(2)[1].header("Hookward-Attempt"), "2");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
}

#[test]
fn a_full_inbox_works_as_sync_says_so_and_takes_in_again_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(500)).next(Reply::Status(500));
    let proxy = on(folder.path())
        .table("max_bytes = \"4KiB\"")
        .upstream("erp", &erp, "retry = { first = \"1s\", longest = \"1s\" }")
        .shop_to(&["erp"], "")
        .table("delivery = \"spill\"")
        .start();
    let small = Event::order("evt-1").padded_to(2000).signed();
    assert_eq!(Sender::to(&proxy).deliver(&small).outcome(), "queued");
    let large = Event::order("evt-2").padded_to(3000).signed();
    let told = Sender::to(&proxy).deliver(&large);
    assert_eq!(told.verdict(), (500, "failed", "upstream_error".to_owned()));
    assert_eq!(proxy.metric("hookward_inbox_full_total", &[("source", "shop")]), 1);
    let ready = crate::support::get(proxy.admin, "/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("max_bytes"), "{}", ready.text());
    let again = Sender::to(&proxy).deliver(&large);
    assert_eq!(again.outcome(), "delivered", "as the sender's retry");
    drained(&proxy);
    let ready = crate::support::get(proxy.admin, "/readyz");
    assert!(!ready.text().contains("max_bytes"), "{}", ready.text());
    eventually("there is room again", || proxy.metric("hookward_inbox_bytes", &[]) == 0);
}

#[test]
fn four_hundreds_and_one_410_give_an_event_up_and_a_new_delivery_revives_it() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(422)).next(Reply::Status(422)).next(Reply::Status(410));
    let keys = "retry = { first = \"20ms\", longest = \"20ms\", refused_after = 2 }";
    let proxy = kept(&erp, folder.path(), "spill", keys).start();
    let dead = |count: i64| {
        let labels = [("upstream", "erp"), ("state", "dead")];
        eventually("it is dead", || proxy.metric("hookward_inbox_events", &labels) == count);
    };
    let first = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&first).outcome(), "queued");
    dead(1);
    eventually("it is told", || proxy.log().contains("an event was given up"));
    let second = Event::order("evt-2").signed();
    assert_eq!(Sender::to(&proxy).deliver(&second).outcome(), "queued");
    dead(2);
    erp.saw(3);

    let newer = Event::order("evt-1").padded_to(300).signed();
    let told = Sender::to(&proxy).deliver(&newer);
    assert_eq!(told.verdict(), (200, "queued", String::new()), "revived, not sent live");
    drained(&proxy);
    assert_eq!(erp.saw(4)[3].body, newer.body);
    let revived = [("upstream", "erp"), ("end", "revived")];
    assert_eq!(proxy.metric("hookward_inbox_ended_total", &revived), 1);
}

#[test]
fn a_stale_copy_of_what_waits_is_a_duplicate() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::Status(500));
    let proxy = kept(&erp, folder.path(), "spill", LATER).start();
    let event = Event::order("evt-1");
    assert_eq!(Sender::to(&proxy).deliver(&event.signed()).outcome(), "queued");
    let stale = event.at(-48 * 3600).signed();
    assert_eq!(Sender::to(&proxy).deliver(&stale).verdict(), (200, "duplicate", String::new()));
}
