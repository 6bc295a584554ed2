//! All upstreams of a configuration, by name, over the process's pool of connections.

use super::UpstreamFault;
use super::address::Endpoint;
use super::destination::{Destination, UpstreamStatus};
use super::idle::IdlePool;
use super::tls::TlsMaterial;
use super::{Forwarded, Forwarder, Forwarders, Spare, UpstreamRequest};
use crate::config::UpstreamSettings;
use crate::telemetry::metrics::Metrics;
use hookward_names::UpstreamName;
use hookward_time::Clock;
use http::HeaderValue;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use std::collections::HashMap;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

/// How many idle connections are kept over all upstreams; the longest idle one is closed for the
/// next.
const IDLE_CONNECTIONS: usize = 1024;

/// The upstreams of a configuration.
pub struct Upstreams {
    connector: Arc<TransportConnector>,
    pool: IdlePool,
    /// In the order of the configuration.
    destinations: Vec<Arc<Destination>>,
    by_name: HashMap<UpstreamName, Arc<Destination>>,
    clock: Arc<dyn Clock>,
}

impl Upstreams {
    /// Makes the pool of connections and an upstream of each of these.
    ///
    /// # Errors
    /// All upstreams that cannot be served, with the key that is at fault.
    pub fn new(
        settings: &[UpstreamSettings],
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<UpstreamFault>> {
        let empty = Self {
            connector: Arc::new(connector()),
            pool: IdlePool::default(),
            destinations: Vec::new(),
            by_name: HashMap::new(),
            clock,
        };
        empty.reconfigured(settings, metrics)
    }

    /// What [`Upstreams::new`] would complain about, without making anything.
    #[must_use]
    pub fn check(settings: &[UpstreamSettings]) -> Vec<UpstreamFault> {
        settings.iter().filter_map(|upstream| PreparedUpstreams::of(upstream).err()).collect()
    }

    /// The upstreams of another configuration over the same connections. One whose settings and
    /// TLS files did not change goes on with all that is known of it.
    ///
    /// # Errors
    /// As [`Upstreams::new`]; nothing was changed then, and these here go on serving.
    pub fn reconfigured(
        &self,
        settings: &[UpstreamSettings],
        metrics: &Metrics,
    ) -> Result<Self, Vec<UpstreamFault>> {
        let (mut prepared, mut faults) = (Vec::with_capacity(settings.len()), Vec::new());
        for upstream in settings {
            match PreparedUpstreams::of(upstream) {
                Ok(upstream) => prepared.push(upstream),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let destinations: Vec<Arc<Destination>> =
            prepared.into_iter().map(|upstream| self.destination(upstream, metrics)).collect();
        Ok(Self {
            connector: Arc::clone(&self.connector),
            pool: self.pool.clone(),
            by_name: destinations.iter().map(|d| (d.name(), Arc::clone(d))).collect(),
            destinations,
            clock: Arc::clone(&self.clock),
        })
    }

    /// Starts name look-ups and health checks on the current runtime, which must be the one that
    /// serves. Without this they start with the first event of each upstream.
    pub fn start(&self) {
        for destination in &self.destinations {
            destination.start(&self.connector);
        }
    }

    /// The names of those that were not there `before`, of those that are gone since, and of those
    /// whose settings or TLS files changed.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let missing_in =
            |other: &Self, one: &Arc<Destination>| !other.by_name.contains_key(&one.name());
        let named = |one: &Arc<Destination>| one.name().to_string();
        let added = self.destinations.iter().filter(|one| missing_in(before, one)).map(named);
        let removed = before.destinations.iter().filter(|one| missing_in(self, one)).map(named);
        let is_other = |one: &&Arc<Destination>| {
            before.by_name.get(&one.name()).is_some_and(|old| !Arc::ptr_eq(old, one))
        };
        let changed = self.destinations.iter().filter(is_other).map(named);
        (added.collect(), removed.collect(), changed.collect())
    }

    /// How each is doing, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<UpstreamStatus> {
        self.destinations.iter().map(|destination| destination.status()).collect()
    }

    #[cfg(test)]
    pub(super) fn destination_named(&self, name: &str) -> &Destination {
        &self.by_name[name]
    }

    fn destination(&self, prepared: PreparedUpstreams<'_>, metrics: &Metrics) -> Arc<Destination> {
        let PreparedUpstreams { settings, tls, hosts } = prepared;
        let fingerprint = tls.as_ref().map_or(0, |tls| tls.fingerprint);
        let before = self.by_name.get(&settings.name);
        if let Some(same) = before.filter(|before| before.is_as(settings, fingerprint)) {
            return Arc::clone(same);
        }
        let endpoints = settings.urls.iter().zip(hosts).map(|(url, host)| {
            let (tls, pool) = (tls.clone(), self.pool.clone());
            Arc::new(Endpoint::new(url, host, tls, settings.keep_alive, pool))
        });
        Arc::new(Destination::new(
            settings.clone(),
            fingerprint,
            endpoints.collect(),
            metrics.for_upstream(settings.name.as_str()),
            Arc::clone(&self.clock),
        ))
    }
}

/// An upstream that is checked completely.
struct PreparedUpstreams<'a> {
    settings: &'a UpstreamSettings,
    tls: Option<TlsMaterial>,
    /// The `Host` header of each URL.
    hosts: Vec<HeaderValue>,
}

impl<'a> PreparedUpstreams<'a> {
    fn of(settings: &'a UpstreamSettings) -> Result<Self, UpstreamFault> {
        let hosts: Result<_, _> =
            settings.urls.iter().map(|url| HeaderValue::from_str(&url.authority)).collect();
        let hosts = hosts.map_err(|_| UpstreamFault {
            upstream: settings.name.to_string(),
            key: "url",
            detail: "its host cannot stand in a header".to_owned(),
        })?;
        Ok(Self { settings, tls: TlsMaterial::load(settings)?, hosts })
    }
}

impl Forwarders for Upstreams {
    fn forwarder(&self, name: &UpstreamName) -> Option<Arc<dyn Forwarder>> {
        let destination = Arc::clone(self.by_name.get(name)?);
        Some(Arc::new(Connected { destination, connector: Arc::clone(&self.connector) }))
    }
}

/// A destination with the pool that its connections come from.
struct Connected {
    destination: Arc<Destination>,
    connector: Arc<TransportConnector>,
}

#[async_trait::async_trait]
impl Forwarder for Connected {
    async fn forward(&self, request: &UpstreamRequest) -> Forwarded {
        self.destination.forward(&self.connector, request, None).await
    }

    fn room(&self) -> usize {
        self.destination.room()
    }

    fn spare(&self) -> Result<Spare, Duration> {
        self.destination.spare()
    }

    async fn forward_in(&self, request: &UpstreamRequest, place: Spare) -> Forwarded {
        self.destination.forward(&self.connector, request, Some(place)).await
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connector has no form to print.
        formatter.debug_struct("Upstreams").field("by_name", &self.by_name).finish_non_exhaustive()
    }
}

/// The pool. It reads the system's CAs, and panics on one that it cannot parse; then it is made
/// without them, which fails the handshakes of upstreams that have no CA of their own, and only
/// those.
fn connector() -> TransportConnector {
    let connector = |ca_file| {
        let options = ConnectorOptions::new(IDLE_CONNECTIONS);
        TransportConnector::new(Some(ConnectorOptions { ca_file, ..options }))
    };
    catch_unwind(|| connector(None)).unwrap_or_else(|_| {
        tracing::error!("the system's CA certificates cannot be read; none of them is trusted");
        connector(Some("/dev/null".to_owned()))
    })
}
