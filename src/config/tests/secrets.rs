//! Where secrets come from, and what becomes of a source without one.

use super::{TestSecrets, all, lines, load_with};
use crate::config::{Config, SystemSecrets};
use std::io::Write as _;
use std::path::Path;

fn two_sources(secrets: &str) -> String {
    format!(
        r#"
        [upstreams.erp]
        url = "http://127.0.0.1:9001"
        timeout = "1s"
        [sources.first]
        path = "/first"
        preset = "stripe"
        secrets = {secrets}
        routes = [{{ events = ["*"], to = ["erp"] }}]
        [sources.second]
        path = "/second"
        preset = "stripe"
        secrets = [{{ env = "SECRET" }}]
        routes = [{{ events = ["*"], to = ["erp"] }}]
        "#
    )
}

#[test]
fn a_secret_that_cannot_be_read_takes_down_its_source_alone() {
    for secrets in [
        r#"[{ env = "NOT_SET" }]"#,
        r#"[{ file = "not-there" }]"#,
        r#"[{ env = "SECRET" }, { env = "NOT_SET" }]"#,
    ] {
        let (config, problems) =
            load_with(&two_sources(secrets), &TestSecrets::usual()).expect("no errors");
        assert!(config.sources[0].keys.is_err(), "{secrets}");
        assert!(config.sources[0].secrets.is_empty(), "{secrets}");
        assert!(config.sources[1].keys.is_ok(), "{secrets}");
        let problems = lines(&problems);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains("warning: sources.first.secrets["), "{problems:#?}");
    }
}

#[test]
fn the_line_end_of_a_file_is_no_part_of_its_secret_and_any_other_space_is() {
    let secret = "a-secret-of-more-than-16-bytes";
    for (text, expected) in [
        (format!("{secret}\n"), secret.to_owned()),
        (format!("{secret}\r\n"), secret.to_owned()),
        (secret.to_owned(), secret.to_owned()),
        (format!(" {secret} \n\n"), format!(" {secret} \n")),
    ] {
        let secrets = TestSecrets::usual().with_file("/etc/hookward/shop.secret", &text);
        let (config, problems) =
            load_with(&two_sources(r#"[{ file = "shop.secret" }]"#), &secrets).expect("no errors");
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(config.sources[0].secrets[0].text.expose(), expected.as_bytes(), "{text:?}");
    }
}

#[test]
fn a_file_is_looked_for_beside_the_configuration_unless_its_path_is_absolute() {
    let secrets = TestSecrets::usual()
        .with_file("/etc/hookward/keys/a", "a-secret-of-more-than-16-bytes")
        .with_file("/run/secrets/b", "b-secret-of-more-than-16-bytes");
    let text = two_sources(r#"[{ file = "keys/a" }, { file = "/run/secrets/b" }]"#);
    let (config, _) = load_with(&text, &secrets).expect("no errors");
    assert_eq!(config.sources[0].secrets.len(), 2);
}

#[test]
fn a_secret_of_too_few_bytes_is_warned_of_once_its_key_is_decoded() {
    let text = |key: &str| {
        format!(
            r#"
            [upstreams.erp]
            url = "http://127.0.0.1:9001"
            timeout = "1s"
            [sources.acme]
            path = "/acme"
            secrets = [{{ env = "KEY" }}]
            signature = {{ header = "X", {key} }}
            event = {{ id = ["json:/id"], type = ["json:/type"] }}
            routes = [{{ events = ["*"], to = ["erp"] }}]
            "#
        )
    };
    for (key, secret, warned) in [
        (r#"key = "text""#, "0123456789abcdef", false),
        (r#"key = "text""#, "0123456789abcde", true),
        (r#"key = "hex""#, "0123456789abcdef0123456789abcdef", false),
        (r#"key = "hex""#, "0123456789abcdef0123456789abcd", true),
        (r#"key = "base64""#, "AAAAAAAAAAAAAAAAAAAAAA==", false),
        (r#"key = "base64""#, "AAAAAAAAAAAAAAAAAAAA", true),
        (r#"key_prefix = "whsec_""#, "whsec_0123456789", true),
    ] {
        let secrets = TestSecrets::default().with("KEY", secret);
        let told = lines(&all(load_with(&text(key), &secrets)));
        let expected: &[&str] = if warned {
            &[
                "c.toml:7:24: warning: sources.acme.secrets[0]: under 16 bytes: it can be guessed by \
               whoever has captured one delivery",
            ]
        } else {
            &[]
        };
        assert_eq!(told, expected, "{key} {secret}");
    }
}

#[test]
fn the_system_reader_reads_files_up_to_64_kib() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let mut file = std::fs::File::create(directory.path().join(name)).expect("a file");
        file.write_all(bytes).expect("written");
    };
    file("good", &vec![b'x'; 64 * 1024]);
    file("huge", &vec![b'x'; 64 * 1024 + 1]);
    let text = two_sources(r#"[{ file = "good" }, { file = "huge" }]"#)
        .replace(r#"[{ env = "SECRET" }]"#, r#"[{ file = "good" }]"#);
    let loaded = Config::parse(&text, "c.toml", directory.path(), &SystemSecrets);
    let problems = lines(&all(loaded));
    let expected = "c.toml:8:39: warning: sources.first.secrets[1]: its file cannot be read from \
                    the directory of this file: larger than 64 KiB; until it can be read, this source alone answers 503 \
                    secret_unavailable";
    assert_eq!(problems, [expected]);
}

#[test]
fn a_file_that_is_not_there_is_one_problem_without_a_line() {
    let loaded = Config::load(Path::new("nowhere/hookward.toml"), &SystemSecrets);
    assert_eq!(
        lines(&all(loaded)),
        ["nowhere/hookward.toml: error: cannot be read: there is none"]
    );
}
