//! Secrets that two sources share.
//!
//! They are compared by a keyed hash whose key is new for each reading and forgotten afterwards, so
//! that nothing is left that could reveal a secret, or that two are equal.

use crate::config::Config;
use crate::config::source::Draft;
use crate::delivery::source::Source;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_secret::NamedSecret;
use hookward_settings::problem::Severity;
use hookward_settings::reading::Reading;
use hookward_verify::scheme::Part;
use sha2::Sha256;
use zeroize::Zeroizing;

type Keyed = Hmac<Sha256>;

/// Warns about each secret that an earlier source has as well.
pub(super) fn judge<'a>(config: &Config, drafts: &'a [Draft<'_>], reading: &'a Reading<'a>) {
    let mut key = Zeroizing::new([0; 32]);
    let random = rustls::crypto::ring::default_provider().secure_random;
    let (Ok(()), Ok(hash)) = (random.fill(&mut *key), Keyed::new_from_slice(&*key)) else {
        return;
    };
    let mut known: Vec<(CtOutput<Keyed>, &Source)> = Vec::new();
    for source in &config.sources {
        let own: Vec<_> =
            positioned(source).map(|(at, secret)| (at, tag(&hash, secret, source))).collect();
        for (at, tag) in &own {
            let shares = |(other, _): &&(CtOutput<Keyed>, &Source)| tag == other;
            let others = known.iter().filter(shares).map(|(_, other)| *other);
            let Some(other) = others.into_iter().find(|other| crosses(source, other)) else {
                continue;
            };
            if let Some(draft) = drafts.iter().find(|draft| draft.name == source.name.as_str()) {
                let what = format!(
                    "is also a secret of sources.{}: anyone who captured a delivery to one can send \
                     it to the other, which accepts it too; give each source its own secret",
                    other.name
                );
                let key = format!("secrets[{at}]");
                draft.reader(reading).note(Severity::Warning, &key, &what, None);
            }
        }
        known.extend(own.into_iter().map(|(_, tag)| (tag, source)));
    }
}

/// The secrets of a source with their positions among the configured ones.
pub(super) fn positioned(source: &Source) -> impl Iterator<Item = (usize, &NamedSecret)> {
    let is_read = |at: &usize| source.unreadable.iter().all(|secret| secret.index != *at);
    (0..).filter(is_read).zip(&source.sender.secrets)
}

/// Comparing two of these takes constant time.
fn tag(hash: &Keyed, secret: &NamedSecret, source: &Source) -> CtOutput<Keyed> {
    let text = secret.text.expose().trim_ascii();
    let prefix = source.sender.scheme.signature.key_prefix.as_bytes();
    let mut hash = hash.clone();
    hash.update(text.strip_prefix(prefix).unwrap_or(text));
    hash.finalize()
}

/// Whether a delivery to one is valid at the other. If both sign the URL or path, it is not,
/// because no two sources have the same path.
fn crosses(one: &Source, other: &Source) -> bool {
    let signs_its_place = |source: &Source| {
        source.sender.scheme.signature.signed.any(|part| matches!(part, Part::Url(_) | Part::Path))
    };
    !(signs_its_place(one) && signs_its_place(other))
}
