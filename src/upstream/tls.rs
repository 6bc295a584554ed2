//! The TLS settings of an upstream, read from files when a configuration is loaded.
//!
//! Everything that would later cause a panic in Pingora or turn checks off (no certificate in a
//! file, a key that does not match, an empty server name, which turns all checks off) is refused
//! here.

use super::UpstreamFault;
use crate::config::{UpstreamSettings, UpstreamTls};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Trust anchors and client certificate of an upstream, and the name to verify if it is not the
/// URL's host.
#[derive(Clone, Debug)]
pub(super) struct TlsMaterial {
    /// The name to ask for and to check; `None`: the URL's host.
    pub(super) sni: Option<String>,
    /// The CAs to believe; `None`: the system's.
    pub(super) ca: Option<Arc<CaType>>,
    /// What we show of ourselves.
    pub(super) client: Option<Arc<CertKey>>,
    /// SHA-256 of the upstream's own certificate, where `ca` is no authority but that one: it is
    /// then the only one that is accepted.
    pub(super) pin: Option<Vec<u8>>,
    /// Tells connections apart that were made with other files: the pool's key does not look at
    /// the CAs, and a renewed file has the old name.
    pub(super) fingerprint: u64,
}

impl TlsMaterial {
    /// Reads and checks the files of an upstream; `None` if it does not use TLS.
    pub(super) fn load(settings: &UpstreamSettings) -> Result<Option<Self>, UpstreamFault> {
        if !settings.urls.iter().any(|url| url.secure) {
            return Ok(None);
        }
        let fault =
            |key, detail| UpstreamFault { upstream: settings.name.to_string(), key, detail };
        let defaults = UpstreamTls::default();
        let tls = settings.tls.as_ref().unwrap_or(&defaults);
        let mut hash = Xxh3::new();
        let names: Vec<&str> = settings
            .urls
            .iter()
            .map(|url| tls.sni.as_ref().unwrap_or(&url.host).as_str())
            .collect();
        for name in &names {
            ServerName::try_from(*name).map_err(|_| {
                fault("tls.sni", format!("{name:?} is not a name that a certificate can have"))
            })?;
        }
        let (ca, pin) = match &tls.ca {
            Some(path) => {
                let certificates = read_certificates(path).map_err(|why| fault("tls.ca", why))?;
                let pin = pin(&certificates, &names);
                let ca = read_ca(path, &certificates, &mut hash);
                (Some(ca.map_err(|why| fault("tls.ca", why))?), pin)
            }
            None => (None, None),
        };
        let client = match &tls.client {
            Some((cert, key)) => {
                Some(read_client(cert, key, &mut hash).map_err(|(at, why)| fault(at, why))?)
            }
            None => None,
        };
        Ok(Some(Self { sni: tls.sni.clone(), ca, client, pin, fingerprint: hash.digest() }))
    }
}

/// A self-signed certificate that says of itself that it is an authority, as `openssl req -x509`
/// makes them, is one that the path validation accepts for nothing but signing others. If the file
/// holds one certificate and that is valid for the upstream's own name, it is the upstream's: it is
/// compared byte for byte, and the handshake proves that the other side has its key.
fn pin(certificates: &[CertificateDer<'_>], names: &[&str]) -> Option<Vec<u8>> {
    let [certificate] = certificates else { return None };
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let is_for = |name: &&str| {
        ServerName::try_from(*name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    names.iter().all(is_for).then(|| Sha256::digest(certificate).to_vec())
}

fn read_ca(
    path: &Path,
    certificates: &[CertificateDer<'static>],
    hash: &mut Xxh3,
) -> Result<Arc<CaType>, String> {
    let mut store = RootCertStore::empty();
    let mut wrapped = Vec::with_capacity(certificates.len());
    for certificate in certificates {
        hash.update(certificate);
        let checked = store.add(certificate.clone());
        checked.map_err(|error| format!("{}: not a CA certificate: {error}", path.display()))?;
        wrapped.push(wrap(path, certificate)?);
    }
    Ok(wrapped.into())
}

fn read_client(
    cert: &Path,
    key: &Path,
    hash: &mut Xxh3,
) -> Result<Arc<CertKey>, (&'static str, String)> {
    let certificates = read_certificates(cert).map_err(|why| ("tls.cert", why))?;
    let at_key = |why: String| ("tls.key", format!("{}: {why}", key.display()));
    let key_der = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| at_key(format!("no private key in PEM: {error}")))?;
    CertifiedKey::from_der(certificates.clone(), key_der.clone_key(), &ring::default_provider())
        .map_err(|error| at_key(format!("does not fit the certificate: {error}")))?;
    // Pingora is given the bytes alone and finds the format out again.
    if PrivateKeyDer::try_from(key_der.secret_der()).is_err() {
        return Err(at_key("a format that is not supported; PKCS #8 is".to_owned()));
    }
    let mut chain = Vec::with_capacity(certificates.len());
    for certificate in &certificates {
        hash.update(certificate);
        wrap(cert, certificate).map_err(|why| ("tls.cert", why))?;
        chain.push(certificate.to_vec());
    }
    hash.update(key_der.secret_der());
    Ok(Arc::new(CertKey::new(chain, key_der.secret_der().to_vec())))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(format!("{}: holds no certificate", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The certificate in Pingora's form, whose parser panics on what it does not understand.
fn wrap(path: &Path, certificate: &CertificateDer<'_>) -> Result<WrappedX509, String> {
    let der = certificate.to_vec();
    catch_unwind(move || WrappedX509::new(der, parse_x509))
        .map_err(|_| format!("{}: a certificate in it cannot be read", path.display()))
}
