//! The shipped configuration files resolve, and certificates named in a file are checked.

use super::{TestSecrets, all, config, lines, load_with};
use crate::config::{Config, Severity, SystemSecrets};
use hookward_verify::presets;
use std::path::Path;

const REFERENCE: &str = include_str!("../../../config/hookward.toml");

fn secrets() -> TestSecrets {
    let secret = "a-secret-of-more-than-16-bytes";
    TestSecrets::usual()
        .with("SHOP_SECRET", secret)
        .with("ACME_VERIFY_TOKEN", secret)
        .with("HOOKWARD_ADMIN_TOKEN", secret)
        .with("GRAFANA_TOKEN", "another-secret-of-more-than-16-bytes")
        .with("ERP_TOKEN", secret)
        .with("ERP_WHSEC", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with_file("/etc/hookward/acme.secret", secret)
}

#[test]
fn the_reference_resolves_and_what_it_states_is_the_default() {
    let (reference, problems) = load_with(REFERENCE, &secrets()).expect("no errors");
    let told = lines(&problems);
    assert!(told.iter().all(|line| line.contains(": note: ")), "{told:#?}");
    let bare = config(
        r#"
        [upstreams.erp]
        url = "http://127.0.0.1:9001"
        [sources.shop]
        path = "/webhooks/shop"
        preset = "opentiendas"
        secrets = [{ env = "SECRET" }]
        routes = [{ events = ["order.*"], to = ["erp"] }]
        "#,
    );
    let shown = |config: &Config| {
        format!(
            "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
            config.server,
            config.admin,
            config.log,
            config.dedupe,
            config.upstreams,
            config.sources
        )
    };
    assert_eq!(shown(&reference), shown(&bare));
}

/// The lines of the reference with every commented setting enabled.
fn uncommented() -> String {
    let setting = |text: &str| {
        let key = text.split('=').next().unwrap_or_default().trim();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.starts_with('[')
            || (text.starts_with(plain) && text.contains(" = ") && key.chars().all(plain))
    };
    REFERENCE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(text) if setting(text) => text,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_the_reference_comments_out_resolves_as_well() {
    // Each store has keys that the other one refuses.
    let redis = |text: String| {
        let (before, inbox) = text.split_once("[inbox]").expect("the table");
        let (_, after) = inbox.split_once("[dedupe.tls]").expect("the next one");
        format!("{before}[dedupe.tls]{after}")
            .replace("store = \"memory\"", "store = \"redis\"")
            .replace("path = \"hookward-data\"", "")
            .replace("\norder_key", "\n# order_key")
            .replace("\non_dead", "\n# on_dead")
    };
    let disk = |text: String| {
        text.replace("store = \"memory\"", "store = \"disk\"")
            .replace("delivery = \"sync\"", "delivery = \"spill\"")
    };
    resolves(&redis(uncommented()));
    resolves(&disk(uncommented()));
}

#[track_caller]
fn resolves(text: &str) {
    // These exclude another key, or name files that do not exist.
    let text = text
        .replace("urls = [", "# urls = [")
        .lines()
        .filter(|line| !line.ends_with(".pem\"") && !line.ends_with(".key\""))
        .filter(|line| !line.contains("inbox.key"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("[server.tls]", "")
        // Without its root, which is such a file, no token of this source can be checked.
        .replace(
            "preset = \"apple-app-store\"",
            "preset = \"github\"\nsecrets = [{ value = \"a-secret-of-16-bytes\" }]",
        )
        .replace("x5c_markers = [\"1", "# x5c_markers = [\"1")
        .replace("url = \"redis://", "url = \"rediss://")
        .replace("url = \"http://127.0.0.1:9001\"", "url = \"https://127.0.0.1:9001\"");
    let loaded = load_with(&text, &secrets());
    let errors: Vec<_> =
        all(loaded).into_iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{text}\n{:#?}", lines(&errors));
}

#[test]
fn the_reference_shows_every_key() {
    let text = uncommented();
    for table in crate::config::reference::tables() {
        for key in table.keys {
            let name = key.name;
            let shown = match (table.title, name) {
                (
                    "[[sources.NAME.routes]]" | "[[admin.tokens]]" | "secret" | "published keys",
                    _,
                ) => text.contains(name),
                // Shown in words beside the key that it replaces.
                ("[sources.NAME.signature]", "from") => text.contains("from = \"json:/signature\""),
                // Their tables are shown, or their values in words.
                (
                    _,
                    "tls" | "health" | "breaker" | "retry" | "signature" | "timestamp" | "event"
                    | "handshake" | "routes",
                ) => text.contains(&format!(".{name}]")),
                _ => text.lines().any(|line| line.starts_with(&format!("{name} "))),
            };
            assert!(shown, "{}.{name} is not in config/hookward.toml", table.title);
        }
    }
}

#[test]
fn every_example_resolves_and_only_webround_is_warned_of() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("examples") {
        let path = entry.expect("an example").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let mut secrets =
            TestSecrets::default().with_file("/run/secrets/hookward-redis-url", "redis://redis/0");
        for name in
            text.split('"').filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        {
            secrets = secrets.with(name, "a-secret-of-more-than-16-bytes");
        }
        for file in ["github", "shop", "hookward-admin"] {
            secrets = secrets
                .with_file(&format!("/run/secrets/{file}"), "a-secret-of-more-than-16-bytes");
        }
        let (_, problems) = load_with(&text, &secrets)
            .unwrap_or_else(|problems| panic!("{}: {:#?}", path.display(), lines(&problems)));
        let told: Vec<_> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Warning)
            .map(ToString::to_string)
            .collect();
        let webround = path.ends_with("webround.toml");
        assert_eq!(told.len(), usize::from(webround), "{}: {told:#?}", path.display());
        count += 1;
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn every_preset_resolves_once_its_user_states_what_only_the_user_knows() {
    // The root of the App Store's chains is a file that its user has.
    for preset in presets::all().filter(|preset| preset.name != "apple-app-store") {
        let secrets = if preset.needs_secret() { "secrets = [{ env = \"NOT_SET\" }]" } else { "" };
        let source = |more: &str| {
            format!(
                "[sources.s]\npath = \"/s\"\npreset = \"{}\"\n{secrets}\n\
                 public_url = \"https://hooks.example.com/s\"\n{more}",
                preset.name
            )
        };
        let mut problems = all(load_with(&source(""), &TestSecrets::usual()));
        if problems.iter().any(|problem| problem.key == "sources.s.signature.header") {
            let header = source("signature = { header = \"X-Signature\" }");
            problems = all(load_with(&header, &TestSecrets::usual()));
        }
        let errors: Vec<_> =
            problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{}: {:#?}", preset.name, lines(&errors));
    }
}

#[test]
fn certificates_are_looked_at_before_they_are_needed() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("issued");
    let (one, other) = (issue(), issue());
    write("cert.pem", &one.cert.pem());
    write("key.pem", &one.signing_key.serialize_pem());
    write("other-key.pem", &other.signing_key.serialize_pem());
    write("empty.pem", "");
    write("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    write("unreadable.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (tls, expected) in [
        (r#"cert = "cert.pem", key = "key.pem", client_ca = "cert.pem""#, None),
        (
            r#"cert = "cert.pem", key = "other-key.pem""#,
            Some(
                "key = \"other-key.pem\": is not the private key of the first certificate in `cert`",
            ),
        ),
        (
            r#"cert = "key.pem", key = "key.pem""#,
            Some("cert = \"key.pem\": contains no certificate in PEM form"),
        ),
        (
            r#"cert = "cert.pem", key = "cert.pem""#,
            Some("key = \"cert.pem\": contains no private key in PEM form"),
        ),
        (
            r#"cert = "damaged.pem", key = "key.pem""#,
            Some("cert = \"damaged.pem\": is damaged: not PEM"),
        ),
        (
            r#"cert = "unreadable.pem", key = "key.pem""#,
            Some("cert = \"unreadable.pem\": contains a certificate that cannot be read"),
        ),
        (
            r#"cert = "cert.pem", key = "key.pem", client_ca = "empty.pem""#,
            Some("client_ca = \"empty.pem\": contains no certificate in PEM form"),
        ),
        (
            r#"cert = "cert.pem", key = "key.pem", client_ca = "unreadable.pem""#,
            Some("client_ca = \"unreadable.pem\": contains a certificate that cannot be read"),
        ),
        (
            r#"cert = "cert.pem", key = "nowhere.pem""#,
            Some("key = \"nowhere.pem\": cannot be read: it does not exist"),
        ),
    ] {
        let text = format!("[server]\ntls = {{ {tls} }}\n");
        let loaded = Config::parse(&text, "c.toml", directory.path(), &SystemSecrets);
        let told: Vec<_> = all(loaded)
            .iter()
            .filter(|problem| problem.severity == Severity::Error && problem.key != "sources")
            .map(|problem| problem.to_string().split("server.tls.").last().unwrap_or("").to_owned())
            .collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{tls}");
    }
}
