//! The settings of an upstream for failing addresses.

use super::{BREAKER_KEYS, Balance, Breaker, Ejection, HEALTH_KEYS, HealthCheck, count, needs};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::value::RequestPath;
use std::time::Duration;

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
