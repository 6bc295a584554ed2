//! What a reload changed, by name.

use crate::delivery::source::{Source, SourceTable};
use crate::upstream::Upstreams;
use hookward_secret::NamedSecret;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

/// The names of sources that were added, removed or changed, and of those whose routes changed.
pub(super) fn between(before: &SourceTable, after: &SourceTable) -> Value {
    let name = |source: &Source| source.name.to_string();
    let missing_in =
        |table: &SourceTable, source: &Source| table.named(source.name.as_str()).is_none();
    let added: Vec<_> = after.iter().filter(|s| missing_in(before, s)).map(|s| name(s)).collect();
    let removed: Vec<_> = before.iter().filter(|s| missing_in(after, s)).map(|s| name(s)).collect();
    let both = || after.iter().filter_map(|new| Some((before.named(new.name.as_str())?, new)));
    let changed: Vec<_> =
        both().filter(|(old, new)| differ(old, new)).map(|(_, new)| name(new)).collect();
    let routes: Vec<_> = both()
        .filter(|(old, new)| format!("{:?}", old.routes) != format!("{:?}", new.routes))
        .map(|(_, new)| name(new))
        .collect();
    json!({
        "sources": { "added": added, "removed": removed, "changed": changed },
        "routes": { "changed": routes },
    })
}

/// The same with the upstreams.
pub(super) fn with_upstreams(mut told: Value, before: &Upstreams, after: &Upstreams) -> Value {
    let (added, removed, changed) = after.changes_since(before);
    let upstreams = json!({ "added": added, "removed": removed, "changed": changed });
    if let Some(members) = told.as_object_mut() {
        members.insert("upstreams".to_owned(), upstreams);
    }
    told
}

/// Whether anything in a source except its routes has changed. Its parts have no equality, but its
/// debug output contains everything except the secrets.
fn differ(old: &Source, new: &Source) -> bool {
    let facts = |source: &Source| {
        let Source {
            name: _,
            path,
            sender,
            unreadable,
            respond_within,
            answers,
            unrouted,
            mode,
            ..
        } = source;
        let Source { allow, rate_limit, pass_headers, capture, dedupe_ttl, .. } = source;
        let labels: Vec<&str> = sender.secrets.iter().map(|s| s.label.as_str()).collect();
        let scheme = (&sender.scheme, &sender.public_url, &sender.preset, sender.replay_guard);
        format!(
            "{path:?} {scheme:?} {labels:?} {unreadable:?} {respond_within:?} {answers:?} \
             {unrouted:?} {mode:?} {allow:?} {rate_limit:?} {pass_headers:?} {capture} {dedupe_ttl:?}"
        )
    };
    let same = |(one, other): (&NamedSecret, &NamedSecret)| {
        bool::from(one.text.expose().ct_eq(other.text.expose()))
    };
    let (old_secrets, new_secrets) = (&old.sender.secrets, &new.sender.secrets);
    facts(old) != facts(new) || !old_secrets.iter().zip(new_secrets).all(same)
}
