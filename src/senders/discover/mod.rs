//! Works out an unknown sender's scheme from one captured delivery and its secret.
//!
//! First it tries every preset. Then it compares everything in the request that could be a
//! signature with every text that could be signed, under every interpretation of the secret as a
//! key; each combination is hashed once and looked up. The result is written as the table that a
//! user would paste, read back as configuration, and checked by the code that checks live
//! deliveries: only a table that verifies the delivery is an answer.

mod candidates;
mod combinations;
mod envelope;
mod found;
mod naming;
mod obstacles;
mod published;
mod ranking;
mod search;
mod table;
mod texts;
mod trial;
mod urls;

#[cfg(test)]
mod tests;

pub use found::FoundScheme;
pub use obstacles::obstacles;
pub use published::{KeyFile, PublishedQuestion};
pub use table::MemberNames;
pub(crate) use table::signature_changes;

pub(crate) use ranking::presets as presets_by_trust;
pub(crate) use trial::{fits, preset_source, source_of};
pub(crate) use urls::public_urls;

use crate::request::RequestHead;
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use search::Search;

/// The scheme that `secret` made the request's signature under, as a table that uses `names`; `None`
/// if none of those that can be put together is it.
#[must_use]
pub fn discover(
    head: &RequestHead,
    body: &[u8],
    secret: &Secret,
    names: MemberNames<'_>,
) -> Option<FoundScheme> {
    let labelled = NamedSecret { label: "0".to_owned(), text: secret.clone() };
    let search = Search { head, body, secret: &labelled, names };
    search.run().or_else(|| carried_with(head, body, secret, names).ok())
}

/// A token or a signature of RFC 9421 that `secret`, which may be the text of a public key, made.
fn carried_with(
    head: &RequestHead,
    body: &[u8],
    secret: &Secret,
    names: MemberNames<'_>,
) -> Result<FoundScheme, Vec<String>> {
    let key = KeyFile::read(secret.expose().to_vec()).ok().filter(KeyFile::is_public_key);
    let key = key.unwrap_or_else(KeyFile::none);
    PublishedQuestion { head, body, key: &key, secret: Some(secret), names, at: UnixMillis(0) }
        .discover_carried()
}
