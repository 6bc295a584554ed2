//! The question that is asked with a published key, and the proof that an answer to it holds.

use super::key_file::KeyFile;
use super::proposal::Proposal;
use crate::config::{Config, SecretReader};
use crate::request::RequestHead;
use crate::senders::discover::found::FoundScheme;
use crate::senders::discover::table::MemberNames;
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::event::Event;
use hookward_verify::fault::Fault;
use hookward_verify::sender::Sender;
use hookward_verify::verify::Genuine;
use std::io;
use std::path::Path;

/// A captured delivery, and what its receiver has to check it with.
#[derive(Clone, Copy)]
pub struct PublishedQuestion<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// Its body, byte for byte.
    pub body: &'a [u8],
    /// What checks it.
    pub key: &'a KeyFile,
    /// A secret that is part of the signed text, as the id of a webhook at `PayPal`.
    pub secret: Option<&'a Secret>,
    /// How the printed table names the source, the secret's variable and the file of the key.
    pub names: MemberNames<'a>,
    /// When it is judged: certificates have an end.
    pub at: UnixMillis,
}

impl PublishedQuestion<'_> {
    /// The proposal, if the delivery is genuine and its event can be read once it is a configuration.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn proven(&self, proposal: &Proposal) -> Result<FoundScheme, String> {
        let table = proposal.to_toml(self.head, self.names);
        let reader = TheKey { file: self.key.bytes(), secret: self.secret };
        let loaded = Config::parse(&table, "discovered.toml", Path::new(""), &reader);
        let (config, _) = loaded.map_err(|problems| {
            problems.first().map_or_else(String::new, |problem| problem.what.clone())
        })?;
        let source = config.sources.into_iter().next().ok_or("the table has no source")?;
        let sender = source.sender;
        let genuine = self.judge(&sender).map_err(|fault| fault.to_string())?;
        let event = Event::read(&sender, self.head.view(), self.body, &genuine);
        event.map_err(|fault| fault.to_string())?;
        Ok(FoundScheme { preset: proposal.preset, table, scheme: sender.scheme })
    }

    /// Checks the delivery with the key at hand, wherever the sender's configuration looks for one.
    ///
    /// # Errors
    /// As [`KeyFile::verifies`].
    pub(crate) fn judge(&self, sender: &Sender) -> Result<Genuine, Fault> {
        self.key.verifies(sender, self.head.view(), self.body, self.at)
    }
}

/// Whatever file or variable a table names, it is the key at hand.
pub(super) struct TheKey<'a> {
    pub(super) file: &'a [u8],
    pub(super) secret: Option<&'a Secret>,
}

impl SecretReader for TheKey<'_> {
    fn environment(&self, _: &str) -> Option<Secret> {
        // Credentials for fetching a key are not asked for here: the key is at hand.
        Some(self.secret.cloned().unwrap_or_else(|| Secret::from("a value to be set".to_owned())))
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Ok(Secret::new(self.file.to_vec()))
    }
}
