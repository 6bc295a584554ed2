mod deliveries;
mod identities;
mod offline;
mod published;

use super::*;
use crate::delivery::fixture;
use crate::delivery::source::Source;
use hookward_verify::presets::{Preset, all};
use hookward_verify::sign::{SignRequest, sample_body};

/// The id of every sample.
const ID: &str = "0b8f2f0e-0000-4000-8000-000000000001";

/// The body of the preset's sample.
fn sample(preset: &Preset, source: &Source) -> Vec<u8> {
    let base = Some(preset.about.sample.as_bytes());
    sample_body(&source.sender, base, ID, "a.type", fixture::NOW).expect(preset.name)
}

/// What is to be signed of a sample.
fn sample_request<'a>(path: &'a str, body: &'a [u8]) -> SignRequest<'a> {
    SignRequest {
        id: Some(ID),
        event_type: Some("a.type"),
        path,
        at: fixture::NOW,
        query: None,
        body,
    }
}

#[test]
fn a_preset_to_copy_is_toml_that_says_the_same() {
    for preset in all() {
        let text = show(preset);
        let copied: toml::Table = toml::from_str(&text).expect(preset.name);
        let source = copied["sources"][preset.name].as_table().expect("a table");
        for (key, value) in &preset.scheme {
            if key != "handshake" {
                assert_eq!(source.get(key), Some(value), "{}: {key}", preset.name);
            }
        }
        assert!(source.contains_key("path"), "{}", preset.name);
        let has_secrets = preset.needs_secret() || preset.scheme.contains_key("secrets");
        assert_eq!(source.contains_key("secrets"), has_secrets, "{}", preset.name);
        assert_eq!(source.contains_key("public_url"), text.contains("{url"), "{}", preset.name);
    }
}

#[test]
fn the_list_has_a_line_for_each() {
    let list = list();
    assert_eq!(list.lines().count(), all().len() + 1);
    for preset in all() {
        assert!(list.lines().any(|line| line.starts_with(&format!("{} ", preset.name))));
    }
}

/// With `HOOKWARD_WRITE_DOCS` set the page is written; without, it is compared.
#[test]
fn the_page_on_senders_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/senders.md");
    let page = senders_page();
    if std::env::var_os("HOOKWARD_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/senders.md is not what the presets say; write it with \
         `HOOKWARD_WRITE_DOCS=1 cargo test --lib presets`"
    );
}
