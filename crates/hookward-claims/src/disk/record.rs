//! What the disk store writes down: one change of one key.

use crate::ClaimKey;
use crate::delivered::DeliveredId;
use hookward_time::UnixMillis;

/// Bytes of a record: a tag, four numbers and a key, for every kind of record.
pub(super) const RECORD_BYTES: usize = 41;

/// One change. Times are wall time, the only kind that outlives a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JournalRecord {
    /// Delivered, and remembered through `until`.
    Delivered { key: ClaimKey, delivery: DeliveredId, until: UnixMillis },
    /// Uncertain until `until`.
    Uncertain { key: ClaimKey, since: UnixMillis, until: UnixMillis },
    /// Absent again.
    Forgotten { key: ClaimKey },
    /// Another name of `to`, kept through `until`.
    Link { alias: ClaimKey, to: ClaimKey, until: UnixMillis },
}

impl JournalRecord {
    /// Its bytes; fields without a value are zero.
    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let (tag, key, first, second, until) = match self {
            Self::Delivered { key, delivery: DeliveredId { since, fingerprint }, until } => {
                (1, key, since.0.to_le_bytes(), fingerprint.to_le_bytes(), until)
            }
            Self::Uncertain { key, since, until } => (2, key, since.0.to_le_bytes(), [0; 8], until),
            Self::Forgotten { key } => (3, key, [0; 8], [0; 8], UnixMillis(0)),
            Self::Link { alias, to, until } => {
                let (first, second) = halves(to);
                (4, alias, first, second, until)
            }
        };
        let mut bytes = [0; RECORD_BYTES];
        let until = until.0.to_le_bytes();
        let mut rest = bytes.as_mut_slice();
        for part in [&[tag][..], key.as_bytes(), &first, &second, &until] {
            if let Some(place) = rest.split_off_mut(..part.len()) {
                place.copy_from_slice(part);
            }
        }
        bytes
    }

    /// The record of these bytes, if they are one.
    pub(super) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_first_chunk::<16>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (second, rest) = rest.split_first_chunk::<8>()?;
        let key = ClaimKey::from_bytes(*key);
        let since = UnixMillis(i64::from_le_bytes(*first));
        let until = UnixMillis(i64::from_le_bytes(*rest.first_chunk()?));
        Some(match tag {
            1 => {
                let fingerprint = u64::from_le_bytes(*second);
                Self::Delivered { key, delivery: DeliveredId { since, fingerprint }, until }
            }
            2 => Self::Uncertain { key, since, until },
            3 => Self::Forgotten { key },
            4 => Self::Link { alias: key, to: joined(*first, *second), until },
            _ => return None,
        })
    }
}

fn halves(key: ClaimKey) -> ([u8; 8], [u8; 8]) {
    let whole = u128::from_le_bytes(*key.as_bytes());
    let mut halves = ([0; 8], [0; 8]);
    for (half, bits) in [(&mut halves.0, whole), (&mut halves.1, whole >> 64)] {
        for (byte, value) in half.iter_mut().zip(bits.to_le_bytes()) {
            *byte = value;
        }
    }
    halves
}

fn joined(first: [u8; 8], second: [u8; 8]) -> ClaimKey {
    let whole =
        u128::from(u64::from_le_bytes(first)) | u128::from(u64::from_le_bytes(second)) << 64;
    ClaimKey::from_bytes(whole.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_survives_its_bytes() {
        let (key, to) = (
            ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()),
            ClaimKey::of(&"shop".into(), &"2".into(), &"erp".into()),
        );
        let (since, until) = (UnixMillis(-5), UnixMillis(i64::MAX));
        for record in [
            JournalRecord::Delivered {
                key,
                delivery: DeliveredId { since, fingerprint: u64::MAX },
                until,
            },
            JournalRecord::Uncertain { key, since, until },
            JournalRecord::Forgotten { key },
            JournalRecord::Link { alias: key, to, until },
        ] {
            assert_eq!(JournalRecord::from_bytes(&record.to_bytes()), Some(record));
        }
        assert_eq!(JournalRecord::from_bytes(&[0; RECORD_BYTES]), None);
    }
}
