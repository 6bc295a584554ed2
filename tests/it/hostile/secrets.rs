//! Learning secrets, and using the admin listener.

use crate::support::{
    Connection, Delivery, Sender, Setup, Upstream, get, hookward, printed, request,
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
