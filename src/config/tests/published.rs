//! The messages about sources whose senders publish their keys.

use super::{TestSecrets, all, load_with};
use crate::config::Severity;

const EVENT: &str = "event = { id = [\"json:/id\"] }";

/// The problems of a source with these keys, as `key: message`.
fn told(severity: Severity, keys: &str) -> Vec<String> {
    let text = format!("[sources.s]\npath = \"/s\"\n{keys}\n");
    let problems = all(load_with(&text, &TestSecrets::usual()));
    let of = problems.into_iter().filter(|problem| problem.severity == severity);
    of.map(|problem| format!("{}: {}", problem.key, problem.what)).collect()
}

#[track_caller]
fn assert_refused(keys: &str, expected: &str) {
    let told = told(Severity::Error, keys);
    assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:#?}");
}

#[test]
fn what_would_weaken_the_check_is_an_error() {
    let set = "secrets = [{ jwks = \"https://keys.example.com/certs\" }]";
    let jwt = |algorithms: &str| {
        format!("signature = {{ algorithm = \"jwt\", jwt_algorithms = [{algorithms}] }}\n{EVENT}")
    };
    for (keys, expected) in [
        (format!("{set}\n{}", jwt("\"HS256\"")), "cannot be used with this algorithm"),
        (format!("{set}\n{}", jwt("\"RS256\", \"HS256\"")), "HS256 cannot be combined"),
        (format!("{set}\n{}", jwt("\"none\"")), "not one of the allowed words"),
        (format!("{set}\n{}", jwt("")), "empty"),
        (
            format!("{set}\nsignature = {{ algorithm = \"jwt\" }}\n{EVENT}"),
            "jwt_algorithms: missing",
        ),
        (
            format!("{set}\nsignature = {{ header = \"X-S\" }}\n{EVENT}"),
            "cannot be used with this algorithm",
        ),
        (
            format!("{}\n{}", set.replace("https", "http"), jwt("\"RS256\"")),
            "not a URL for fetching keys",
        ),
        (
            format!("{}\n{}", set.replace("}]", "}, { env = \"SECRET\" }]"), jwt("\"RS256\"")),
            "mixed with secrets of another kind",
        ),
        ("preset = \"aws-sns\"\nsecrets = [{ env = \"SECRET\" }]".to_owned(), "secrets: not used"),
        ("preset = \"apple-app-store\"".to_owned(), "signature.x5c_root"),
        (
            "preset = \"aws-sns\"\nsignature = { key_hosts = [\"*.com\"] }".to_owned(),
            "anybody can have such a host",
        ),
        ("preset = \"aws-sns\"\nsignature = { key_path = \"/../*\" }".to_owned(), "not a path"),
        (
            format!(
                "secrets = [{{ env = \"SECRET\" }}]\nsignature = {{ algorithm = \"http-message-signatures\" }}\n{EVENT}"
            ),
            "components: missing",
        ),
    ] {
        assert_refused(&keys, expected);
    }
}

#[test]
fn what_the_preset_asks_of_a_token_holds_beside_what_the_source_asks() {
    let source = |claims: &str| {
        let text = format!(
            "[sources.s]\npath = \"/s\"\npreset = \"google-pubsub\"\nsignature = {{ claims = {claims} }}\n"
        );
        let (config, _) = load_with(&text, &TestSecrets::usual()).expect("a configuration");
        let rule = &config.sources[0].sender.scheme.signature;
        let claims = rule.claims.iter();
        claims.map(|claim| format!("{} {:?}", claim.pointer, claim.values)).collect::<Vec<_>>()
    };
    let mut both = source("{ email = \"a@example.com\" }");
    both.sort();
    assert_eq!(both, ["/email [\"a@example.com\"]", "/email_verified [\"true\"]"]);
    let own = source("{ email_verified = [\"true\", \"false\"] }");
    assert_eq!(own, ["/email_verified [\"true\", \"false\"]"], "a source may say otherwise");
}

#[test]
fn whose_event_it_may_be_is_asked_for() {
    for (keys, expected) in [
        ("preset = \"aws-sns\"", "`/TopicArn` is not stated"),
        ("preset = \"google-pubsub\"", "`email` is not stated"),
        ("preset = \"azure-event-grid-entra\"", "`appid` is not stated"),
        ("preset = \"azure-event-grid-entra\"", "any `iss` is accepted"),
        ("preset = \"google-pubsub\"", "any `aud` is accepted"),
        ("preset = \"google-pubsub\"", "the token does not cover the body"),
        (
            "preset = \"paypal\"\nsecrets = [{ env = \"SECRET\" }]",
            "only a CRC-32 of the body is signed",
        ),
    ] {
        let told = told(Severity::Warning, keys);
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:#?}");
    }
    let stated =
        "preset = \"aws-sns\"\nsignature = { claims = { \"/TopicArn\" = \"arn:aws:sns:x\" } }";
    let told = told(Severity::Warning, stated);
    assert!(told.iter().all(|line| !line.contains("TopicArn")), "{told:#?}");
}
