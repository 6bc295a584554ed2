//! `[upstreams.NAME.retry]`: when events from the inbox are tried again, and given up.

use hookward_inbox::Policy;
use hookward_settings::keys::{TableKeys, key};
use hookward_settings::reading::Item;
use std::time::Duration;

/// `[upstreams.NAME].retry`: attempts that no sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The longest first wait; doubled with each failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// So long after its acceptance an event is given up; time paused does not count.
    pub give_up_after: Duration,
    /// So many answers of 4xx (408, 425 and 429 excepted), and an event is given up.
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
    about: "How events from the inbox are tried again: routes with `delivery` `spill` or `queued`.",
    keys: &[
        key(
            "first",
            "duration",
            r#""2s""#,
            "The longest first wait, doubled with each failure. Each wait is a random part of it.",
        ),
        key(
            "longest",
            "duration",
            r#""15m""#,
            "The longest wait, and the most that a `Retry-After` is respected for.",
        ),
        key(
            "give_up_after",
            "duration",
            r#""72h""#,
            "So long after its acceptance an event is given up. Time paused does not count.",
        ),
        key(
            "refused_after",
            "integer",
            "5",
            "So many answers of 4xx other than 408, 425 and 429, and the event is given up. One 410 \
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
        item.warn("`first` is longer than `longest`, which holds");
    }
    Some(retry)
}
