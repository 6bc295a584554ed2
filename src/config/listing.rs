//! Prints problems: for people, with the line of each, or for programs.

use hookward_settings::problem::{Problem, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How problems are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingStyle<'t> {
    /// Whether severities are coloured.
    pub colour: bool,
    /// The text of the file, if lines should be shown.
    pub text: Option<&'t str>,
}

/// The problems, one per line; a note that several sources share appears once.
#[must_use]
pub fn render_problems(problems: &[Problem], style: ListingStyle<'_>) -> String {
    let mut text = String::new();
    for (problem, others) in grouped(problems) {
        let mut line = problem.to_string();
        if !others.is_empty() {
            let key = &problem.key;
            line = line.replacen(key, &format!("{key} (also {})", others.join(", ")), 1);
        }
        if style.colour {
            let word = problem.severity.label();
            let colour = match problem.severity {
                Severity::Error => 31,
                Severity::Warning => 33,
                Severity::Note => 36,
            };
            let coloured = format!(" \u{1b}[1;{colour}m{word}\u{1b}[0m: ");
            line = line.replacen(&format!(" {word}: "), &coloured, 1);
        }
        _ = writeln!(text, "{line}");
        if let Some(source) = style.text {
            text.push_str(&excerpt(problem, source));
        }
    }
    text
}

/// `1 error, 2 warnings, 0 notes`
#[must_use]
pub fn counts(problems: &[Problem]) -> String {
    let count = |severity: Severity| {
        let number = problems.iter().filter(|problem| problem.severity == severity).count();
        format!("{number} {}{}", severity.label(), if number == 1 { "" } else { "s" })
    };
    [Severity::Error, Severity::Warning, Severity::Note].map(count).join(", ")
}

/// `{"problems": [{"level", "file", "line", "column", "key", "message"}], "errors", "warnings",
/// "notes"}`; line and column are null for problems without a position in the file.
#[must_use]
pub fn to_json(problems: &[Problem]) -> Value {
    let place = |number: usize| if number == 0 { Value::Null } else { number.into() };
    let one = |problem: &Problem| {
        json!({
            "level": problem.severity.label(),
            "file": problem.file,
            "line": place(problem.place.line),
            "column": place(problem.place.column),
            "key": problem.key,
            "message": problem.message(),
        })
    };
    let number = |severity| problems.iter().filter(|p| p.severity == severity).count();
    json!({
        "problems": problems.iter().map(one).collect::<Vec<_>>(),
        "errors": number(Severity::Error),
        "warnings": number(Severity::Warning),
        "notes": number(Severity::Note),
    })
}

/// Each problem with the names of other sources that have the same note.
fn grouped(problems: &[Problem]) -> Vec<(&Problem, Vec<&str>)> {
    let mut groups: Vec<(&Problem, Vec<&str>)> = Vec::new();
    for problem in problems {
        let same = groups.iter_mut().find(|(first, _)| is_same_note(first, problem));
        match (same, source_and_key(problem)) {
            (Some((_, others)), Some((source, _))) => others.push(source),
            _ => groups.push((problem, Vec::new())),
        }
    }
    groups
}

fn is_same_note(one: &Problem, other: &Problem) -> bool {
    let (Some((_, key)), Some((_, other_key))) = (source_and_key(one), source_and_key(other))
    else {
        return false;
    };
    one.severity == Severity::Note
        && other.severity == Severity::Note
        && key == other_key
        && one.message() == other.message()
}

/// The source of a problem, such as `sources.shop`, and its key there.
fn source_and_key(problem: &Problem) -> Option<(&str, &str)> {
    let name = problem.key.strip_prefix("sources.")?.split('.').next()?;
    problem.key.split_at_checked("sources.".len() + name.len())
}

/// The line of the problem with a mark below its position. Quoted text may be a secret and is
/// masked, unless the problem shows the value anyway.
fn excerpt(problem: &Problem, text: &str) -> String {
    let place = problem.place;
    let Some(line) = place.line.checked_sub(1).and_then(|index| text.lines().nth(index)) else {
        return String::new();
    };
    let shown = masked(line, problem.value.as_deref());
    // Tabs keep their width, so that the mark stays below its position.
    let tabs = |c: char| if c == '\t' { '\t' } else { ' ' };
    let before: String = line.chars().take(place.column.saturating_sub(1)).map(tabs).collect();
    format!("{:>5} | {shown}\n      | {before}^\n", place.line)
}

/// The line with every character of a value masked, except for TOML's own and for `known`. A
/// comment is cut off, because it may contain anything.
fn masked(line: &str, known: Option<&str>) -> String {
    let before_comment = line.split('#').next().unwrap_or_default();
    let of_header = |c: char| c.is_alphanumeric() || "[]._- ".contains(c);
    let is_header =
        line.trim_start().starts_with('[') && before_comment.trim().chars().all(of_header);
    if is_header {
        return before_comment.to_owned();
    }
    let start = line.find('=').map_or(0, |at| at + 1);
    let (key, value) = line.split_at(start.min(line.len()));
    let is_plain = !key.contains(['"', '\'']);
    let key =
        if is_plain { key.to_owned() } else { key.replace(|c: char| c.is_alphanumeric(), "*") };
    let mut shown = key;
    let mut rest = value;
    while let Some(next) = rest.chars().next() {
        if let Some(known) = known.filter(|known| rest.starts_with(known)) {
            shown.push_str(known);
            rest = rest.get(known.len()..).unwrap_or_default();
            continue;
        }
        let quote = matches!(next, '"' | '\'');
        let inside = rest.get(next.len_utf8()..).unwrap_or_default();
        if quote {
            // An escaped quote does not end a string, and neither does a missing one.
            let end = closing(inside, next).unwrap_or(inside.len());
            let (hidden, after) = inside.split_at(end);
            shown.push(next);
            shown.extend(hidden.chars().map(|_| '*'));
            let closed = after.starts_with(next);
            if closed {
                shown.push(next);
            }
            rest = after.get(usize::from(closed)..).unwrap_or_default();
        } else if next == '#' {
            break;
        } else {
            let is_key = bare_key(rest);
            if is_key > 0 {
                shown.push_str(rest.get(..is_key).unwrap_or_default());
                rest = rest.get(is_key..).unwrap_or_default();
                continue;
            }
            shown.push(if next.is_alphanumeric() { '*' } else { next });
            rest = inside;
        }
    }
    shown
}

/// The length of the inline table's key at the start of the text, without ` =`; otherwise 0.
fn bare_key(text: &str) -> usize {
    let is_key = |c: char| c.is_ascii_lowercase() || c == '_';
    let length = text.find(|c| !is_key(c)).unwrap_or(text.len());
    let after = text.get(length..).unwrap_or_default();
    if after.trim_start().starts_with('=') { length } else { 0 }
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TextPlace;

    fn note(key: &str, what: &str) -> Problem {
        Problem::new(Severity::Note, "c.toml", what).key(key).at(TextPlace { line: 2, column: 3 })
    }

    #[test]
    fn the_same_note_of_several_sources_is_told_once_and_counted_each_time() {
        let warning = |key: &str| Problem::new(Severity::Warning, "c.toml", "weak").key(key);
        let problems = [
            warning("sources.a.secrets[0]"),
            warning("sources.b.secrets[0]"),
            note("sources.a.event.id", "not signed"),
            note("sources.b.event.id", "not signed"),
            note("sources.b.event.type", "not signed"),
            note("sources.c.event.id", "not signed"),
            note("upstreams.erp", "no route leads here"),
        ];
        let expected = "\
c.toml: warning: sources.a.secrets[0]: weak
c.toml: warning: sources.b.secrets[0]: weak
c.toml:2:3: note: sources.a.event.id (also sources.b, sources.c): not signed
c.toml:2:3: note: sources.b.event.type: not signed
c.toml:2:3: note: upstreams.erp: no route leads here
";
        assert_eq!(render_problems(&problems, ListingStyle::default()), expected);
        assert_eq!(counts(&problems), "0 errors, 2 warnings, 5 notes");
        assert_eq!(counts(&problems[..1]), "0 errors, 1 warning, 0 notes");
    }

    #[test]
    fn a_severity_has_its_colour_where_it_is_wanted() {
        let problems = [Problem::new(Severity::Error, "c.toml", "bad: error: worse")];
        let style = ListingStyle { colour: true, text: None };
        assert_eq!(
            render_problems(&problems, style),
            "c.toml: \u{1b}[1;31merror\u{1b}[0m: bad: error: worse\n"
        );
    }

    #[test]
    fn the_line_is_shown_with_a_mark_and_no_secret_in_it() {
        let text = "[server]\nmax_body = \"10\" # hunter2\n\tx = \"hunter2\"\n";
        let at =
            |line, column| Problem::new(Severity::Error, "c", "bad").at(TextPlace { line, column });
        let shown = |problem: Problem| excerpt(&problem, text);
        assert_eq!(
            shown(at(2, 12).value(Some("\"10\"".to_owned()))),
            "    2 | max_body = \"10\" \n      |            ^\n"
        );
        assert_eq!(shown(at(3, 6)), "    3 | \tx = \"*******\"\n      | \t    ^\n");
        assert_eq!(shown(at(0, 0)), "");
        assert_eq!(shown(at(9, 1)), "");
    }

    #[test]
    fn whatever_a_line_holds_no_value_is_shown() {
        for line in [
            "value = \"hunter2\"",
            "secrets = [{ value = 'hunter2' }, \"hunter2\"]",
            "value = \"hunter2",
            "value = hunter2",
            "value = \"a\\\"hunter2\" # hunter2",
            "hunter2",
            "url = \"redis://:hunter2@host\"",
            "\"hunter2\" = 1",
        ] {
            assert!(!masked(line, None).contains("hunter2"), "{line}: {}", masked(line, None));
            assert!(masked(line, None).chars().count() <= line.chars().count(), "{line}");
        }
        assert_eq!(masked("a = { env = \"X\", n = 5 }", None), "a = { env = \"*\", n = * }");
        assert_eq!(masked("[sources.shop] # hunter2", None), "[sources.shop] ");
    }
}
