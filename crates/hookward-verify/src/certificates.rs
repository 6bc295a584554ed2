//! X.509 certificates (RFC 5280) that senders sign with: one that a request names, or a chain that
//! a token carries and that must end at a pinned root.
//!
//! This module decides whether a certificate is good. `demand` and the caller decide where it may
//! come from.

use crate::keys::PublicKey;
use hookward_time::UnixMillis;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The parts of a certificate that are needed for checking signatures.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The public key in it.
    pub key: Arc<PublicKey>,
    /// The start of its validity.
    pub not_before: UnixMillis,
    /// The end of its validity.
    pub not_after: UnixMillis,
}

impl Certificate {
    /// Reads the first certificate of a PEM text, or a DER certificate.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        Self::from_der(&der(bytes).ok_or("it is no certificate, neither PEM nor DER")?)
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate".to_owned())?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate".to_owned());
        }
        let key = PublicKey::from_spki(certificate.public_key().raw)
            .map_err(|what| format!("its key {what}"))?;
        let validity = certificate.validity();
        Ok(Self {
            key: Arc::new(key),
            not_before: UnixMillis::from_seconds(validity.not_before.timestamp()),
            not_after: UnixMillis::from_seconds(validity.not_after.timestamp()),
        })
    }

    /// Whether it is valid at `now`, including both ends.
    #[must_use]
    pub fn is_valid_at(&self, now: UnixMillis) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// The DER of the first certificate in a PEM text, or the bytes themselves.
fn der(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Some(bytes.to_vec());
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(bytes).ok()?;
    (pem.label == "CERTIFICATE").then_some(pem.contents)
}

/// The only root at which chains may end, and the required extensions of the certificates below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedRoot {
    der: Vec<u8>,
    /// An extension (dotted OID) that the leaf must carry.
    pub leaf_marker: Option<String>,
    /// An extension that the certificate above the leaf must carry.
    pub intermediate_marker: Option<String>,
}

/// The longest accepted chain, because each certificate costs a signature check.
const MOST_CERTIFICATES: usize = 4;

impl PinnedRoot {
    /// Reads a PEM text or a DER.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let der = der(bytes).ok_or("it is no certificate, neither PEM nor DER")?;
        anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
            .map_err(|_| "it is no X.509 certificate of a root".to_owned())?;
        Ok(Self { der, leaf_marker: None, intermediate_marker: None })
    }

    /// A stand-in for a root that cannot be read: no chain ends there.
    pub(crate) const fn unreadable() -> Self {
        Self { der: Vec::new(), leaf_marker: None, intermediate_marker: None }
    }

    /// The key of the leaf, after checking that the chain ends here. `chain` is DER, leaf first.
    ///
    /// # Errors
    /// A sentence about the failed check.
    pub fn leaf_key(&self, chain: &[Vec<u8>], now: UnixMillis) -> Result<PublicKey, &'static str> {
        if chain.len() > MOST_CERTIFICATES {
            return Err("the token brings more than four certificates");
        }
        // A chain may contain its root, but it does not decide which root counts.
        let below: Vec<&[u8]> =
            chain.iter().map(Vec::as_slice).filter(|der| *der != self.der).collect();
        let [leaf, intermediates @ ..] = below.as_slice() else {
            return Err("the token brings no certificate below the root");
        };
        let root = CertificateDer::from(self.der.as_slice());
        let anchor =
            anchor_from_trusted_cert(&root).map_err(|_| "the pinned root cannot be used")?;
        let leaf_der = CertificateDer::from(*leaf);
        let end = EndEntityCert::try_from(&leaf_der)
            .map_err(|_| "the first certificate of the token cannot be read")?;
        let intermediate_ders: Vec<_> =
            intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
        let seconds = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        end.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &intermediate_ders,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(|fault| match fault {
            webpki::Error::CertExpired { .. } => "a certificate of the token's chain has expired",
            webpki::Error::CertNotValidYet { .. } => {
                "a certificate of the token's chain is not valid yet"
            }
            _ => "the token's certificates do not lead to the pinned root",
        })?;
        let marked = |der: &[u8], marker: &Option<String>| {
            marker.as_ref().is_none_or(|marker| has_extension(der, marker))
        };
        if !marked(leaf, &self.leaf_marker) {
            return Err("the token's certificate is not marked as one for this use");
        }
        let marked_above =
            intermediates.first().is_some_and(|der| marked(der, &self.intermediate_marker));
        if self.intermediate_marker.is_some() && !marked_above {
            return Err("the certificate above the token's is not marked as one for this use");
        }
        let (_, leaf) = X509Certificate::from_der(leaf)
            .map_err(|_| "the token's certificate cannot be read")?;
        PublicKey::from_spki(leaf.public_key().raw)
            .map_err(|_| "the key of the token's certificate cannot be used")
    }
}

fn has_extension(der: &[u8], oid: &str) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.extensions().iter().any(|extension| extension.oid.to_id_string() == oid)
    })
}

#[cfg(test)]
mod tests;
