//! What people have of a sender's keys: a public key, a key set, a certificate.

use hookward_time::UnixMillis;
use hookward_verify::certificates::{Certificate, PinnedRoot};
use hookward_verify::demand::{Demand, demand, keys_of_certificate};
use hookward_verify::fault::Fault;
use hookward_verify::keys::{KeySet, Keys, PublicKey};
use hookward_verify::request::Request;
use hookward_verify::sender::Sender;
use hookward_verify::verify::{Genuine, verify, verify_with};

/// A file with a key of a sender.
#[derive(Debug)]
pub struct KeyFile {
    bytes: Vec<u8>,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    /// Nothing: the key is a secret that both sides know.
    Nothing,
    /// A PEM `PUBLIC KEY`.
    Public,
    Set(KeySet),
    /// The signer's certificate, or that of the root that a chain has to end at. A root's key may be
    /// one that signs no delivery.
    Certificate(Option<Certificate>),
}

impl KeyFile {
    /// No file: the sender signs with a secret that its receiver knows.
    pub(crate) const fn none() -> Self {
        Self { bytes: Vec::new(), holds: Holds::Nothing }
    }

    pub(super) const fn is_none(&self) -> bool {
        matches!(self.holds, Holds::Nothing)
    }

    /// Reads a PEM text `PUBLIC KEY` or `CERTIFICATE`, the DER of a certificate, a JSON Web Key or a
    /// JSON Web Key Set.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let text = bytes.trim_ascii();
        if text.starts_with(b"{") {
            let set = KeySet::from_json(text).or_else(|fault| {
                let single = [br#"{"key":"#, text, b"}"].concat();
                KeySet::from_json(&single).map_err(|_| fault)
            })?;
            return Ok(Self { bytes, holds: Holds::Set(set) });
        }
        if text.starts_with(b"-----BEGIN PUBLIC KEY") {
            PublicKey::from_text(text).map_err(|what| format!("it {what}"))?;
            return Ok(Self { bytes, holds: Holds::Public });
        }
        if text.starts_with(b"-----BEGIN") && !text.starts_with(b"-----BEGIN CERTIFICATE") {
            return Err("it is neither a `PUBLIC KEY` nor a `CERTIFICATE`".to_owned());
        }
        match (Certificate::read(&bytes), PinnedRoot::read(&bytes)) {
            (Err(what), Err(_)) => Err(what),
            (signer, _) => Ok(Self { bytes, holds: Holds::Certificate(signer.ok()) }),
        }
    }

    /// Checks a delivery with this key, wherever the sender's configuration looks for one.
    ///
    /// # Errors
    /// As [`verify`]; [`Fault::SecretUnavailable`], where the file holds a key of another kind.
    pub(crate) fn verifies(
        &self,
        sender: &Sender,
        head: Request<'_>,
        body: &[u8],
        at: UnixMillis,
    ) -> Result<Genuine, Fault> {
        match demand(sender, head, body, at)? {
            Demand::Own => verify(sender, head, body),
            Demand::Brought(keys) => verify_with(sender, &keys, head, body),
            Demand::Published { .. } => {
                let set = self.set().ok_or_else(|| lacks("a key set"))?;
                verify_with(sender, &Keys::of_sets([(0, "0", set)]), head, body)
            }
            Demand::Certificate { .. } => {
                let certificate = self.certificate().ok_or_else(|| lacks("a certificate"))?;
                let own = sender.keys.as_ref();
                let own = own.map_err(|why| Fault::SecretUnavailable(why.clone().into()))?;
                let keys = keys_of_certificate(own, certificate, at)?;
                verify_with(sender, &keys, head, body)
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) const fn is_public_key(&self) -> bool {
        matches!(self.holds, Holds::Public)
    }

    pub(super) const fn is_certificate(&self) -> bool {
        matches!(self.holds, Holds::Certificate(_))
    }

    pub(super) const fn set(&self) -> Option<&KeySet> {
        match &self.holds {
            Holds::Set(set) => Some(set),
            Holds::Nothing | Holds::Public | Holds::Certificate(_) => None,
        }
    }

    pub(super) const fn certificate(&self) -> Option<&Certificate> {
        match &self.holds {
            Holds::Certificate(signer) => signer.as_ref(),
            Holds::Nothing | Holds::Public | Holds::Set(_) => None,
        }
    }
}

fn lacks(what: &str) -> Fault {
    Fault::SecretUnavailable(format!("the file of the key is not {what}").into())
}
