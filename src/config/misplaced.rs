//! Where a key was probably meant to stand that the table has not.

use super::{source, upstream};
use hookward_settings::document::{Node, Value};
use hookward_settings::keys::TableKeys;

/// What to say beside "unknown key", and what was probably meant. `table` is the path of the table
/// that holds the key; empty for the root.
pub(super) fn hint(table: &str, name: &str, node: &Node) -> Option<(String, String)> {
    if table.is_empty() {
        let owners: [(&str, &TableKeys, &str); 2] = [
            ("sources.NAME", &source::KEYS, "a source"),
            ("upstreams.NAME", &upstream::KEYS, "an upstream"),
        ];
        let (path, _, owner) =
            owners.into_iter().find(|(_, keys, _)| keys.names().any(|known| known == name))?;
        let meant = match &node.value {
            Value::Table(_) => format!("[{path}.{name}]"),
            Value::List(items) if items.iter().any(|i| matches!(i.value, Value::Table(_))) => {
                format!("[[{path}.{name}]]")
            }
            _ => format!("{name} under [{path}]"),
        };
        return Some((format!("unknown key; it belongs to {owner}"), meant));
    }
    let (kind, parent) = table.split_once('.')?;
    let is_named = matches!(kind, "sources" | "upstreams") && !parent.contains(['.', '[', '"']);
    if is_named && matches!(node.value, Value::Table(_)) {
        let what = "unknown key; names cannot contain dots: this is a table inside another one";
        return Some((what.to_owned(), format!("[{kind}.{parent}-{name}]")));
    }
    None
}
