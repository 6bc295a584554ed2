//! A TOML text as a tree in which every value has its line and column.
//!
//! We use our own tree instead of the parser's for two reasons: tables keep the order of the file,
//! and a preset's table can be merged with a user's. This module knows no key by name.

use crate::problem::{Problem, Severity, TextPlace};
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it is in the text.
    pub place: TextPlace,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// As written, without underscores; TOML sets no limit that would suit us.
    Integer(String, u32),
    /// A floating-point number, as written.
    Float(String),
    /// A boolean.
    Boolean(bool),
    /// A date or a time, as written.
    Datetime(String),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(DocumentTable),
}

/// A TOML table, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct DocumentTable {
    /// The keys with their values.
    pub entries: Vec<TableEntry>,
}

/// A key of a [`DocumentTable`] with its value.
#[derive(Clone, Debug)]
pub struct TableEntry {
    /// The key.
    pub name: String,
    /// Where the key is in the text.
    pub place: TextPlace,
    /// Its value.
    pub node: Node,
}

/// Reads a TOML text.
///
/// # Errors
/// Every violation of TOML's grammar that the parser finds.
pub fn parse(text: &str, file: &str) -> Result<DocumentTable, Vec<Problem>> {
    let lines = LineStarts::of(text);
    let (root, faults) = DeTable::parse_recoverable(text);
    if faults.is_empty() {
        return Ok(table(root.into_inner(), &lines));
    }
    let problem = |fault: &toml::de::Error| {
        let mut what = format!("not TOML: {}", fault.message());
        // The parser says where, but a name is found quicker than a column.
        let named = fault.span().and_then(|span| text.get(span));
        if let ("duplicate key", Some(name)) = (fault.message(), named) {
            what = format!("{what} `{}`", name.escape_debug());
        }
        let at = fault.span().map_or(text.len(), |span| span.start);
        if lines.line_at(at).contains(TYPOGRAPHIC_QUOTES) {
            "not TOML: curly quotes (“ ”) around a string; use straight ones (\")"
                .clone_into(&mut what);
        }
        let place = lines.place(at);
        Problem::new(Severity::Error, file, what).at(place)
    };
    let mut problems: Vec<_> = faults.iter().map(problem).collect();
    problems.dedup();
    Err(problems)
}

impl DocumentTable {
    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.node)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let entry = self.entries.iter_mut().find(|entry| entry.name == name);
        entry.map(|entry| &mut entry.node)
    }

    /// A key with its value.
    pub fn entry(&self, name: &str) -> Option<&TableEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Leaves out a key.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|entry| entry.name != name);
    }

    /// Adds whatever of `under` is not here, as if it stood at `place`; a table that is in both is
    /// merged as well, `depth` levels down.
    pub fn underlay(&mut self, under: &DocumentTable, place: TextPlace, depth: usize) {
        for entry in &under.entries {
            match self.entries.iter_mut().find(|own| own.name == entry.name) {
                None => {
                    let mut entry = entry.clone();
                    entry.place = place;
                    entry.node.move_to(place);
                    self.entries.push(entry);
                }
                Some(own) => {
                    if let (Value::Table(own), Value::Table(under), true) =
                        (&mut own.node.value, &entry.node.value, depth > 0)
                    {
                        own.underlay(under, place, depth - 1);
                    }
                }
            }
        }
    }
}

impl Node {
    /// The value as TOML in one line, control characters escaped, cut after some 60 characters;
    /// nothing for an array or a table, which may hold anything.
    pub fn shown(&self) -> Option<String> {
        Some(match &self.value {
            Value::Text(text) => {
                let text = without_credentials(text);
                let mut shown: String =
                    text.chars().take(60).flat_map(char::escape_debug).collect();
                if text.chars().nth(60).is_some() {
                    shown.push('…');
                }
                format!("\"{shown}\"")
            }
            Value::Integer(digits, radix) => {
                let prefix = match radix {
                    2 => "0b",
                    8 => "0o",
                    16 => "0x",
                    _ => "",
                };
                let digits: String = digits.chars().take(60).collect();
                format!("{prefix}{digits}")
            }
            Value::Float(text) | Value::Datetime(text) => text.chars().take(60).collect(),
            Value::Boolean(value) => value.to_string(),
            Value::List(_) | Value::Table(_) => return None,
        })
    }

    /// What kind of value it is, with its article.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Integer(..) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date-time",
            Value::List(_) => "an array",
            Value::Table(_) => "a table",
        }
    }

    fn move_to(&mut self, place: TextPlace) {
        self.place = place;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(place)),
            Value::Table(table) => {
                for entry in &mut table.entries {
                    entry.place = place;
                    entry.node.move_to(place);
                }
            }
            _ => {}
        }
    }
}

/// The text without the part between `://` and `@`: it may be a password where none is allowed, and a
/// message must not show it.
fn without_credentials(text: &str) -> Cow<'_, str> {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (_, host))) => Cow::Owned(format!("{scheme}://…@{host}")),
        None => Cow::Borrowed(text),
    }
}

fn table(parsed: DeTable<'_>, lines: &LineStarts<'_>) -> DocumentTable {
    let mut entries: Vec<(usize, TableEntry)> = parsed
        .into_iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let place = lines.place(start);
            let mut node = node(value, lines);
            if matches!(node.value, Value::Table(_)) {
                node.place = place;
            }
            (start, TableEntry { name: key.into_inner().into_owned(), place, node })
        })
        .collect();
    entries.sort_by_key(|&(start, _)| start);
    DocumentTable { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
}

fn node(parsed: Spanned<DeValue<'_>>, lines: &LineStarts<'_>) -> Node {
    let place = lines.place(parsed.span().start);
    let value = match parsed.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(number.as_str().to_owned(), number.radix()),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(item, lines)).collect())
        }
        DeValue::Table(parsed) => Value::Table(table(parsed, lines)),
    };
    Node { value, place }
}

/// The quotes that word processors and web pages use instead of `"` and `'`.
const TYPOGRAPHIC_QUOTES: [char; 7] = ['“', '”', '„', '‟', '‘', '’', '«'];

/// Turns byte offsets of a text into lines and columns.
struct LineStarts<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> LineStarts<'t> {
    fn of(text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn line_at(&self, offset: usize) -> &'t str {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }

    fn place(&self, offset: usize) -> TextPlace {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        TextPlace { line, column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'t>(root: &'t DocumentTable, path: &[&str]) -> &'t TableEntry {
        let (last, parents) = path.split_last().expect("a path");
        let mut table = root;
        for name in parents {
            table = match &table.get(name).expect("a key").value {
                Value::Table(table) => table,
                Value::List(items) => match &items[0].value {
                    Value::Table(table) => table,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
        }
        table.entries.iter().find(|entry| entry.name == *last).expect("a key")
    }

    #[test]
    fn every_value_knows_its_line_and_column() {
        let text = "a = 1\n[b.c]\nd = \"é\"; e = 2\n".replace("; e", "\ne")
            + "[[b.c.list]]\nf = [\n  3,\n]\n";
        let root = parse(&text, "x.toml").expect("TOML");
        for (path, line, column) in [
            (&["a"][..], 1, 5),
            (&["b", "c"], 2, 4),
            (&["b", "c", "d"], 3, 5),
            (&["b", "c", "e"], 4, 5),
            (&["b", "c", "list", "f"], 6, 5),
        ] {
            assert_eq!(at(&root, path).node.place, TextPlace { line, column }, "{path:?}");
        }
        let Value::List(items) = &at(&root, &["b", "c", "list", "f"]).node.value else { panic!() };
        assert_eq!(items[0].place, TextPlace { line: 7, column: 3 });
    }

    #[test]
    fn all_violations_of_the_grammar_are_told_and_no_line_is_quoted() {
        let problems = parse("a = \"hunter2\nb = 1\nb = hunter2\n", "x.toml").expect_err("no TOML");
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(text.len() >= 2, "{text:#?}");
        assert!(text[0].starts_with("x.toml:1:"), "{text:#?}");
        assert!(!text.concat().contains("hunter2"), "{text:#?}");
    }

    #[test]
    fn what_lies_under_shows_only_where_nothing_lies_over_it() {
        let mut over = parse("a = 1\n[t]\nx = 1\nin = { y = 1 }\n", "over").expect("TOML");
        let under =
            parse("a = 2\nb = 2\n[t]\nx = 2\nz = 2\nin = { w = 2 }\n", "under").expect("TOML");
        let place = TextPlace { line: 9, column: 9 };
        over.underlay(&under, place, 1);
        assert_eq!(at(&over, &["a"]).node.shown().as_deref(), Some("1"));
        assert_eq!(at(&over, &["b"]).node.place, place);
        assert_eq!(at(&over, &["t", "x"]).node.shown().as_deref(), Some("1"));
        assert_eq!(at(&over, &["t", "z"]).node.shown().as_deref(), Some("2"));
        let Value::Table(inner) = &at(&over, &["t", "in"]).node.value else { panic!() };
        assert_eq!(inner.entries.len(), 1, "deeper than the depth nothing is merged");
    }
}
