//! Where events go: section 3 of the contract, steps 5 and 8.

use crate::support::{Event, Reply, Sender, Setup, Upstream, eventually};

fn two_apps(erp: &Upstream, crm: &Upstream) -> Setup {
    Setup::new().upstream("erp", erp, "").upstream("crm", crm, "").shop_to(&["erp", "crm"], "")
}

fn source(keys: &str, routes: &str) -> String {
    format!(
        "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\n\
         secrets = [{{ env = \"SHOP_SECRET\" }}]\n{keys}\n{routes}"
    )
}

#[test]
fn the_first_route_that_matches_wins() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    let routes = "[[sources.shop.routes]]\nevents = [\"order.*\"]\nto = [\"erp\"]\n\
                  [[sources.shop.routes]]\nevents = [\"*.created\", \"review.*\"]\nto = [\"crm\"]";
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .upstream("crm", &crm, "")
        .table(&source("", routes))
        .environment("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .start();
    let sender = Sender::to(&proxy);
    for (kind, to_erp, to_crm) in [
        ("order.created", 1, 0),
        ("order.line.added", 1, 0),
        ("customer.created", 0, 1),
        ("review.published", 0, 1),
    ] {
        let (erp_before, crm_before) = (erp.seen().len(), crm.seen().len());
        let delivery = Event::new(&format!("evt-{kind}"), kind).signed();
        assert_eq!(sender.deliver(&delivery).outcome(), "delivered", "{kind}");
        assert_eq!(erp.seen().len() - erp_before, to_erp, "{kind}");
        assert_eq!(crm.seen().len() - crm_before, to_crm, "{kind}");
    }
}

#[test]
fn an_event_that_no_route_wants_is_answered_as_configured_and_leaves_no_trace() {
    for (keys, verdict) in [
        ("", (200, "ignored", "")),
        ("unrouted = \"accept\"", (200, "ignored", "")),
        ("unrouted = \"reject\"", (422, "rejected", "unrouted")),
    ] {
        let erp = Upstream::start();
        let routes = "[[sources.shop.routes]]\nevents = [\"order.*\"]\nto = [\"erp\"]";
        let proxy = Setup::new()
            .upstream("erp", &erp, "")
            .table(&source(keys, routes))
            .environment("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
            .start();
        let delivery = Event::new("evt-1", "review.published").signed();
        for _ in 0..2 {
            let response = Sender::to(&proxy).deliver(&delivery);
            assert_eq!(response.verdict(), (verdict.0, verdict.1, verdict.2.to_owned()), "{keys}");
        }
        assert!(erp.seen().is_empty());
        assert_eq!(proxy.metric("hookward_dedupe_entries", &[]), 0);
    }
}

#[test]
fn every_destination_gets_its_own_copy_and_the_answer_is_empty() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    erp.next(Reply::Whole(202, "X-Erp: yes\r\n".to_owned(), b"queued".to_vec()));
    let proxy = two_apps(&erp, &crm).start();
    let delivery = Event::order("evt-1").signed();
    let response = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
    assert_eq!((response.header("X-Erp"), response.body.len()), (None, 0));
    for upstream in [&erp, &crm] {
        assert_eq!(upstream.saw(1)[0].body, delivery.body);
    }
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "duplicate");
    erp.saw(1);
    crm.saw(1);
}

#[test]
fn a_retry_is_forwarded_to_the_destinations_that_miss_it_only() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    crm.next(Reply::Status(500)).next(Reply::Status(429));
    let proxy = two_apps(&erp, &crm).start();
    let sender = Sender::to(&proxy);
    let delivery = Event::order("evt-1").signed();
    for expected in [
        (500, "failed", "upstream_error"),
        (429, "failed", "upstream_busy"),
        (200, "delivered", ""),
        (200, "duplicate", ""),
    ] {
        let response = sender.deliver(&delivery);
        assert_eq!(response.verdict(), (expected.0, expected.1, expected.2.to_owned()));
    }
    erp.saw(1);
    crm.saw(3);
}

#[test]
fn the_first_destination_in_route_order_that_failed_gives_the_reason() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    erp.next(Reply::after(std::time::Duration::from_millis(200), Reply::Status(404)));
    crm.next(Reply::Status(503));
    let proxy = two_apps(&erp, &crm).start();
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(response.verdict(), (502, "failed", "upstream_refused".to_owned()));
}

#[test]
fn a_type_is_a_label_only_where_a_route_names_it() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for kind in ["order.created", "made.up", "made.up.too"] {
        let delivery = Event::new(&format!("evt-{kind}"), kind).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    }
    let scrape = proxy.scrape();
    let count = |kind: &str| {
        let labels = [("source", "shop"), ("type", kind), ("outcome", "delivered")];
        scrape.sum("hookward_events_total", &labels)
    };
    assert_eq!((count("order.created"), count("other")), (1, 2));
    assert!(!scrape.text().contains("made.up"), "{}", scrape.text());
}

#[test]
fn several_urls_of_an_upstream_share_its_events_and_stand_in_for_each_other() {
    let [one, two] = [Upstream::start(), Upstream::start()];
    let gone = Upstream::unreachable();
    let urls = [one.url(), two.url(), format!("http://{gone}")];
    let proxy = Setup::new()
        .table(&format!("[upstreams.erp]\nurls = {urls:?}"))
        .shop_to(&["erp"], "")
        .start();
    for id in 0..12 {
        let delivery = Event::order(&format!("evt-{id}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{id}");
    }
    eventually("both saw some", || !one.seen().is_empty() && !two.seen().is_empty());
    assert_eq!(one.seen().len() + two.seen().len(), 12);
}
