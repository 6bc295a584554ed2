//! Operators' queries and changes of the inbox. Each change is durable before it is answered, and
//! has an audit line.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /inbox` | entries that fit a filter, one for each destination of an event |
//! | `GET /inbox/{seq}` | one with its last attempts |
//! | `GET /inbox/waiting` | how many wait, by source and destination |
//! | `POST /inbox/replay`, `POST /inbox/discard`, `POST /inbox/move` | by number or by filter; see `changing` |
//! | `DELETE /inbox/{source}/{event id}` | erases the bytes at once, on disk too |
//! | `POST /upstreams/{name}/pause`, `…/resume` | sends nothing there for a while |

mod asking;
mod changing;

use super::access::Caller;
use super::backend::AdminBackend;
use super::reply::{document, fault, only};
use super::work::to_its_end;
use crate::delivery::report::printable;
use crate::edge::HttpReply;
use crate::request::RequestHead;
use asking::{InboxRequest, STATES, moment, narrow, not_durable, reason, text_of};
use changing::Verb;
use hookward_inbox::{Deed, DeedKind, EntryState, Filter, Listed, WaitingCount};
use hookward_time::UnixMillis;
use http::Method;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Entries of one answer: the default, and the most that can be asked for.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

/// Answers requests about the inbox; `None` for other paths.
pub(super) async fn answer(
    backend: &Arc<dyn AdminBackend>,
    head: &RequestHead,
    caller: &Caller,
    body: &[u8],
) -> Option<HttpReply> {
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
    let asked = InboxRequest { backend, inbox, head, caller, body };
    Some(match (in_inbox, of_upstream) {
        (Some(rest), _) => asked.in_inbox(rest.trim_start_matches('/')).await,
        (None, Some((name, verb))) => asked.of_upstream(name, verb).await,
        (None, None) => return None,
    })
}

/// The body of a pause.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    until: Option<Value>,
    reason: Option<String>,
}

impl InboxRequest<'_> {
    async fn in_inbox(&self, rest: &str) -> HttpReply {
        let read = [Method::GET, Method::HEAD];
        match rest {
            "" => match only(&read, self.head) {
                Some(refused) => refused,
                None => self.list().await,
            },
            "waiting" => match only(&read, self.head) {
                Some(refused) => refused,
                None => self.waiting().await,
            },
            _ if Verb::of(rest).is_some() => {
                match (only(&[Method::POST], self.head), Verb::of(rest)) {
                    (None, Some(verb)) => self.change(verb).await,
                    (refused, _) => refused.unwrap_or_else(|| fault(404, "there is nothing here")),
                }
            }
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

    async fn list(&self) -> HttpReply {
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
        let wants_discarded = filter.state == Some(EntryState::Discarded);
        let mut page = match self.inbox.list(filter.clone(), limit, cursor).await {
            Ok(page) => page,
            Err(why) => return not_durable(&why),
        };
        if !wants_discarded {
            page.events.retain(|event| event.state != EntryState::Discarded);
        }
        let events: Vec<Value> = page.events.iter().map(entry).collect();
        document(200, &json!({ "events": events, "next": page.next }))
    }

    async fn waiting(&self) -> HttpReply {
        let waiting = match self.inbox.waiting().await {
            Ok(waiting) => waiting,
            Err(why) => return not_durable(&why),
        };
        let count = |count: &WaitingCount| json!({ "source": count.source, "to": count.to, "events": count.events });
        document(200, &json!({ "waiting": waiting.iter().map(count).collect::<Vec<_>>() }))
    }

    async fn show(&self, seq: u64) -> HttpReply {
        let listed = match self.inbox.show(seq).await {
            Ok(Some(listed)) => listed,
            Ok(None) => return fault(404, "there is no entry of this number"),
            Err(why) => return not_durable(&why),
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
            let changes: Vec<Value> = listed.deeds.iter().map(deed).collect();
            members.insert("changes".to_owned(), changes.into());
        }
        document(200, &body)
    }

    async fn erase(&self, source: &str, id: &str) -> HttpReply {
        let (Some(source), Some(id)) = (decoded(source), decoded(id)) else {
            return fault(400, "source and event id are percent-encoded UTF-8");
        };
        let inbox = Arc::clone(&self.inbox);
        let (in_source, of_id) = (source.clone().into_owned(), id.clone().into_owned());
        let erased = to_its_end(async move { inbox.erase(&in_source, &of_id).await }).await;
        match erased {
            Ok(erased) => {
                let (client, token) = self.who();
                let (event_id, source) = (printable(&id), printable(&source));
                if erased == 0 {
                    tracing::warn!(%client, token, source, event_id, "audit: an event was to be erased, but the inbox does not have it");
                    return fault(404, "the inbox has nothing of this event");
                }
                tracing::warn!(%client, token, source, event_id, erased, "audit: an event was erased from the inbox");
                document(200, &json!({ "erased": erased }))
            }
            Err(why) => not_durable(&why),
        }
    }

    async fn of_upstream(&self, name: &str, verb: &str) -> HttpReply {
        if let Some(refused) = only(&[Method::POST], self.head) {
            return refused;
        }
        let Some(name) = decoded(name) else { return fault(400, "the name is percent-encoded") };
        let is_known = self.inbox.stats().destinations.iter().any(|known| known.to == *name);
        if !is_known {
            return fault(404, "there is no upstream of this name");
        }
        let pause: PauseBody = match self.body.trim_ascii() {
            b"" => PauseBody::default(),
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
        let ((client, token), upstream) = (self.who(), &*name);
        let reason = reason(pause.reason.as_deref());
        let until = until.map(time);
        if is_pause {
            let until = until.as_deref().unwrap_or("resumed");
            tracing::warn!(%client, token, upstream, until, reason, "audit: an upstream was paused");
        } else {
            tracing::warn!(%client, token, upstream, reason, "audit: an upstream was resumed");
        }
        document(200, &json!({ "upstream": upstream, "paused": is_pause, "until": until }))
    }
}

fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok().filter(|text| !text.is_empty())
}

fn time(at: u64) -> String {
    UnixMillis::from_unsigned(at).to_rfc3339()
}

fn deed(deed: &Deed) -> Value {
    let by = Some(deed.by.as_str()).filter(|by| !by.is_empty());
    let (what, from) = match &deed.what {
        DeedKind::Replayed => ("replayed", None),
        DeedKind::Discarded => ("discarded", None),
        DeedKind::Moved { from } => ("moved", Some(from)),
    };
    json!({ "at": time(deed.at), "what": what, "from": from, "by": by })
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
