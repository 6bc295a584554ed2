//! Vectors from senders' documentation and test suites, valid and invalid, each with its source.
//!
//! There is one file per sender in `tests/vectors/`. A vector is `published` if the source contains
//! the signature itself, and `recomputed` if it only describes or computes it. The preset's tables
//! are read like a user's, merged with the vector's `overrides`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a vector that cannot be read fails the test, with a message"
)]

use hookward::config::{Config, SecretReader};
use hookward::delivery::source::Source;
use hookward::field_lines::FieldLines;
use hookward::outcome::Refusal;
use hookward::request::RequestHead;
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::certificates::Certificate;
use hookward_verify::demand::{Demand, demand, keys_of_certificate};
use hookward_verify::fault::Fault;
use hookward_verify::keys::{KeySet, Keys};
use hookward_verify::presets;
use hookward_verify::verify::{verify, verify_with};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorFile {
    preset: String,
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    kind: Kind,
    source: String,
    secrets: Vec<String>,
    /// What the sender publishes: a key set, the certificate that the request names, or the root that a
    /// chain has to end at.
    published: Option<String>,
    method: Option<String>,
    public_url: Option<String>,
    query: Option<String>,
    /// The receiver's clock, in seconds since 1970.
    at: i64,
    headers: Vec<(String, String)>,
    body: String,
    /// `ok`, or the reason of the refusal.
    expect: String,
    #[serde(default)]
    overrides: toml::Table,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Published,
    Recomputed,
}

#[test]
fn every_vector_is_judged_as_its_sender_would() {
    let mut wrong = Vec::new();
    for file in files() {
        for vector in &file.vector {
            let met = judge(&file.preset, vector);
            let word = met
                .as_ref()
                .map_or_else(|fault| Refusal::from(fault.clone()).reason.label(), |()| "ok");
            if word != vector.expect {
                wrong.push(format!(
                    "{}: {}: expected {}, met {word} ({})",
                    file.preset,
                    vector.name,
                    vector.expect,
                    met.err().map(|fault| fault.to_string()).unwrap_or_default()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn at_least_twenty_presets_have_a_published_vector_that_holds_and_one_that_does_not() {
    let files = files();
    let of = |wanted: fn(&Vector) -> bool| {
        let found = files.iter().filter(|file| file.vector.iter().any(wanted));
        found.map(|file| file.preset.as_str()).collect::<HashSet<_>>()
    };
    let valid = of(|vector| vector.kind == Kind::Published && vector.expect == "ok");
    let invalid = of(|vector| vector.expect != "ok");
    assert!(valid.intersection(&invalid).count() >= 20, "{valid:?} {invalid:?}");
}

#[test]
fn every_vector_names_its_source() {
    for file in files() {
        for vector in &file.vector {
            assert!(vector.source.starts_with("https://"), "{}: {}", file.preset, vector.name);
        }
    }
}

/// Signature, then freshness: what decides whether a request is genuine.
fn judge(preset: &str, vector: &Vector) -> Result<(), Fault> {
    let sender = source(preset, vector).sender;
    let (head, body) = (head(vector), vector.body.as_bytes());
    let at = UnixMillis::from_seconds(vector.at);
    let genuine = match demand(&sender, head.view(), body, at)? {
        Demand::Own => verify(&sender, head.view(), body)?,
        Demand::Brought(keys) => verify_with(&sender, &keys, head.view(), body)?,
        Demand::Certificate { .. } => {
            let published = vector.published.as_ref().expect("a certificate");
            let certificate = Certificate::read(published.as_bytes()).expect("a certificate");
            let own = sender.keys.as_ref().expect("keys");
            let keys = keys_of_certificate(own, &certificate, at)?;
            verify_with(&sender, &keys, head.view(), body)?
        }
        Demand::Published { .. } => {
            let published = vector.published.as_ref().expect("a key set");
            let set = KeySet::from_json(published.as_bytes()).expect("a key set");
            verify_with(&sender, &Keys::of_sets([(0, "0", &set)]), head.view(), body)?
        }
    };
    sender.check_token_freshness(genuine.sent(), genuine.lifetime(), at)
}

fn head(vector: &Vector) -> RequestHead {
    let mut headers = FieldLines::default();
    for (name, value) in &vector.headers {
        let name = HeaderName::try_from(name.as_str()).expect("a header name");
        headers.push(&name, &HeaderValue::from_str(value).expect("a header value"));
    }
    let method = vector.method.as_deref().unwrap_or("POST");
    RequestHead {
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        path: "/hook".to_owned(),
        query: vector.query.clone(),
        headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        via: None,
        ignored_forwarding: false,
        host: "localhost".to_owned(),
        secure: true,
    }
}

fn source(preset: &str, vector: &Vector) -> Source {
    let preset = presets::named(preset).unwrap_or_else(|| panic!("no preset {preset}"));
    let mut tables: toml::Table = toml::from_str(preset.text).expect(preset.name);
    tables.remove("preset");
    // A handshake may ask for a token that no vector has.
    tables.remove("handshake");
    lay_over(&mut tables, &vector.overrides);
    tables.insert("path".to_owned(), "/hook".into());
    let secrets = vector.secrets.iter().map(|secret| {
        toml::Value::Table(toml::Table::from_iter([("value".to_owned(), secret.as_str().into())]))
    });
    if preset.name == "plaid" {
        tables.insert("secrets".to_owned(), keys_by_id());
    }
    if !vector.secrets.is_empty() {
        tables.insert("secrets".to_owned(), toml::Value::Array(secrets.collect()));
    }
    if let Some(url) = &vector.public_url {
        tables.insert("public_url".to_owned(), url.as_str().into());
    }
    let sources = toml::Table::from_iter([("sender".to_owned(), toml::Value::Table(tables))]);
    let file = toml::Table::from_iter([("sources".to_owned(), toml::Value::Table(sources))]);
    let text = file.to_string();
    let reader = Published(vector.published.as_deref());
    let loaded = Config::parse(&text, preset.name, Path::new(""), &reader);
    let (mut config, _) = loaded.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    config.sources.pop().expect("a source")
}

/// Where Plaid gives out its keys, with credentials that open nothing.
fn keys_by_id() -> toml::Value {
    let value = "[{ jwk_by_id = \"https://production.plaid.com/webhook_verification_key/get\", \
                 client_id = { value = \"nobody's name\" }, secret = { value = \"nobody's password\" } }]";
    let table: toml::Table = toml::from_str(&format!("secrets = {value}")).expect("TOML");
    table.get("secrets").expect("secrets").clone()
}

fn lay_over(below: &mut toml::Table, above: &toml::Table) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Whatever file a source names, it is what the sender publishes.
struct Published<'a>(Option<&'a str>);

impl SecretReader for Published<'_> {
    fn environment(&self, _: &str) -> Option<Secret> {
        None
    }

    fn file(&self, path: &Path) -> std::io::Result<Secret> {
        let published = self.0.unwrap_or_else(|| panic!("no vector reads {}", path.display()));
        Ok(Secret::from(published.to_owned()))
    }
}

fn files() -> Vec<VectorFile> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let entries = std::fs::read_dir(directory).expect("tests/vectors");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file");
        toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
    };
    entries.map(|entry| read(entry.expect("an entry").path())).collect()
}
