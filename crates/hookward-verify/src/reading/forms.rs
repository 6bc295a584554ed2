//! Forms of values that several tables of a scheme share.

use hookward_settings::document::Value;
use hookward_settings::reading::Item;

/// A list, or the one value that it may be short for.
pub(super) fn one_or_more<T>(
    item: &Item<'_>,
    read: impl Fn(&Item<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    if matches!(item.node.value, Value::Text(_)) {
        return read(item).map(|one| vec![one]);
    }
    let allowed = "one, or a list of them";
    let items = item.list(allowed)?;
    if items.is_empty() {
        item.refuse("empty", allowed);
        return None;
    }
    items.iter().map(read).collect()
}
