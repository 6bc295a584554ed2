//! A test proves every claim of `docs/hardening.md`.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Whether a file has a test of this name, attributes of its own aside.
fn has_test(text: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.contains(&format!("fn {name}(")) {
            return is_test;
        }
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    false
}

#[test]
fn every_attack_in_the_table_has_the_test_that_it_names() {
    let page = read("docs/hardening.md");
    let mut attacks = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(proof) = cells.last().and_then(|cell| cell.strip_prefix('`')) else { continue };
        let proof = proof.trim_end_matches('`');
        let (file, name) = proof.split_once("::").unwrap_or_else(|| panic!("no test: {row}"));
        assert_eq!(cells.len(), 3, "{row}");
        assert!(has_test(&read(file), name), "there is no test {name} in {file}");
        attacks += 1;
    }
    assert!(attacks >= 60, "{attacks} attacks");
}

#[test]
fn signatures_and_tokens_are_compared_in_constant_time_only() {
    let digest = read("crates/hookward-verify/src/keys/digest.rs");
    let code: String = digest.lines().filter(|line| !line.trim().starts_with("//")).collect();
    assert!(code.contains("ct_eq"), "the one comparison");
    assert!(!code.contains("==") && !code.contains("PartialEq"), "no other way to compare a tag");
    let judge = read("crates/hookward-verify/src/verify/signature.rs");
    let (_, from) = judge.split_once("fn has_match").unwrap();
    let (matching, _) = from.split_once("\n    }\n").unwrap();
    assert!(!matching.contains("=="), "{matching}");
    assert!(read("src/operator/admin/access.rs").contains("ct_eq"));
}

#[test]
fn every_dependency_comes_from_the_registry_and_none_is_banned() {
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 100, "the whole tree");
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let banned: Vec<&str> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(!entry["reason"].as_str().unwrap().is_empty(), "{entry}");
            entry["crate"].as_str().unwrap()
        })
        .collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.contains(&name), "{name} is banned");
        // The crates of this repository have no source.
        if !name.starts_with("hookward") {
            let source = package["source"].as_str().unwrap();
            assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
            assert!(package.get("checksum").is_some(), "{name}");
        }
    }
    for exception in deny["advisories"]["ignore"].as_array().unwrap() {
        assert!(!exception["reason"].as_str().unwrap().is_empty(), "{exception}");
    }
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}
