//! Certificates and keys: that the files hold what they are named for.
//!
//! Checked when the configuration is read, so that a listener or an upstream does not find out at
//! its first handshake, and a reload with a half-written file is refused.

use hookward_settings::reading::Item;
use hookward_settings::secrets::plain;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;

/// Notes what is wrong with a certificate chain and its key.
pub(super) fn check_pair(cert: (&Item<'_>, &Path), key: (&Item<'_>, &Path)) {
    if !cert.0.reading.needs(&cert.0.key) {
        return;
    }
    let chain = chain(cert.0, cert.1);
    let Some(private) = private_key(key.0, key.1) else { return };
    let Ok(signer) = rustls::crypto::ring::sign::any_supported_type(&private) else {
        return key.0.contradicts("holds a private key of a kind that is not supported");
    };
    // `Unknown` means that the key cannot tell, which is no fault.
    let mismatch = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
    match chain.map(|chain| CertifiedKey::new(chain, signer).keys_match()) {
        Some(Err(fault)) if fault == mismatch => {
            key.0.contradicts("is not the private key of the first certificate in `cert`");
        }
        Some(Err(rustls::Error::InvalidCertificate(_))) => {
            cert.0.contradicts("holds a certificate that cannot be read");
        }
        _ => {}
    }
}

/// Notes what is wrong with a file of CAs.
pub(super) fn check_authorities(item: &Item<'_>, path: &Path) {
    if !item.reading.needs(&item.key) {
        return;
    }
    let Some(chain) = chain(item, path) else { return };
    let mut store = RootCertStore::empty();
    if chain.into_iter().any(|certificate| store.add(certificate).is_err()) {
        item.contradicts("holds a certificate that cannot be read");
    }
}

fn chain(item: &Item<'_>, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    match chain {
        Ok(chain) if Vec::is_empty(&chain) => {
            item.contradicts("holds no certificate in PEM form");
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

/// Says what is wrong without repeating anything of the file.
fn reason(fault: &pem::Error, wanted: &str) -> String {
    match fault {
        pem::Error::Io(fault) => format!("cannot be read: {}", plain(fault)),
        pem::Error::NoItemsFound => format!("holds no {wanted} in PEM form"),
        _ => "is damaged: not PEM".to_owned(),
    }
}
