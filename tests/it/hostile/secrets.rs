//! Learning secrets, and using the admin listener.

use crate::support::{
    Connection, Delivery, Event, Sender, Setup, Upstream, get, hookward, printed, request,
};

#[test]
fn a_page_in_a_browser_cannot_use_the_admin_listener() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    // Its name was made to resolve to loopback: DNS rebinding.
    let rebound = |method: &str, target: &str| {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: evil.example:9090\r\n\r\n");
        Connection::open(proxy.admin).send(text).response().status
    };
    assert_eq!(rebound("GET", "/status"), 403);
    assert_eq!(rebound("POST", "/reload"), 403);
    assert_eq!(rebound("DELETE", "/dedupe/shop/evt-1"), 403);
    // It posts across origins, which a browser does without asking.
    let origin = [("Origin", "https://evil.example")];
    assert_eq!(request(proxy.admin, "POST", "/reload", &origin).status, 403);
    assert_eq!(request(proxy.admin, "POST", "/reload", &[("Origin", "null")]).status, 403);
    assert_eq!(proxy.metric("hookward_config_reloads_total", &[]), 0);
    assert_eq!(get(proxy.admin, "/status").status, 200);
    assert_eq!(get(proxy.admin, "/dedupe/..%2f..%2fstatus/x").status, 404);
}

#[test]
fn what_the_log_shows_of_a_token_is_nothing() {
    let erp = Upstream::start();
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(
            "[sources.lab]\npath = \"/lab\"\npreset = \"gitlab\"\nsecrets = [{ env = \"LAB\" }]\n\
             [[sources.lab.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("LAB", "the-token-of-the-lab-0123")
        .log("level = \"trace\"")
        .start();
    let delivery = Delivery::post("/lab", "{}")
        .with("X-Gitlab-Event", "Push Hook")
        .with("Idempotency-Key", "1");
    for (token, status) in
        [("the-token-of-the-lab-0123", 200), ("the-token-of-the-lab-012", 401), ("", 401)]
    {
        let response = Sender::to(&proxy).deliver(&delivery.clone().with("X-Gitlab-Token", token));
        assert_eq!(response.status, status, "{token}");
    }
    assert!(!proxy.log().contains("the-token-of-the-lab"), "{}", proxy.log());
    let check = hookward()
        .args(["check", "--config"])
        .arg(proxy.file())
        .env("LAB", "the-token-of-the-lab-0123")
        .output()
        .unwrap();
    assert!(!printed(&check).contains("the-token-of-the-lab"), "{}", printed(&check));
}

/// Ids are remembered for each source, so nothing of one says that the other had the event.
#[test]
fn one_delivery_to_two_sources_with_one_secret_reaches_both_and_check_warns_of_it() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp).table(
        "[sources.branch]\npath = \"/webhooks/branch\"\npreset = \"opentiendas\"\n\
         secrets = [{ env = \"SHOP_SECRET\" }]\n\
         [[sources.branch.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    );
    let proxy = setup.start();
    let delivery = Event::order("evt-1").signed();
    let moved = Delivery { target: "/webhooks/branch".to_owned(), ..delivery.clone() };
    for (delivery, outcome) in [
        (&delivery, "delivered"),
        (&moved, "delivered"),
        (&delivery, "duplicate"),
        (&moved, "duplicate"),
    ] {
        assert_eq!(Sender::to(&proxy).deliver(delivery).outcome(), outcome, "{}", delivery.target);
    }
    let seen = erp.saw(2);
    assert_eq!(seen[0].body, seen[1].body);
    let sources: Vec<&str> = seen.iter().map(|seen| seen.header("Hookward-Source")).collect();
    assert_eq!(sources, ["shop", "branch"]);
    let warning = "warning: sources.branch.secrets[0]: is also a secret of sources.shop";
    assert!(proxy.log().contains(warning.trim_start_matches("warning: ")), "{}", proxy.log());
    let check = hookward()
        .arg("check")
        .arg(proxy.file())
        .env("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .output()
        .unwrap();
    assert!(printed(&check).contains(warning), "{}", printed(&check));
    assert!(!printed(&check).contains("a-secret-of-the-shop-for-tests"), "{}", printed(&check));
}
