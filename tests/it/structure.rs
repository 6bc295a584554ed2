//! Who may know whom. `ARCHITECTURE.md` tells it; this keeps it true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that know the domain and nothing of how it is served: no server, no metrics format, and
/// (apart from what the row grants) no runtime.
const DOMAIN: [&str; 14] = [
    "clock.rs",
    "event.rs",
    "fault.rs",
    "json.rs",
    "keys/",
    "outcome.rs",
    "request.rs",
    "route.rs",
    "scheme.rs",
    "scheme/",
    "secret.rs",
    "source.rs",
    "sign",
    "verify/",
];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "the scan finds the sources");
    found
}

/// Whether a file is there for tests only.
fn is_for_tests(name: &str) -> bool {
    ["tests", "testing", "fixture", "races"].iter().any(|word| name.contains(word))
}

/// A file up to the tests that stand at its end.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// The code before the tests of a file, without comments.
fn code(text: &str) -> String {
    before_tests(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn knows_nothing_of(applies: impl Fn(&str) -> bool, forbidden: &[&str]) {
    let mut checked = 0;
    for (name, text) in sources().iter().filter(|(name, _)| applies(name) && !is_for_tests(name)) {
        checked += 1;
        let code = code(text);
        for word in forbidden {
            assert!(!code.contains(word), "src/{name} knows of {word}");
        }
    }
    assert!(checked > 0, "the rule applies to no file");
}

#[test]
fn the_domain_knows_neither_server_nor_runtime_nor_metrics() {
    knows_nothing_of(
        |name| DOMAIN.iter().any(|domain| name.starts_with(domain)),
        &["pingora", "prometheus::", "tokio::", "crate::metrics", "crate::proxy", "crate::gate"],
    );
}

#[test]
fn verification_finds_faults_and_knows_no_answer() {
    let verifies =
        ["event.rs", "fault.rs", "handshake.rs", "json.rs", "keys/", "scheme", "sign", "verify/"];
    knows_nothing_of(
        |name| verifies.iter().any(|part| name.starts_with(part)),
        &["crate::outcome", "crate::answer", "Refusal"],
    );
}

#[test]
fn the_lifecycle_knows_neither_pingora_nor_toml_nor_prometheus() {
    knows_nothing_of(|name| name == "lifecycle.rs", &["pingora", "toml", "prometheus"]);
}

/// The modules of `src`, each with those that its code names.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in sources().iter().filter(|(name, _)| !is_for_tests(name)) {
        let module = name.split(['/', '.']).next().unwrap_or_default();
        let is_of_a_name = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
        let code = code(text);
        let named = code.split("crate::").skip(1).filter_map(|rest| {
            rest.split(|c| !is_of_a_name(c)).next().filter(|used| *used != module)
        });
        uses.entry(module.to_owned()).or_default().extend(named.map(str::to_owned));
    }
    uses
}

#[test]
fn no_two_modules_need_each_other() {
    let mut uses = uses();
    assert!(uses["lifecycle"].contains("dispatch") && uses["dispatch"].contains("gate"));
    // Whatever needs nothing that is left is taken away; what stays is a circle, or leads to one.
    while let Some(lowest) = {
        let is_low = |used: &BTreeSet<String>| !used.iter().any(|used| uses.contains_key(used));
        uses.iter().find(|(_, used)| is_low(used)).map(|(module, _)| module.clone())
    } {
        uses.remove(&lowest);
    }
    assert!(uses.is_empty(), "these go in a circle, or use some that do: {uses:?}");
}

#[test]
fn claims_know_neither_http_nor_signatures() {
    knows_nothing_of(
        |name| name.starts_with("dedupe/"),
        &[
            "http::",
            "pingora",
            "hookward_verify::verify",
            "hookward_verify::scheme",
            "crate::source",
            "crate::route",
            "crate::proof",
            "hookward_verify::event",
            "crate::outcome",
        ],
    );
}

#[test]
fn only_a_proven_event_can_be_claimed() {
    let claimable = |(_, text): &(String, String)| code(text).contains("impl Claimable for");
    let files: Vec<String> = sources()
        .into_iter()
        .filter(|(name, _)| !is_for_tests(name))
        .filter(claimable)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(files, ["proof.rs"]);
}

#[test]
fn only_the_clock_reads_the_time() {
    knows_nothing_of(
        |name| name != "clock.rs",
        &["SystemTime::now", "std::time::Instant", "Timestamp::now", "chrono"],
    );
}

/// The numbers of 400 to 511, the last status that is registered, in a file's code.
fn refusing_statuses(text: &str) -> BTreeSet<u16> {
    code(text)
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|word| word.parse().ok())
        .filter(|number| (400..=511).contains(number))
        .collect()
}

/// That a refusal's status follows from its reason is held by the compiler: see `Refusal`. What is
/// left to see to is that nobody on a delivery's way writes one past it.
#[test]
fn no_status_of_a_refusal_is_written_on_the_way_of_a_delivery() {
    let on_the_way = ["lifecycle", "shadow", "gate", "event", "handshake", "verify/", "proxy/"];
    let mut checked = 0;
    for (name, text) in sources().iter().filter(|(name, _)| !is_for_tests(name)) {
        let found = refusing_statuses(text);
        match name.as_str() {
            "outcome.rs" => assert!(found.len() > 15, "the scan finds the statuses: {found:?}"),
            // It reads what destinations answer.
            "dispatch.rs" => assert_eq!(found, [429, 500].into(), "src/{name}"),
            _ if on_the_way.iter().any(|part| name.starts_with(part)) => {
                assert!(found.is_empty(), "src/{name}: {found:?}");
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked} files");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    for (name, text) in sources().iter().filter(|(name, _)| !name.contains("tests")) {
        let lines = before_tests(text).lines().count();
        assert!(lines <= 450, "src/{name} has {lines} lines before its tests: split it by noun");
    }
}

#[test]
fn no_module_is_named_after_nothing() {
    for (name, _) in sources() {
        for word in ["utils", "helpers", "common", "types", "misc"] {
            let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
            assert_ne!(stem, word, "src/{name}");
        }
    }
}
