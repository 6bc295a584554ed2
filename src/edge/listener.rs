//! A listener, and a connection that it has let in.

use super::limits::Limits;
use super::memory::BodyMemory;
use super::places::Places;
use super::respond::HttpReply;
use super::traffic::Traffic;
use crate::outcome::Refusal;
use crate::request::{BodySource, RequestHead};
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use prometheus::IntGauge;
use rustls::ServerConfig;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The handler of requests on any listener.
#[async_trait]
pub(crate) trait Responder: Send + Sync + 'static {
    /// Answers a request.
    async fn respond(&self, head: RequestHead, body: &mut dyn BodySource) -> HttpReply;

    /// Answers what never became a request.
    fn refuse(&self, refusal: Refusal, client: IpAddr) -> HttpReply;
}

/// The application that Pingora's listening service hands its connections to.
pub(crate) struct Listener {
    pub(super) responder: Arc<dyn Responder>,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) memory: Arc<BodyMemory>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) connections: Option<IntGauge>,
    pub(super) tls: Arc<ArcSwapOption<ServerConfig>>,
    pub(super) places: Option<Arc<Places>>,
}

impl Listener {
    /// A listener whose open connections show in `traffic` and on `connections`.
    pub(crate) fn new(
        responder: Arc<dyn Responder>,
        limits: Arc<ArcSwap<Limits>>,
        memory: Arc<BodyMemory>,
        traffic: Arc<Traffic>,
        connections: Option<IntGauge>,
        tls: Arc<ArcSwapOption<ServerConfig>>,
    ) -> Self {
        Self { responder, limits, memory, traffic, connections, tls, places: None }
    }

    /// With this many places for connections, of which the oldest gives way to a new one.
    pub(crate) fn with_places(self, max: usize) -> Self {
        Self { places: Some(Places::new(max)), ..self }
    }
}

/// An accepted connection.
pub(super) struct Connection<'a> {
    pub(super) listener: &'a Arc<Listener>,
    pub(super) peer: IpAddr,
    pub(super) tls: bool,
    pub(super) accepted: Instant,
    pub(super) shutdown: ShutdownWatch,
}

impl Connection<'_> {
    pub(super) fn is_draining(&self) -> bool {
        *self.shutdown.borrow()
    }
}

/// Waits for the signal to stop, or for the end of the one who would give it.
pub(super) async fn drains(shutdown: &mut ShutdownWatch) {
    drop(shutdown.wait_for(|is_draining| *is_draining).await);
}
