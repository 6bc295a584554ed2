//! Checks which parts may depend on which, and how large they may grow, as `ARCHITECTURE.md`
//! describes.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use tree::{Krate, Source, circles, crates, uses};

/// All sources of the workspace, apart from those for tests.
fn sources() -> Vec<Source> {
    let all: Vec<Source> = crates()
        .into_iter()
        .flat_map(|krate| krate.sources)
        .filter(|source| !source.is_for_tests())
        .collect();
    assert!(all.len() > 150, "the scan finds the sources: {}", all.len());
    all
}

#[track_caller]
fn knows_nothing_of(applies: impl Fn(&str) -> bool, forbidden: &[&str]) {
    let mut checked = 0;
    for source in sources().iter().filter(|source| applies(&source.name)) {
        checked += 1;
        let code = source.code();
        for word in forbidden {
            assert!(!code.contains(word), "{} knows of {word}", source.name);
        }
    }
    assert!(checked > 0, "the rule applies to no file");
}

#[test]
fn the_lifecycle_knows_neither_pingora_nor_toml_nor_prometheus() {
    knows_nothing_of(
        |name| name.starts_with("src/delivery/") && !name.contains("/gate"),
        &["pingora", "toml::", "prometheus"],
    );
}

#[test]
fn the_listener_knows_neither_sources_nor_signatures() {
    knows_nothing_of(
        |name| name.starts_with("src/edge/"),
        &["delivery::source", "delivery::lifecycle", "hookward_verify::verify", "hookward_claims"],
    );
}

/// Which crate of the workspace may name which; the compiler refuses what its manifest does not.
#[test]
fn crates_depend_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("hookward-time", &[][..]),
        ("hookward-secret", &[]),
        ("hookward-names", &[]),
        ("hookward-settings", &["hookward-secret"]),
        (
            "hookward-verify",
            &["hookward-names", "hookward-secret", "hookward-settings", "hookward-time"],
        ),
        ("hookward-claims", &["hookward-names", "hookward-secret", "hookward-time"]),
        ("hookward-inbox", &[]),
        (
            "hookward-inbox-postgres",
            &["hookward-claims", "hookward-inbox", "hookward-names", "hookward-secret"],
        ),
    ]
    .into();
    for (name, may) in allowed {
        let path = tree::root().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for banned in ["pingora", "prometheus", "toml_edit", "axum", "hyper"] {
            assert!(!dependencies.contains_key(banned), "{name} needs {banned}");
        }
        let own = dependencies.keys().filter(|key| key.starts_with("hookward"));
        for key in own {
            assert!(may.contains(&key.as_str()), "{name} needs {key}");
        }
    }
}

#[test]
fn no_files_of_a_crate_need_each_other_in_a_circle() {
    let mut left = BTreeSet::new();
    for krate in crates() {
        let uses = uses(&krate);
        if krate.folder == "src" {
            let lifecycle = &uses["src/delivery/lifecycle.rs"];
            assert!(
                lifecycle.contains("src/delivery/dispatch.rs"),
                "the scan works: {lifecycle:?}"
            );
        }
        left.extend(circles(uses));
    }
    assert!(left.is_empty(), "these need each other, directly or over others: {left:#?}");
}

/// The scan sees what it looks for: a parent and its child that need each other, and two siblings.
#[test]
fn a_circle_is_seen() {
    let circles_of = |texts: [&str; 3]| {
        let names = ["src/a.rs", "src/a/b.rs", "src/c.rs"];
        let sources = names.iter().zip(texts).map(|(name, text)| {
            let inside = name.trim_start_matches("src/").trim_end_matches(".rs");
            let module = inside.split('/').map(str::to_owned).collect();
            Source { name: (*name).to_owned(), module, text: text.to_owned() }
        });
        circles(uses(&Krate { folder: "src".to_owned(), sources: sources.collect() }))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let parent_and_child = ["mod b;\nfn f() { b::g() }\nstruct T;", "use super::T;", ""];
    assert_eq!(circles_of(parent_and_child), names(&["src/a.rs", "src/a/b.rs"]));
    let siblings = ["use crate::c::C;\nstruct A;", "", "use crate::a::A;\nstruct C;"];
    assert_eq!(circles_of(siblings), names(&["src/a.rs", "src/c.rs"]));
    let handed_on = ["mod b;\npub use b::T;", "struct T;", "use crate::a::T;"];
    assert_eq!(circles_of(handed_on), names(&[]));
}

#[test]
fn only_a_proven_event_can_be_claimed() {
    let claimable = |source: &Source| source.code().contains("impl Claimable for");
    let files: Vec<String> =
        sources().into_iter().filter(claimable).map(|source| source.name).collect();
    assert_eq!(files, ["src/delivery/proof.rs"]);
}

#[test]
fn only_the_clock_reads_the_time() {
    knows_nothing_of(
        |name| name != "crates/hookward-time/src/lib.rs",
        &["SystemTime::now", "std::time::Instant", "Timestamp::now", "chrono"],
    );
}

/// The numbers of 400 to 511, the last status that is registered, in a file's code.
fn refusing_statuses(source: &Source) -> BTreeSet<u16> {
    source
        .code()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|word| word.parse().ok())
        .filter(|number| (400..=511).contains(number))
        .collect()
}

/// The compiler ensures that a refusal's status follows from its reason: see `Refusal`. What remains to
/// check is that no code on a delivery's path writes a status around it.
#[test]
fn no_status_of_a_refusal_is_written_on_the_way_of_a_delivery() {
    let on_the_way = [
        "src/delivery/lifecycle",
        "src/delivery/shadow",
        "src/delivery/gate",
        "src/edge/",
        "crates/hookward-verify/src/event",
        "crates/hookward-verify/src/handshake",
    ];
    let mut checked = 0;
    for source in sources() {
        let found = refusing_statuses(&source);
        let name = &source.name;
        match name.as_str() {
            "src/outcome.rs" => {
                assert!(found.len() > 15, "the scan finds the statuses: {found:?}");
            }
            // It reads what destinations answer.
            "src/delivery/attempt.rs" => assert_eq!(found, [429, 500].into(), "{name}"),
            _ if on_the_way.iter().any(|part| name.starts_with(part)) => {
                assert!(found.is_empty(), "{name}: {found:?}");
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked} files");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let length = |source: &Source| source.text.lines().count();
    let sources = sources();
    let longer_than = |lines: usize| {
        let long = sources.iter().filter(|source| length(source) > lines);
        long.map(|source| source.name.as_str()).collect::<Vec<_>>()
    };
    assert!(longer_than(400).is_empty(), "split these by noun: {:?}", longer_than(400));
}

/// The functions of a file with their length in lines and the comment line before them.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let is_function = bare.split_whitespace().take(5).any(|word| word == "fn")
            && !bare.starts_with("//")
            && bare.contains("fn ")
            && !bare.contains('"');
        if !is_function {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[index..].iter().position(|line| *line == closing);
        let is_declaration =
            lines[index..].iter().take(8).any(|line| line.trim_end().ends_with(';'))
                && !lines[index..].iter().take(8).any(|line| line.trim_end().ends_with('{'));
        if let (Some(length), false) = (end, is_declaration) {
            found.push((bare.to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut checked = 0;
    let mut long = Vec::new();
    for source in sources() {
        for (head, lines) in functions(&source.text) {
            checked += 1;
            if lines > 80 {
                long.push((source.name.clone(), head, lines));
            }
        }
    }
    assert!(checked > 1000, "the scan finds functions: {checked}");
    assert!(long.is_empty(), "these do not fit a screen: {long:#?}");
}

/// The types that a file declares at the left margin, or in a module of its own.
fn types(source: &Source) -> impl Iterator<Item = String> {
    let code = source.code();
    let named: Vec<String> = code
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
            let kind = words.next()?;
            let is_type = matches!(kind, "struct" | "enum" | "trait") && !line.starts_with("  ");
            let name = words.next().filter(|_| is_type)?;
            let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
            Some(name[..end].to_owned())
        })
        .collect();
    named.into_iter()
}

#[test]
fn a_type_name_stands_for_one_type_in_the_whole_workspace() {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in types(&source) {
            seen.entry(name).or_default().push(source.name.clone());
        }
    }
    assert!(seen.len() > 300, "the scan finds types: {}", seen.len());
    seen.retain(|_, files| files.len() > 1);
    assert!(seen.is_empty(), "rename all but one of each: {seen:#?}");
}

#[test]
fn no_module_is_named_after_nothing() {
    for source in sources() {
        let stem = source.module.last().map_or("", String::as_str);
        for word in ["utils", "helpers", "common", "types", "misc"] {
            assert_ne!(stem, word, "{}", source.name);
        }
    }
}
