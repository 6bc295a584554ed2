//! All upstreams of a configuration, by name, over the one pool of connections that the process
//! has.

use super::address::Endpoint;
use super::destination::{Destination, host_header};
use super::{Forwarded, Forwarder, UpstreamRequest};
use crate::clock::Clock;
use crate::config::UpstreamSettings;
use crate::metrics::Metrics;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use std::collections::HashMap;
use std::sync::Arc;

/// Idle connections kept over all upstreams; the longest idle one is closed for the next.
const IDLE_CONNECTIONS: usize = 1024;

/// Why an upstream cannot be served as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstreams.{upstream}.{key}: {detail}")]
pub struct UpstreamFault {
    /// Its name.
    pub upstream: String,
    /// The key in its table, as `tls.ca`.
    pub key: &'static str,
    /// What is wrong.
    pub detail: String,
}

/// The upstreams of a configuration.
pub struct Upstreams {
    connector: Arc<Connector>,
    by_name: HashMap<Arc<str>, Arc<Destination>>,
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
            connector: Arc::new(Connector::new(Some(ConnectorOptions::new(IDLE_CONNECTIONS)))),
            by_name: HashMap::new(),
            clock,
        };
        empty.reconfigured(settings, metrics)
    }

    /// The upstreams of another configuration over the same connections. One whose settings did
    /// not change goes on with all that is known of it.
    ///
    /// # Errors
    /// As [`Upstreams::new`]; these here go on serving.
    pub fn reconfigured(
        &self,
        settings: &[UpstreamSettings],
        metrics: &Metrics,
    ) -> Result<Self, Vec<UpstreamFault>> {
        let mut by_name = HashMap::with_capacity(settings.len());
        let mut faults = Vec::new();
        for upstream in settings {
            match self.destination(upstream, metrics) {
                Ok(destination) => drop(by_name.insert(Arc::clone(&upstream.name), destination)),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self { connector: Arc::clone(&self.connector), by_name, clock: Arc::clone(&self.clock) })
    }

    /// How often a request was sent again because the pooled connection had ended before it.
    #[cfg(test)]
    pub(super) fn stale_connections(&self) -> usize {
        self.by_name
            .values()
            .map(|destination| destination.stale.load(std::sync::atomic::Ordering::Relaxed))
            .sum()
    }

    fn destination(
        &self,
        settings: &UpstreamSettings,
        metrics: &Metrics,
    ) -> Result<Arc<Destination>, UpstreamFault> {
        if let Some(same) = self.by_name.get(&settings.name).filter(|d| d.settings == *settings) {
            return Ok(Arc::clone(same));
        }
        let mut endpoints = Vec::with_capacity(settings.urls.len());
        for url in &settings.urls {
            let host = host_header(&url.authority).ok_or_else(|| UpstreamFault {
                upstream: settings.name.to_string(),
                key: "url",
                detail: "its host cannot stand in a header".to_owned(),
            })?;
            let healthy = metrics
                .upstream_healthy
                .with_label_values(&[&*settings.name, Endpoint::label(url).as_str()]);
            endpoints.push(Arc::new(Endpoint::new(url, host, None, healthy)));
        }
        Ok(Arc::new(Destination::new(
            settings.clone(),
            endpoints,
            metrics.for_upstream(&settings.name),
            Arc::clone(&self.clock),
        )))
    }
}

#[async_trait::async_trait]
impl Forwarder for Upstreams {
    async fn forward(&self, upstream: &str, request: UpstreamRequest) -> Forwarded {
        match self.by_name.get(upstream) {
            Some(destination) => destination.forward(&self.connector, request).await,
            // The configuration does not let a route name what is not there.
            None => Forwarded::Unreachable {
                detail: format!("there is no upstream {upstream:?}"),
                retry_after: None,
            },
        }
    }
}
