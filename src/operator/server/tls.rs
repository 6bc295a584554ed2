//! Certificates of the public listener.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Files are read and checked here, because Pingora panics on
//! a bad one. A reload replaces the whole configuration, and open connections keep theirs.

use crate::config::ListenerTls;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The listener cannot speak TLS with these files.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct TlsError {
    /// The faulty file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: TlsProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// It cannot be read, or is not PEM.
    #[error("cannot be read as PEM: {0}")]
    Unreadable(pem::Error),
    /// PEM without a certificate.
    #[error("contains no certificate")]
    NoCertificate,
    /// A certificate that cannot be used, or a key of another certificate.
    #[error("cannot be used: {0}")]
    Unusable(rustls::Error),
    /// Not a set of CAs.
    #[error("cannot be used as a set of CAs: {0}")]
    UnusableCa(VerifierBuilderError),
}

/// Reads and checks the files.
///
/// # Errors
/// The first file that cannot be used; a key that does not belong to the certificate is one.
pub fn load(settings: &ListenerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let certificates = certificates(&settings.cert)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|fault| at(&settings.key, TlsProblem::Unreadable(fault)))?;
    let unusable = |fault| at(&settings.cert, TlsProblem::Unusable(fault));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?;
    let builder = match &settings.client_ca {
        Some(file) => builder.with_client_cert_verifier(client_verifier(file, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|fault| at(&settings.key, TlsProblem::Unusable(fault)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Senders with a certificate must have a valid one. Senders without one are allowed, because the
/// signature of the event decides.
fn client_verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|fault| at(file, TlsProblem::Unusable(fault)))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|fault| at(file, TlsProblem::UnusableCa(fault)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |fault| at(file, TlsProblem::Unreadable(fault));
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(at(file, TlsProblem::NoCertificate));
    }
    Ok(certificates)
}

fn at(file: &Path, problem: TlsProblem) -> TlsError {
    TlsError { file: file.to_owned(), problem }
}
