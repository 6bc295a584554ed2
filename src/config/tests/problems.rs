//! The messages about wrong configurations, word for word.

use super::{TestSecrets, all, lines, load_with};
use crate::config::Severity;

const CASES: &str = include_str!("problems.txt");

fn secrets() -> TestSecrets {
    TestSecrets::usual().with("SHORT", "hunter2").with("EMPTY", "").with("KNOWN", "test-webhook")
}

/// Each configuration with its problems.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, cases) = CASES.split_once("\n\n").expect("a head and cases");
    cases.split("====\n").filter(|case| !case.trim().is_empty()).map(|case| {
        let (text, problems) = case.split_once("----\n").expect("a line of dashes");
        (text, problems)
    })
}

#[test]
fn every_problem_is_told_with_its_place_what_is_allowed_and_what_was_meant() {
    let mut count = 0;
    for (text, expected) in cases() {
        let text = text.trim_start();
        let problems = lines(&all(load_with(text, &secrets()))).join("\n");
        assert_eq!(problems, expected.trim_end(), "the problems of\n{text}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn whether_there_is_a_configuration_depends_on_errors_alone() {
    for (text, _) in cases() {
        let loaded = load_with(text, &secrets());
        let accepted = loaded.is_ok();
        let errors = all(loaded).iter().any(|problem| problem.severity == Severity::Error);
        assert_eq!(accepted, !errors, "{text}");
    }
}

#[test]
fn no_problem_shows_a_secret() {
    for (text, _) in cases() {
        let loaded = load_with(text, &secrets());
        let shown = match &loaded {
            Ok((config, problems)) => format!("{config:?} {problems:?}"),
            Err(problems) => format!("{problems:?}"),
        };
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        let told = lines(&all(loaded)).concat();
        assert!(!told.contains("hunter2"), "{text}\n{told}");
    }
}
