//! Tokens of the admin listener: each has a name, and some may only read.

use crate::support::{
    Connection, Event, Proxy, Reply, Response, Sender, Setup, Upstream, eventually, hookward,
    printed, request, stdout,
};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

const TOKENS: &str = "tokens = [\n\
    { name = \"grafana\", env = \"GRAFANA_TOKEN\", read_only = true },\n\
    { name = \"ana\", env = \"ANA_TOKEN\" },\n]";
const GRAFANA: &str = "a-token-that-may-only-read-things";
const ANA: &str = "a-token-that-may-change-things";

fn setup(erp: &Upstream, folder: &std::path::Path) -> Setup {
    let folder = folder.join("data");
    Setup::new()
        .admin(TOKENS)
        .dedupe(&format!("store = \"disk\"\npath = {:?}", folder.display().to_string()))
        .table("[inbox]\nmin_free = \"1B\"")
        .upstream("erp", erp, "retry = { first = \"24h\", longest = \"24h\", refused_after = 1 }")
        .shop_to(&["erp"], "")
        .table("delivery = \"spill\"")
        .environment("GRAFANA_TOKEN", GRAFANA)
        .environment("ANA_TOKEN", ANA)
}

fn ask(proxy: &Proxy, token: &str, method: &str, target: &str, body: &str) -> Response {
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        proxy.admin,
        body.len()
    );
    Connection::open(proxy.admin).send(text).response()
}

fn json(response: &Response) -> Value {
    serde_json::from_str(&response.text()).unwrap_or_else(|fault| panic!("{fault}: {response:?}"))
}

#[test]
fn a_token_that_may_only_read_reads_everything_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = setup(&erp, folder.path()).start();
    erp.next(Reply::Status(422));
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-2").signed()).outcome(), "delivered");
    let seq = json(&ask(&proxy, GRAFANA, "GET", "/inbox", ""))["events"][0]["seq"].clone();
    for target in
        ["/status", "/inbox", "/deliveries", "/dedupe/shop/evt-2", &format!("/inbox/{seq}")]
    {
        assert_eq!(ask(&proxy, GRAFANA, "GET", target, "").status, 200, "{target}");
    }
    let changes = [
        ("POST", "/reload", String::new()),
        ("DELETE", "/dedupe/shop/evt-2", String::new()),
        ("POST", "/inbox/replay", format!("{{\"seq\":[{seq}]}}")),
        ("POST", "/inbox/discard", format!("{{\"seq\":[{seq}]}}")),
        ("POST", "/inbox/move", format!("{{\"seq\":[{seq}],\"to\":\"erp\"}}")),
        ("DELETE", "/inbox/shop/evt-1", String::new()),
        ("POST", "/upstreams/erp/pause", String::new()),
        ("POST", "/upstreams/erp/resume", String::new()),
    ];
    for (method, target, body) in &changes {
        let refused = ask(&proxy, GRAFANA, method, target, body);
        assert_eq!(refused.status, 403, "{target}");
        let problem = json(&refused);
        assert_eq!(problem["status"], 403, "{problem}");
        let title = problem["title"].as_str().unwrap();
        assert!(title.contains("`grafana` may only read"), "{title}");
        assert_eq!(ask(&proxy, "neither-of-the-two-tokens", method, target, body).status, 401);
    }
    assert_eq!(json(&ask(&proxy, ANA, "GET", "/inbox", ""))["events"][0]["state"], "dead");
    assert_eq!(ask(&proxy, ANA, "GET", "/dedupe/shop/evt-2", "").status, 200, "it is still known");
    assert!(!proxy.log().contains("audit:"), "nothing was changed");
    let status = json(&ask(&proxy, GRAFANA, "GET", "/status", ""));
    assert_eq!(status["token"]["name"], "grafana", "{status}");
    assert_eq!(status["token"]["read_only"], true, "{status}");
    erp.saw(2);
}

#[test]
fn audit_lines_and_the_history_say_whose_token_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = setup(&erp, folder.path()).start();
    for _ in 0..2 {
        erp.next(Reply::Status(422));
    }
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("evt-1").signed()).outcome(), "queued");
    let seq = json(&ask(&proxy, ANA, "GET", "/inbox", ""))["events"][0]["seq"].clone();
    let one = || json(&ask(&proxy, ANA, "GET", &format!("/inbox/{seq}"), ""));
    let body = format!("{{\"seq\":[{seq}],\"reason\":\"fixed\"}}");
    assert_eq!(ask(&proxy, ANA, "POST", "/inbox/replay", &body).status, 200);
    eventually("it died again", || one()["state"] == "dead" && one()["attempts"] == 2);
    assert_eq!(ask(&proxy, ANA, "POST", "/inbox/discard", &body).status, 200);
    let changes: Vec<(Value, Value)> = one()["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["what"].clone(), change["by"].clone()))
        .collect();
    let by_ana = |what: &str| (Value::from(what), Value::from("ana"));
    assert_eq!(changes, [by_ana("replayed"), by_ana("discarded")]);
    for (method, target) in [
        ("POST", "/upstreams/erp/pause"),
        ("POST", "/upstreams/erp/resume"),
        ("DELETE", "/dedupe/shop/unheard-of"),
        ("DELETE", "/inbox/shop/evt-1"),
        ("POST", "/reload"),
    ] {
        assert_ne!(ask(&proxy, ANA, method, target, "").status, 403, "{target}");
    }
    // Lines are written by a thread of their own.
    eventually("all are in the log", || proxy.log().matches("audit:").count() == 7);
    let log = proxy.log();
    let audits: Vec<&str> = log.lines().filter(|line| line.contains("audit:")).collect();
    assert!(audits.iter().all(|line| line.contains("token=ana")), "{audits:?}");
    assert!(!log.contains(ANA) && !log.contains(GRAFANA), "never the token itself");
}

#[test]
fn tokens_are_added_and_taken_away_by_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = setup(&erp, folder.path()).start();
    let text = std::fs::read_to_string(proxy.file()).unwrap();
    let swapped = text.replace(
        "name = \"ana\", env = \"ANA_TOKEN\"",
        "name = \"bo\", value = \"a-token-that-is-new-here\"",
    );
    assert_ne!(text, swapped);
    std::fs::write(proxy.file(), swapped).unwrap();
    assert_eq!(ask(&proxy, GRAFANA, "POST", "/reload", "").status, 403);
    assert_eq!(ask(&proxy, ANA, "POST", "/reload", "").status, 200);
    assert_eq!(ask(&proxy, ANA, "GET", "/status", "").status, 401);
    assert_eq!(ask(&proxy, "a-token-that-is-new-here", "POST", "/reload", "").status, 200);
    assert_eq!(ask(&proxy, GRAFANA, "GET", "/status", "").status, 200);
    // Without any token it is nobody's listener, and the slip is refused.
    std::fs::write(proxy.file(), text.replace("{ name", "{ nam")).unwrap();
    assert_eq!(ask(&proxy, "a-token-that-is-new-here", "POST", "/reload", "").status, 422);
    assert_eq!(request(proxy.admin, "GET", "/status", &[]).status, 401);
}

/// Runs a command with one of the tokens in the environment.
fn run(proxy: &Proxy, setup: &Setup, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    let toml = setup.clone().admin(&format!("listen = \"{}\"", proxy.admin)).toml();
    std::fs::write(&file, toml).unwrap();
    let mut command = hookward();
    command.args(arguments).arg("--config").arg(&file).envs(environment.iter().copied());
    command.output().unwrap()
}

#[test]
fn a_command_presents_the_token_that_may_change_things_and_needs_only_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let setup = setup(&erp, folder.path());
    let proxy = setup.start();
    let both = [("GRAFANA_TOKEN", GRAFANA), ("ANA_TOKEN", ANA)];
    let paused = run(&proxy, &setup, &both, &["pause", "erp"]);
    assert_eq!(paused.status.code(), Some(0), "{}", printed(&paused));
    let listed = run(&proxy, &setup, &both[..1], &["inbox", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", printed(&listed));
    assert!(stdout(&listed).starts_with("SEQ"), "{}", printed(&listed));
    let refused = run(&proxy, &setup, &both[..1], &["resume", "erp"]);
    assert_eq!(refused.status.code(), Some(2), "{}", printed(&refused));
    assert!(printed(&refused).contains("`grafana` may only read"), "{}", printed(&refused));
    let neither = run(&proxy, &setup, &[], &["inbox", "list"]);
    assert_eq!(neither.status.code(), Some(2), "{}", printed(&neither));
    assert!(printed(&neither).contains("GRAFANA_TOKEN is not set"), "{}", printed(&neither));
}

/// Opens the stream of deliveries with a token.
fn watch(proxy: &Proxy, token: &str) -> impl Iterator<Item = String> {
    let mut stream = TcpStream::connect(proxy.admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ask = format!(
        "GET /deliveries/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.contains("200")), "{token} may watch");
    assert!(lines.any(|line| line == ": deliveries as they end"));
    lines
}

#[test]
fn the_stream_of_a_token_that_was_taken_away_ends_without_another_word() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    let proxy = setup(&erp, folder.path()).start();
    let (mut revoked, mut kept) = (watch(&proxy, ANA), watch(&proxy, GRAFANA));
    let text = std::fs::read_to_string(proxy.file()).unwrap();
    let without = text.replace("{ name = \"ana\", env = \"ANA_TOKEN\" },\n", "");
    assert_ne!(text, without);
    std::fs::write(proxy.file(), without).unwrap();
    assert_eq!(ask(&proxy, ANA, "POST", "/reload", "").status, 200);
    let delivered = Sender::to(&proxy).deliver(&Event::order("evt-secret").signed());
    assert_eq!(delivered.outcome(), "delivered");
    assert!(kept.any(|line| line.contains("evt-secret")));
    let rest: Vec<String> = revoked.by_ref().collect();
    assert!(rest.iter().all(|line| !line.contains("evt-secret")), "{rest:?}");
}
