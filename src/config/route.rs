//! `[[sources.NAME.routes]]`: event types and where they go.

use super::dedupe::StoreSettings;
use crate::delivery::route::{DeliveryMode, OnDead, Route, TypeGlob, UpstreamName};
use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, key, optional, required};
use hookward_settings::problem::{Problem, Severity, nearest};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::RequestPath;

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[[sources.NAME.routes]]",
    about: "Which events go where. Routes are tried in order, and the first match wins.",
    keys: &[
        required(
            "events",
            "list of patterns",
            "Event types. `*` matches any run of characters, including `.`.",
        ),
        required(
            "to",
            "list of upstreams",
            "Each gets its own copy and its own claim, so that only failed copies are sent again.",
        ),
        optional(
            "path",
            "path",
            "the path of the upstream's URL if it has one, otherwise the path that the sender used",
            "The path to request.",
        ),
        key(
            "delivery",
            "word",
            r#""sync""#,
            "`sync`: while the sender waits, and nothing is stored; `spill`: the same, but what does \
             not succeed is stored and sent later; `queued`: stored first. `spill` and `queued` need \
             `store = \"disk\"` or `\"postgres\"`; see [inbox.md](inbox.md).",
        ),
        optional(
            "order_key",
            "place",
            "no order",
            "`spill` and `queued`: events with the same text at this place reach an upstream in \
             the order in which they were accepted.",
        ),
        key(
            "on_dead",
            "word",
            r#""skip""#,
            "With `order_key`: after an event was given up, `skip` lets later events of its key \
             continue; `hold` makes them wait until it is replayed or discarded.",
        ),
    ],
};

/// Reads the routes of a source. `upstreams`: every name that a route may send to.
pub(super) fn read(item: &Item<'_>, upstreams: &[&str], store: &StoreSettings) -> Vec<Route> {
    let allowed = "tables such as [[sources.NAME.routes]]";
    let Some(items) = item.list(allowed) else { return Vec::new() };
    let mut routes: Vec<Route> = Vec::new();
    for item in &items {
        let Some(table) = item.table(&KEYS) else { continue };
        let events = table.require("events", "a list of event types such as [\"order.*\"]");
        let events = events.and_then(|item| globs(&item, &routes));
        let to = table.require("to", "a list of upstreams such as [\"erp\"]");
        let to = to.and_then(|item| destinations(&item, upstreams));
        let path = table.get("path").and_then(|item| item.form::<RequestPath>());
        let delivery = delivery(&table, store);
        let order_key = table.get("order_key").and_then(|item| item.form());
        let on_dead = table
            .get("on_dead")
            .and_then(|item| item.choice(&[("skip", OnDead::Skip), ("hold", OnDead::Hold)]));
        routes.extend(events.zip(to).map(|(events, to)| Route {
            events,
            to,
            path: path.map(|path| path.0),
            delivery,
            order_key,
            on_dead: on_dead.unwrap_or_default(),
        }));
    }
    routes
}

fn delivery(table: &TableReader<'_>, store: &StoreSettings) -> DeliveryMode {
    let words = [
        ("sync", DeliveryMode::Sync),
        ("spill", DeliveryMode::Spill),
        ("queued", DeliveryMode::Queued),
    ];
    let stated = table.get("delivery");
    let chosen = stated.as_ref().map_or(Some(DeliveryMode::Sync), |item| item.choice(&words));
    if chosen == Some(DeliveryMode::Sync) {
        for name in ["order_key", "on_dead"] {
            // A key that is set to its default cannot be wrong.
            let is_default = matches!(
                table.get(name).map(|item| &item.node.value),
                Some(Value::Text(text)) if name == "on_dead" && text == "skip"
            );
            if let Some(item) = table.get(name)
                && !is_default
            {
                item.contradicts("has no effect without `delivery = \"spill\"` or \"queued\"");
            }
        }
    } else if let Some(item) = stated.filter(|_| !store.holds_inbox())
        && chosen.is_some()
    {
        item.contradicts(format!(
            "stores events, which takes `store = \"disk\"` or `store = \"postgres\"` in [dedupe]; it is \
             \"{}\"",
            store.name()
        ));
    }
    chosen.unwrap_or_default()
}

fn globs(item: &Item<'_>, earlier: &[Route]) -> Option<Vec<TypeGlob>> {
    let allowed = "a list of event types such as [\"order.*\", \"review.created\"]";
    let items = item.list(allowed)?;
    if items.is_empty() {
        item.refuse("empty: the route matches nothing", allowed);
        return None;
    }
    let mut globs = Vec::new();
    let mut shadowed = Vec::new();
    for item in &items {
        let Some(text) = item.text("an event type such as \"order.created\" or \"order.*\"") else {
            continue;
        };
        if text.is_empty() {
            item.refuse("empty", "an event type such as \"order.created\" or \"order.*\"");
            continue;
        }
        let glob = TypeGlob::new(text);
        let covering = earlier.iter().enumerate().find_map(|(index, route)| {
            let cover = route.events.iter().find(|cover| cover.covers(&glob))?;
            Some(format!("routes[{index}] already takes all of it, with {:?}", cover.as_str()))
        });
        shadowed.extend(covering.map(|covering| (item, covering)));
        globs.push(glob);
    }
    let all = shadowed.len() == globs.len();
    for (item, covering) in shadowed {
        let (severity, rest) = if all {
            (Severity::Error, "; this route never gets an event")
        } else {
            (Severity::Warning, "; the pattern has no effect here")
        };
        item.reading.note(item.problem(severity, format!("{covering}{rest}")));
    }
    Some(globs)
}

fn destinations(item: &Item<'_>, upstreams: &[&str]) -> Option<Vec<UpstreamName>> {
    let allowed = "a list of upstreams such as [\"erp\"]";
    let items = item.list(allowed)?;
    if items.is_empty() {
        item.refuse("empty: the events would go nowhere", allowed);
        return None;
    }
    let mut names: Vec<UpstreamName> = Vec::new();
    for item in &items {
        let Some(name) = item.text("the name of an [upstreams.NAME] table") else { continue };
        if !upstreams.contains(&name) {
            item.reading.note(unknown(item, name, upstreams));
        } else if names.iter().any(|known| known.as_str() == name) {
            item.contradicts("listed twice");
        }
        names.push(UpstreamName::from(name));
    }
    Some(names)
}

fn unknown(item: &Item<'_>, name: &str, upstreams: &[&str]) -> Problem {
    let near = nearest(name, upstreams.iter().copied());
    let allowed = if upstreams.is_empty() {
        "none, because there is no [upstreams.NAME] table".to_owned()
    } else {
        upstreams.join(", ")
    };
    item.problem(Severity::Error, "no such upstream")
        .suggestion(near.map(|near| format!("{near:?}")))
        .allowed(allowed)
}

/// A name of a source or an upstream. It appears in headers, metric labels, the log and the keys of
/// the dedupe store.
pub(super) fn check_name(table: &TableReader<'_>, name: &str) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let allowed = "1 to 64 letters, digits, `_` and `-`";
        table.note(Severity::Error, "", "not a name", Some(allowed));
    }
}
