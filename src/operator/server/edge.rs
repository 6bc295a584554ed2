//! The state of the public listener that a reload changes and a drain observes.

use super::open_files;
use super::tls::{self, TlsError};
use crate::config::ServerSettings;
use crate::edge::{BodyMemory, Limits, Listener, Responder, Traffic};
use crate::telemetry::metrics::Metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use prometheus::IntGauge;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The state of the public listener for the life of the process.
#[derive(Debug)]
pub struct Edge {
    limits: Arc<ArcSwap<Limits>>,
    memory: Arc<BodyMemory>,
    tls: Arc<ArcSwapOption<ServerConfig>>,
    traffic: Arc<Traffic>,
    patience: Mutex<DrainPatience>,
    leaving: watch::Sender<bool>,
    draining: watch::Sender<bool>,
}

/// New settings that are checked completely.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) limits: Limits,
    body_memory_bytes: usize,
    tls: Option<Arc<ServerConfig>>,
    patience: DrainPatience,
}

/// The times of a drain.
#[derive(Clone, Copy, Debug)]
struct DrainPatience {
    delay: Duration,
    timeout: Duration,
}

impl Edge {
    /// The listener's state for these settings.
    ///
    /// # Errors
    /// If TLS is asked for with files that cannot be used.
    pub fn new(settings: &ServerSettings, metrics: &Metrics) -> Result<Arc<Self>, TlsError> {
        let prepared = Self::prepare(settings)?;
        let largest = prepared.limits.largest_body_bytes();
        let gauge = Some(metrics.body_bytes.clone());
        Ok(Arc::new(Self {
            limits: Arc::new(ArcSwap::from_pointee(prepared.limits)),
            memory: BodyMemory::new(prepared.body_memory_bytes, largest, gauge),
            tls: Arc::new(ArcSwapOption::new(prepared.tls)),
            traffic: Arc::new(Traffic::default()),
            patience: Mutex::new(prepared.patience),
            leaving: watch::Sender::new(false),
            draining: watch::Sender::new(false),
        }))
    }

    /// The total memory for bodies.
    #[must_use]
    pub fn memory(&self) -> Arc<BodyMemory> {
        Arc::clone(&self.memory)
    }

    /// Reads and checks everything that new settings need, above all certificates, without changing
    /// anything.
    ///
    /// # Errors
    /// If TLS is asked for with files that cannot be used.
    pub fn prepare(settings: &ServerSettings) -> Result<Prepared, TlsError> {
        let mut limits = settings.limits.clone();
        limits.max_connections = open_files::connections_within(limits.max_connections);
        Ok(Prepared {
            limits,
            body_memory_bytes: settings.body_memory_bytes,
            tls: settings.tls.as_ref().map(tls::load).transpose()?,
            patience: DrainPatience {
                delay: settings.drain_delay,
                timeout: settings.drain_timeout,
            },
        })
    }

    /// Applies new settings. For an open connection the limits apply from its next request, and its
    /// certificate does not change. Addresses, threads and whether to use TLS do not change until a
    /// restart.
    pub fn take_over(&self, prepared: Prepared) {
        let Prepared { limits, body_memory_bytes, tls, patience } = prepared;
        self.memory.set_limit(body_memory_bytes, limits.largest_body_bytes());
        self.limits.store(Arc::new(limits));
        if tls.is_some() == self.tls.load().is_some() {
            self.tls.store(tls);
        }
        *self.patience.lock() = patience;
    }

    /// Whether the process is stopping.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// What is open on the public listener.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Becomes true when the drain starts, which stops the public listener.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Becomes true when the process is about to drain: from then on no one should send to it.
    pub(super) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    pub(super) fn start_leaving(&self) {
        self.leaving.send_replace(true);
    }

    pub(super) fn start_draining(&self) {
        self.start_leaving();
        self.draining.send_replace(true);
    }

    pub(super) fn drain_delay(&self) -> Duration {
        self.patience.lock().delay
    }

    pub(super) fn drain_timeout(&self) -> Duration {
        self.patience.lock().timeout
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.load().is_some() { "https" } else { "http" }
    }

    pub(crate) fn listener(
        &self,
        responder: Arc<dyn Responder>,
        connections: Option<IntGauge>,
    ) -> Listener {
        Listener::new(
            responder,
            Arc::clone(&self.limits),
            Arc::clone(&self.memory),
            Arc::clone(&self.traffic),
            connections,
            Arc::clone(&self.tls),
        )
    }
}
