//! Which certificates a command trusts over TLS.
//!
//! A command trusts the certificates of a file in two ways: as CAs, whose certificates must be for
//! the requested name, and individually, whatever names they have. The second is for the
//! self-signed certificate of a listener at a loopback address: if the other side shows exactly
//! this certificate, its name proves nothing more, and the handshake proves that it has the key.

use super::exit::{CommandStop, Exit};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};

/// Certificates to trust.
#[derive(Debug, clap::Args)]
pub struct Authorities {
    /// PEM file of certificates to trust over https: of CAs, or the server's own [default: the CAs
    /// that browsers trust; for the configuration's listener, its own certificate]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// What is trusted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The CAs that browsers trust.
    Web,
    /// These.
    These(Arc<ClientConfig>),
}

impl Authorities {
    /// Whether a file is named.
    #[must_use]
    pub fn are_named(&self) -> bool {
        self.ca.is_some()
    }

    /// Trusts the certificates of the file or, without a file, the CAs that browsers trust.
    ///
    /// # Errors
    /// When the file contains no certificates.
    pub fn trust(&self) -> Result<Trust, CommandStop> {
        let Some(path) = &self.ca else { return Ok(Trust::Web) };
        let certificates = read(path)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        Trust::these(certificates, Some(roots)).map_err(|fault| unusable(path, &fault))
    }
}

impl Trust {
    /// Trusts only the first certificate of a file, which is the one that a listener shows.
    ///
    /// # Errors
    /// When the file contains no certificate.
    pub fn only(path: &Path) -> Result<Self, CommandStop> {
        let mut certificates = read(path)?;
        certificates.truncate(1);
        Self::these(certificates, None).map_err(|fault| unusable(path, &fault))
    }

    fn these(
        themselves: Vec<CertificateDer<'static>>,
        roots: Option<RootCertStore>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let authorities = roots.filter(|roots| !roots.is_empty()).map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|fault| rustls::Error::General(fault.to_string()))
        });
        let authorities = authorities.transpose()?;
        let verifier = Verifier { themselves, authorities, provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::These(Arc::new(config)))
    }

    /// An agent that trusts these.
    pub(super) fn agent(self, config: ureq::config::Config) -> Agent {
        match self {
            Self::Web => Agent::new_with_config(config),
            Self::These(tls) => {
                let connector = ().chain(TcpConnector::default()).chain(TlsConnector(tls));
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, CommandStop> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    match found {
        Ok(certificates) if Vec::is_empty(&certificates) => {
            let problem = format!("{} contains no certificate in PEM form", path.display());
            Err(CommandStop::new(Exit::Usage, problem))
        }
        Ok(certificates) => Ok(certificates),
        Err(fault) => Err(unusable(path, &fault)),
    }
}

fn unusable(path: &Path, fault: &dyn std::fmt::Display) -> CommandStop {
    CommandStop::new(
        Exit::Usage,
        format!("cannot use the certificates of {}: {fault}", path.display()),
    )
}

/// See the module documentation.
#[derive(Debug)]
struct Verifier {
    themselves: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.themselves.iter().any(|certificate| certificate == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Adds TLS with these settings to connections that need it. The agent's own connector does not
/// accept a verifier.
#[derive(Debug)]
struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| ureq::Error::Tls("not a name that a certificate can have"))?;
        let mut session = ClientConnection::new(Arc::clone(&self.0), name)?;
        let clock = Arc::clone(&details.current_time);
        let mut socket = TransportAdapter::new(Box::new(transport) as Box<dyn Transport>, clock);
        socket.set_timeout(details.timeout);
        session.complete_io(&mut socket)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = StreamOwned::new(session, socket);
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsTransport")
            .field("socket", self.stream.sock.inner())
            .finish_non_exhaustive()
    }
}
