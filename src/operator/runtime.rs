//! A serving process: built once from a configuration, changed by reloads.
//!
//! It owns what a reload keeps (claims, counters, connections) and what it replaces (the snapshot).
//! `reload` performs reloads; `desk` answers the admin listener.

mod changes;
mod desk;
mod fixed;
mod gauges;
mod inboxes;
mod origin;
mod reload;
mod status;

pub use origin::Origin;

use crate::config::{AdminToken, CertificateEnd, Config, DedupeSettings, StoreSettings};
use crate::delivery::answer::{Answer, DestinationOutcome};
use crate::delivery::gate::{SharedState, Snapshot};
use crate::delivery::lifecycle;
use crate::delivery::report::SpanSink;
use crate::edge::Door;
use crate::operator::server::{Edge, TlsError};
use crate::outcome::Refusal;
use crate::request::{BodySource, RequestHead};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{UpstreamFault, Upstreams};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use fixed::Fixed;
use gauges::Gauges;
use hookward_claims::{
    ClaimStore, Claims, DiskStore, MemoryStore, PostgresDatabase, PostgresStore, PostgresTls,
    RedisStore, RedisTls, StoreError,
};
use hookward_inbox::OpenError;
use hookward_time::Clock;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the store may take to become available when the process starts.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a valid configuration cannot be served now.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The claim store is unavailable.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file or host of an upstream is not usable.
    #[error("{}", list(.0))]
    Upstreams(Vec<UpstreamFault>),
    /// A certificate, key or CA of the listener is not usable.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
    /// The inbox cannot be opened.
    #[error("inbox: {0}")]
    Inbox(#[from] OpenError),
    /// A metric could not be declared.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

fn list(faults: &[UpstreamFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Everything behind the listeners.
pub struct Runtime {
    gate: Arc<SharedState>,
    edge: Arc<Edge>,
    /// That of the store, where it is one that can hold an inbox.
    database: Option<PostgresDatabase>,
    upstreams: ArcSwap<Upstreams>,
    /// `None` for a configuration that is not a file, such as the demo's.
    origin: Option<Origin>,
    fixed: Fixed,
    /// The parts of the current configuration that wait for a restart.
    pending: ArcSwap<Vec<&'static str>>,
    /// When the certificates in use expire.
    certificates: ArcSwap<Vec<CertificateEnd>>,
    gauges: Gauges,
    /// The admin token.
    tokens: ArcSwap<Vec<AdminToken>>,
    /// One reload at a time, starting with reading the file: the last requested one wins.
    reloading: tokio::sync::Mutex<()>,
    /// One scrape at a time updates the store's counters.
    scraping: Mutex<()>,
}

impl Runtime {
    /// Builds everything for serving `config`. Call it within the runtime that will serve.
    ///
    /// # Errors
    /// What is unavailable: the store, a file of an upstream.
    pub async fn build(
        config: Config,
        origin: Option<Origin>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        let metrics = Arc::new(Metrics::new()?.with_process_figures());
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for result in ["ok", "error"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        let (store, database) = open_store(&config.dedupe, &clock).await?;
        let claims: Arc<Claims<DestinationOutcome>> = Claims::new(store, clock.clone());
        let upstreams = Upstreams::new(&config.upstreams, &metrics, clock.clone())
            .map_err(StartError::Upstreams)?;
        upstreams.start();
        let upstreams = Arc::new(upstreams);
        let edge = Edge::new(&config.server, &metrics)?;
        let fixed = Fixed::of(&config);
        let certificates = config.certificate_ends();
        let gauges = Gauges::of(&metrics);
        let tokens = ArcSwap::from_pointee(config.admin.tokens.clone());
        let inbox = match &config.inbox {
            Some(settings) => match inboxes::wanted(settings, database.as_ref()).await {
                Some(place) => {
                    Some(inboxes::open(&config, settings, place, &metrics, &clock).await?)
                }
                None => None,
            },
            None => None,
        };
        let snapshot = Snapshot::new(config, &*upstreams, &metrics, &clock, None);
        let gate = Arc::new(SharedState::new(clock, metrics, claims, snapshot));
        if let Some(inbox) = inbox {
            inboxes::serve(&gate, &edge, inbox);
        }
        let runtime = Arc::new(Self {
            gate,
            edge,
            database,
            upstreams: ArcSwap::new(upstreams),
            origin,
            fixed,
            pending: ArcSwap::default(),
            certificates: ArcSwap::from_pointee(certificates),
            gauges,
            tokens,
            reloading: tokio::sync::Mutex::default(),
            scraping: Mutex::default(),
        });
        tokio::spawn(refresh_keys(Arc::downgrade(&runtime)));
        Ok(runtime)
    }

    /// The public listener's state.
    pub fn edge(&self) -> Arc<Edge> {
        self.edge.clone()
    }

    /// Also passes every logged delivery to `sink`.
    pub fn show_spans(&self, sink: Arc<dyn SpanSink>) {
        self.gate.show_spans(sink);
    }

    /// Writes pending data and ends the inbox. Blocks until that is done.
    pub fn close(&self) {
        if let Some(inbox) = self.gate.inbox() {
            inbox.close();
        }
    }

    /// The counters.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.gate.metrics.clone()
    }
}

/// How often published keys are checked for being due.
const LOOK_AFTER_KEYS: Duration = Duration::from_secs(1);

/// Keeps published keys fresh while a configuration uses them.
async fn refresh_keys(runtime: Weak<Runtime>) {
    let mut turns = tokio::time::interval(LOOK_AFTER_KEYS);
    loop {
        turns.tick().await;
        let Some(runtime) = runtime.upgrade() else { return };
        runtime.gate.snapshot().published.tick();
    }
}

/// Opens the store that is configured.
///
/// # Errors
/// It is not there, or cannot be used.
pub(crate) async fn open_store(
    settings: &DedupeSettings,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn ClaimStore>, Option<PostgresDatabase>), StoreError> {
    let clock = clock.clone();
    let store: Arc<dyn ClaimStore> = match &settings.store {
        StoreSettings::Memory => Arc::new(MemoryStore::new(settings.capacity, clock)),
        StoreSettings::Disk { path } => Arc::new(DiskStore::open(path, settings.capacity, clock)?),
        StoreSettings::Redis { url, prefix, tls } => {
            let tls = tls.clone().map(RedisTls::from);
            Arc::new(RedisStore::open(url, tls.as_ref(), prefix, clock, CONNECT_WITHIN).await?)
        }
        StoreSettings::Postgres { url, tls } => {
            let tls = tls.clone().map(PostgresTls::from);
            let store = PostgresStore::open(url, tls.as_ref(), clock, CONNECT_WITHIN).await?;
            let database = store.database();
            return Ok((Arc::new(store), Some(database)));
        }
    };
    Ok((store, None))
}

#[async_trait]
impl Door for Runtime {
    async fn deliver(&self, head: RequestHead, body: &mut dyn BodySource) -> Answer {
        lifecycle::deliver(&self.gate, &head, body).await
    }

    fn refuse(&self, refusal: Refusal, client: IpAddr) -> Answer {
        self.gate.refuse(refusal, client)
    }
}
