//! The table `timestamp`.

use crate::scheme::{TimeFormat, TimestampPlace, TimestampRule};
use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, key, optional};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::{Form, PossiblyZero};
use std::time::Duration;

/// The keys of the `timestamp` table.
pub static TIMESTAMP_KEYS: TableKeys = TableKeys {
    title: "[sources.NAME.timestamp]",
    about: "When the sender sent it. Without this table the scheme has no timestamp.",
    keys: &[
        optional(
            "from",
            "place",
            "required; with `algorithm = \"jwt\"`, the token's `iat`",
            "`header:NAME`, `item:PREFIX` (an item of the signature header), `item:#N` (its Nth \
             item, from 0), `json:/POINTER`, or `claim:/POINTER` of a token.",
        ),
        key("format", "word", r#""unix""#, "`unix`, `unix-ms` or `rfc3339`."),
        key("max_age", "duration", r#""5m""#, "How old it may be, inclusive; `\"off\"`: any age."),
        key("max_ahead", "duration", r#""1m""#, "How far ahead of Hookward's clock it may be."),
    ],
};

/// The default window of a token.
pub(super) const TOKEN_WINDOW: TimestampRule = TimestampRule {
    from: TimestampPlace::ItemAt(0),
    format: TimeFormat::Unix,
    max_age: Some(Duration::from_mins(5)),
    max_ahead: Duration::from_mins(1),
};

pub(super) fn timestamp(
    table: &TableReader<'_>,
    default: Option<TimestampPlace>,
) -> Option<TimestampRule> {
    let from = if let Some(item) = table.get("from") {
        item.form::<TimestampPlace>()
    } else {
        if default.is_none() {
            table.missing("from", <TimestampPlace as Form>::ALLOWED);
        }
        default
    };
    let format = table.get("format").map(|item| item.choice(&TimeFormat::NAMES));
    let max_age = table.get("max_age").map(|item| max_age(&item));
    let max_ahead = table.get("max_ahead").map(|item| item.form::<PossiblyZero>());
    Some(TimestampRule {
        from: from?,
        format: format.unwrap_or(Some(TimeFormat::Unix))?,
        max_age: max_age.unwrap_or(Some(Some(Duration::from_mins(5))))?,
        max_ahead: max_ahead.unwrap_or(Some(PossiblyZero(Duration::from_mins(1))))?.0,
    })
}

/// The outer `None`: wrong, and already reported. The inner one: off.
#[expect(clippy::option_option, reason = "wrong and off are two things; both are local")]
fn max_age(item: &Item<'_>) -> Option<Option<Duration>> {
    if matches!(&item.node.value, Value::Text(text) if text == "off") {
        item.warn(
            "an old delivery is accepted like a new one: anyone who has kept one can replay it \
             once its id is forgotten",
        );
        return Some(None);
    }
    item.form().map(Some)
}
