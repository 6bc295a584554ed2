//! The check of the signature, with the keys that are at hand: none is fetched.

use super::{Question, escape};
use hookward_verify::demand::{Demand, demand};
use hookward_verify::fault::Fault;
use hookward_verify::keys::Keys;
use hookward_verify::verify::{Genuine, verify_with};

impl Question<'_> {
    /// The check of a running proxy, with these keys of the source or what its sender publishes.
    ///
    /// # Errors
    /// As the proxy's; [`Fault::SecretUnavailable`] for a key that is not at hand.
    pub(super) fn verified_with(&self, keys: &Keys) -> Result<Genuine, Fault> {
        let (sender, head) = (&self.source.sender, self.head.view());
        let what = match demand(sender, head, self.body, self.at)? {
            Demand::Own => return verify_with(sender, keys, head, self.body),
            Demand::Brought(keys) => return verify_with(sender, &keys, head, self.body),
            Demand::Published { key_id: None } => "the key is published by the sender".to_owned(),
            Demand::Published { key_id: Some(id) } => {
                format!("the sender publishes the key `{}`", escape(id.as_bytes()))
            }
            Demand::Certificate { url } => format!("the key is in the certificate at {url}"),
        };
        let Some(key) = self.key else {
            let what = format!("{what}, and nothing is fetched here: pass it with --key FILE");
            return Err(Fault::SecretUnavailable(what.into()));
        };
        key.verifies(sender, head, self.body, self.at)
    }

    /// The same with the keys of the source.
    ///
    /// # Errors
    /// As [`Question::verified_with`].
    pub(super) fn verified(&self) -> Result<Genuine, Fault> {
        match &self.source.sender.keys {
            Err(why) => Err(Fault::SecretUnavailable(why.clone().into())),
            Ok(keys) => self.verified_with(keys),
        }
    }
}
