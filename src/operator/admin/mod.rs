//! The admin listener, for the operators of the process.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /healthz` | 200 while the process serves |
//! | `GET /readyz` | 200 when events can be taken, else 503 with the reasons; while draining 503 |
//! | `GET /` | the status page |
//! | `GET /deliveries` | the last deliveries, newest first |
//! | `GET /deliveries/stream` | the deliveries to come, as server-sent events |
//! | `GET /captures/{source}` | the refused deliveries of a source that were captured |
//! | `GET /captures/{source}/{id}` | one of them, as a request |
//! | `GET /status` | version, uptime, configuration, sources, upstreams, store |
//! | `GET /dedupe/{source}/{event id}` | per destination its state and since when; 404 if absent |
//! | `DELETE /dedupe/{source}/{event id}` | forgets it, so that a re-send is forwarded; 409 while it is in flight |
//! | `/inbox…`, `/upstreams/{name}/…` | see `inbox` |
//! | `POST /reload` | as SIGHUP: 200, or 422 with all problems, the old configuration still serving |
//!
//! Source and event id are percent-encoded path segments. With a token, all but the first three and
//! the files of the page ask for `Authorization: Bearer …`. Without one the listener is on a
//! loopback address, and requests that show or change something must use an IP address or
//! `localhost` as the host: a web page whose name resolves to the loopback address cannot use them.
//!
//! It knows neither sources nor stores: [`AdminBackend`] provides the answers. HTTP is as strict as
//! on the public listener (`crate::edge`).

mod access;
mod captures;
mod clock_watch;
mod coding;
mod deliveries;
mod inbox;
mod page;
mod reply;

use self::reply::{document, fault, only, text, unauthorized};
use crate::delivery::captures::Capture;
use crate::delivery::journal::Journal;
use crate::edge::{BodyMemory, Limits, Listener, Reply, Responder, Traffic};
use crate::inbox::Inbox;
use crate::outcome::Refusal;
use crate::request::{BodySource, RequestHead};
use crate::telemetry::metrics::Metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
pub use clock_watch::ClockWatch;
use hookward_secret::Secret;
use hookward_time::Clock;
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The interface of the rest of the process for the admin listener.
#[async_trait]
pub trait AdminBackend: Send + Sync + 'static {
    /// Whether events can be accepted now, above all by the store; a sentence if it does less than
    /// it promises.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    async fn ready(&self) -> Result<Option<String>, String>;

    /// The members of `/status` beside `version` and `uptime_seconds`: `config_hash` of the last
    /// accepted file, `waits_for_restart` (its keys that need a restart), `sources`, `upstreams`,
    /// `dedupe`.
    async fn status(&self) -> serde_json::Map<String, Value>;

    /// The state of the event at each destination; `None` if it is unknown.
    ///
    /// # Errors
    /// A sentence on why the store did not answer.
    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String>;

    /// Forgets the event, and writes the audit line.
    ///
    /// # Errors
    /// A sentence on why the store did not answer.
    async fn forget(
        &self,
        source: &str,
        event_id: &str,
        client: IpAddr,
    ) -> Result<Forgotten, String>;

    /// Reloads the configuration: all of it or nothing. The notes list changes that need a restart.
    ///
    /// # Errors
    /// Every problem of the new configuration; the old one stays in use.
    async fn reload(&self) -> Result<Reloaded, Vec<String>>;

    /// The current bearer token; a reload may change it. `None` only if the listener is on a
    /// loopback address.
    fn token(&self) -> Option<Arc<Secret>>;

    /// The last deliveries.
    fn journal(&self) -> Arc<Journal>;

    /// The captured refusals of a source, newest first; `None` for an unknown source.
    fn captures(&self, source: &str) -> Option<Vec<Arc<Capture>>>;

    /// The inbox, if there is one.
    fn inbox(&self) -> Option<Arc<Inbox>> {
        None
    }

    /// Updates figures that are counted elsewhere, before `/metrics` is written.
    async fn before_scrape(&self);
}

/// The result of a reload.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// Notes for the operator.
    pub notes: Vec<String>,
    /// What changed: `sources`, `routes` and `upstreams`, each with the names of those `added`,
    /// `removed` and `changed`.
    pub changes: Value,
}

/// The result of forgetting an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// A re-send of it is forwarded.
    Done,
    /// It was unknown.
    Unknown,
    /// It is in flight to a destination, which cannot be undone.
    InFlight,
}

/// How long `/readyz` waits for the store.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Connections at once. When all are in use, the oldest is closed, so that a probe is answered.
const PLACES: usize = 256;

/// Bodies held at once; only changes of the inbox have meaningful ones.
const ADMIN_MEMORY_BYTES: usize = 1024 * 1024;

/// The requests of this listener, answered.
pub(crate) struct Admin {
    backend: Arc<dyn AdminBackend>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    clock_watch: Arc<ClockWatch>,
    started: Duration,
    /// Whether the process is stopping, or about to.
    leaving: watch::Receiver<bool>,
    /// Places to watch deliveries from.
    viewers: Arc<Semaphore>,
}

impl Admin {
    pub(crate) fn new(
        backend: Arc<dyn AdminBackend>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        clock_watch: Arc<ClockWatch>,
        leaving: watch::Receiver<bool>,
    ) -> Self {
        let started = clock.monotonic();
        let viewers = Arc::new(Semaphore::new(deliveries::VIEWERS));
        Self { backend, metrics, clock, clock_watch, started, leaving, viewers }
    }

    /// A listener that answers these requests, with its own limits for people and scrapers.
    pub(crate) fn listener(self) -> Listener {
        let limits = Limits {
            max_body_bytes: 64 * 1024,
            max_header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            min_body_rate: None,
            idle_timeout: Duration::from_secs(75),
            max_connections: usize::MAX, // `PLACES` bounds them
            max_connections_per_address: None,
            trusted_proxies: Vec::new(),
            write_timeout: Duration::from_secs(30),
        };
        // The gauges are those of the public listener.
        Listener::new(
            Arc::new(self),
            Arc::new(ArcSwap::from_pointee(limits)),
            BodyMemory::new(ADMIN_MEMORY_BYTES, ADMIN_MEMORY_BYTES, None),
            Arc::new(Traffic::default()),
            None,
            Arc::new(ArcSwapOption::empty()),
        )
        .with_places(PLACES)
    }

    async fn answer(&self, head: &RequestHead, body: &[u8]) -> Reply {
        let read = [Method::GET, Method::HEAD];
        match head.path.as_str() {
            "/metrics" => match only(&read, head) {
                Some(refused) => refused,
                None => self.scrape(head).await,
            },
            "/healthz" => only(&read, head).unwrap_or_else(|| text(200, "text/plain", "ok\n")),
            "/readyz" => match only(&read, head) {
                Some(refused) => refused,
                None => self.ready().await,
            },
            path => {
                if let Some(file) = page::file(path) {
                    return only(&read, head).unwrap_or(file);
                }
                if let Some(refused) = access::check(self.backend.token().as_deref(), head) {
                    return refused;
                }
                if let Some(answered) = inbox::answer(&self.backend, head, body).await {
                    return answered;
                }
                self.answer_private(head, path).await
            }
        }
    }

    /// Requests that need access.
    async fn answer_private(&self, head: &RequestHead, path: &str) -> Reply {
        let read = [Method::GET, Method::HEAD];
        match path {
            "/status" => match only(&read, head) {
                Some(refused) => refused,
                None => self.status().await,
            },
            "/deliveries" => {
                only(&read, head).unwrap_or_else(|| deliveries::list(&self.backend.journal(), head))
            }
            "/deliveries/stream" => only(&[Method::GET], head)
                .unwrap_or_else(|| deliveries::stream(&self.backend.journal(), &self.viewers)),
            "/reload" => match only(&[Method::POST], head) {
                Some(refused) => refused,
                None => self.reload().await,
            },
            _ => {
                if let Some(rest) = path.strip_prefix("/captures/") {
                    return only(&read, head)
                        .unwrap_or_else(|| captures::answer(&*self.backend, rest));
                }
                match path.strip_prefix("/dedupe/").and_then(|rest| rest.split_once('/')) {
                    Some((source, event_id)) => self.dedupe(head, source, event_id).await,
                    None => fault(404, "there is nothing here"),
                }
            }
        }
    }

    async fn scrape(&self, head: &RequestHead) -> Reply {
        self.backend.before_scrape().await;
        match self.metrics.render() {
            Ok(metrics) => coding::coded(head, text(200, prometheus::TEXT_FORMAT, metrics)),
            Err(problem) => fault(500, &problem.to_string()),
        }
    }

    async fn ready(&self) -> Reply {
        let mut reasons = Vec::new();
        if *self.leaving.borrow() {
            reasons.push("draining".to_owned());
        }
        let mut shortcoming = None;
        match tokio::time::timeout(READY_WITHIN, self.backend.ready()).await {
            Ok(Ok(known)) => shortcoming = known,
            Ok(Err(problem)) => reasons.push(problem),
            Err(_) => reasons.push("the store did not answer within 2 s".to_owned()),
        }
        let clock = self.clock_watch.report(self.clock.monotonic());
        reasons.extend(clock.problem);
        let status = if reasons.is_empty() { 200 } else { 503 };
        let mut body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
        let full = self.backend.inbox().and_then(|inbox| inbox.fullness());
        let details = [
            ("clock", clock.detail),
            ("store", shortcoming.map(Value::String)),
            ("inbox", full.map(|why| format!("takes nothing in: {why}").into())),
        ];
        if let Some(members) = body.as_object_mut() {
            let told = details.into_iter().filter_map(|(name, told)| Some((name, told?)));
            members.extend(told.map(|(name, told)| (name.to_owned(), told)));
        }
        document(status, &body)
    }

    async fn status(&self) -> Reply {
        let mut members = self.backend.status().await;
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        members.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        members.insert("uptime_seconds".to_owned(), json!(uptime.as_secs()));
        document(200, &Value::Object(members))
    }

    async fn reload(&self) -> Reply {
        let backend = Arc::clone(&self.backend);
        match to_its_end(async move { backend.reload().await }).await {
            Ok(Reloaded { notes, changes }) => {
                document(200, &json!({ "reloaded": true, "changes": changes, "notes": notes }))
            }
            Err(problems) => document(422, &json!({ "reloaded": false, "problems": problems })),
        }
    }

    async fn dedupe(&self, head: &RequestHead, source: &str, event_id: &str) -> Reply {
        let decode = |segment| percent_decode_str(segment).decode_utf8();
        let (Ok(source), Ok(event_id)) = (decode(source), decode(event_id)) else {
            return fault(400, "source and event id are percent-encoded UTF-8");
        };
        if event_id.is_empty() {
            return fault(404, "an event id is missing");
        }
        if let Some(refused) = only(&[Method::GET, Method::HEAD, Method::DELETE], head) {
            return refused;
        }
        let found = if head.method == Method::DELETE {
            let (backend, client) = (Arc::clone(&self.backend), head.client);
            let (source, event_id) = (source.into_owned(), event_id.into_owned());
            let forgotten = async move { backend.forget(&source, &event_id, client).await };
            match to_its_end(forgotten).await {
                Ok(Forgotten::InFlight) => {
                    return fault(409, "the event is in flight; ask again when it has arrived");
                }
                Ok(Forgotten::Done) => Ok(Some(json!({ "forgotten": true }))),
                Ok(Forgotten::Unknown) => Ok(None),
                Err(problem) => Err(problem),
            }
        } else {
            self.backend.inspect(&source, &event_id).await
        };
        match found {
            Ok(Some(body)) => document(200, &body),
            Ok(None) => fault(404, "nothing is known of this event"),
            Err(problem) => fault(503, &problem),
        }
    }
}

#[async_trait]
impl Responder for Admin {
    async fn respond(&self, head: RequestHead, body: &mut dyn BodySource) -> Reply {
        // Read to its end, so that an ignored body does not cost the connection.
        let body = body.read(&mut |_| {}).await;
        let body = body.map(|body| body.bytes).unwrap_or_default();
        self.answer(&head, &body).await
    }

    fn refuse(&self, refusal: Refusal, _client: IpAddr) -> Reply {
        Reply::problem(&refusal)
    }
}

/// Runs changes in a separate task, so that a connection that is closed half-way does not leave
/// them half done.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(fault) => match fault.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process stops.
            Err(_) => std::future::pending().await,
        },
    }
}
