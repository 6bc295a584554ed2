//! Values in the form that the server uses.

use crate::{ClaimKey, Standing};
use hookward_time::UnixMillis;
use std::error::Error;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Characters of a note.
const LONGEST_NOTE: usize = 256;

/// A key as a `uuid`, the server's type for 16 bytes.
#[derive(Debug)]
pub(super) struct Id(pub(super) ClaimKey);

impl ToSql for Id {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(ClaimKey::from_bytes(raw.try_into()?)))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }
}

/// The kinds of rows that a claim can end in.
pub(super) const DELIVERED: i8 = b'd'.cast_signed();
pub(super) const UNCERTAIN: i8 = b'u'.cast_signed();
pub(super) const RELEASED: i8 = b'r'.cast_signed();

/// The state of a key from a row of `claim` or `forget`; `None` if it cannot be read.
pub(super) fn standing(row: &Row) -> Option<Standing> {
    let kind: Option<i8> = row.try_get(0).ok()?;
    let since = UnixMillis(row.try_get(1).ok()?);
    let fingerprint = row.try_get::<_, i64>(2).ok()?.cast_unsigned();
    let left = Duration::from_millis(u64::try_from(row.try_get::<_, i64>(3).ok()?).unwrap_or(0));
    let note: String = row.try_get(4).ok()?;
    Some(match kind.map(i8::cast_unsigned) {
        None => Standing::Absent,
        Some(b'c') => Standing::Claimed,
        Some(b'f') => Standing::InFlight { since },
        Some(b'd') => Standing::Delivered { since, fingerprint },
        Some(b'q') => Standing::Queued { since, fingerprint },
        Some(b'u') => Standing::Uncertain { since, left, note },
        Some(b'r') => Standing::Released { note },
        Some(_) => return None,
    })
}

/// A duration for the server: in ms, at least one, and at most what its calendar supports.
pub(super) fn millis(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 86_400_000;
    i64::try_from(duration.as_millis()).unwrap_or(CENTURY).clamp(1, CENTURY)
}

/// A note as it is stored. The server does not accept NUL in a text.
pub(super) fn short(note: &str) -> String {
    note.chars().filter(|character| *character != '\0').take(LONGEST_NOTE).collect()
}
