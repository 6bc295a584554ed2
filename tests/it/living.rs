//! Commands for operating a proxy: `status`, `reload`, `send`, and the suggestions of `explain` and
//! `discover`.

use crate::support::{
    Event, Proxy, Sender, Setup, Upstream, eventually, get, hmac_sha256_hex, hookward, printed,
    stdout,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const SECRET: (&str, &str) = ("SHOP_SECRET", "a-secret-of-the-shop-for-tests");

/// A command that finds the admin listener of this proxy.
fn ask(proxy: &Proxy, setup: &Setup, arguments: &[&str]) -> Output {
    let setup = setup.clone().admin(&format!("listen = \"{}\"", proxy.admin));
    std::fs::write(proxy.file(), setup.toml()).unwrap();
    hookward().args(arguments).arg("--config").arg(proxy.file()).envs([SECRET]).output().unwrap()
}

#[test]
fn status_shows_tables_and_ends_with_what_they_say() {
    let closed = Upstream::unreachable();
    let erp = Upstream::start();
    let setup = Setup::new()
        .upstream("erp", &erp, "")
        .table(&format!("[upstreams.dead]\nurl = \"http://{closed}\""))
        .shop_to(&["erp"], "")
        .table(
            "[sources.other]\npath = \"/other\"\npreset = \"github\"\nsecrets = [{ env = \"SHOP_SECRET\" }]\n\
             [[sources.other.routes]]\nevents = [\"*\"]\nto = [\"dead\"]",
        );
    let proxy = setup.start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("a").signed()).outcome(), "delivered");
    let well = ask(&proxy, &setup, &["status"]);
    assert_eq!(well.status.code(), Some(0), "{}", printed(&well));
    for part in
        ["all is well", "SOURCE", "shop", "UPSTREAM", "erp", "healthy", "not known", "SECRET"]
    {
        assert!(stdout(&well).contains(part), "{part} is not in {}", printed(&well));
    }
    let document = ask(&proxy, &setup, &["status", "--json"]);
    let document: Value = serde_json::from_str(&stdout(&document)).unwrap();
    assert_eq!(document["upstreams"]["dead"]["healthy"], Value::Null);

    for number in 0..3 {
        let body = format!("{{\"number\":{number}}}");
        let signature = format!("sha256={}", hmac_sha256_hex(SECRET.1, body.as_bytes()));
        let delivery = crate::support::Delivery::post("/other", body)
            .with("X-Hub-Signature-256", &signature)
            .with("X-GitHub-Event", "push")
            .with("X-GitHub-Delivery", &number.to_string());
        assert_eq!(Sender::to(&proxy).deliver(&delivery).reason(), "upstream_unreachable");
    }
    let ill = ask(&proxy, &setup, &["status"]);
    assert_eq!(ill.status.code(), Some(1), "{}", printed(&ill));
    assert!(stdout(&ill).contains("NOT WELL: upstream dead is not healthy"), "{}", printed(&ill));
    let nobody = setup.clone().admin(&format!("listen = \"{closed}\""));
    std::fs::write(proxy.file(), nobody.toml()).unwrap();
    let alone = hookward().args(["status", "--config"]).arg(proxy.file()).output().unwrap();
    assert_eq!(alone.status.code(), Some(3), "{}", printed(&alone));
}

#[test]
fn reload_says_what_changed_or_why_nothing_did() {
    let (erp, crm) = (Upstream::start(), Upstream::start());
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let same = ask(&proxy, &setup, &["reload"]);
    assert_eq!(same.status.code(), Some(0), "{}", printed(&same));
    assert_eq!(stdout(&same), "reloaded; no source, route or upstream changed\n");
    let more = Setup::new()
        .upstream("erp", &erp, "timeout = \"7s\"")
        .upstream("crm", &crm, "")
        .shop_to(&["erp", "crm"], "respond_within = \"3s\"")
        .table(
            "[sources.other]\npath = \"/other\"\npreset = \"github\"\nsecrets = [{ env = \"SHOP_SECRET\" }]\n\
             [[sources.other.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        );
    let changed = ask(&proxy, &more, &["reload"]);
    assert_eq!(
        stdout(&changed),
        "sources added: other\nsources changed: shop\nroutes changed: shop\n\
         upstreams added: crm\nupstreams changed: erp\n",
        "{}",
        printed(&changed)
    );
    let gone = ask(&proxy, &setup, &["reload"]);
    assert!(stdout(&gone).contains("sources removed: other"), "{}", printed(&gone));
    assert!(stdout(&gone).contains("upstreams removed: crm"), "{}", printed(&gone));
    // What only the proxy itself can see: its secret is not there any more.
    let hash = || get(proxy.admin, "/status").text();
    let before = hash();
    let bad = setup.clone().table("[sources.shop.nonsense]\na = 1");
    let refused = ask(&proxy, &bad, &["reload"]);
    assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
    assert!(printed(&refused).contains("nonsense"), "{}", printed(&refused));
    assert_eq!(config_hash(&hash()), config_hash(&before), "the old one serves on");
}

fn config_hash(status: &str) -> Value {
    serde_json::from_str::<Value>(status).unwrap()["config_hash"].clone()
}

#[test]
fn send_marks_what_it_makes_up_and_does_not_go_astray() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    std::fs::write(&file, setup.toml()).unwrap();
    let send = |more: &[&str]| {
        let mut command = hookward();
        command.args(["send", "--source", "shop", "--config"]).arg(&file).args(more);
        command.envs([SECRET]).output().unwrap()
    };
    // Straight to a receiver, to see what goes over the wire.
    let sample = send(&["--id", "4711", "--url", &erp.url()]);
    assert_eq!(sample.status.code(), Some(0), "{}", printed(&sample));
    assert!(printed(&sample).contains("note: event `4711` is invented"), "{}", printed(&sample));
    assert_eq!(erp.saw(1)[0].header("Hookward-Sample"), "true");
    let body = directory.path().join("body.json");
    std::fs::write(&body, Event::order("4711").body()).unwrap();
    let body = body.to_str().unwrap();
    let real = send(&["--body", body, "--url", &erp.url()]);
    assert!(!printed(&real).contains("invented"), "{}", printed(&real));
    assert!(erp.saw(2)[1].all("Hookward-Sample").is_empty());
    for away in ["http://192.0.2.1/webhooks/shop", "https://hooks.example.com/webhooks/shop"] {
        let refused = send(&["--url", away]);
        assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
        assert!(printed(&refused).contains("--really"), "{}", printed(&refused));
    }
    let in_body = send(&["--body", body, "--refresh-time", "--url", &erp.url()]);
    assert_eq!(in_body.status.code(), Some(2), "{}", printed(&in_body));
    assert!(printed(&in_body).contains("/created_at"), "{}", printed(&in_body));
    erp.saw(2);
}

#[test]
fn a_captured_body_is_signed_anew_where_the_time_is_in_a_header() {
    let erp = Upstream::start();
    let setup = Setup::new().upstream("erp", &erp, "").table(
        "[sources.pay]\npath = \"/pay\"\npreset = \"stripe\"\nsecrets = [{ env = \"SHOP_SECRET\" }]\n\
         [[sources.pay.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
    );
    let proxy = setup.clone().environment(SECRET.0, SECRET.1).start();
    let body = proxy.file().parent().unwrap().join("old.json");
    std::fs::write(&body, r#"{"id":"evt_1","type":"charge.succeeded","created":1700000000}"#)
        .unwrap();
    let url = format!("http://{}/pay", proxy.address);
    let body = body.to_str().unwrap();
    let arguments = ["send", "--source", "pay", "--body", body, "--refresh-time", "--url", &url];
    let sent = ask(&proxy, &setup, &arguments);
    assert!(stdout(&sent).starts_with("200 delivered"), "{}", printed(&sent));
    assert_eq!(erp.saw(1)[0].body, std::fs::read(body).unwrap());
}

/// What `explain` says of a capture, for the source `acme` with these keys.
fn explained(signature: &str, headers: &str, body: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let config = format!(
        "[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n[sources.acme]\npath = \"/acme\"\n\
         secrets = [{{ env = \"SHOP_SECRET\" }}]\nroutes = [{{ events = [\"*\"], to = [\"erp\"] }}]\n{signature}"
    );
    let paths = [
        ("--config", write("c.toml", config.as_bytes())),
        ("--headers", write("headers", headers.as_bytes())),
        ("--body", write("body", body)),
    ];
    let mut command = hookward();
    command.args(["explain", "--source", "acme"]);
    for (option, path) in &paths {
        command.arg(option).arg::<&Path>(path);
    }
    let output = command.envs([SECRET]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    stdout(&output)
}

const ACME: &str = "preset = \"opentiendas\"\n";

#[test]
fn a_wrong_prefix_is_one_line_to_change() {
    let body = Event::order("evt-1").body();
    let headers = format!("X-Signature: sha1={}\n", hmac_sha256_hex(SECRET.1, &body));
    let told = explained(ACME, &headers, &body);
    assert!(told.contains("set `prefix = \"sha1=\"`"), "{told}");
    assert!(!told.contains("[sources."), "{told}");
}

#[test]
fn what_explain_proposes_keeps_preset_and_time() {
    let body = Event::order("evt-1").body();
    let signature = format!("v9={}", hmac_sha256_hex(SECRET.1, &body));
    let told = explained(ACME, &format!("X-Other-Signature: {signature}\n"), &body);
    // Two things are wrong at once, the header and the prefix; nothing else is to be changed.
    assert!(told.contains("header = \"x-other-signature\""), "{told}");
    assert!(told.contains("prefix = \"v9=\""), "{told}");
    for kept in
        ["algorithm =", "path =", "secrets =", "[sources.acme.timestamp]", "[sources.acme.event]"]
    {
        assert!(!told.contains(kept), "{kept} is in {told}");
    }
}

#[test]
fn discover_keeps_the_preset_and_the_time_of_a_webround_capture() {
    let body = r#"{"envelopeId":"env_1","eventType":"order.created","initiatedBy":"storefront","storeId":"st_1","occurredAt":"2026-03-16T10:20:30.123Z","eventId":"evt_1","payload":{"id":10045}}"#;
    let directory = tempfile::tempdir().unwrap();
    let (headers, file) = (directory.path().join("headers"), directory.path().join("body"));
    for signature in ["", "sha256="] {
        let line =
            format!("X-Webround-Sig: {signature}{}\n", hmac_sha256_hex(SECRET.1, body.as_bytes()));
        std::fs::write(&headers, line).unwrap();
        std::fs::write(&file, body).unwrap();
        let mut command = hookward();
        command.args(["discover", "--secret-env", "SHOP_SECRET", "--headers"]).arg(&headers);
        let found = command.arg("--body").arg(&file).envs([SECRET]).output().unwrap();
        assert_eq!(found.status.code(), Some(0), "{}", printed(&found));
        assert!(stdout(&found).contains("preset = \"webround\""), "{}", printed(&found));
        assert!(!stdout(&found).contains("[sources.sender.event]"), "{}", printed(&found));
    }
}

#[test]
fn explain_says_what_is_odd_where_it_gives_up() {
    let signature = format!("X-Signature: sha256={}\n", "0".repeat(64));
    let sorted = br#"{"a":1,"b":2,"c":{"d":3,"e":4},"event_id":"1","type":"x"}"#;
    let told = explained(ACME, &format!("{signature}Content-Length: 137\n"), &sorted[..40]);
    assert!(told.contains("40 bytes, but `Content-Length: 137`"), "{told}");
    let told = explained(ACME, &signature, b"{\"a\":\"\xff\"}");
    assert!(told.contains("not UTF-8 from byte 6 on"), "{told}");
    let told = explained(ACME, &signature, sorted);
    assert!(told.contains("alphabetical order"), "{told}");
    assert!(told.contains("`10.0`"), "{told}");
    let told = explained(ACME, &signature, &Event::order("evt-1").body());
    assert!(!told.contains("alphabetical") && !told.contains("`10.0`"), "{told}");
}

#[test]
fn numbers_that_lost_their_fraction_are_found_out() {
    let signed = br#"{"event_id":"1","total":10.0,"count":2,"rate":5.0,"text":"7 of 9"}"#;
    let arrived = br#"{"event_id":"1","total":10,"count":2,"rate":5,"text":"7 of 9"}"#;
    let headers = format!("X-Signature: sha256={}\n", hmac_sha256_hex(SECRET.1, signed));
    let told = explained(ACME, &headers, arrived);
    assert!(told.contains("the mistake: JSON written again"), "{told}");
    assert!(told.contains("with `.0`"), "{told}");
}

#[test]
fn explain_and_its_reasons_are_there_for_programs() {
    let erp = Upstream::start();
    let setup = Setup::new().upstream("erp", &erp, "").shop_to(&["erp"], "capture = 1");
    let proxy = setup.start();
    let unsigned = Event::order("evt-2").signed().without("X-Signature");
    assert_eq!(Sender::to(&proxy).deliver(&unsigned).status, 401);
    let told = ask(&proxy, &setup, &["explain", "--source", "shop", "--last", "--json"]);
    let told: Value = serde_json::from_str(&stdout(&told)).unwrap();
    assert_eq!((&told["forwarded"], &told["reason"]), (&json!(false), &json!("signature_missing")));
}

#[test]
fn explain_says_how_to_capture_where_nothing_is_captured() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let told = ask(&proxy, &setup, &["explain", "--source", "shop", "--last"]);
    assert_eq!(told.status.code(), Some(1), "{}", printed(&told));
    assert!(printed(&told).contains("capture = 20"), "{}", printed(&told));
}

#[test]
fn a_line_for_people_says_first_what_they_look_for() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    Sender::to(&proxy).deliver(&Event::order("evt-2").signed().without("X-Signature"));
    eventually("both are logged", || proxy.log().matches(" delivery ").count() == 2);
    let log = proxy.log();
    let mut lines = log.lines().filter_map(|line| line.split_once(" delivery "));
    let (head, good) = lines.next().unwrap();
    assert!(head.ends_with(" INFO "), "{head:?}");
    assert!(good.starts_with("source=shop outcome=delivered status=200 event_id=evt-1 "), "{good}");
    let (_, bad) = lines.next().unwrap();
    let expected = "source=shop outcome=rejected status=401 reason=signature_missing ";
    assert!(bad.starts_with(expected), "{bad}");
}

#[test]
fn presets_are_there_for_programs() {
    let list = hookward().args(["presets", "--json"]).output().unwrap();
    let list: Value = serde_json::from_str(&stdout(&list)).unwrap();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|preset| preset["name"].as_str().unwrap()).collect();
    assert!(names.len() > 50 && names.contains(&"opentiendas"), "{names:?}");
    let one = hookward().args(["presets", "stripe", "--json"]).output().unwrap();
    let one: Value = serde_json::from_str(&stdout(&one)).unwrap();
    assert_eq!(one["name"], "stripe");
    assert!(one["toml"].as_str().unwrap().contains("preset = \"stripe\""), "{one}");
}
