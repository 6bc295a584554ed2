//! `[upstreams.NAME.retry]`: when events from the inbox are tried again, and given up.

use hookward_inbox::Policy;
use hookward_settings::keys::{TableKeys, key};
use hookward_settings::reading::Item;
use std::time::Duration;

/// `[upstreams.NAME].retry`: attempts from the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The upper limit of the first wait; it doubles with each failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// How long after its acceptance an event is given up; paused time does not count.
    pub give_up_after: Duration,
    /// After how many 4xx answers (except 408, 425 and 429) an event is given up.
    pub refused_after: u16,
}

impl Default for Retry {
    fn default() -> Self {
        let Policy { first, longest, give_up_after, refused_after, .. } = Policy::default();
        Self { first, longest, give_up_after, refused_after }
    }
}

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME.retry]",
    about: "How attempts from the inbox are repeated, for routes with `delivery` `spill` or `queued`.",
    keys: &[
        key(
            "first",
            "duration",
            r#""2s""#,
            "The upper limit of the first wait. It doubles with every failure. Each wait is a \
             random part of it.",
        ),
        key(
            "longest",
            "duration",
            r#""15m""#,
            "The longest wait. A longer `Retry-After` is cut to it.",
        ),
        key(
            "give_up_after",
            "duration",
            r#""72h""#,
            "How long after its acceptance an event is given up. Paused time does not count.",
        ),
        key(
            "refused_after",
            "integer",
            "5",
            "After how many 4xx answers other than 408, 425 and 429 an event is given up. One 410 \
             is enough.",
        ),
    ],
};

pub(super) fn read(item: &Item<'_>) -> Option<Retry> {
    let table = item.table(&KEYS)?;
    let default = Retry::default();
    let duration = |name, default| table.get(name).and_then(|i| i.form()).unwrap_or(default);
    let retry = Retry {
        first: duration("first", default.first),
        longest: duration("longest", default.longest),
        give_up_after: duration("give_up_after", default.give_up_after),
        refused_after: table
            .get("refused_after")
            .and_then(|item| item.whole(1, u64::from(u16::MAX)))
            .and_then(|count| u16::try_from(count).ok())
            .unwrap_or(default.refused_after),
    };
    if retry.first > retry.longest {
        item.warn("`first` is longer than `longest`, so `longest` applies");
    }
    Some(retry)
}
