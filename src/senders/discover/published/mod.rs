//! The scheme of a sender that publishes its keys, found out from one captured delivery and a public
//! key, a key set or a certificate.
//!
//! As for shared secrets, only a table that has been read back as configuration and has verified the
//! delivery is an answer. What the delivery says of its receiver (audience, issuer, whose event it is)
//! is pinned in the table, because with published keys a signature alone proves the sender, and not
//! that the delivery is meant for this receiver.

mod certificates;
mod key_file;
mod messages;
mod presets;
mod proposal;
mod question;
mod tokens;

#[cfg(test)]
mod tests;

pub use key_file::KeyFile;
pub use question::PublishedQuestion;

use super::found::FoundScheme;
use crate::request::RequestHead;

/// Whether the delivery carries a proof that tells its own algorithm: a token, or a signature of
/// RFC 9421.
pub(super) fn carries_one(head: &RequestHead, body: &[u8]) -> bool {
    !tokens::carried(head, body).is_empty() || head.headers.contains("signature-input")
}

/// Looks for one kind of proof, and adds why it found none.
type Attempt = fn(&PublishedQuestion<'_>, &mut Vec<String>) -> Option<FoundScheme>;

impl PublishedQuestion<'_> {
    /// The preset or the table that verifies the delivery.
    ///
    /// # Errors
    /// Why there is none, in sentences, the surest first.
    pub fn discover(&self) -> Result<FoundScheme, Vec<String>> {
        self.attempt(&[presets::find, tokens::find, messages::find, certificates::find])
    }

    /// As [`PublishedQuestion::discover`], for what is checked with a key of the configuration and
    /// is no plain signature.
    pub(super) fn discover_carried(&self) -> Result<FoundScheme, Vec<String>> {
        self.attempt(&[presets::find, tokens::find, messages::find])
    }

    fn attempt(&self, attempts: &[Attempt]) -> Result<FoundScheme, Vec<String>> {
        let mut why = Vec::new();
        for attempt in attempts {
            if let Some(found) = attempt(self, &mut why) {
                return Ok(found);
            }
        }
        if why.is_empty() {
            why.push(
                "the delivery has no token (JWT), no signature of RFC 9421, and no signature that \
                 this key made"
                    .to_owned(),
            );
        }
        let mut seen = std::collections::HashSet::new();
        why.retain(|reason| seen.insert(reason.clone()));
        Err(why)
    }
}
