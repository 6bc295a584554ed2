//! A process that serves: built from a configuration once, changed by reloads.
//!
//! Owns what a reload keeps (claims, counters, connections) and what it swaps (the snapshot), and
//! answers the admin listener about both.

use crate::admin::AdminBackend;
use crate::answer::Answer;
use crate::clock::Clock;
use crate::config::{Config, DedupeSettings, Problem, SecretReader, StoreSettings};
use crate::dedupe::{
    ClaimStore, Claims, DiskStore, Health, MemoryStore, RedisStore, Standing, StoreError,
};
use crate::dispatch::End;
use crate::gate::{Gate, Snapshot};
use crate::metrics::Metrics;
use crate::outcome::Refusal;
use crate::proxy::Door;
use crate::report::printable;
use crate::request::{BodySource, RequestHead};
use crate::route::{TypeGlob, UpstreamName};
use crate::server::{Edge, TlsError};
use crate::upstream::{UpstreamFault, Upstreams};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a person's or a scraper's question to the store may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How long the store may take to be there when the process starts.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why a configuration that is right in itself cannot be served here and now.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The claim store is not there.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file or host of an upstream is not usable.
    #[error("{}", list(.0))]
    Upstreams(Vec<UpstreamFault>),
    /// A certificate, key or CA of the listener is not usable.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
    /// A metric could not be declared.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

fn list(faults: &[UpstreamFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where the configuration comes from, to read it anew.
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// How secrets are read.
    pub secrets: Box<dyn SecretReader + Send + Sync>,
}

/// Everything behind the listeners.
pub struct Runtime {
    gate: Gate,
    edge: Arc<Edge>,
    upstreams: ArcSwap<Upstreams>,
    /// `None` for a configuration that is no file, as the demo's.
    origin: Option<Origin>,
    fixed: Fixed,
    /// One reload at a time; a scrape brings the store's counters up to date under it too.
    turn: Mutex<()>,
}

/// What cannot change without a restart.
struct Fixed {
    listen: Vec<SocketAddr>,
    threads: Option<usize>,
    tls: bool,
    admin_listen: SocketAddr,
    store: String,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            listen: config.server.listen.clone(),
            threads: config.server.threads,
            tls: config.server.tls.is_some(),
            admin_listen: config.admin.listen,
            store: store_identity(&config.dedupe),
        }
    }

    /// A sentence for each difference, for the person who reloads.
    fn differences(&self, new: &Self) -> Vec<String> {
        let changed = [
            ("server.listen", self.listen != new.listen),
            ("server.threads", self.threads != new.threads),
            ("server.tls (on or off)", self.tls != new.tls),
            ("admin.listen", self.admin_listen != new.admin_listen),
            ("dedupe store", self.store != new.store),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| {
                format!("{key} changed; that takes a restart, the old one stays in force")
            })
            .collect()
    }
}

/// What makes a store another one. Compared, never shown: a URL holds a password.
fn store_identity(settings: &DedupeSettings) -> String {
    match &settings.store {
        StoreSettings::Memory => format!("memory {}", settings.capacity),
        StoreSettings::Disk { path } => format!("disk {} {}", path.display(), settings.capacity),
        StoreSettings::Redis { url, prefix } => {
            format!("redis {prefix} {}", data_encoding::HEXLOWER.encode(url.expose()))
        }
    }
}

impl Runtime {
    /// Builds all that is needed to serve `config`. Called within the runtime that will serve.
    ///
    /// # Errors
    /// What is not there: the store, a file of an upstream.
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
        let store = open_store(&config.dedupe, &clock).await?;
        let claims: Arc<Claims<End>> = Claims::new(store, clock.clone());
        let upstreams = Upstreams::new(&config.upstreams, &metrics, clock.clone())
            .map_err(StartError::Upstreams)?;
        upstreams.start();
        let upstreams = Arc::new(upstreams);
        let edge = Edge::new(&config.server, &metrics)?;
        let fixed = Fixed::of(&config);
        let snapshot = Snapshot::new(config, upstreams.clone(), &metrics, None);
        Ok(Arc::new(Self {
            gate: Gate::new(clock, metrics, claims, snapshot),
            edge,
            upstreams: ArcSwap::new(upstreams),
            origin,
            fixed,
            turn: Mutex::new(()),
        }))
    }

    /// The public listener's state.
    pub fn edge(&self) -> Arc<Edge> {
        self.edge.clone()
    }

    /// The counters.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.gate.metrics.clone()
    }

    /// Takes over all of a new configuration or nothing.
    fn take_over(&self, config: Config) -> Result<Vec<String>, Vec<String>> {
        let _turn = self.turn.lock();
        let metrics = &self.gate.metrics;
        let upstreams = self
            .upstreams
            .load()
            .reconfigured(&config.upstreams, metrics)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        upstreams.start();
        let upstreams = Arc::new(upstreams);
        let notes = self.fixed.differences(&Fixed::of(&config));
        let listener =
            Edge::prepare(&config.server).map_err(|fault| vec![format!("server.tls: {fault}")])?;
        let before = self.gate.snapshot();
        let snapshot = Snapshot::new(config, upstreams.clone(), metrics, Some(&before));
        self.upstreams.store(upstreams);
        self.gate.swap(snapshot);
        self.edge.take_over(listener);
        Ok(notes)
    }

    fn destinations_of(&self, source: &str) -> Option<Vec<UpstreamName>> {
        let snapshot = self.gate.snapshot();
        let source = snapshot.sources.named(source)?;
        let mut names: Vec<UpstreamName> = Vec::new();
        for name in source.routes.iter().flat_map(|route| &route.to) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Some(names)
    }
}

async fn open_store(
    settings: &DedupeSettings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn ClaimStore>, StartError> {
    let clock = clock.clone();
    Ok(match &settings.store {
        StoreSettings::Memory => Arc::new(MemoryStore::new(settings.capacity, clock)),
        StoreSettings::Disk { path } => Arc::new(DiskStore::open(path, settings.capacity, clock)?),
        StoreSettings::Redis { url, prefix } => {
            Arc::new(RedisStore::open(url, prefix, clock, CONNECT_WITHIN).await?)
        }
    })
}

#[async_trait]
impl Door for Runtime {
    async fn deliver(&self, head: RequestHead, body: &mut dyn BodySource) -> Answer {
        self.gate.deliver(&head, body).await
    }

    fn refuse(&self, refusal: Refusal, client: IpAddr) -> Answer {
        self.gate.refuse(refusal, client)
    }
}

#[async_trait]
impl AdminBackend for Runtime {
    async fn ready(&self) -> Result<(), String> {
        match self.gate.claims.health(ASK_WITHIN).await {
            Ok(Health::Good | Health::Degraded(_)) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    async fn status(&self) -> Map<String, Value> {
        let snapshot = self.gate.snapshot();
        let sources: Map<String, Value> = snapshot
            .sources
            .iter()
            .map(|source| {
                let routes: Vec<Value> = source
                    .routes
                    .iter()
                    .map(|route| {
                        let events: Vec<&str> = route.events.iter().map(TypeGlob::as_str).collect();
                        let to: Vec<&str> = route.to.iter().map(|name| &**name).collect();
                        json!({ "events": events, "to": to })
                    })
                    .collect();
                let facts = json!({
                    "path": source.path,
                    "preset": source.preset,
                    "ready": source.keys.is_ok(),
                    "routes": routes,
                });
                (source.name.to_string(), facts)
            })
            .collect();
        let store = self.gate.claims.store();
        let entries = store.entries(ASK_WITHIN).await.ok();
        let health = match self.gate.claims.health(ASK_WITHIN).await {
            Ok(Health::Good) => "good".to_owned(),
            Ok(Health::Degraded(why)) => why,
            Err(fault) => fault.to_string(),
        };
        let mut status = Map::new();
        status.insert("config_hash".to_owned(), snapshot.fingerprint.clone().into());
        status.insert("sources".to_owned(), sources.into());
        let upstreams: Map<String, Value> = self
            .upstreams
            .load()
            .status()
            .into_iter()
            .map(|upstream| {
                let addresses: Map<String, Value> =
                    upstream.addresses.into_iter().map(|(at, ok)| (at, ok.into())).collect();
                let facts = json!({ "healthy": upstream.healthy, "addresses": addresses });
                (upstream.name.to_string(), facts)
            })
            .collect();
        status.insert("upstreams".to_owned(), upstreams.into());
        status.insert(
            "dedupe".to_owned(),
            json!({ "store": store.name(), "entries": entries, "health": health }),
        );
        status
    }

    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String> {
        let Some(destinations) = self.destinations_of(source) else { return Ok(None) };
        let claims = &self.gate.claims;
        let stood = claims
            .inspect(source, event_id, &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        Ok(known(source, event_id, &stood))
    }

    async fn forget(&self, source: &str, event_id: &str, client: IpAddr) -> Result<bool, String> {
        let Some(destinations) = self.destinations_of(source) else { return Ok(false) };
        let claims = &self.gate.claims;
        let stood = claims
            .forget(source, event_id, &destinations, ASK_WITHIN)
            .await
            .map_err(|fault| fault.to_string())?;
        let known = known(source, event_id, &stood).is_some();
        tracing::warn!(
            source,
            event_id = printable(event_id),
            known,
            %client,
            "audit: an event was forgotten; its next delivery is forwarded"
        );
        Ok(known)
    }

    async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let taken = match &self.origin {
            None => Err(vec!["this process has no configuration file to read anew".to_owned()]),
            Some(origin) => match Config::load(&origin.path, &*origin.secrets) {
                Err(problems) => Err(problems.iter().map(Problem::to_string).collect()),
                Ok((config, warnings)) => self.take_over(config).map(|mut notes| {
                    notes.extend(warnings.iter().map(Problem::to_string));
                    notes
                }),
            },
        };
        let result = if taken.is_ok() { "ok" } else { "error" };
        self.gate.metrics.config_reloads.with_label_values(&[result]).inc();
        taken
    }

    async fn before_scrape(&self) {
        let store = self.gate.claims.store();
        let entries = store.entries(ASK_WITHIN).await.ok();
        let _turn = self.turn.lock();
        let (name, counters) = ([store.name()], store.counters());
        if let Some(entries) = entries {
            let gauge = self.gate.metrics.dedupe_entries.with_label_values(&name);
            gauge.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
        let evicted = self.gate.metrics.dedupe_evicted.with_label_values(&name);
        evicted.inc_by(counters.evicted().saturating_sub(evicted.get()));
        let errors = self.gate.metrics.dedupe_store_errors.with_label_values(&name);
        errors.inc_by(counters.errors().saturating_sub(errors.get()));
    }
}

/// Per destination its state and since when; `None` if none of them knows the event.
fn known(source: &str, event_id: &str, stood: &[(UpstreamName, Standing)]) -> Option<Value> {
    let destinations: Map<String, Value> = stood
        .iter()
        .filter_map(|(name, standing)| {
            let facts = match standing {
                Standing::Absent | Standing::Claimed | Standing::Released { .. } => return None,
                Standing::InFlight { since } => {
                    json!({ "state": "in_flight", "since": since.to_rfc3339() })
                }
                Standing::Delivered { since, .. } => {
                    json!({ "state": "delivered", "since": since.to_rfc3339() })
                }
                Standing::Uncertain { since, left, .. } => json!({
                    "state": "uncertain",
                    "since": since.to_rfc3339(),
                    "seconds_left": left.as_secs(),
                }),
            };
            Some((name.to_string(), facts))
        })
        .collect();
    (!destinations.is_empty())
        .then(|| json!({ "source": source, "event_id": event_id, "destinations": destinations }))
}
