//! What a database knows, for another store, and the other way.

use super::asking::{Asking, MOST_ATTEMPTS};
use super::fault::{Remedy, ServerFault};
use super::session::StatementKind;
use super::value::{DELIVERED, Id, UNCERTAIN, millis, short};
use crate::StoreError;
use crate::transfer::{Bookmark, KnownFact, KnownPage, Moved, PAGE};
use hookward_time::UnixMillis;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The newest row of each key, in the order of the keys, and the ms until it expires.
const STANDINGS: &str = "SELECT DISTINCT ON (key) key, kind, since, fingerprint, \
     floor(extract(epoch FROM expires - clock_timestamp()) * 1000)::bigint, note \
     FROM hookward.standings WHERE key > $1 AND leaves > clock_timestamp() AND kind <> 'x' \
     ORDER BY key, number DESC LIMIT $2";

/// The same of other names.
const ALIASES: &str = "SELECT DISTINCT ON (alias) alias, key, \
     floor(extract(epoch FROM leaves - clock_timestamp()) * 1000)::bigint \
     FROM hookward.aliases WHERE alias > $1 AND leaves > clock_timestamp() \
     ORDER BY alias, number DESC LIMIT $2";

/// Takes over standings: keys, kinds, since, fingerprints, ms left, notes. A row of `judged` is asked
/// for only once the locks of all keys are held, and sees what was committed before.
const TAKE_STANDINGS: &str = "WITH locks AS MATERIALIZED (SELECT hookward.lock_keys($1::uuid[])), \
     judged AS MATERIALIZED (SELECT a.*, clock_timestamp() AS moment, \
         CASE WHEN (SELECT count(*) FROM locks) > 0 \
             THEN hookward.newest(a.key, clock_timestamp()) END AS found \
         FROM unnest($1::uuid[], $2::\"char\"[], $3::bigint[], $4::bigint[], $5::bigint[], \
             $6::text[]) AS a (key, kind, since, body, ms, note)) \
     INSERT INTO hookward.standings (fence, since, fingerprint, expires, leaves, key, kind, note) \
     SELECT 0, since, body, moment + ms * interval '1 ms', \
         greatest(moment + ms * interval '1 ms', (found).leaves, moment + interval '1 min'), \
         key, kind, note \
     FROM judged WHERE NOT hookward.stands(found, moment) OR kind = 'd' AND (found).kind = 'u' \
     RETURNING kind";

/// Takes over other names that are not taken: names, keys, ms left.
const TAKE_ALIASES: &str = "INSERT INTO hookward.aliases (leaves, alias, key) \
     SELECT clock_timestamp() + a.ms * interval '1 ms', a.alias, a.key \
     FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS a (alias, key, ms) \
     WHERE NOT EXISTS (SELECT FROM hookward.aliases AS b \
         WHERE b.alias = a.alias AND b.leaves > clock_timestamp()) RETURNING 1";

impl Asking {
    /// Standings first, then other names.
    pub(super) async fn export(
        &self,
        from: &Bookmark,
        within: Duration,
    ) -> Result<KnownPage, StoreError> {
        let (after, most) = (Id(from.key()), i64::try_from(PAGE).unwrap_or(i64::MAX));
        let text = if from.table == 0 { STANDINGS } else { ALIASES };
        let rows = self.run(text, &[&after, &most], within).await?;
        let mut page = KnownPage::default();
        for row in &rows {
            let read =
                if from.table == 0 { standing(row, &mut page) } else { alias(row, &mut page) };
            read.ok_or_else(|| self.unreadable())?;
        }
        let last = rows.last().filter(|_| rows.len() == PAGE);
        let last = last.and_then(|row| row.try_get::<_, Id>(0).ok()).map(|Id(key)| key);
        page.next = Some(from.after(last)).filter(|next| next.table < 2);
        Ok(page)
    }

    pub(super) async fn import(
        &self,
        known: &[KnownFact],
        within: Duration,
    ) -> Result<Moved, StoreError> {
        let mut standings = Standings::default();
        let mut aliases = (Vec::new(), Vec::new(), Vec::new());
        for known in known {
            let (KnownFact::Delivered { left, .. }
            | KnownFact::Uncertain { left, .. }
            | KnownFact::Alias { left, .. }) = known;
            let left = millis(*left);
            self.longest.note(left.unsigned_abs());
            match known {
                KnownFact::Delivered { key, since, fingerprint, .. } => {
                    let body = fingerprint.cast_signed();
                    standings.push(Id(*key), DELIVERED, *since, body, left, String::new());
                }
                KnownFact::Uncertain { key, since, note, .. } => {
                    standings.push(Id(*key), UNCERTAIN, *since, 0, left, short(note));
                }
                KnownFact::Alias { alias, to, .. } => {
                    aliases.0.push(Id(*alias));
                    aliases.1.push(Id(*to));
                    aliases.2.push(left);
                }
            }
        }
        let mut new = Moved::default();
        if !standings.keys.is_empty() {
            let Standings { keys, kinds, since, bodies, left, notes } = &standings;
            let values: [&(dyn ToSql + Sync); 6] = [keys, kinds, since, bodies, left, notes];
            for row in self.run(TAKE_STANDINGS, &values, within).await? {
                match row.try_get(0).map_err(|_| self.unreadable())? {
                    DELIVERED => new.delivered += 1,
                    _ => new.uncertain += 1,
                }
            }
        }
        if !aliases.0.is_empty() {
            let values: [&(dyn ToSql + Sync); 3] = [&aliases.0, &aliases.1, &aliases.2];
            let taken = self.run(TAKE_ALIASES, &values, within).await?;
            new.aliases = u64::try_from(taken.len()).unwrap_or(u64::MAX);
        }
        Ok(new)
    }

    /// Runs a statement, again where that may help, all of it `within`.
    async fn run(
        &self,
        text: &str,
        values: &[&(dyn ToSql + Sync)],
        within: Duration,
    ) -> Result<Vec<Row>, StoreError> {
        let attempts = async {
            let mut left = MOST_ATTEMPTS;
            loop {
                left -= 1;
                let once = async { self.pool.session().await?.run(text, values).await };
                let fault: ServerFault = match once.await {
                    Ok(rows) => return Ok(rows),
                    Err(fault) => fault,
                };
                match fault.remedy {
                    Remedy::Repeat | Remedy::Reconnect if left > 0 => {}
                    Remedy::MakeRoom if left > 0 => {
                        self.ask(StatementKind::MakeRoom, &[&self.longest.reach()], within).await?;
                    }
                    _ => return Err(self.problem(fault.problem)),
                }
            }
        };
        let late = || self.problem(format_args!("did not answer within {} ms", within.as_millis()));
        tokio::time::timeout(within, attempts).await.unwrap_or_else(|_| Err(late()))
    }
}

/// One column of each row.
#[derive(Default)]
struct Standings {
    keys: Vec<Id>,
    kinds: Vec<i8>,
    since: Vec<i64>,
    bodies: Vec<i64>,
    left: Vec<i64>,
    notes: Vec<String>,
}

impl Standings {
    fn push(&mut self, key: Id, kind: i8, since: UnixMillis, body: i64, left: i64, note: String) {
        self.keys.push(key);
        self.kinds.push(kind);
        self.since.push(since.0);
        self.bodies.push(body);
        self.left.push(left);
        self.notes.push(note);
    }
}

fn standing(row: &Row, page: &mut KnownPage) -> Option<()> {
    let Id(key) = row.try_get(0).ok()?;
    let kind: i8 = row.try_get(1).ok()?;
    let since = UnixMillis(row.try_get(2).ok()?);
    let fingerprint = row.try_get::<_, i64>(3).ok()?.cast_unsigned();
    // A row that has expired is there until its partition leaves.
    let Ok(left) = u64::try_from(row.try_get::<_, i64>(4).ok()?) else { return Some(()) };
    let left = Duration::from_millis(left);
    match kind {
        DELIVERED => page.known.push(KnownFact::Delivered { key, since, fingerprint, left }),
        UNCERTAIN => {
            let note = row.try_get(5).ok()?;
            page.known.push(KnownFact::Uncertain { key, since, left, note });
        }
        IN_FLIGHT => page.in_flight += 1,
        _ => {}
    }
    Some(())
}

/// The kind of a row that is in flight.
const IN_FLIGHT: i8 = b'f'.cast_signed();

fn alias(row: &Row, page: &mut KnownPage) -> Option<()> {
    let (Id(alias), Id(to)) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    let left = u64::try_from(row.try_get::<_, i64>(2).ok()?).ok()?;
    page.known.push(KnownFact::Alias { alias, to, left: Duration::from_millis(left) });
    Some(())
}
