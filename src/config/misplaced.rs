//! Suggests where an unknown key probably belongs.

use super::{source, upstream};
use hookward_settings::document::{Node, Value};
use hookward_settings::keys::TableKeys;

/// The text to add to "unknown key", and the probable meaning. `table` is the path of the table
/// with the key; empty for the root.
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
