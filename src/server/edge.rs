//! What the public listener has that a reload changes and a drain looks at.

use crate::config::ServerSettings;
use crate::metrics::Metrics;
use crate::proxy::{BodyMemory, Limits, Listener, Responder, Traffic};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The state of the public listener; one for the life of the process.
#[derive(Debug)]
pub struct Edge {
    limits: Arc<ArcSwap<Limits>>,
    memory: Arc<BodyMemory>,
    traffic: Arc<Traffic>,
    drain_timeout: Mutex<Duration>,
    is_draining: AtomicBool,
}

impl Edge {
    /// The listener's state for these settings.
    pub fn new(settings: &ServerSettings, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            limits: Arc::new(ArcSwap::from_pointee(Limits::from(settings))),
            memory: BodyMemory::new(settings.body_memory_bytes, Some(metrics.body_bytes.clone())),
            traffic: Arc::new(Traffic::default()),
            drain_timeout: Mutex::new(settings.drain_timeout),
            is_draining: AtomicBool::new(false),
        })
    }

    /// Takes over new settings, addresses and threads apart: each connection meets them with its
    /// next request.
    pub fn apply(&self, settings: &ServerSettings) {
        self.limits.store(Arc::new(Limits::from(settings)));
        self.memory.set_limit(settings.body_memory_bytes);
        *self.drain_timeout.lock() = settings.drain_timeout;
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// What is open on the public listener.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(super) fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    pub(super) fn drain_timeout(&self) -> Duration {
        *self.drain_timeout.lock()
    }

    pub(super) fn scheme(&self) -> &'static str {
        "http"
    }

    pub(super) fn listener(
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
        )
    }
}
