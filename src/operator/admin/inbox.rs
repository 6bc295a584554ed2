//! Operators' queries and changes of the inbox. Each change is durable before it is answered, and
//! has an audit line.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /inbox` | entries that fit a filter, one for each destination of an event |
//! | `GET /inbox/{seq}` | one with its last attempts |
//! | `POST /inbox/replay`, `POST /inbox/discard` | by number or by filter |
//! | `DELETE /inbox/{source}/{event id}` | erases the bytes at once, on disk too |
//! | `POST /upstreams/{name}/pause`, `…/resume` | sends nothing there for a while |

use super::{AdminBackend, Reply, document, fault, only, to_its_end};
use crate::delivery::report::printable;
use crate::inbox::Inbox;
use crate::request::RequestHead;
use hookward_inbox::{ChangeError, Filter, Listed, State};
use hookward_time::UnixMillis;
use http::Method;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Entries of one answer: the default, and the most that can be asked for.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

const STATES: [(&str, State); 6] = [
    ("ready", State::Ready),
    ("waiting", State::Waiting),
    ("in_flight", State::InFlight),
    ("dead", State::Dead),
    ("delivered", State::Delivered),
    ("discarded", State::Discarded),
];

/// Answers requests about the inbox; `None` for other paths.
pub(super) async fn answer(
    backend: &Arc<dyn AdminBackend>,
    head: &RequestHead,
    body: &[u8],
) -> Option<Reply> {
    let path = head.path.as_str();
    let in_inbox =
        path.strip_prefix("/inbox").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let of_upstream = path.strip_prefix("/upstreams/").and_then(|rest| rest.split_once('/'));
    let of_upstream = of_upstream.filter(|(_, verb)| matches!(*verb, "pause" | "resume"));
    if in_inbox.is_none() && of_upstream.is_none() {
        return None;
    }
    let Some(inbox) = backend.inbox() else {
        return Some(fault(404, "there is no inbox: no route stores events"));
    };
    let asked = Asked { inbox, head, body };
    Some(match (in_inbox, of_upstream) {
        (Some(rest), _) => asked.in_inbox(rest.trim_start_matches('/')).await,
        (None, Some((name, verb))) => asked.of_upstream(name, verb).await,
        (None, None) => return None,
    })
}

struct Asked<'a> {
    inbox: Arc<Inbox>,
    head: &'a RequestHead,
    body: &'a [u8],
}

/// The body of a replay or a discard.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Selection {
    seq: Option<Vec<u64>>,
    filter: Option<serde_json::Map<String, Value>>,
    expect: Option<usize>,
    reason: Option<String>,
    #[serde(default)]
    as_new: bool,
    #[serde(default)]
    dry_run: bool,
}

/// The body of a pause.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Pause {
    until: Option<Value>,
    reason: Option<String>,
}

impl Asked<'_> {
    async fn in_inbox(&self, rest: &str) -> Reply {
        let read = [Method::GET, Method::HEAD];
        match rest {
            "" => match only(&read, self.head) {
                Some(refused) => refused,
                None => self.list().await,
            },
            "replay" | "discard" => match only(&[Method::POST], self.head) {
                Some(refused) => refused,
                None => self.change(rest == "replay").await,
            },
            _ => match rest.split_once('/') {
                Some((source, id)) => match only(&[Method::DELETE], self.head) {
                    Some(refused) => refused,
                    None => self.erase(source, id).await,
                },
                None => match (only(&read, self.head), rest.parse()) {
                    (Some(refused), _) => refused,
                    (None, Ok(seq)) => self.show(seq).await,
                    (None, Err(_)) => fault(404, "there is nothing here"),
                },
            },
        }
    }

    async fn list(&self) -> Reply {
        let query = self.head.query.as_deref().unwrap_or_default();
        let (mut filter, mut limit, mut cursor) = (Filter::default(), LIMIT, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let taken = match &*name {
                "limit" => value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=MOST).contains(limit))
                    .map(|asked| limit = asked)
                    .ok_or_else(|| format!("limit is a number from 1 to {MOST}")),
                "cursor" => value
                    .parse()
                    .map(|from| cursor = Some(from))
                    .map_err(|_| "cursor is what `next` of an answer says".to_owned()),
                name => narrow(&mut filter, name, &value),
            };
            if let Err(why) = taken {
                return fault(400, &why);
            }
        }
        let wants_discarded = filter.state == Some(State::Discarded);
        let mut page = self.inbox.list(filter.clone(), limit, cursor).await;
        if !wants_discarded {
            page.events.retain(|event| event.state != State::Discarded);
        }
        let events: Vec<Value> = page.events.iter().map(entry).collect();
        document(200, &json!({ "events": events, "next": page.next }))
    }

    async fn show(&self, seq: u64) -> Reply {
        let Some(listed) = self.inbox.show(seq).await else {
            return fault(404, "there is no entry of this number");
        };
        let tries: Vec<Value> = listed
            .tries
            .iter()
            .map(|one| {
                json!({ "at": time(one.at), "result": one.outcome.to_string(), "ms": one.ms })
            })
            .collect();
        let mut body = entry(&listed);
        if let Some(members) = body.as_object_mut() {
            members.insert("tries".to_owned(), tries.into());
        }
        document(200, &body)
    }

    async fn change(&self, is_replay: bool) -> Reply {
        let selection: Selection = match serde_json::from_slice(self.body) {
            Ok(selection) => selection,
            Err(why) => return fault(400, &format!("the body is not what is asked for: {why}")),
        };
        let seqs = match self.select(&selection).await {
            Ok(seqs) => seqs,
            Err(refused) => return refused,
        };
        let matched = seqs.len();
        if selection.dry_run {
            return document(200, &json!({ "matched": matched, "changed": 0 }));
        }
        if selection.expect.is_some_and(|expected| expected != matched) {
            let title = format!("{matched} entries fit, and not as many as expected");
            let body = json!({
                "type": "about:blank", "title": title, "status": 409, "matched": matched,
            });
            return document(409, &body);
        }
        let (inbox, as_new) = (Arc::clone(&self.inbox), selection.as_new);
        let changed = to_its_end(async move {
            if is_replay { inbox.replay(seqs, as_new).await } else { inbox.discard(seqs).await }
        });
        let changed = match changed.await {
            Ok(changed) => changed,
            Err(why) => return not_durable(&why),
        };
        let (client, reason) = (self.head.client, reason(selection.reason.as_deref()));
        let filter = selection.filter.map(Value::Object).unwrap_or_default().to_string();
        let (filter, as_new) = (printable(&filter), selection.as_new);
        if is_replay {
            tracing::warn!(%client, reason, matched, changed, as_new, filter, "audit: events of the inbox were replayed");
        } else {
            tracing::warn!(%client, reason, matched, changed, filter, "audit: events of the inbox were discarded");
        }
        document(200, &json!({ "matched": matched, "changed": changed }))
    }

    /// The selected numbers. Discarded entries can no longer change.
    async fn select(&self, selection: &Selection) -> Result<Vec<u64>, Reply> {
        let filter = match (&selection.seq, &selection.filter) {
            (Some(seqs), None) => return Ok(self.inbox.existing(seqs.clone()).await),
            (None, Some(filter)) => filter,
            _ => return Err(fault(400, "state either seq or filter")),
        };
        if selection.expect.is_none() && !selection.dry_run {
            return Err(fault(400, "a filter needs expect: how many entries it fits"));
        }
        let mut narrowed = Filter::default();
        for (name, value) in filter {
            let text = text_of(value).ok_or_else(|| fault(400, &format!("{name} is a text")))?;
            narrow(&mut narrowed, name, &text).map_err(|why| fault(400, &why))?;
        }
        let mut seqs = self.inbox.select(narrowed.clone()).await;
        if narrowed.state.is_none() {
            let discarded = Filter { state: Some(State::Discarded), ..narrowed };
            let discarded: HashSet<u64> = self.inbox.select(discarded).await.into_iter().collect();
            seqs.retain(|seq| !discarded.contains(seq));
        }
        Ok(seqs)
    }

    async fn erase(&self, source: &str, id: &str) -> Reply {
        let (Some(source), Some(id)) = (decoded(source), decoded(id)) else {
            return fault(400, "source and event id are percent-encoded UTF-8");
        };
        let inbox = Arc::clone(&self.inbox);
        let (in_source, of_id) = (source.clone().into_owned(), id.clone().into_owned());
        let erased = to_its_end(async move { inbox.erase(&in_source, &of_id).await }).await;
        match erased {
            Ok(erased) => {
                let (client, event_id) = (self.head.client, printable(&id));
                let source = printable(&source);
                tracing::warn!(%client, source, event_id, erased, "audit: an event was erased from the inbox");
                if erased == 0 {
                    return fault(404, "the inbox has nothing of this event");
                }
                document(200, &json!({ "erased": erased }))
            }
            Err(why) => not_durable(&why),
        }
    }

    async fn of_upstream(&self, name: &str, verb: &str) -> Reply {
        if let Some(refused) = only(&[Method::POST], self.head) {
            return refused;
        }
        let Some(name) = decoded(name) else { return fault(400, "the name is percent-encoded") };
        let is_known = self.inbox.stats().destinations.iter().any(|known| known.to == *name);
        if !is_known {
            return fault(404, "there is no upstream of this name");
        }
        let pause: Pause = match self.body.trim_ascii() {
            b"" => Pause::default(),
            body => match serde_json::from_slice(body) {
                Ok(pause) => pause,
                Err(why) => {
                    return fault(400, &format!("the body is not what is asked for: {why}"));
                }
            },
        };
        let until = match pause.until.as_ref().filter(|until| !until.is_null()) {
            None => None,
            Some(until) => match text_of(until).and_then(|text| moment(&text)) {
                Some(at) => Some(at),
                None => return fault(400, "until is RFC 3339 or unix seconds"),
            },
        };
        let (inbox, to, is_pause) = (Arc::clone(&self.inbox), name.to_string(), verb == "pause");
        let changed = to_its_end(async move {
            if is_pause { inbox.pause(&to, until).await } else { inbox.resume(&to).await }
        });
        if let Err(why) = changed.await {
            return not_durable(&why);
        }
        let (client, upstream) = (self.head.client, &*name);
        let reason = reason(pause.reason.as_deref());
        let until = until.map(time);
        if is_pause {
            let until = until.as_deref().unwrap_or("resumed");
            tracing::warn!(%client, upstream, until, reason, "audit: an upstream was paused");
        } else {
            tracing::warn!(%client, upstream, reason, "audit: an upstream was resumed");
        }
        document(200, &json!({ "upstream": upstream, "paused": is_pause, "until": until }))
    }
}

/// Takes one more condition.
fn narrow(filter: &mut Filter, name: &str, value: &str) -> Result<(), String> {
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
fn moment(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok().filter(|text| !text.is_empty())
}

fn reason(stated: Option<&str>) -> String {
    printable(stated.unwrap_or("none stated"))
}

fn not_durable(why: &ChangeError) -> Reply {
    fault(503, &why.to_string())
}

fn time(at: u64) -> String {
    UnixMillis(i64::try_from(at).unwrap_or(i64::MAX)).to_rfc3339()
}

fn entry(listed: &Listed) -> Value {
    let state = STATES.iter().find(|(_, state)| *state == listed.state).map(|(word, _)| word);
    json!({
        "seq": listed.seq,
        "source": listed.source,
        "event_id": listed.id,
        "event_type": listed.kind,
        "to": listed.to,
        "state": state,
        "accepted_at": time(listed.accepted_at),
        "attempts": listed.attempts,
        "next_attempt_at": listed.next_attempt_at.map(time),
        "last_result": listed.tries.last().map(|last| last.outcome.to_string()),
    })
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
