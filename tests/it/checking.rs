//! `check`: its output, in which order, and where.

use crate::support::{hookward, printed, stdout};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// One error, one warning (a value in the file) and notes that two sources have in common.
const WRONG: &str = "[server]
threads = \"four\"
[upstreams.erp]
url = \"http://127.0.0.1:9001\"
[sources.a]
path = \"/a\"
preset = \"github\"
secrets = [{ value = \"the-first-secret-of-all\" }]
replay_guard = \"signature\"
routes = [{ events = [\"*\"], to = [\"erp\"] }]
[sources.b]
path = \"/b\"
preset = \"github\"
secrets = [{ env = \"SECOND\" }]
replay_guard = \"signature\"
routes = [{ events = [\"*\"], to = [\"erp\"] }]
";

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

fn check(arguments: &[&str], text: &str) -> (i32, String, String) {
    let (_directory, file) = file(text);
    let mut command = hookward();
    command.arg("check").args(arguments).arg(&file).env("SECOND", "the-second-secret-of-all");
    let output = command.output().unwrap();
    let problems = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code().unwrap(), stdout(&output), problems)
}

#[test]
fn errors_come_first_a_note_of_several_sources_once_and_the_last_line_counts() {
    let (code, table, problems) = check(&[], WRONG);
    assert_eq!((code, table.as_str()), (2, ""));
    let lines: Vec<&str> = problems.lines().collect();
    let severities: Vec<&str> = lines
        .iter()
        .filter_map(|line| {
            ["error", "warning", "note"].into_iter().find(|s| line.contains(&format!(": {s}: ")))
        })
        .collect();
    let mut sorted = severities.clone();
    sorted
        .sort_unstable_by_key(|s| ["error", "warning", "note"].iter().position(|known| known == s));
    assert_eq!(severities, sorted, "{problems}");
    assert!(lines[0].contains("server.threads"), "{problems}");
    let shared = "note: sources.a.event.id (also sources.b): ";
    assert_eq!(problems.matches(shared).count(), 1, "{problems}");
    assert!(!problems.contains("note: sources.b.event.id"), "{problems}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("1 error, 1 warning, ") && last.ends_with(" notes"), "{problems}");
}

#[test]
fn a_program_gets_the_problems_as_json_on_stdout_and_nothing_else() {
    let (code, document, problems) = check(&["--json"], WRONG);
    assert_eq!((code, problems.as_str()), (2, ""));
    let document: Value = serde_json::from_str(&document).unwrap();
    let first = &document["problems"][0];
    assert_eq!((&first["level"], &first["key"]), (&"error".into(), &"server.threads".into()));
    assert_eq!((&first["line"], &first["column"]), (&2.into(), &11.into()));
    assert!(first["file"].as_str().unwrap().ends_with("c.toml"));
    assert!(first["message"].as_str().unwrap().starts_with("not an integer"), "{first}");
    assert_eq!(document["errors"], 1);

    let (code, document, problems) = check(&["--json"], &WRONG.replace("\"four\"", "4"));
    assert_eq!((code, problems.as_str()), (0, ""), "warnings stop nobody");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["problems"][0]["level"], "warning");
}

#[test]
fn the_file_is_named_either_way_and_not_both_ways() {
    let (_directory, file) = file(&WRONG.replace("\"four\"", "4"));
    for (option, code) in [(None, 0), (Some("--config"), 0)] {
        let output = hookward().arg("check").args(option).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        assert!(stdout(&output).contains("/a"), "{}", printed(&output));
    }
    let both = hookward().arg("check").arg(&file).arg("--config").arg(&file).output().unwrap();
    assert_eq!(both.status.code(), Some(2), "{}", printed(&both));
}

#[test]
fn a_file_without_a_source_is_an_error() {
    for text in ["", "[sources]\n", "[server]\nthreads = 1\n"] {
        let (code, _, problems) = check(&[], text);
        assert_eq!(code, 2, "{problems}");
        assert!(problems.contains("error: sources: no source is defined"), "{problems}");
        let (_directory, file) = file(text);
        let output = hookward().arg("run").arg("--config").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    }
}

/// What a person sees on a terminal, which `script` of util-linux makes.
fn on_a_terminal(variables: &[(&str, &str)], text: &str) -> String {
    let (_directory, file) = file(text);
    let binary = env!("CARGO_BIN_EXE_hookward");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{binary} check {}", file.display()), "/dev/null"]);
    command.env_remove("NO_COLOR").env_remove("HOOKWARD_CONFIG").envs(variables.to_vec());
    let output = command.output().expect("script, of util-linux");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn on_a_terminal_there_are_colours_and_the_line_with_its_secrets_masked() {
    let seen = on_a_terminal(&[], WRONG).replace('\r', "");
    assert!(seen.contains("\u{1b}[1;31merror\u{1b}[0m: server.threads"), "{seen}");
    assert!(seen.contains("    2 | threads = \"four\"\n      |           ^\n"), "{seen}");
    assert!(seen.contains("    8 | secrets = [{ value = \"***********************\" }]"), "{seen}");
    assert!(!seen.contains("the-first-secret-of-all"), "{seen}");
    let plain = on_a_terminal(&[("NO_COLOR", "1")], WRONG);
    assert!(!plain.contains('\u{1b}') && !plain.contains("    2 | "), "{plain}");
}
