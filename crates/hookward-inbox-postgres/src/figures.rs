//! What this process knows of the tables: counts of each destination, and pauses.

use crate::commons::{Commons, WITHIN, natural, number};
use hookward_inbox::{DestinationStats, Ends, Millis, Pause, Stats};
use std::collections::BTreeSet;
use tokio_postgres::Row;

const FIGURES: &str = "SELECT * FROM hookward.figures($1)";
const PAUSES: &str = "SELECT dest, starts, ends FROM hookward.pauses ORDER BY starts";

impl Commons {
    /// Reads which destinations are paused.
    pub(crate) async fn learn_pauses(&self) -> Result<(), String> {
        let rows = self.database.ask(PAUSES, &[], WITHIN).await;
        let rows = rows.map_err(|fault| fault.to_string())?;
        let pause = |row: &Row| {
            let time = |at: usize| row.try_get::<_, i64>(at).ok().map(natural);
            Some(Pause { to: row.try_get(0).ok()?, from: time(1)?, until: time(2)? })
        };
        self.local.lock().pauses = rows.iter().filter_map(pause).collect();
        Ok(())
    }

    /// Counts anew.
    pub(crate) async fn learn_figures(&self) -> Result<(), String> {
        let now = self.now();
        let rows = self.database.ask(FIGURES, &[&number(now)], WITHIN).await;
        let rows = rows.map_err(|fault| fault.to_string())?;
        let figures: Vec<_> = rows.iter().filter_map(|row| figures_of(row, now)).collect();
        let mut local = self.local.lock();
        local.bytes = figures.iter().map(|found| found.bytes).sum();
        local.figures = figures;
        Ok(())
    }

    /// Counts, as of the last look.
    pub(crate) fn stats(&self) -> Stats {
        let now = self.now();
        let local = self.local.lock();
        let mut names: BTreeSet<&str> = local.figures.iter().map(|found| &*found.to).collect();
        let own = local.destinations.iter();
        let is_of_use =
            own.filter(|(_, found)| found.policy.is_some() || found.ends != Ends::default());
        names.extend(is_of_use.map(|(to, _)| to.as_str()));
        names.extend(local.pauses.iter().filter(|pause| pause.holds_at(now)).map(|p| &*p.to));
        let mut stats = Stats { bytes: local.bytes, disk_bytes: local.bytes, ..Stats::default() };
        for to in names {
            let known = local.figures.iter().find(|found| found.to == to);
            let mut found = known.cloned().unwrap_or_else(|| nothing_at(to));
            let pause = local.pauses.iter().rev().find(|p| p.to == to && p.holds_at(now));
            found.paused = pause.is_some();
            found.paused_until = pause.map(|pause| pause.until).filter(|until| *until != 0);
            found.due_since = found.due_since.filter(|_| pause.is_none());
            let own = local.destinations.get(to);
            found.is_configured = own.is_some_and(|own| own.policy.is_some());
            found.ends = own.map(|own| own.ends).unwrap_or_default();
            let all = [
                found.ready,
                found.waiting,
                found.in_flight,
                found.dead,
                found.delivered,
                found.discarded,
            ];
            stats.entries += usize::try_from(all.iter().sum::<u64>()).unwrap_or(usize::MAX);
            stats.destinations.push(found);
        }
        stats
    }

    /// Whether a destination is paused, as of the last look.
    pub(crate) fn is_paused(&self, to: &str) -> bool {
        let now = self.now();
        self.local.lock().pauses.iter().any(|pause| pause.to == to && pause.holds_at(now))
    }
}

fn nothing_at(to: &str) -> DestinationStats {
    DestinationStats {
        to: to.to_owned(),
        ready: 0,
        waiting: 0,
        in_flight: 0,
        dead: 0,
        delivered: 0,
        discarded: 0,
        bytes: 0,
        oldest_accepted_at: None,
        due_since: None,
        paused: false,
        paused_until: None,
        lanes_blocked: 0,
        is_configured: false,
        ends: Ends::default(),
    }
}

fn figures_of(row: &Row, now: Millis) -> Option<DestinationStats> {
    let count = |at: usize| row.try_get::<_, i64>(at).ok().map(natural);
    let maybe = |at: usize| row.try_get::<_, Option<i64>>(at).ok().flatten().map(natural);
    let to: String = row.try_get(0).ok()?;
    Some(DestinationStats {
        ready: count(1)?,
        waiting: count(2)?,
        in_flight: count(3)?,
        dead: count(4)?,
        delivered: count(5)?,
        discarded: count(6)?,
        bytes: maybe(7).unwrap_or(0),
        oldest_accepted_at: maybe(8),
        due_since: maybe(9).map(|overdue| now.saturating_sub(overdue)),
        lanes_blocked: count(10)?,
        ..nothing_at(&to)
    })
}
