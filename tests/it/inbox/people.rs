//! Operators' view of the inbox and their changes.

use super::{SOON, drained, kept, on, stored};
use crate::support::{
    Connection, Event, Proxy, Reply, Response, Sender, Upstream, eventually, get, hookward,
    printed, request, stdout,
};
use serde_json::Value;

/// Retries that do not come while a test looks.
const LATER: &str = "retry = { first = \"24h\", longest = \"24h\", refused_after = 1 }";

fn post(proxy: &Proxy, path: &str, body: &str) -> Response {
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        proxy.admin,
        body.len()
    );
    Connection::open(proxy.admin).send(text).response()
}

fn json(response: &Response) -> Value {
    serde_json::from_str(&response.text()).unwrap_or_else(|fault| panic!("{fault}: {response:?}"))
}

fn events(proxy: &Proxy, query: &str) -> Vec<Value> {
    let listed = get(proxy.admin, &format!("/inbox?{query}"));
    assert_eq!(listed.status, 200, "{listed:?}");
    json(&listed)["events"].as_array().unwrap().clone()
}

/// Delivers so many events that `erp` refuses for good.
fn die(proxy: &Proxy, erp: &Upstream, count: usize) {
    let before = events(proxy, "state=dead").len();
    for n in 0..count {
        erp.next(Reply::Status(422));
        let told = Sender::to(proxy).deliver(&Event::order(&format!("dead-{n}")).signed());
        assert_eq!(told.outcome(), "queued");
    }
    eventually("all are dead", || events(proxy, "state=dead").len() == before + count);
}

#[test]
fn a_list_has_filters_and_pages_and_one_entry_has_its_tries() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "spill", LATER).start();
    die(&proxy, &erp, 3);
    erp.next(Reply::Status(503));
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("late").signed()).outcome(), "queued");

    assert_eq!(events(&proxy, "").len(), 4);
    assert_eq!(events(&proxy, "state=dead&to=erp&source=shop&type=order.created").len(), 3);
    assert_eq!(events(&proxy, "to=crm").len(), 0);
    assert_eq!(events(&proxy, "until=1000000000").len(), 0);
    assert_eq!(events(&proxy, "since=2020-01-01T00:00:00Z").len(), 4);
    let first = json(&get(proxy.admin, "/inbox?limit=3"));
    assert_eq!(first["events"].as_array().unwrap().len(), 3);
    let rest = events(&proxy, &format!("cursor={}", first["next"]));
    assert_eq!(rest.len(), 1);
    for wrong in ["state=died", "stat=dead", "limit=0", "since=soon"] {
        assert_eq!(get(proxy.admin, &format!("/inbox?{wrong}")).status, 400, "{wrong}");
    }

    let late = &events(&proxy, "id=late")[0];
    assert_eq!((&late["state"], &late["attempts"]), (&"waiting".into(), &1.into()));
    assert_eq!(late["last_result"], "503");
    assert!(late["next_attempt_at"].as_str().unwrap().ends_with('Z'), "{late}");
    let one = json(&get(proxy.admin, &format!("/inbox/{}", late["seq"])));
    assert_eq!(one["tries"][0]["result"], "503");
    assert!(one["tries"][0]["ms"].is_u64(), "{one}");
    assert_eq!(get(proxy.admin, "/inbox/999999").status, 404);
    assert!(!get(proxy.admin, "/inbox").text().contains("created_at"), "never bodies");

    for (id, state) in [("late", "queued"), ("dead-0", "dead")] {
        let known = json(&get(proxy.admin, &format!("/dedupe/shop/{id}")));
        assert_eq!(known["destinations"]["erp"]["state"], state, "{known}");
    }
    let status = json(&get(proxy.admin, "/status"));
    assert_eq!(status["inbox"]["events"]["erp"]["dead"], 3);
    assert_eq!(status["inbox"]["events"]["erp"]["waiting"], 1);
    assert!(status["inbox"]["bytes"].as_u64().unwrap() > 100, "{status}");
}

#[test]
fn a_replay_is_due_now_and_says_so_and_a_wrong_expectation_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "spill", LATER).start();
    die(&proxy, &erp, 3);
    let by_filter = |rest: &str| {
        post(&proxy, "/inbox/replay", &format!(r#"{{"filter":{{"state":"dead"}}{rest}}}"#))
    };
    assert_eq!(by_filter("").status, 400, "a filter needs expect");
    let refused = by_filter(r#","expect":2"#);
    assert_eq!((refused.status, json(&refused)["matched"].as_u64()), (409, Some(3)));
    let dry = by_filter(r#","dry_run":true"#);
    assert_eq!((dry.status, json(&dry)["matched"].as_u64()), (200, Some(3)));
    erp.saw(3);
    let replayed = by_filter(r#","expect":3,"reason":"fixed\nit""#);
    assert_eq!((replayed.status, json(&replayed)["matched"].as_u64()), (200, Some(3)));
    drained(&proxy);
    for seen in &erp.saw(6)[3..] {
        assert_eq!(seen.header("Hookward-Replay"), "true");
        assert_eq!(seen.header("Hookward-Attempt"), "2");
        assert!(!seen.header("Idempotency-Key").contains(":r1"));
    }
    let log = proxy.log();
    let audit = log.lines().find(|line| line.contains("audit: events of the inbox were replayed"));
    assert!(audit.unwrap().contains(r"fixed\nit"), "{audit:?}");
}

#[test]
fn a_replay_as_new_has_a_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = on(folder.path())
        .table("keep_delivered = \"1h\"")
        .upstream("erp", &erp, SOON)
        .shop_to(&["erp"], "")
        .table("delivery = \"queued\"")
        .start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    eventually("it is delivered", || events(&proxy, "state=delivered").len() == 1);
    let seq = events(&proxy, "id=evt-1")[0]["seq"].clone();
    let told = post(&proxy, "/inbox/replay", &format!(r#"{{"seq":[{seq}],"as_new":true}}"#));
    assert_eq!(json(&told)["changed"], 1, "{told:?}");
    let seen = erp.saw(2);
    assert_eq!(seen[1].header("Idempotency-Key"), "\"shop:evt-1:r1\"");
    assert_eq!(seen[1].header("Hookward-Event-Id"), "evt-1");
    assert_eq!(seen[1].body, seen[0].body);
}

#[test]
fn what_was_discarded_is_a_duplicate_and_what_was_erased_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = kept(&erp, folder.path(), "spill", LATER).start();
    die(&proxy, &erp, 2);
    let seq = events(&proxy, "id=dead-0")[0]["seq"].clone();
    let told = post(&proxy, "/inbox/discard", &format!(r#"{{"seq":[{seq}],"reason":"a test"}}"#));
    assert_eq!((told.status, json(&told)["changed"].as_u64()), (200, Some(1)));
    let again = Sender::to(&proxy).deliver(&Event::order("dead-0").signed());
    assert_eq!(again.verdict(), (200, "duplicate", String::new()));
    assert_eq!(events(&proxy, "").len(), 1, "it is not listed any more");

    let erased = request(proxy.admin, "DELETE", "/inbox/shop/dead-1", &[]);
    assert_eq!(erased.status, 200, "{erased:?}");
    assert!(!stored(folder.path()).windows(6).any(|window| window == b"dead-1"));
    let again = Sender::to(&proxy).deliver(&Event::order("dead-1").signed());
    assert_eq!(again.outcome(), "delivered");
    assert_eq!(request(proxy.admin, "DELETE", "/inbox/shop/dead-1", &[]).status, 404);
    let erasures = || {
        let log = proxy.log();
        let of = |text| log.matches(text).count();
        (of("audit: an event was erased from the inbox"), of("the inbox does not have it"))
    };
    crate::support::eventually("each is in the log as what it was", || erasures() == (1, 1));
}

#[test]
fn a_pause_holds_everything_back_survives_a_restart_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = on(folder.path()).upstream("erp", &erp, SOON).shop_to(&["erp"], "").table(
        "delivery = \"spill\"\n\
         [sources.now]\npath = \"/webhooks/now\"\npreset = \"opentiendas\"\n\
         secrets = [{ env = \"SHOP_SECRET\" }]\n\
         [[sources.now.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    );
    let proxy = setup.start();
    assert_eq!(post(&proxy, "/upstreams/nobody/pause", "").status, 404);
    let paused = post(&proxy, "/upstreams/erp/pause", r#"{"reason":"upgrade"}"#);
    assert_eq!(paused.status, 200, "{paused:?}");
    let told = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(told.verdict(), (200, "queued", String::new()));
    drop(proxy);

    let proxy = setup.start();
    assert_eq!(proxy.metric("hookward_inbox_paused", &[("upstream", "erp")]), 1);
    assert_eq!(json(&get(proxy.admin, "/status"))["upstreams"]["erp"]["paused"], true);
    let mut sync = Event::order("evt-2").signed();
    sync.target = "/webhooks/now".to_owned();
    let told = Sender::to(&proxy).deliver(&sync);
    assert_eq!(told.verdict(), (503, "failed", "upstream_unreachable".to_owned()));
    erp.saw(0);
    assert_eq!(post(&proxy, "/upstreams/erp/resume", "").status, 200);
    drained(&proxy);
    erp.saw(1);
    assert_eq!(Sender::to(&proxy).deliver(&sync).outcome(), "delivered");
    let until = crate::support::rfc3339_in(1);
    let body = format!(r#"{{"until":"{until}"}}"#);
    assert_eq!(post(&proxy, "/upstreams/erp/pause", &body).status, 200);
    let told = Sender::to(&proxy).deliver(&Event::order("evt-3").signed());
    assert!(["queued", "delivered"].contains(&told.outcome()), "{told:?}");
    drained(&proxy);
    erp.saw(3);
}

#[test]
fn the_commands_do_what_the_requests_do() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port()
    };
    let setup =
        kept(&erp, folder.path(), "spill", LATER).admin(&format!("listen = \"127.0.0.1:{port}\""));
    let proxy = setup.start();
    die(&proxy, &erp, 2);
    let run = |arguments: &[&str], code: i32| {
        let mut command = hookward();
        command.args(arguments).arg("--config").arg(proxy.file());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", printed(&output));
        stdout(&output)
    };
    let table = run(&["inbox", "list", "--state", "dead"], 0);
    assert!(table.starts_with("SEQ") && table.contains("dead-1"), "{table}");
    let listed: Value =
        serde_json::from_str(&run(&["inbox", "list", "--id", "dead-0", "--json"], 0)).unwrap();
    let seq = listed["events"][0]["seq"].to_string();
    assert!(run(&["inbox", "show", &seq], 0).contains("422"));
    run(&["inbox", "show", "999"], 1);
    run(&["inbox", "replay"], 2);
    run(&["inbox", "replay", "--state", "dead"], 2);
    run(&["inbox", "replay", "--state", "died", "--expect", "1"], 2);
    assert_eq!(
        run(&["inbox", "replay", "--state", "dead", "--dry-run"], 0),
        "2 would be changed\n"
    );
    run(&["inbox", "replay", "--state", "dead", "--expect", "5"], 1);
    let reason = ["--reason", "a test"];
    let discard = ["inbox", "discard", &seq, reason[0], reason[1]];
    assert_eq!(run(&discard, 0), "1 matched, 1 changed\n");
    let replay = ["inbox", "replay", "--state", "dead", "--expect", "1", reason[0], reason[1]];
    assert_eq!(run(&replay, 0), "1 matched, 1 changed\n");
    drained(&proxy);
    run(&["pause", "erp", "--until", "2100-01-01T00:00:00Z"], 0);
    run(&["resume", "erp"], 0);
    run(&["pause", "nobody"], 1);
    run(&["inbox", "erase", "shop", "dead-0"], 0);
    run(&["inbox", "erase", "shop", "dead-0"], 1);
}

#[test]
fn without_an_inbox_the_requests_say_so() {
    let erp = Upstream::start();
    let proxy = crate::support::Setup::shop(&erp).start();
    for path in ["/inbox", "/inbox/1"] {
        let told = get(proxy.admin, path);
        assert_eq!(told.status, 404);
        assert!(told.text().contains("no inbox"), "{told:?}");
    }
    assert!(!get(proxy.admin, "/metrics").text().contains("hookward_inbox_bytes"));
    assert!(!get(proxy.admin, "/metrics").text().contains("queued"));
}
