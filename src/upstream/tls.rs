//! What a TLS connection to an upstream needs, read from files when a configuration is loaded.

use pingora::protocols::tls::CaType;
use pingora::utils::tls::CertKey;
use std::sync::Arc;

/// Names, trust anchors and client certificate of an upstream.
#[derive(Clone, Debug)]
pub(super) struct TlsMaterial {
    /// The name to ask for and to check; never empty.
    pub(super) sni: String,
    /// The CAs to believe; `None`: the system's.
    pub(super) ca: Option<Arc<CaType>>,
    /// What we show of ourselves.
    pub(super) client: Option<Arc<CertKey>>,
    /// Tells connections apart that were made with other files: the pool's key does not look at
    /// the CAs.
    pub(super) fingerprint: u64,
}
