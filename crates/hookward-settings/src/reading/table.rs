//! One table, whose unknown keys have been noted.

use super::item::Item;
use super::notes::Reading;
use crate::document::{DocumentTable, Node, Value};
use crate::keys::TableKeys;
use crate::problem::{Problem, Severity, TextPlace, nearest};

/// A table that is being read; its unknown keys have been reported.
#[derive(Clone)]
pub struct TableReader<'a> {
    /// The reading that this table is part of.
    pub reading: &'a Reading<'a>,
    /// The path of the table; empty for the root.
    pub key: String,
    /// Where the table is in the text.
    pub place: TextPlace,
    /// The table itself.
    pub table: &'a DocumentTable,
    pub(crate) keys: &'static TableKeys,
    pub(crate) hidden: bool,
}

impl<'a> TableReader<'a> {
    /// Starts to read `table`, which has the path `key` (empty for the root).
    pub fn open(
        reading: &'a Reading<'a>,
        key: String,
        place: TextPlace,
        table: &'a DocumentTable,
        keys: &'static TableKeys,
    ) -> Self {
        let reader = Self::open_checked(reading, key, place, table, keys);
        reader.refuse_unknown_keys();
        reader
    }

    /// Starts to read a table; its unknown keys are already noted.
    pub fn open_checked(
        reading: &'a Reading<'a>,
        key: String,
        place: TextPlace,
        table: &'a DocumentTable,
        keys: &'static TableKeys,
    ) -> Self {
        Self { reading, key, place, table, keys, hidden: false }
    }

    /// The value of a declared key.
    pub fn get(&self, name: &'static str) -> Option<Item<'a>> {
        debug_assert!(self.keys.names().any(|known| known == name), "{name} is not declared");
        let node = self.table.get(name)?;
        Some(Item { reading: self.reading, key: self.path(name), node, hidden: self.hidden })
    }

    /// The value of a declared key that is never to be shown.
    pub fn get_hidden(&self, name: &'static str) -> Option<Item<'a>> {
        self.get(name).map(|item| Item { hidden: true, ..item })
    }

    /// The value of a declared key, whose absence is noted as an error.
    pub fn require(&self, name: &'static str, allowed: &str) -> Option<Item<'a>> {
        let item = self.get(name);
        if item.is_none() {
            self.missing(name, allowed);
        }
        item
    }

    /// Notes that a key is not there and has to be.
    pub fn missing(&self, name: &str, allowed: &str) {
        self.note(Severity::Error, name, "missing", Some(allowed));
    }

    /// Every entry, in the order of the file; for tables whose keys are names.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        let (reading, hidden) = (self.reading, self.hidden);
        self.table.entries.iter().map(move |entry| {
            let key = self.path(&entry.name);
            (entry.name.as_str(), Item { reading, key, node: &entry.node, hidden })
        })
    }

    /// Notes something about a key of ours, as `path` or `signature.header` or `secrets[0]`; about
    /// the table itself if `key` is empty. What is not in the file is placed at what would hold it.
    pub fn note(&self, severity: Severity, key: &str, what: &str, allowed: Option<&str>) {
        let path = match (self.key.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.key.clone(),
            _ => format!("{}.{key}", self.key),
        };
        let (place, node) = self.locate(key);
        let shown = node.filter(|_| !self.hidden).and_then(Node::shown);
        let mut problem =
            Problem::new(severity, self.reading.file, what).at(place).key(path).value(shown);
        problem.allowed = allowed.map(ToOwned::to_owned);
        self.reading.note(problem);
    }

    /// Whether a key of this table is in the file, or was laid under it.
    pub fn states(&self, key: &str) -> bool {
        self.locate(key).1.is_some()
    }

    /// Where this key is, or the table that would hold it; and its value.
    fn locate(&self, key: &str) -> (TextPlace, Option<&'a Node>) {
        let mut place = self.place;
        let mut table = Some(self.table);
        let mut found = None;
        for step in key.split('.') {
            let (name, index) = step.split_once('[').unwrap_or((step, ""));
            let Some(entry) = table.and_then(|table| table.entry(name)) else {
                return (place, None);
            };
            (place, table, found) = (entry.place, None, Some(&entry.node));
            if let (Value::List(items), Ok(index)) =
                (&entry.node.value, index.trim_end_matches(']').parse::<usize>())
            {
                found = items.get(index);
            }
            if let Some(node) = found {
                place = node.place;
                if let Value::Table(inner) = &node.value {
                    table = Some(inner);
                }
            }
        }
        (place, found)
    }

    /// The path of a key of this table, quoted where TOML would quote it.
    pub fn path(&self, name: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_bare = !name.is_empty() && name.chars().all(bare);
        let name = if is_bare { name.to_owned() } else { format!("{name:?}") };
        if self.key.is_empty() { name } else { format!("{}.{name}", self.key) }
    }

    pub(crate) fn refuse_unknown_keys(&self) {
        if self.keys.keys.is_empty() {
            return; // its keys are names
        }
        for entry in &self.table.entries {
            if !self.keys.names().any(|known| known == entry.name) {
                let all: Vec<_> = self.keys.names().collect();
                let near = nearest(&entry.name, self.keys.names());
                let (what, meant) = match near {
                    Some(near) => ("unknown key".to_owned(), Some(near)),
                    None => match (self.reading.hint)(&self.key, &entry.name, &entry.node) {
                        Some((what, meant)) => (what, Some(meant)),
                        None => ("unknown key".to_owned(), None),
                    },
                };
                self.reading.note(
                    Problem::new(Severity::Error, self.reading.file, what)
                        .at(entry.place)
                        .key(self.path(&entry.name))
                        .suggestion(meant)
                        .allowed(all.join(", ")),
                );
            }
        }
    }
}

impl<'a> Item<'a> {
    /// The table that this is.
    pub fn table(&self, keys: &'static TableKeys) -> Option<TableReader<'a>> {
        let Value::Table(table) = &self.node.value else {
            let names: Vec<_> = keys.names().collect();
            let what = format!("not a table but {}", self.node.kind());
            let allowed = match names.as_slice() {
                [] => keys.about.to_owned(),
                names => format!("a table with {}", names.join(", ")),
            };
            self.refuse(what, &allowed);
            return None;
        };
        let reader = TableReader {
            reading: self.reading,
            key: self.key.clone(),
            place: self.node.place,
            table,
            keys,
            hidden: self.hidden,
        };
        reader.refuse_unknown_keys();
        Some(reader)
    }
}
