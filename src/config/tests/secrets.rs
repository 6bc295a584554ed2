//! Where secrets come from, and what happens to a source without one.

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
fn a_source_none_of_whose_secrets_can_be_read_is_down_alone() {
    for (secrets, told) in [
        (
            r#"[{ env = "NOT_SET" }]"#,
            &["secrets[0]: the environment variable NOT_SET is not set"][..],
        ),
        (r#"[{ file = "keys/shop" }]"#, &["secrets[0]: its file \"keys/shop\" cannot be read"]),
        (
            r#"[{ env = "NOT_SET" }, { file = "old.secret" }]"#,
            &[
                "secrets[0]: the environment variable NOT_SET",
                "secrets[1]: its file \"old.secret\"",
            ],
        ),
    ] {
        let (config, problems) =
            load_with(&two_sources(secrets), &TestSecrets::usual()).expect("no errors");
        let why = config.sources[0].sender.keys.as_ref().expect_err("no key");
        assert!(config.sources[0].sender.secrets.is_empty(), "{secrets}");
        assert!(config.sources[1].sender.keys.is_ok(), "{secrets}");
        let problems = lines(&problems);
        assert_eq!(problems.len(), told.len(), "{problems:#?}");
        for (problem, told) in problems.iter().zip(told) {
            assert!(problem.contains(&format!("warning: sources.first.{told}")), "{problem}");
            assert!(
                problem.ends_with("only this source answers 503 secret_unavailable"),
                "{problem}"
            );
            assert!(why.contains(told), "{why}");
        }
    }
}

#[test]
fn a_source_serves_with_those_of_its_secrets_that_can_be_read() {
    let text = two_sources(r#"[{ file = "new.secret" }, { env = "OTHER_SECRET", name = "old" }]"#);
    let (config, problems) = load_with(&text, &TestSecrets::usual()).expect("no errors");
    let source = &config.sources[0];
    assert_eq!(source.sender.keys.as_ref().expect("keys").labels().collect::<Vec<_>>(), ["old"]);
    let unreadable = &source.unreadable[0];
    assert_eq!((unreadable.index, &*unreadable.label), (0, "0"));
    let expected = "c.toml:8:20: warning: sources.first.secrets[0]: its file \"new.secret\" \
                    cannot be read, relative to this file: it does not exist; until it can be \
                    read, this source uses only its other secret";
    assert_eq!(lines(&problems), [expected]);
}

/// Names of files are shown, but not a text that may be a secret.
#[test]
fn a_secret_typed_in_place_of_a_file_is_not_shown() {
    for (file, shown) in [
        ("shop.secret", true),
        ("keys/shop-2026", true),
        ("/run/secrets/shop", true),
        ("hunter2", false),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
        ("MfKQ9r8GKYqrT/jUPD8ILPZIo2LaLaSw", false),
        ("MfKQ9r8GKYqrT/jUPD8ILPZIo2LaLaSw+a=", false),
        ("0123456789abcdef.0123456789abcdef", false),
        ("a pass/phrase", false),
    ] {
        let text = two_sources(&format!("[{{ file = {file:?} }}]"));
        let told = lines(&all(load_with(&text, &TestSecrets::usual()))).concat();
        assert_eq!(told.contains(file), shown, "{told}");
    }
}

#[test]
fn white_space_and_byte_order_marks_are_warned_of() {
    let secret = "a-secret-from-a-file-of-its-own";
    let beginning = format!(" {secret}");
    for (text, kept, warned) in [
        (format!("{secret}\n"), secret, None),
        (beginning.clone(), &*beginning, Some("the secret begins with white space")),
        (format!("{secret} \n"), &*format!("{secret} "), Some("the secret ends with white space")),
        (
            format!("{secret}\n\n"),
            &*format!("{secret}\n"),
            Some("the secret ends with white space"),
        ),
        (format!("\u{feff}{secret}"), secret, Some("a byte order mark, which is not part of")),
    ] {
        let secrets = TestSecrets::usual().with_file("/etc/hookward/shop.secret", &text);
        let (config, problems) =
            load_with(&two_sources(r#"[{ file = "shop.secret" }]"#), &secrets).expect("no errors");
        let problems = lines(&problems);
        assert_eq!(problems.len(), usize::from(warned.is_some()), "{problems:#?}");
        assert!(problems.concat().contains(warned.unwrap_or_default()), "{problems:#?}");
        assert_eq!(config.sources[0].sender.secrets[0].text.expose(), kept.as_bytes(), "{text:?}");
    }
    // An environment variable is used unchanged, including its line end.
    let secrets = TestSecrets::usual().with("SPACED", &format!("{secret}\n"));
    let (config, problems) =
        load_with(&two_sources(r#"[{ env = "SPACED" }]"#), &secrets).expect("no errors");
    assert!(lines(&problems).concat().contains("sources.first.secrets[0]: the secret ends with"));
    assert_eq!(config.sources[0].sender.secrets[0].text.len(), secret.len() + 1);
}

#[test]
fn a_file_that_others_may_write_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shop.secret");
    std::fs::write(&file, "a-secret-of-more-than-16-bytes").expect("written");
    let text = two_sources(r#"[{ file = "shop.secret" }]"#).replace("SECRET", "NOT_SET_HERE");
    for (mode, warned) in
        [(0o600, false), (0o640, false), (0o644, false), (0o664, true), (0o602, true)]
    {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
        let problems = all(Config::parse(&text, "c.toml", directory.path(), &SystemSecrets));
        let told = lines(&problems).concat();
        assert_eq!(told.contains(&format!("(mode {mode:04o})")), warned, "{mode:o} {told}");
    }
}

#[test]
fn a_secret_that_two_sources_share_is_warned_of_unless_both_sign_where_it_goes() {
    let source = |name: &str, secret: &str, signed: &str| {
        format!(
            "[sources.{name}]\npath = \"/{name}\"\nsecrets = [{{ env = \"NOT_SET\" }}, {secret}]\n\
             public_url = \"https://h.example/{name}\"\ntimestamp = {{ from = \"json:/t\" }}\n\
             signature = {{ header = \"X\", signed = \"{signed}\", key_prefix = \"whsec_\" }}\n\
             event = {{ id = [\"json:/id\"], type = [\"json:/type\"] }}\n\
             routes = [{{ events = [\"*\"], to = [\"erp\"] }}]\n"
        )
    };
    let [own, other] = [r#"{ env = "SECRET" }"#, r#"{ env = "OTHER_SECRET" }"#];
    for (first, second, warned) in [
        ((own, "{body}"), (own, "{body}"), true),
        ((own, "{body}"), (other, "{body}"), false),
        ((own, "{url}{body}"), (own, "{body}"), true),
        ((own, "{url}{body}"), (own, "{path}{body}"), false),
        ((own, "{body}"), (r#"{ env = "PREFIXED" }"#, "{body}"), true),
    ] {
        let text = format!(
            "[upstreams.erp]\nurl = \"http://a\"\ntimeout = \"1s\"\n{}{}",
            source("a", first.0, first.1),
            source("b", second.0, second.1)
        );
        let secrets = TestSecrets::usual().with("PREFIXED", "whsec_a-secret-of-more-than-16-bytes");
        let told = lines(&all(load_with(&text, &secrets)));
        let expected = "warning: sources.b.secrets[1]: is also a secret of sources.a";
        assert_eq!(told.iter().any(|line| line.contains(expected)), warned, "{told:#?}");
    }
}

#[test]
fn the_line_end_of_a_file_is_no_part_of_its_secret() {
    let secret = "a-secret-from-a-file-of-its-own";
    for (text, expected) in [
        (format!("{secret}\n"), secret.to_owned()),
        (format!("{secret}\r\n"), secret.to_owned()),
        (secret.to_owned(), secret.to_owned()),
    ] {
        let secrets = TestSecrets::usual().with_file("/etc/hookward/shop.secret", &text);
        let (config, problems) =
            load_with(&two_sources(r#"[{ file = "shop.secret" }]"#), &secrets).expect("no errors");
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(
            config.sources[0].sender.secrets[0].text.expose(),
            expected.as_bytes(),
            "{text:?}"
        );
    }
}

#[test]
fn a_file_is_looked_for_beside_the_configuration_unless_its_path_is_absolute() {
    let secrets = TestSecrets::usual()
        .with_file("/etc/hookward/keys/a", "a-secret-of-more-than-16-bytes")
        .with_file("/run/secrets/b", "b-secret-of-more-than-16-bytes");
    let text = two_sources(r#"[{ file = "keys/a" }, { file = "/run/secrets/b" }]"#);
    let (config, _) = load_with(&text, &secrets).expect("no errors");
    assert_eq!(config.sources[0].sender.secrets.len(), 2);
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
            timestamp = {{ from = "json:/at" }}
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
            &["c.toml:7:24: warning: sources.acme.secrets[0]: less than 16 bytes: anyone who \
                 has captured one delivery can guess it"]
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
    file("other", &vec![b'y'; 64 * 1024]);
    file("huge", &vec![b'x'; 64 * 1024 + 1]);
    let text = two_sources(r#"[{ file = "good" }, { file = "huge" }]"#)
        .replace(r#"[{ env = "SECRET" }]"#, r#"[{ file = "other" }]"#);
    let loaded = Config::parse(&text, "c.toml", directory.path(), &SystemSecrets);
    let problems = lines(&all(loaded));
    let expected = "c.toml:8:39: warning: sources.first.secrets[1]: its file \"huge\" cannot be \
                    read, relative to this file: larger than 64 KiB; until it can be read, this \
                    source uses only its other secret";
    assert_eq!(problems, [expected]);
}

#[test]
fn a_file_that_is_not_there_is_one_problem_without_a_line() {
    let loaded = Config::load(Path::new("nowhere/hookward.toml"), &SystemSecrets);
    assert_eq!(
        lines(&all(loaded)),
        ["nowhere/hookward.toml: error: cannot be read: it does not exist"]
    );
}
