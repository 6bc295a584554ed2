//! A request about the inbox, and what it may say.

use crate::delivery::report::printable;
use crate::edge::HttpReply;
use crate::inbox::InboxStore;
use crate::operator::admin::access::Caller;
use crate::operator::admin::backend::AdminBackend;
use crate::operator::admin::reply::fault;
use crate::request::RequestHead;
use hookward_inbox::{ChangeError, EntryState, Filter};
use serde_json::Value;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// The words for the states of an entry.
pub(super) const STATES: [(&str, EntryState); 6] = [
    ("ready", EntryState::Ready),
    ("waiting", EntryState::Waiting),
    ("in_flight", EntryState::InFlight),
    ("dead", EntryState::Dead),
    ("delivered", EntryState::Delivered),
    ("discarded", EntryState::Discarded),
];

pub(super) struct InboxRequest<'a> {
    pub(super) backend: &'a Arc<dyn AdminBackend>,
    pub(super) inbox: Arc<InboxStore>,
    pub(super) head: &'a RequestHead,
    pub(super) caller: &'a Caller,
    pub(super) body: &'a [u8],
}

impl InboxRequest<'_> {
    /// For audit lines: the address, and the name of the token.
    pub(super) fn who(&self) -> (IpAddr, Option<&str>) {
        (self.caller.client, self.caller.token.as_deref())
    }
}

/// Takes one more condition.
pub(super) fn narrow(filter: &mut Filter, name: &str, value: &str) -> Result<(), String> {
    let text = Some(value.to_owned());
    let at = || moment(value).ok_or_else(|| format!("{name} is RFC 3339 or unix seconds"));
    match name {
        "source" => filter.source = text,
        "to" => filter.to = text,
        "type" => filter.kind = text,
        "id" => filter.id = text,
        "since" => filter.since = Some(at()?),
        "until" => filter.until = Some(at()?),
        "state" => {
            let known = STATES.iter().find(|(word, _)| *word == value);
            let words = STATES.map(|(word, _)| word).join(", ");
            filter.state = Some(known.ok_or_else(|| format!("state is one of {words}"))?.1);
        }
        _ => return Err(format!("{} is nothing to filter by", printable(name))),
    }
    Ok(())
}

/// RFC 3339 or unix seconds, in milliseconds.
pub(super) fn moment(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

pub(super) fn reason(stated: Option<&str>) -> String {
    printable(stated.unwrap_or("none stated"))
}

pub(super) fn not_durable(why: &ChangeError) -> HttpReply {
    fault(503, &why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rfc_3339_or_unix_seconds() {
        assert_eq!(moment("1700000000"), Some(1_700_000_000_000));
        assert_eq!(moment("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(moment("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500));
        for text in ["", "tomorrow", "-1", "2023-11-14"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_condition_is_refused_and_not_ignored() {
        let mut filter = Filter::default();
        for (name, value) in [("stat", "dead"), ("state", "died"), ("since", "x")] {
            assert!(narrow(&mut filter, name, value).is_err(), "{name}={value}");
        }
        assert_eq!(filter, Filter::default());
    }
}
