//! What people do with entries by number or by filter: replay, discard, move.

use super::asking::{InboxRequest, narrow, not_durable, reason, text_of};
use crate::delivery::report::printable;
use crate::edge::HttpReply;
use crate::operator::admin::reply::{document, fault};
use crate::operator::admin::work::to_its_end;
use hookward_inbox::{ChangeError, EntryState, Filter, Listed};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// They are due now, with a budget of their own.
    Replay,
    /// They are not sent again.
    Discard,
    /// Those that wait go to another upstream.
    Move,
}

impl Verb {
    /// As the path says it.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "replay" => Self::Replay,
            "discard" => Self::Discard,
            "move" => Self::Move,
            _ => return None,
        })
    }
}

/// The body of a change.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Selection {
    seq: Option<Vec<u64>>,
    filter: Option<serde_json::Map<String, Value>>,
    expect: Option<usize>,
    reason: Option<String>,
    /// Of a move: the upstream that gets them.
    to: Option<String>,
    #[serde(default)]
    as_new: bool,
    #[serde(default)]
    dry_run: bool,
}

impl InboxRequest<'_> {
    pub(super) async fn change(&self, verb: Verb) -> HttpReply {
        let selection: Selection = match serde_json::from_slice(self.body) {
            Ok(selection) => selection,
            Err(why) => return fault(400, &format!("the body is not what is asked for: {why}")),
        };
        let to = match self.destination(verb, &selection) {
            Ok(to) => to.to_owned(),
            Err(refused) => return *refused,
        };
        let mut seqs = match self.select(verb, &selection).await {
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
        let mut moving = Vec::new();
        if verb == Verb::Move {
            moving = match self.unknown_to(seqs, &to).await {
                Ok(moving) => moving,
                Err(problem) => return fault(503, &problem),
            };
            seqs = moving.iter().map(|listed| listed.seq).collect();
        }
        let (inbox, as_new, there) = (Arc::clone(&self.inbox), selection.as_new, to.clone());
        let by = self.caller.token.clone().unwrap_or_default();
        let backend = Arc::clone(self.backend);
        let changed = to_its_end(async move {
            match verb {
                Verb::Replay => inbox.replay(seqs, as_new, &by).await,
                Verb::Discard => inbox.discard(seqs, &by).await,
                Verb::Move => {
                    let moved = inbox.move_to(seqs, &there, &by).await;
                    // A copy that comes now is a duplicate where the event was, as it was before.
                    for event in &moving {
                        if !inbox.has(event).await {
                            backend.went_elsewhere(event).await;
                        }
                    }
                    moved
                }
            }
        });
        match changed.await {
            Ok(changed) => {
                self.audit(verb, selection, &to, matched, changed);
                document(200, &json!({ "matched": matched, "changed": changed }))
            }
            Err(why) => not_durable(&why),
        }
    }

    fn audit(&self, verb: Verb, selection: Selection, to: &str, matched: usize, changed: usize) {
        let ((client, token), reason) = (self.who(), reason(selection.reason.as_deref()));
        let filter = selection.filter.map(Value::Object).unwrap_or_default().to_string();
        let (filter, as_new) = (printable(&filter), selection.as_new);
        match verb {
            Verb::Replay => {
                tracing::warn!(%client, token, reason, matched, changed, as_new, filter, "audit: events of the inbox were replayed");
            }
            Verb::Discard => {
                tracing::warn!(%client, token, reason, matched, changed, filter, "audit: events of the inbox were discarded");
            }
            Verb::Move => {
                tracing::warn!(%client, token, reason, matched, changed, to, filter, "audit: events of the inbox were moved");
            }
        }
    }

    /// Where events are moved to; empty where none are.
    fn destination<'s>(
        &self,
        verb: Verb,
        selection: &'s Selection,
    ) -> Result<&'s str, Box<HttpReply>> {
        match (verb, selection.to.as_deref()) {
            (Verb::Move, Some(to)) => {
                let stats = self.inbox.stats();
                let known = stats.destinations.iter().any(|one| one.is_configured && one.to == to);
                known.then_some(to).ok_or_else(|| {
                    Box::new(fault(404, &format!("there is no upstream called {}", printable(to))))
                })
            }
            (Verb::Move, None) => {
                Err(Box::new(fault(400, "state to: the upstream that gets the events")))
            }
            (_, Some(_)) => Err(Box::new(fault(400, "to is for a move"))),
            (_, None) => Ok(""),
        }
    }

    /// Those whose event the destination cannot have yet, as far as the store of claims knows: it
    /// must not get one twice.
    async fn unknown_to(&self, seqs: Vec<u64>, to: &str) -> Result<Vec<Listed>, String> {
        let mut unknown = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let listed = self.inbox.show(seq).await.map_err(|why| why.to_string())?;
            let Some(listed) = listed else { continue };
            if !self.backend.may_be_there(&listed.source, &listed.id, to).await? {
                unknown.push(listed);
            }
        }
        Ok(unknown)
    }

    /// The numbers that are meant. Discarded entries are past changing, and only what waits is moved.
    async fn select(&self, verb: Verb, selection: &Selection) -> Result<Vec<u64>, HttpReply> {
        let filter = match (&selection.seq, &selection.filter) {
            (Some(seqs), None) => {
                let existing = self.inbox.existing(seqs.clone()).await;
                return existing.map_err(|why| not_durable(&why));
            }
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
        if verb == Verb::Move {
            return self.select_waiting(narrowed).await;
        }
        let refused = |why: ChangeError| not_durable(&why);
        let mut seqs = self.inbox.select(narrowed.clone()).await.map_err(refused)?;
        if narrowed.state.is_none() {
            let discarded = Filter { state: Some(EntryState::Discarded), ..narrowed };
            let discarded = self.inbox.select(discarded).await.map_err(refused)?;
            let discarded: HashSet<u64> = discarded.into_iter().collect();
            seqs.retain(|seq| !discarded.contains(seq));
        }
        Ok(seqs)
    }

    async fn select_waiting(&self, filter: Filter) -> Result<Vec<u64>, HttpReply> {
        let states = match filter.state {
            None => vec![EntryState::Ready, EntryState::Waiting],
            Some(state @ (EntryState::Ready | EntryState::Waiting)) => vec![state],
            Some(_) => return Err(fault(400, "only events that wait are moved: ready or waiting")),
        };
        let mut seqs = Vec::new();
        for state in states {
            let of_state = Filter { state: Some(state), ..filter.clone() };
            let found = self.inbox.select(of_state).await;
            seqs.extend(found.map_err(|why| not_durable(&why))?);
        }
        // One that became ready meanwhile is counted once.
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    }
}
