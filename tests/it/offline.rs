//! Commands that use one part of a configuration need nothing else from the server's environment: a
//! developer who signs for a source has neither the server's token nor its keys.

use crate::support::{hookward, printed};
use std::path::Path;
use std::process::Output;

/// Everything that a server has and a developer's machine lacks.
const OF_THE_SERVER: &str = r#"
[server]
tls = { cert = "not-here/fullchain.pem", key = "not-here/key.pem" }
[admin]
listen = "127.0.0.1:1"
token = { env = "NOT_SET_ADMIN_TOKEN" }
[dedupe]
store = "redis"
url = { env = "NOT_SET_REDIS_URL" }
[upstreams.erp]
url = "https://127.0.0.1:9001"
tls = { ca = "not-here/ca.pem" }
[sources.shop]
path = "/webhooks/shop"
preset = "opentiendas"
secrets = [{ env = "SHOP_SECRET" }]
routes = [{ events = ["*"], to = ["erp"] }]
[sources.other]
path = "/webhooks/other"
preset = "stripe"
secrets = [{ env = "EMPTY_SECRET" }]
routes = [{ events = ["*"], to = ["erp"] }]
[sources.unfit]
path = "/webhooks/unfit"
preset = "discord"
secrets = [{ env = "SHOP_SECRET" }]
routes = [{ events = ["*"], to = ["erp"] }]
"#;

fn run(arguments: &[&str], directory: &Path) -> Output {
    hookward()
        .args(arguments)
        .current_dir(directory)
        .env("HOOKWARD_CONFIG", "hookward.toml")
        .env("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .env("EMPTY_SECRET", "")
        .output()
        .unwrap()
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hookward.toml"), OF_THE_SERVER).unwrap();
    std::fs::write(directory.path().join("event.json"), "{}").unwrap();
    directory
}

#[test]
fn a_command_for_one_source_needs_no_other_secret_token_or_certificate() {
    let directory = directory();
    let signed = run(&["sign", "--source", "shop", "--body", "event.json"], directory.path());
    assert_eq!(signed.status.code(), Some(0), "{}", printed(&signed));
    std::fs::write(directory.path().join("event.headers"), &signed.stdout).unwrap();
    let explain =
        ["explain", "--source", "shop", "--headers", "event.headers", "--body", "event.json"];
    let judged = run(&explain, directory.path());
    let verdict = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert_eq!(judged.status.code(), Some(1), "{}", printed(&judged));
    assert!(verdict.ends_with("reason: event_id_missing\n"), "{verdict}");
    // It gets as far as the request: nothing listens at the address.
    let url = ["send", "--source", "shop", "--url", "http://127.0.0.1:1/"];
    let sent = run(&url, directory.path());
    assert!(String::from_utf8_lossy(&sent.stderr).contains("no answer from"), "{}", printed(&sent));
    let asked = run(&["health"], directory.path());
    assert!(
        String::from_utf8_lossy(&asked.stderr).contains("no answer from"),
        "{}",
        printed(&asked)
    );
}

#[test]
fn the_secret_of_the_source_itself_has_to_be_there_and_fit() {
    let directory = directory();
    for (source, problem) in
        [("other", "the secret is empty"), ("unfit", "it cannot be used as a key")]
    {
        let output = run(&["sign", "--source", source], directory.path());
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(problem) && !said.contains("ADMIN"), "{said}");
    }
}

#[test]
fn serving_and_checking_need_all_of_it() {
    let directory = directory();
    for command in ["check", "run"] {
        let output = run(&[command], directory.path());
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for key in [
            "server.tls.cert",
            "admin.token",
            "dedupe.url",
            "upstreams.erp.tls.ca",
            "sources.other.secrets[0]",
            "sources.unfit.secrets",
        ] {
            assert!(said.contains(&format!("error: {key}")), "{key} is not in {said}");
        }
    }
    let asked = run(&["dedupe", "get", "shop", "evt-1"], directory.path());
    assert_eq!(asked.status.code(), Some(2), "{}", printed(&asked));
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("admin.token") && !said.contains("dedupe.url"), "{said}");
}

#[test]
fn what_is_signed_or_judged_without_an_unreadable_secret_says_so() {
    let directory = directory();
    let two = OF_THE_SERVER.replace(
        "preset = \"opentiendas\"\nsecrets = [",
        "preset = \"opentiendas\"\nsecrets = [{ file = \"new.secret\" }, ",
    );
    std::fs::write(directory.path().join("hookward.toml"), two).unwrap();
    let signed = run(&["sign", "--source", "shop", "--body", "event.json"], directory.path());
    std::fs::write(directory.path().join("event.headers"), &signed.stdout).unwrap();
    let explain =
        ["explain", "--source", "shop", "--headers", "event.headers", "--body", "event.json"];
    let judged = run(&explain, directory.path());
    for output in [&signed, &judged] {
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = "sources.shop.secrets[0] is ignored: its file \"new.secret\" cannot be read";
        assert!(said.contains(expected), "{}", printed(output));
    }
    assert_eq!(signed.status.code(), Some(0), "{}", printed(&signed));
    let verdict = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(verdict.ends_with("reason: event_id_missing\n"), "{verdict}");
}
