//! What a server knows, for another store, and the other way.

use super::{ALIAS, Call, EVENT, RedisStore, count, millis, reply, short};
use crate::transfer::{Bookmark, KnownFact, KnownPage, Moved};
use crate::{ClaimKey, Standing, StoreError};
use std::time::Duration;

/// One stretch of a server's keys: where the next one starts, and of each key its name, its value and
/// the ms until it expires.
type Stretch = (String, Vec<(String, String, i64)>);

/// Keys of one import.
const AT_ONCE: usize = 500;

impl RedisStore {
    /// Events first, then the names of events; a stretch of the server's keys is a page.
    pub(super) async fn export_page(
        &self,
        from: &Bookmark,
        within: Duration,
    ) -> Result<KnownPage, StoreError> {
        let (is_events, start) = (from.table == 0, self.start(from.table));
        let cursor = match std::str::from_utf8(&from.at) {
            Ok("") | Err(_) => "0",
            Ok(cursor) => cursor,
        };
        let mut script = self.scripts.export.prepare_invoke();
        script.arg(cursor).arg(count::pattern(&start));
        let (next, found): Stretch = self.read(self.call(Call::Script(&script), within).await?)?;
        let mut page = KnownPage::default();
        for (name, value, left) in &found {
            // What has a longer name is somebody else's.
            let Some(key) = name.strip_prefix(&start).and_then(key) else { continue };
            let left = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
            if is_events {
                self.know(&mut page, key, value, left)?;
            } else if let Some(to) = value.strip_prefix(&self.start(0)).and_then(self::key) {
                page.known.push(KnownFact::Alias { alias: key, to, left });
            }
        }
        page.next = match (next.as_str(), is_events) {
            ("0", true) => Some(from.after(None)),
            ("0", false) => None,
            _ => Some(Bookmark { table: from.table, at: next.into_bytes() }),
        };
        Ok(page)
    }

    fn know(
        &self,
        page: &mut KnownPage,
        key: ClaimKey,
        value: &str,
        left: Duration,
    ) -> Result<(), StoreError> {
        let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        match reply::standing(value, millis) {
            Some(Standing::Delivered { since, fingerprint }) => {
                // The last instant is included.
                let left = left.saturating_sub(Duration::from_millis(1));
                page.known.push(KnownFact::Delivered { key, since, fingerprint, left });
            }
            Some(Standing::Uncertain { since, left, note }) => {
                page.known.push(KnownFact::Uncertain { key, since, left, note });
            }
            Some(Standing::InFlight { .. }) => page.in_flight += 1,
            Some(_) => {}
            None => {
                let what = "holds a value that is not ours; is the prefix shared?";
                return Err(self.problem(what));
            }
        }
        Ok(())
    }

    pub(super) async fn import_all(
        &self,
        known: &[KnownFact],
        within: Duration,
    ) -> Result<Moved, StoreError> {
        let mut new = Moved::default();
        for known in known.chunks(AT_ONCE) {
            let mut script = self.scripts.import.prepare_invoke();
            for one in known {
                let (name, value, keep) = self.written(one);
                script.key(name).arg(value).arg(millis(keep));
            }
            let replies: Vec<i64> = self.read(self.call(Call::Script(&script), within).await?)?;
            if replies.len() != known.len() {
                return Err(self.problem("did not say what of it was new"));
            }
            for (one, is_new) in known.iter().zip(replies) {
                if is_new == 1 {
                    new.count(one);
                }
            }
        }
        Ok(new)
    }

    /// The name, the value, and how long it is kept.
    fn written(&self, known: &KnownFact) -> (String, String, Duration) {
        match known {
            KnownFact::Delivered { key, since, fingerprint, left } => {
                let keep = left.saturating_add(Duration::from_millis(1));
                (self.name(*key), format!("d {} {fingerprint}", since.0), keep)
            }
            KnownFact::Uncertain { key, since, left, note } => {
                (self.name(*key), format!("u {} {}", since.0, short(note)), *left)
            }
            KnownFact::Alias { alias, to, left } => {
                (self.alias_name(*alias), self.name(*to), *left)
            }
        }
    }

    fn start(&self, table: u8) -> String {
        format!("{}{}", self.prefix, if table == 0 { EVENT } else { ALIAS })
    }
}

/// The key of 32 hexadecimal digits.
fn key(text: &str) -> Option<ClaimKey> {
    let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_ours.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    Some(ClaimKey::from_bytes(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let known = ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into());
        assert_eq!(key(&known.to_string()), Some(known));
        for text in ["", "12", "+0000000000000000000000000000001", "trial-1"] {
            assert_eq!(key(text), None, "{text}");
        }
    }
}
