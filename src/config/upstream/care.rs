//! The settings of an upstream for failing addresses.

use crate::config::forms::{count, needs};
use hookward_settings::keys::{TableKeys, key, required};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::RequestPath;
use std::time::Duration;

/// `[upstreams.NAME].balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    RoundRobin,
    /// The one with the fewest events under way.
    LeastPending,
}

/// `[upstreams.NAME].health`: a `GET` that every address must answer with 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path to request.
    pub path: String,
    /// From one check to the next.
    pub interval: Duration,
    /// One check.
    pub timeout: Duration,
    /// How many good checks in a row make an address healthy.
    pub healthy_after: u32,
    /// How many bad checks in a row make it unhealthy.
    pub unhealthy_after: u32,
}

/// `[upstreams.NAME].eject_after` and `eject_for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// How many failed exchanges in a row take an address out.
    pub after: u32,
    /// For how long.
    pub period: Duration,
}

/// `[upstreams.NAME].breaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// How many failed exchanges in a row, over all addresses, open it.
    pub failures: u32,
    /// How long every event is answered at once; then one is tried.
    pub open_for: Duration,
}

pub(crate) static HEALTH_KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME.health]",
    about: "A `GET` that every address must answer with 2xx.",
    keys: &[
        required("path", "path", "The path to request."),
        key("interval", "duration", r#""5s""#, "Time from one check to the next."),
        key("timeout", "duration", r#""2s""#, "How long one check may take."),
        key("healthy_after", "integer", "2", "Good checks in a row to become healthy again."),
        key("unhealthy_after", "integer", "3", "Bad checks in a row to become unhealthy."),
    ],
};

pub(crate) static BREAKER_KEYS: TableKeys = TableKeys {
    title: "[upstreams.NAME.breaker]",
    about: "While the breaker is open, events are answered 503 with `Retry-After` at once.",
    keys: &[
        key("failures", "integer", "5", "Failed exchanges in a row, over all addresses."),
        key("open_for", "duration", r#""10s""#, "How long it stays open before a trial event."),
    ],
};

pub(super) fn balance(item: &Item<'_>) -> Option<Balance> {
    item.choice(&[("round-robin", Balance::RoundRobin), ("least-pending", Balance::LeastPending)])
}

pub(super) fn health(item: &Item<'_>) -> Option<HealthCheck> {
    let table = item.table(&HEALTH_KEYS)?;
    let path = table.require("path", "the path of a health check, such as \"/healthz\"");
    let path = path.and_then(|item| item.form::<RequestPath>());
    let duration = |name, seconds| {
        let stated = table.get(name).and_then(|item| item.form());
        stated.unwrap_or(Duration::from_secs(seconds))
    };
    let threshold =
        |name, default| table.get(name).and_then(|item| count(&item)).unwrap_or(default);
    Some(HealthCheck {
        interval: duration("interval", 5),
        timeout: duration("timeout", 2),
        healthy_after: threshold("healthy_after", 2),
        unhealthy_after: threshold("unhealthy_after", 3),
        path: path?.0,
    })
}

pub(super) fn ejection(table: &TableReader<'_>) -> Option<Ejection> {
    let period = table.get("eject_for").and_then(|item| item.form());
    needs(table, "eject_for", "eject_after");
    let after = table.get("eject_after").and_then(|item| count(&item))?;
    Some(Ejection { after, period: period.unwrap_or(Duration::from_secs(10)) })
}

pub(super) fn breaker(item: &Item<'_>) -> Option<Breaker> {
    let table = item.table(&BREAKER_KEYS)?;
    let failures = table.get("failures").and_then(|item| count(&item));
    let open_for = table.get("open_for").and_then(|item| item.form());
    Some(Breaker {
        failures: failures.unwrap_or(5),
        open_for: open_for.unwrap_or(Duration::from_secs(10)),
    })
}
