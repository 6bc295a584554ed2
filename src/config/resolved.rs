//! A configuration as the process runs on it.

use super::admin::{AdminSettings, LogSettings};
use super::certificates::{end_of, said_of_end};
use super::dedupe::DedupeSettings;
use super::fetch::FetchSettings;
use super::inbox::InboxSettings;
use super::server::ServerSettings;
use super::upstream::UpstreamSettings;
use crate::delivery::credentials::Credentials;
use crate::delivery::source::Source;
use hookward_names::UpstreamName;
use hookward_settings::Problem;
use hookward_time::UnixMillis;
use std::collections::HashMap;

/// A completely resolved configuration.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[dedupe]`.
    pub dedupe: DedupeSettings,
    /// `[inbox]`; `None` if the store does not support it.
    pub inbox: Option<InboxSettings>,
    /// `[fetch]`.
    pub fetch: FetchSettings,
    /// `[upstreams.*]`, in the order of the file.
    pub upstreams: Vec<UpstreamSettings>,
    /// The credentials for each upstream.
    pub credentials: HashMap<UpstreamName, Credentials>,
    /// `[sources.*]`, in the order of the file.
    pub sources: Vec<Source>,
    /// SHA-256 of the file's text, first 16 hex digits, for comparing configurations.
    pub fingerprint: String,
}

/// A configuration with its warnings and notes; or all problems, including errors.
pub type Loaded = Result<(Config, Vec<Problem>), Vec<Problem>>;

/// When the first certificate of a use expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// `listener` or `upstream:<name>`.
    pub used_by: String,
    /// The end.
    pub not_after: UnixMillis,
}

impl Config {
    /// When the certificates in use expire, according to the files now: one row per use, with its
    /// first end.
    #[must_use]
    pub fn certificate_ends(&self) -> Vec<CertificateEnd> {
        let listener =
            self.server.tls.as_ref().map(|tls| {
                ("listener".to_owned(), end_of(Some(&tls.cert), tls.client_ca.as_ref()))
            });
        let upstreams = self.upstreams.iter().filter_map(|upstream| {
            let tls = upstream.tls.as_ref()?;
            let client = tls.client.as_ref().map(|(cert, _)| cert);
            Some((format!("upstream:{}", upstream.name), end_of(client, tls.ca.as_ref())))
        });
        let uses = listener.into_iter().chain(upstreams);
        uses.filter_map(|(used_by, end)| Some(CertificateEnd { used_by, not_after: end? }))
            .collect()
    }
}

impl CertificateEnd {
    /// The warning, if it has expired or will soon.
    #[must_use]
    pub fn warning(&self, now: UnixMillis) -> Option<String> {
        let said = said_of_end(self.not_after, now)?;
        Some(format!("{}: {said}", self.used_by))
    }
}
