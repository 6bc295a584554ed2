//! What is claimed, in 16 bytes.

use hookward_names::{EventId, SourceName, UpstreamName};
use sha2::{Digest, Sha256};
use std::fmt;

/// One event for one destination, or another name of it.
///
/// The first 128 bits of a SHA-256, so that a million ids need little memory, and an id of 512
/// bytes needs no more than a short one. If two different ids collided, one of them would be a
/// duplicate: by chance that takes about 2⁶⁴ ids, and as much work for a sender who tries. The hash
/// has no key, so a file or a Redis gives the same answer after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey([u8; 16]);

impl ClaimKey {
    /// The key of (source, event id, destination).
    ///
    /// ```
    /// use hookward_claims::ClaimKey;
    /// use hookward_names::{EventId, SourceName, UpstreamName};
    /// let (source, id, to) =
    ///     (SourceName::from("shop"), EventId::from("1"), UpstreamName::from("erp"));
    /// let key = ClaimKey::of(&source, &id, &to);
    /// ```
    ///
    /// Each argument has its own type, so their order cannot be mixed up:
    ///
    /// ```compile_fail,E0308
    /// # use hookward_claims::ClaimKey;
    /// # use hookward_names::{EventId, SourceName, UpstreamName};
    /// # let (source, id, to) =
    /// #     (SourceName::from("shop"), EventId::from("1"), UpstreamName::from("erp"));
    /// let key = ClaimKey::of(&id, &source, &to);
    /// ```
    #[must_use]
    pub fn of(source: &SourceName, event_id: &EventId, destination: &UpstreamName) -> Self {
        Self::digest(b"event", source, event_id.as_str(), destination)
    }

    /// The key of another name of the same event. It never equals the key of an event id.
    #[must_use]
    pub fn of_alias(source: &SourceName, alias: &str, destination: &UpstreamName) -> Self {
        Self::digest(b"alias", source, alias, destination)
    }

    /// The key of an order of events; never that of an event.
    #[must_use]
    pub fn of_lane(source: &SourceName, order_key: &str, destination: &UpstreamName) -> Self {
        Self::digest(b"lane", source, order_key, destination)
    }

    /// A key that belongs to no event, for a trial.
    pub(super) fn of_trial() -> Self {
        Self(fastrand::u128(..).to_le_bytes())
    }

    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes; they look random.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A number that looks random, for distributing keys.
    pub(super) const fn last_byte(&self) -> u8 {
        self.0[15]
    }

    fn digest(kind: &[u8], source: &SourceName, id: &str, destination: &UpstreamName) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind);
        for part in [source.as_str(), id, destination.as_str()] {
            // With its length in front, no part can extend into the next.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
            *byte = hashed;
        }
        Self(bytes)
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies one claim on all instances: a settle with the fence of a superseded claim changes
/// nothing. The claimant chooses it, so that it can withdraw a claim whose answer it never got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence(pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ_wherever_a_part_differs_or_ends_elsewhere() {
        let keys: HashSet<ClaimKey> = [
            ClaimKey::of(&"shop".into(), &"1".into(), &"erp".into()),
            ClaimKey::of(&"shop".into(), &"1".into(), &"crm".into()),
            ClaimKey::of(&"shop".into(), &"2".into(), &"erp".into()),
            ClaimKey::of(&"sho".into(), &"p1".into(), &"erp".into()),
            ClaimKey::of(&"shop".into(), &"1e".into(), &"rp".into()),
            ClaimKey::of_alias(&"shop".into(), "1", &"erp".into()),
        ]
        .into();
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn a_key_is_the_same_in_every_process() {
        // Files and Redis hold keys: a changed digest would forget every delivered id.
        let key = ClaimKey::of(&"shop".into(), &"evt_1".into(), &"erp".into());
        assert_eq!(key.to_string(), "245368fe838695b12a92daa08d51c043");
    }
}
