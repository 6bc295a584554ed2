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
//! Source and event id are percent-encoded path segments. With tokens, all but the first three and the files of the page ask
//! for `Authorization: Bearer …`, and one that may only read is refused what changes something. Without one the listener is a loopback address, and the requests
//! that show or change something must name it as an address or as `localhost`: a web page that was
//! made to resolve to the loopback address cannot use them.
//!
//! It knows neither sources nor stores: [`AdminBackend`] provides the answers. HTTP is as strict as
//! on the public listener (`crate::edge`).

mod access;
mod backend;
mod captures;
mod clock_watch;
mod coding;
mod deliveries;
mod inbox;
mod page;
mod reply;
mod work;

pub use access::Caller;
pub use backend::{AdminBackend, Forgotten, Reloaded};

use crate::edge::{BodyMemory, HttpReply, Limits, Listener, Responder, Traffic};
use crate::outcome::Refusal;
use crate::request::{BodySource, RequestHead};
use crate::telemetry::metrics::Metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
pub use clock_watch::ClockWatch;
use hookward_time::Clock;
use http::Method;
use percent_encoding::percent_decode_str;
use reply::{document, fault, only, text};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use work::to_its_end;

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

    async fn answer(&self, head: &RequestHead, body: &[u8]) -> HttpReply {
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
                let caller = match access::admit(&self.backend.tokens(), head) {
                    Ok(caller) => caller,
                    Err(refused) => return *refused,
                };
                if let Some(answered) = inbox::answer(&self.backend, head, &caller, body).await {
                    return answered;
                }
                self.answer_private(head, path, caller).await
            }
        }
    }

    /// Requests that need access.
    async fn answer_private(&self, head: &RequestHead, path: &str, caller: Caller) -> HttpReply {
        let read = [Method::GET, Method::HEAD];
        match path {
            "/status" => match only(&read, head) {
                Some(refused) => refused,
                None => self.status(caller).await,
            },
            "/deliveries" => {
                only(&read, head).unwrap_or_else(|| deliveries::list(&self.backend.journal(), head))
            }
            "/deliveries/stream" => only(&[Method::GET], head).unwrap_or_else(|| {
                let (backend, head) = (Arc::clone(&self.backend), head.clone());
                let may_watch = move || access::admit(&backend.tokens(), &head).is_ok();
                deliveries::stream(&self.backend.journal(), &self.viewers, may_watch)
            }),
            "/reload" => match only(&[Method::POST], head) {
                Some(refused) => refused,
                None => self.reload(&caller).await,
            },
            _ => {
                if let Some(rest) = path.strip_prefix("/captures/") {
                    return only(&read, head)
                        .unwrap_or_else(|| captures::answer(&*self.backend, rest));
                }
                match path.strip_prefix("/dedupe/").and_then(|rest| rest.split_once('/')) {
                    Some((source, event_id)) => self.dedupe(head, caller, source, event_id).await,
                    None => fault(404, "there is nothing here"),
                }
            }
        }
    }

    async fn scrape(&self, head: &RequestHead) -> HttpReply {
        self.backend.before_scrape().await;
        match self.metrics.render() {
            Ok(metrics) => coding::coded(head, text(200, prometheus::TEXT_FORMAT, metrics)),
            Err(problem) => fault(500, &problem.to_string()),
        }
    }

    async fn ready(&self) -> HttpReply {
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

    async fn status(&self, caller: Caller) -> HttpReply {
        let mut members = self.backend.status().await;
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        members.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        members.insert("uptime_seconds".to_owned(), json!(uptime.as_secs()));
        let token =
            caller.token.map(|name| json!({ "name": name, "read_only": caller.is_read_only }));
        members.insert("token".to_owned(), json!(token));
        document(200, &Value::Object(members))
    }

    async fn reload(&self, caller: &Caller) -> HttpReply {
        let backend = Arc::clone(&self.backend);
        let (client, token) = (caller.client, caller.token.as_deref());
        tracing::warn!(%client, token, "audit: a reload was asked for");
        match to_its_end(async move { backend.reload().await }).await {
            Ok(Reloaded { notes, changes }) => {
                document(200, &json!({ "reloaded": true, "changes": changes, "notes": notes }))
            }
            Err(problems) => document(422, &json!({ "reloaded": false, "problems": problems })),
        }
    }

    async fn dedupe(
        &self,
        head: &RequestHead,
        caller: Caller,
        source: &str,
        event_id: &str,
    ) -> HttpReply {
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
            let backend = Arc::clone(&self.backend);
            let (source, event_id) = (source.into_owned(), event_id.into_owned());
            let forgotten = async move { backend.forget(&source, &event_id, &caller).await };
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
    async fn respond(&self, head: RequestHead, body: &mut dyn BodySource) -> HttpReply {
        // Read to its end, so that an ignored body does not cost the connection.
        let body = body.read(&mut |_| {}).await;
        let body = body.map(|body| body.bytes).unwrap_or_default();
        self.answer(&head, &body).await
    }

    fn refuse(&self, refusal: Refusal, _client: IpAddr) -> HttpReply {
        HttpReply::problem(&refusal)
    }
}
