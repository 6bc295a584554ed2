//! Entries that are moved to another destination, many in one transaction.

use crate::changing::READ;
use crate::commons::{Commons, Uuid, WITHIN, number, span, uuid};
use crate::entry::EntryRow;
use crate::sealing::open_name;
use hookward_claims::ClaimKey;
use hookward_inbox::{ChangeError, Millis};
use hookward_names::{EventId, SourceName, UpstreamName};
use std::time::Duration;

const IN_ORDER: &str = "SELECT seq FROM hookward.entries WHERE seq = ANY ($1) ORDER BY place";
const MOVE: &str = "SELECT hookward.move_entries($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// So many entries are moved in one transaction; each needs a few locks of the server.
const AT_ONCE: usize = 200;

/// What the server is told of the entries, one array for each column.
#[derive(Default)]
struct MoveColumns {
    seqs: Vec<i64>,
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
    keys: Vec<Uuid>,
    aliases: Vec<Option<Uuid>>,
    lanes: Vec<Option<Uuid>>,
}

impl Commons {
    /// Moves entries that wait to another destination, where each is due now, with a budget of its
    /// own and a new number; how many were moved. One that does not wait, or whose event that
    /// destination has, stays as it is.
    pub(crate) async fn move_to(
        &self,
        seqs: Vec<u64>,
        to: &str,
        by: &str,
    ) -> Result<usize, ChangeError> {
        let seqs: Vec<i64> = seqs.into_iter().map(number).collect();
        let rows = self.change(IN_ORDER, &[&seqs]).await?;
        // The first of a key first, so that none is overtaken on its way.
        let seqs: Vec<i64> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        let mut moved = 0;
        for some in seqs.chunks(AT_ONCE) {
            let rows = self.change(READ, &[&some]).await?;
            let entries = rows.iter().filter_map(EntryRow::of).collect();
            let MoveColumns { seqs, before, after, keys, aliases, lanes } =
                self.moves(entries, to, by, self.now());
            let (wall, within) = (number(self.now()), span(WITHIN));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
                [&seqs, &before, &after, &keys, &aliases, &lanes, &to, &wall, &within];
            let rows = self.change(MOVE, &values).await?;
            let count: i32 = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
            moved += usize::try_from(count).unwrap_or(0);
        }
        self.wake.notify_waiters();
        Ok(moved)
    }

    /// How the entries are known at the other destination. One whose name no key opens stays.
    fn moves(&self, entries: Vec<EntryRow>, to: &str, by: &str, now: Millis) -> MoveColumns {
        let to = UpstreamName::from(to);
        let mut columns = MoveColumns::default();
        for mut entry in entries {
            let Ok(name) = open_name(self.keys.as_ref(), &entry.name) else { continue };
            let source = SourceName::from(&*entry.source);
            entry.progress.moved(now, &entry.to, by);
            // Where it was it counts as delivered for as long.
            self.database.will_keep(Duration::from_millis(entry.ttl));
            let key = ClaimKey::of(&source, &EventId::from(&*name.id), &to);
            let alias = name.alias.map(|alias| ClaimKey::of_alias(&source, &alias, &to));
            let lane = name.order_key.map(|key| ClaimKey::of_lane(&source, &key, &to));
            columns.seqs.push(number(entry.seq));
            columns.before.push(entry.written);
            columns.after.push(entry.progress.to_bytes());
            columns.keys.push(uuid(key));
            columns.aliases.push(alias.map(uuid));
            columns.lanes.push(lane.map(uuid));
        }
        columns
    }
}
