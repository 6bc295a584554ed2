//! What holds for every preset file.

use super::*;
use std::collections::HashSet;

#[test]
fn every_file_is_a_preset_and_there_are_at_least_a_hundred_and_forty() {
    for file in FILES.files() {
        let name = file.path().file_stem().unwrap().to_str().unwrap();
        let text = file.contents_utf8().expect("UTF-8");
        if let Err(fault) = Preset::read(name, text) {
            panic!("{name}: {fault}");
        }
    }
    assert_eq!(all().len(), FILES.files().count());
    assert!(all().len() >= 140, "{}", all().len());
}

#[test]
fn a_preset_is_found_by_its_name_and_by_no_other() {
    for preset in all() {
        assert_eq!(named(preset.name).expect(preset.name).name, preset.name);
    }
    assert!(named("").is_none() && named("Stripe").is_none());
}

#[test]
fn names_are_kebab_case() {
    for Preset { name, .. } in all() {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(allowed), "{name}");
        assert!(!name.starts_with('-') && !name.ends_with('-') && !name.contains("--"), "{name}");
    }
}

#[test]
fn the_file_has_the_tables_of_a_source_and_nothing_else() {
    let known: HashSet<&str> = [
        "signature",
        "timestamp",
        "event",
        "handshake",
        "respond_within",
        "answers",
        "dedupe_ttl",
        "secrets",
    ]
    .into();
    for preset in all() {
        for key in preset.scheme.keys() {
            assert!(known.contains(key.as_str()), "{}: {key}", preset.name);
        }
        for table in ["signature", "event"] {
            assert!(preset.scheme.contains_key(table), "{}: no [{table}]", preset.name);
        }
    }
}

#[test]
fn only_webround_leaves_the_place_of_the_signature_to_the_user() {
    let open: Vec<_> = all().filter(|preset| preset.signature_place() == "not published").collect();
    assert_eq!(open.iter().map(|preset| preset.name).collect::<Vec<_>>(), ["webround"]);
}

#[test]
fn a_sample_holds_every_member_that_its_scheme_reads() {
    for preset in all() {
        let signed = preset.text_of("signature", "signed", "{body}");
        if signed.contains("{form}") {
            assert!(form_urlencoded::parse(preset.about.sample.as_bytes()).count() > 0);
            continue;
        }
        let body: serde_json::Value =
            serde_json::from_str(&preset.about.sample).expect(preset.name);
        let has = |place: &str| match place.strip_prefix("json:") {
            Some(pointer) => body
                .pointer(pointer)
                .is_some_and(|value| value.is_string() || value.is_i64() || value.is_u64()),
            None => true,
        };
        for (table, key) in
            [("event", "id"), ("event", "type"), ("event", "time"), ("timestamp", "from")]
        {
            let places = preset.texts_of(table, key);
            assert!(
                places.is_empty() || places.iter().any(|place| has(place)),
                "{}: {table}.{key}",
                preset.name
            );
        }
        assert!(preset.texts_of("signature", "from").iter().all(|place| has(place)));
        for pointer in signed.split("json:").skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(has(&format!("json:{pointer}")), "{}: {pointer}", preset.name);
        }
    }
}

#[test]
fn the_sender_is_answered_before_its_patience_ends() {
    for preset in all() {
        let Some(timeout) = preset.about.timeout else { continue };
        let respond = preset.scheme.get("respond_within").and_then(toml::Value::as_str);
        let respond = respond.map_or(Duration::from_secs(10), |text| {
            humantime::parse_duration(text).expect(preset.name)
        });
        assert!(respond < timeout, "{}: {respond:?} of {timeout:?}", preset.name);
    }
}
