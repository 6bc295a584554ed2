//! Users rely on `docs/contract.md`, so its tables are compared with the program.

use crate::support::hookward;
use hookward::outcome::{Outcome, Reason};
use std::collections::{BTreeMap, BTreeSet};

fn contract() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md");
    std::fs::read_to_string(path).unwrap()
}

/// The text from one heading to the next of its level.
fn section(heading: &str) -> String {
    let page = contract();
    let (_, after) = page.split_once(&format!("\n## {heading}")).expect(heading);
    after.split("\n## ").next().unwrap().to_owned()
}

/// The cells of a table row.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim().strip_prefix('|').unwrap_or(row);
    row.strip_suffix('|').unwrap_or(row).split('|').map(str::trim).collect()
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_reason_has_the_outcome_and_the_status_of_the_contract() {
    let answers = section("4. Answers");
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut outcome = String::new();
    let mut outcomes = BTreeSet::new();
    for row in answers.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let [first, reasons, status] = cells(row)[..] else { continue };
        if let Some(named) = quoted(first).next() {
            named.clone_into(&mut outcome);
            outcomes.insert(outcome.clone());
        }
        for reason in quoted(reasons) {
            let known = found.insert(reason.to_owned(), (outcome.clone(), status.to_owned()));
            assert_eq!(known, None, "{reason} is listed twice");
        }
    }
    let all: BTreeSet<String> = Outcome::ALL.map(|outcome| outcome.label().to_owned()).into();
    assert_eq!(outcomes, all);
    for reason in Reason::ALL {
        let facets = reason.facets();
        let (outcome, status) = found.remove(facets.label).unwrap_or_else(|| {
            panic!("{} is not in the contract", facets.label);
        });
        assert_eq!(outcome, facets.outcome.label(), "{}", facets.label);
        // What an upstream answers is passed on.
        let is_its_own = status.starts_with("its");
        let number = facets.status.to_string();
        assert!(is_its_own || status.starts_with(&number), "{}: {status}", facets.label);
        let waits = status.contains("`Retry-After`");
        let has_wait = facets.retry_after_seconds.is_some() || status.contains("its `Retry-After`");
        assert_eq!(waits, has_wait, "{}: {status}", facets.label);
    }
    assert!(found.is_empty(), "these are no reasons: {found:?}");
}

#[test]
fn every_metric_of_the_contract_is_declared_with_its_labels() {
    let declared = include_str!("../../src/telemetry/metrics.rs");
    let mut count = 0;
    for row in section("7. Metrics").lines().filter(|line| line.starts_with("| `hookward_")) {
        let cells = cells(row);
        for metric in quoted(cells[0]) {
            assert!(declared.contains(&format!("\"{metric}\"")), "{metric} is not declared");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn every_command_of_the_contract_exists() {
    let mut count = 0;
    for row in section("8. Commands").lines().filter(|line| line.starts_with("| `hookward ")) {
        for command in quoted(cells(row)[0]) {
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            let output = hookward().args(&words).arg("--help").output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{command}");
            count += 1;
        }
    }
    assert!(count > 8, "{count}");
}

#[test]
fn every_exit_code_of_the_contract_is_one_of_the_programs() {
    let codes: BTreeSet<u8> = section("8. Commands")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(codes, [0, 1, 2, 3, 130].into());
}
