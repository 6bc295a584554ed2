//! The status page in a real browser, Debian's `chromium` without a window.
//!
//! Without Chromium these tests say so and end; `scripts/setup test` installs it.
//! `HOOKWARD_SCREENSHOT=docs/status-page.png` updates the picture in the documents.

mod browser;

use crate::support::{Event, Proxy, Reply, Sender, Setup, Upstream, get, instant};
use browser::Browser;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Event ids that an attacker may try.
const MARKUP: &str = "<img src=x onerror=document.title='owned'>";

fn busy_setup(erp: &Upstream, crm: &Upstream) -> Setup {
    Setup::new()
        .upstream("erp", erp, "")
        .upstream("crm", crm, "")
        .table(
            "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\ncapture = 20\n\
             secrets = [{ env = \"NEW_SECRET\", name = \"2026\" }, { env = \"SHOP_SECRET\", name = \"2025\" }]\n\
             [[sources.shop.routes]]\nevents = [\"order.*\"]\nto = [\"erp\", \"crm\"]\n\
             [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"crm\"]",
        )
        .table(
            "[sources.payments]\npath = \"/webhooks/payments\"\npreset = \"stripe\"\n\
             secrets = [{ env = \"PAY_SECRET\" }]\n\
             [[sources.payments.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("NEW_SECRET", "the-next-secret-of-the-shop")
        .environment("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .environment("PAY_SECRET", "whsec_a-secret-of-the-payments")
}

/// Deliveries of every kind.
fn make_traffic(proxy: &Proxy, erp: &Upstream) {
    let sender = Sender::to(proxy);
    for number in 0..14 {
        let kind = ["order.created", "order.paid", "customer.updated"][number % 3];
        let delivery = Event::new(&format!("order-{}", 4700 + number), kind).signed();
        assert_eq!(sender.deliver(&delivery).status, 200);
        if number % 5 == 0 {
            assert_eq!(sender.deliver(&delivery).outcome(), "duplicate");
        }
    }
    let mut forged = Event::order("forged").signed();
    forged.body.push(b' ');
    assert_eq!(sender.deliver(&forged).reason(), "signature_mismatch");
    erp.next(Reply::Status(503));
    assert_eq!(sender.deliver(&Event::order("order-4714").signed()).reason(), "upstream_error");
    get(proxy.address, "/wp-login.php");
}

#[test]
fn the_page_shows_what_happens_and_what_others_wrote_stays_text() {
    let Some(mut browser) = Browser::start() else { return };
    let (erp, crm) = (Upstream::start(), Upstream::start());
    let proxy = busy_setup(&erp, &crm).start();
    make_traffic(&proxy, &erp);
    browser.open(&format!("http://{}/", proxy.admin));
    browser.until(
        "the verdict",
        "document.getElementById('verdict').textContent.startsWith('All is well')",
    );
    browser.until("it is live", "document.getElementById('stream').textContent === 'Live.'");
    let fastest = (0..5).map(|number| {
        let id = format!("{MARKUP}{number}");
        assert_eq!(Sender::to(&proxy).deliver(&Event::order(&id).signed()).outcome(), "delivered");
        let told = instant();
        let text = json!(id);
        browser.until(
            "it is shown",
            &format!("document.getElementById('list').textContent.includes({text})"),
        );
        instant().saturating_sub(told)
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_secs(1), "shown after {fastest:?}");
    assert_eq!(browser.evaluate("document.images.length"), json!(0));
    assert_ne!(browser.evaluate("document.title"), json!("owned"));

    // One that was refused, with what to do about it and its captured request.
    browser.evaluate("document.getElementById('filter-reason').value = 'signature_mismatch'");
    browser.evaluate("document.getElementById('filter-reason').dispatchEvent(new Event('input'))");
    browser.evaluate("document.querySelector('#list button').click()");
    browser
        .until("why", "document.getElementById('one-body').textContent.includes('rotated secret')");
    browser.evaluate("document.querySelector('#one-body button').click()");
    browser.until("its captures", "document.querySelector('#captures button') !== null");
    browser.evaluate("document.querySelector('#captures button').click()");
    browser.until(
        "the request",
        "document.getElementById('capture').textContent.includes('POST /webhooks/shop')",
    );
    // Where is it, and forget it.
    browser.evaluate("document.getElementById('lookup-source').value = 'shop'");
    browser.evaluate("document.getElementById('lookup-id').value = 'order-4700'");
    browser.evaluate("document.querySelector('#lookup button').click()");
    browser.until(
        "its state",
        "document.getElementById('lookup-result').textContent.includes('delivered')",
    );
    browser.evaluate("document.querySelector('#lookup-result button.danger').click()");
    browser.until("the question", "document.getElementById('confirm').open");
    browser.evaluate("document.getElementById('confirm-yes').click()");
    browser.until(
        "it is forgotten",
        "document.getElementById('lookup-result').textContent.startsWith('Forgotten')",
    );

    browser.evaluate("document.getElementById('filter-reason').value = ''");
    let nameless = "[...document.querySelectorAll('button, input, select')].filter((e) => \
        !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName === 'BUTTON' || e.labels?.length)).map((e) => e.outerHTML)";
    assert_eq!(browser.evaluate(nameless), json!([]), "controls without a name");
    browser.has_nothing_serious_for_axe();
    browser.width(360);
    browser.until("it fits", "document.documentElement.scrollWidth <= 360");
    browser.stayed_at(&format!("http://{}/", proxy.admin));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_asks_for_the_token_and_keeps_it_in_memory_alone() {
    let Some(mut browser) = Browser::start() else { return };
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .environment("ADMIN_TOKEN", "a-token-for-the-admin-listener")
        .start();
    browser.open(&format!("http://{}/", proxy.admin));
    for (token, opens) in [("wrong", false), ("a-token-for-the-admin-listener", true)] {
        browser.until("it asks", "document.getElementById('sign-in').open");
        browser.evaluate(&format!("document.getElementById('token').value = {}", json!(token)));
        browser.evaluate("document.querySelector('#sign-in button').click()");
        if opens {
            browser
                .until("it is live", "document.getElementById('stream').textContent === 'Live.'");
        } else {
            let said = "document.getElementById('sign-in-problem').textContent !== ''";
            browser.until("it says why", said);
        }
    }
    let kept = "[document.cookie, localStorage.length, sessionStorage.length, \
                document.getElementById('token').value]";
    assert_eq!(browser.evaluate(kept), json!(["", 0, 0, ""]));
    browser.stayed_at(&format!("http://{}/", proxy.admin));
}

#[test]
fn the_page_tells_who_may_only_read_and_offers_no_change() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let path = folder.path().join("data").display().to_string();
    let proxy = Setup::new()
        .admin("tokens = [{ name = \"grafana\", env = \"READ\", read_only = true }]")
        .dedupe(&format!("store = \"disk\"\npath = {path:?}"))
        .table("[inbox]\nmin_free = \"1B\"")
        .upstream("erp", &erp, "retry = { first = \"10m\", longest = \"10m\", refused_after = 1 }")
        .shop_to(&["erp"], "")
        .table("delivery = \"spill\"")
        .environment("READ", "a-token-that-may-only-read-things")
        .start();
    erp.next(Reply::Status(422));
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    browser.open(&format!("http://{}/", proxy.admin));
    browser.until("it asks", "document.getElementById('sign-in').open");
    browser
        .evaluate("document.getElementById('token').value = 'a-token-that-may-only-read-things'");
    browser.evaluate("document.querySelector('#sign-in button').click()");
    browser.until(
        "it says so",
        "document.getElementById('who').textContent.includes('grafana. This token may only read')",
    );
    browser.until("the inbox", "document.querySelectorAll('#inbox button').length === 2");
    let pressable =
        "[...document.querySelectorAll('#inbox button')].filter((b) => !b.disabled).length";
    assert_eq!(browser.evaluate(pressable), json!(0));
    let numbers =
        "[...document.querySelectorAll('#inbox tbody td')].map((d) => d.textContent).slice(0, 5)";
    assert_eq!(browser.evaluate(numbers), json!(["erp", "0", "0", "0", "1"]));
    browser.evaluate("document.getElementById('lookup-id').value = 'evt-1'");
    browser.evaluate("document.querySelector('#lookup button').click()");
    browser.until("its state", "document.querySelector('#lookup-result button.danger')?.disabled");
    browser.has_nothing_serious_for_axe();
}

#[test]
fn the_page_finds_back_to_a_proxy_that_was_started_again() {
    let Some(mut browser) = Browser::start() else { return };
    let erp = Upstream::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    let setup = Setup::shop(&erp).admin(&format!("listen = \"{admin}\""));
    let mut proxy = setup.start();
    browser.open(&format!("http://{admin}/"));
    browser.until("it is live", "document.getElementById('stream').textContent === 'Live.'");
    proxy.crash();
    browser.until(
        "it says so",
        "document.getElementById('stream').textContent.startsWith('Not live')",
    );
    let proxy = setup.start();
    browser.until("it is live again", "document.getElementById('stream').textContent === 'Live.'");
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "delivered");
    browser.until("it is shown", "document.getElementById('list').textContent.includes('evt-1')");
}

#[test]
fn the_picture_of_the_documents_is_made_where_it_is_asked_for() {
    let Some(file) = std::env::var_os("HOOKWARD_SCREENSHOT") else { return };
    let Some(mut browser) = Browser::start() else { return };
    let (erp, crm) = (Upstream::start(), Upstream::start());
    let proxy = busy_setup(&erp, &crm).start();
    make_traffic(&proxy, &erp);
    browser.width(1100);
    browser.open(&format!("http://{}/", proxy.admin));
    browser.until("it is live", "document.getElementById('stream').textContent === 'Live.'");
    browser.until("it is drawn", "document.querySelectorAll('#list tr').length > 10");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(root.join(file), browser.screenshot()).unwrap();
}
