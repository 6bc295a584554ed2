//! Checks that certificate and key files contain what they should.
//!
//! This happens when the configuration is read, so that a problem does not appear only at the first
//! handshake, and a reload with a half-written file is refused.

use hookward_settings::reading::Item;
use hookward_settings::secrets::plain;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// A certificate that expires within this time causes a warning.
const ENDS_SOON: Duration = Duration::from_hours(14 * 24);

/// The first end in a chain, which is presented completely, and in a file of CAs.
pub(super) fn end_of(chain: Option<&PathBuf>, authorities: Option<&PathBuf>) -> Option<UnixMillis> {
    let chain = chain.and_then(|path| ends(path).into_iter().min());
    // While a CA is being replaced, the file contains the old one and the new one.
    let authorities = authorities.and_then(|path| ends(path).into_iter().max());
    chain.into_iter().chain(authorities).min()
}

/// The ends of the certificates in a file; none if it cannot be read, which is reported elsewhere.
fn ends(path: &Path) -> Vec<UnixMillis> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    found.unwrap_or_default().iter().filter_map(not_after).collect()
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<UnixMillis> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(UnixMillis::from_seconds(parsed.validity().not_after.timestamp()))
}

/// Warns about an end that has passed or is near.
fn warn_of_end(item: &Item<'_>, end: Option<UnixMillis>) {
    if let Some(told) = end.and_then(|end| said_of_end(end, SystemClock::new().wall())) {
        item.warn(told);
    }
}

/// The warning about a certificate that expires at `end`, if one is needed.
pub(super) fn said_of_end(end: UnixMillis, now: UnixMillis) -> Option<String> {
    let at = end.to_rfc3339();
    if end <= now {
        return Some(format!("the certificate expired at {at}: handshakes fail"));
    }
    let days = end.millis_since(now) / (24 * 3600 * 1000);
    (end <= now.plus(ENDS_SOON)).then(|| format!("the certificate expires at {at}, in {days} days"))
}

/// Reports what is wrong with a certificate chain and its key.
pub(super) fn check_pair(cert: (&Item<'_>, &Path), key: (&Item<'_>, &Path)) {
    if !cert.0.reading.needs(&cert.0.key) {
        return;
    }
    let chain = chain(cert.0, cert.1);
    warn_of_end(cert.0, chain.iter().flatten().filter_map(not_after).min());
    let Some(private) = private_key(key.0, key.1) else { return };
    let Ok(signer) = rustls::crypto::ring::sign::any_supported_type(&private) else {
        return key.0.contradicts("contains an unsupported kind of private key");
    };
    // `Unknown` means that the key cannot tell, which is not an error.
    let mismatch = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
    match chain.map(|chain| CertifiedKey::new(chain, signer).keys_match()) {
        Some(Err(fault)) if fault == mismatch => {
            key.0.contradicts("is not the private key of the first certificate in `cert`");
        }
        Some(Err(rustls::Error::InvalidCertificate(_))) => {
            cert.0.contradicts("contains a certificate that cannot be read");
        }
        _ => {}
    }
}

/// Reports what is wrong with a file of CAs.
pub(super) fn check_authorities(item: &Item<'_>, path: &Path) {
    if !item.reading.needs(&item.key) {
        return;
    }
    let Some(chain) = chain(item, path) else { return };
    warn_of_end(item, chain.iter().filter_map(not_after).max());
    let mut store = RootCertStore::empty();
    if chain.into_iter().any(|certificate| store.add(certificate).is_err()) {
        item.contradicts("contains a certificate that cannot be read");
    }
}

fn chain(item: &Item<'_>, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    match chain {
        Ok(chain) if Vec::is_empty(&chain) => {
            item.contradicts("contains no certificate in PEM form");
            None
        }
        Ok(chain) => Some(chain),
        Err(fault) => {
            item.contradicts(reason(&fault, "certificate"));
            None
        }
    }
}

fn private_key(item: &Item<'_>, path: &Path) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|fault| item.contradicts(reason(&fault, "private key")))
        .ok()
}

/// Describes the problem without repeating any part of the file.
fn reason(fault: &pem::Error, wanted: &str) -> String {
    match fault {
        pem::Error::Io(fault) => format!("cannot be read: {}", plain(fault)),
        pem::Error::NoItemsFound => format!("contains no {wanted} in PEM form"),
        _ => "is damaged: not PEM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_two_weeks_ahead() {
        let day = 24 * 3600 * 1000;
        let said = |days: i64| said_of_end(UnixMillis(days * day), UnixMillis(0));
        assert_eq!(said(15), None);
        assert!(said(14).is_some_and(|told| told.ends_with("in 14 days")));
        assert!(said(0).is_some_and(|told| told.contains("expired")));
        assert!(said(-1).is_some_and(|told| told.contains("expired")));
    }
}
