//! What a reload changes, keeps and reports.

use crate::support::{
    Event, Proxy, Response, Sender, Setup, Upstream, eventually, get, hmac_sha256_hex, request,
};

/// Puts this configuration in place and asks for it.
#[track_caller]
fn reload(proxy: &Proxy, toml: &str) -> Response {
    std::fs::write(proxy.file(), toml).unwrap();
    reload_as_it_is(proxy, &[])
}

#[track_caller]
fn reload_as_it_is(proxy: &Proxy, head: &[(&str, &str)]) -> Response {
    let head = [&[("Content-Length", "0")], head].concat();
    request(proxy.admin, "POST", "/reload", &head)
}

#[test]
fn a_bad_file_is_answered_and_logged_with_all_its_problems() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let bad = "[server]\nmax_bdy = \"1MiB\"\n[dedupe]\nttl = \"soon\"\n[nonsense]\n";
    let response = reload(&proxy, bad);
    assert_eq!(response.status, 422);
    let problems = ["max_bdy", "soon", "nonsense"];
    for problem in problems {
        assert!(response.text().contains(problem), "{problem} is not in {response:?}");
    }
    let before = proxy.log();
    proxy.signal("HUP");
    let errors = || proxy.metric("hookward_config_reloads_total", &[("result", "error")]);
    eventually("it tries again", || errors() == 2);
    eventually("it says so", || proxy.log().matches("configuration not reloaded").count() == 2);
    let log = proxy.log();
    for problem in problems {
        assert!(log[before.len()..].contains(problem), "{problem} is not in {log}");
    }
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("a").signed()).outcome(), "delivered");
    assert_eq!(reload(&proxy, &setup.toml()).status, 200, "and a good one is taken after that");
}

#[test]
fn a_file_of_an_upstream_or_the_listener_that_cannot_be_used_changes_nothing() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("first").signed()).outcome(), "delivered");
    let healthy = || proxy.scrape().text().matches("hookward_upstream_healthy{").count();
    assert_eq!(healthy(), 1);
    let bad = Setup::new()
        .server("tls = { cert = \"no-cert.pem\", key = \"no-key.pem\" }")
        .table("[upstreams.crm]\nurl = \"https://127.0.0.1:9\"\ntls = { ca = \"no-ca.pem\" }")
        .shop_to(&["crm"], "");
    let response = reload(&proxy, &bad.toml());
    assert_eq!(response.status, 422, "{response:?}");
    for part in ["upstreams.crm", "tls.ca", "no-ca.pem", "server.tls", "no-cert.pem"] {
        assert!(response.text().contains(part), "{part} is not in {response:?}");
    }
    assert_eq!(healthy(), 1);
    let labels = [("upstream", "erp")];
    assert_eq!(proxy.metric("hookward_upstream_healthy", &labels), 1);
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("a").signed()).outcome(), "delivered");
}

#[test]
fn a_secret_in_a_file_is_read_again_and_both_are_good_during_a_rotation() {
    let erp = Upstream::start();
    let setup = Setup::new().upstream("erp", &erp, "").table(
        "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\n\
         secrets = [{ file = \"new\", name = \"new\" }, { file = \"old\", name = \"old\" }]\n\
         [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    );
    let (old, new) = ("the-old-secret-of-the-shop", "the-new-secret-of-the-shop");
    let proxy = setup.start();
    let directory = proxy.file().parent().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let signed_with = |id: &str, secret: &str| {
        let event = Event::order(id);
        let signature = format!("sha256={}", hmac_sha256_hex(secret, &event.body()));
        event.signed().replacing("X-Signature", &signature)
    };
    let deliver = |id: &str, secret: &str| {
        let response = Sender::to(&proxy).deliver(&signed_with(id, secret));
        (response.outcome().to_owned(), response.reason())
    };
    let ready = || proxy.metric("hookward_source_ready", &[("source", "shop")]);
    let matches = |secret| proxy.metric("hookward_secret_matches_total", &[("secret", secret)]);
    let refused = |reason: &str| ("rejected".to_owned(), reason.to_owned());
    let delivered = ("delivered".to_owned(), String::new());

    assert_eq!((ready(), deliver("0", old)), (0, refused("secret_unavailable")));
    write("old", &format!("{old}\n"));
    write("new", &format!("{old}\n"));
    assert_eq!(reload_as_it_is(&proxy, &[]).status, 200);
    assert_eq!(
        (ready(), deliver("1", old), deliver("2", new)),
        (1, delivered.clone(), refused("signature_mismatch"))
    );
    write("new", &format!("{new}\n"));
    assert_eq!(reload_as_it_is(&proxy, &[]).status, 200);
    assert_eq!((deliver("3", old), deliver("4", new)), (delivered.clone(), delivered));
    assert_eq!(
        (matches("old"), matches("new")),
        (1, 2),
        "the first came when both were the old one"
    );
}

#[test]
fn what_needs_a_restart_is_said_and_stays_as_it_was() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let moved = setup
        .clone()
        .server("listen = [\"127.0.0.1:1\"]\nthreads = 3\nmax_body = \"2KiB\"")
        .admin("listen = \"127.0.0.1:2\"")
        .dedupe("store = \"disk\"\npath = \"elsewhere\"");
    let response = reload(&proxy, &moved.toml());
    assert_eq!(response.status, 200);
    for key in ["server.listen", "server.threads", "admin.listen", "dedupe store"] {
        assert!(response.text().contains(key), "{key} is not in {response:?}");
        eventually("the log says it, too", || proxy.log().contains(key));
    }
    // What can change has changed.
    let large = Event::order("a").padded_to(3000).signed();
    assert_eq!(Sender::to(&proxy).deliver(&large).reason(), "body_too_large");
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("b").signed()).outcome(), "delivered");
}

#[test]
fn what_is_gone_from_the_configuration_is_gone_from_the_gauges() {
    let [erp, crm] = [Upstream::start(), Upstream::start()];
    let other = "[sources.other]\npath = \"/other\"\npreset = \"github\"\nsecrets = [{ env = \"SHOP_SECRET\" }]\n\
                 [[sources.other.routes]]\nevents = [\"*\"]\nto = [\"crm\"]";
    let without = Setup::shop(&erp);
    let proxy = without.clone().upstream("crm", &crm, "").table(other).start();
    let gauges = || {
        let text = proxy.scrape().text().to_owned();
        (text.contains("_ready{source=\"other\"}"), text.contains("upstream=\"crm\"}"))
    };
    assert_eq!(gauges(), (true, true));
    assert_eq!(reload(&proxy, &without.toml()).status, 200);
    let text = proxy.scrape().text().to_owned();
    assert!(!text.contains("hookward_source_ready{source=\"other\"}"), "{text}");
    assert!(!text.contains(&format!("address=\"{}\"", crm.address())), "{text}");
    let unknown = Event::order("a").signed();
    let unknown = crate::support::Delivery { target: "/other".to_owned(), ..unknown };
    assert_eq!(Sender::to(&proxy).deliver(&unknown).reason(), "unknown_source");
}

#[test]
fn level_and_format_of_the_log_change_at_once() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let sender = Sender::to(&proxy);
    let logged = |id: &str| proxy.log().lines().filter(|line| line.contains(id)).count();
    sender.deliver(&Event::order("text-1").signed());
    eventually("a line", || logged("event_id=text-1") == 1);
    assert_eq!(reload(&proxy, &setup.clone().log("format = \"json\"").toml()).status, 200);
    sender.deliver(&Event::order("json-1").signed());
    eventually("a line", || logged("\"event_id\":\"json-1\"") == 1);
    let quiet = setup.log("format = \"json\"\nlevel = \"warn\"");
    assert_eq!(reload(&proxy, &quiet.toml()).status, 200);
    sender.deliver(&Event::order("quiet").signed());
    let forged = Event::order("loud").signed().replacing("X-Signature", "sha256=00");
    sender.deliver(&forged);
    eventually("the warning", || logged("signature_malformed") == 1);
    assert_eq!(logged("\"quiet\""), 0);
}

#[test]
fn the_admin_token_can_be_rotated() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.clone().admin("token = { value = \"the-first-token-of-the-admin\" }").start();
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        request(proxy.admin, "GET", "/status", &[("Authorization", &bearer)]).status
    };
    let (first, second) = ("the-first-token-of-the-admin", "the-second-token-of-the-admin");
    assert_eq!((status(first), status(second)), (200, 401));
    let text = setup.admin(&format!("token = {{ value = \"{second}\" }}")).toml();
    std::fs::write(proxy.file(), text).unwrap();
    assert_eq!(reload_as_it_is(&proxy, &[]).status, 401);
    let bearer = format!("Bearer {first}");
    assert_eq!(reload_as_it_is(&proxy, &[("Authorization", &bearer)]).status, 200);
    assert_eq!((status(first), status(second)), (401, 200));
    assert_eq!(get(proxy.admin, "/readyz").status, 200);
}

#[test]
fn reloads_at_once_take_turns_and_the_last_file_stands() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    std::thread::scope(|scope| {
        for number in 1..=20 {
            let (setup, file, admin) = (&setup, proxy.file(), proxy.admin);
            scope.spawn(move || {
                let text = setup.clone().server(&format!("max_body = \"{number}KiB\"")).toml();
                // Replaced whole, as an editor does.
                let beside = file.with_extension(number.to_string());
                std::fs::write(&beside, text).unwrap();
                std::fs::rename(beside, file).unwrap();
                let head = [("Content-Length", "0")];
                assert_eq!(request(admin, "POST", "/reload", &head).status, 200);
            });
        }
    });
    let limit = std::fs::read_to_string(proxy.file()).unwrap();
    let kib: usize =
        limit.split("max_body = \"").nth(1).unwrap().split('K').next().unwrap().parse().unwrap();
    let fits = Event::order("fits").padded_to(kib * 1024).signed();
    let over = Event::order("over").padded_to(kib * 1024 + 1).signed();
    assert_eq!(Sender::to(&proxy).deliver(&fits).outcome(), "delivered", "{kib} KiB");
    assert_eq!(Sender::to(&proxy).deliver(&over).reason(), "body_too_large", "{kib} KiB");
}

#[test]
fn a_reload_that_leaves_no_source_is_refused() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for text in ["", "[server]\nlisten = [\"127.0.0.1:0\"]\n", "[sources]\n"] {
        let response = reload(&proxy, text);
        assert_eq!(response.status, 422, "{text:?}: {response:?}");
        assert!(response.text().contains("sources: no source is defined"), "{response:?}");
    }
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("a").signed()).outcome(), "delivered");
    assert_eq!(proxy.metric("hookward_source_ready", &[("source", "shop")]), 1);
}

/// A source whose secrets are these files, and another that is always there.
fn with_files(erp: &Upstream) -> Setup {
    Setup::shop(erp).table(
        "[sources.pay]\npath = \"/pay\"\npreset = \"opentiendas\"\n\
         secrets = [{ file = \"new.secret\" }, { file = \"old.secret\" }]\n\
         [[sources.pay.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    )
}

#[test]
fn a_source_serves_with_its_readable_secrets_and_a_reload_that_takes_it_down_is_refused() {
    let erp = Upstream::start();
    let proxy = with_files(&erp).start();
    let directory = proxy.file().parent().unwrap().to_owned();
    let secret = "the-old-secret-of-pay-for-tests";
    let ready = || proxy.metric("hookward_source_ready", &[("source", "pay")]);
    let deliver = |id: &str| {
        let event = Event::order(id);
        let signature = format!("sha256={}", hmac_sha256_hex(secret, &event.body()));
        let delivery = event.signed().replacing("X-Signature", &signature);
        let delivery = crate::support::Delivery { target: "/pay".to_owned(), ..delivery };
        let response = Sender::to(&proxy).deliver(&delivery);
        (response.status, response.outcome().to_owned(), response.reason())
    };
    let down = (503, "rejected".to_owned(), "secret_unavailable".to_owned());
    let delivered = (200, "delivered".to_owned(), String::new());
    assert_eq!((ready(), deliver("0")), (0, down));
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("x").signed()).outcome(), "delivered");

    // One of two is enough, and the other is named.
    std::fs::write(directory.join("old.secret"), secret).unwrap();
    let response = reload_as_it_is(&proxy, &[]);
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.text().contains("new.secret"), "{response:?}");
    assert_eq!((ready(), deliver("1")), (1, delivered.clone()));

    // With none it would be down: nothing changes.
    std::fs::remove_file(directory.join("old.secret")).unwrap();
    let response = reload_as_it_is(&proxy, &[]);
    assert_eq!(response.status, 422, "{response:?}");
    for part in ["sources.pay.secrets", "old.secret", "take it down"] {
        assert!(response.text().contains(part), "{part} is not in {response:?}");
    }
    assert_eq!((ready(), deliver("2")), (1, delivered));
}

#[test]
fn status_says_what_waits_for_a_restart() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let waits = || {
        let status = get(proxy.admin, "/status");
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        status["waits_for_restart"].clone()
    };
    assert_eq!(waits(), serde_json::json!([]));
    let moved = setup
        .clone()
        .server("listen = [\"127.0.0.1:1\"]")
        .dedupe("store = \"disk\"\npath = \"elsewhere\"");
    assert_eq!(reload(&proxy, &moved.toml()).status, 200);
    assert_eq!(waits(), serde_json::json!(["server.listen", "dedupe store"]));
    assert_eq!(reload(&proxy, &setup.toml()).status, 200);
    assert_eq!(waits(), serde_json::json!([]), "the file is as the process is again");
}
