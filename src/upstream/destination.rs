//! One upstream: which address is asked, how often, and for how long.
//!
//! The rule for a second attempt: whatever the method, another address may be tried as long as
//! nothing was sent, and a request on a reused connection is sent again once if it is proved
//! unseen. In every other case the first attempt is the only one.

use super::address::{Address, Endpoint, Pending};
use super::exchange::{self, Fault, Progress};
use super::reply::Arrived;
use super::{Forwarded, UpstreamRequest};
use crate::clock::Clock;
use crate::config::UpstreamSettings;
use crate::metrics::{UpstreamMetrics, UpstreamResult};
use http::HeaderValue;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession as AnySession;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::{Instant, timeout_at};

/// An upstream as it serves.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) settings: UpstreamSettings,
    endpoints: Vec<Arc<Endpoint>>,
    url_path: Option<String>,
    /// Where the next round begins.
    turn: AtomicUsize,
    /// Reused connections that had ended before a request was seen on them.
    pub(super) stale: AtomicUsize,
    metrics: UpstreamMetrics,
    clock: Arc<dyn Clock>,
}

/// Places that an exchange takes until its answer was read.
#[derive(Debug)]
pub(super) struct Held {
    _pending: Pending,
}

impl Destination {
    pub(super) fn new(
        settings: UpstreamSettings,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: UpstreamMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let url_path = settings.urls.first().and_then(|url| url.path.clone());
        Self {
            settings,
            endpoints,
            url_path,
            turn: AtomicUsize::new(0),
            stale: AtomicUsize::new(0),
            metrics,
            clock,
        }
    }

    /// Sends `request` within `timeout` and counts how it went.
    pub(super) async fn forward(
        &self,
        connector: &Arc<Connector>,
        request: UpstreamRequest,
    ) -> Forwarded {
        let began = self.clock.monotonic();
        let deadline = Instant::now() + self.settings.timeout;
        let forwarded = match self.attempts(connector, &request, deadline).await {
            Ok(arrived) => Forwarded::Answered(arrived.into_answer(deadline).await),
            Err(failed) => failed,
        };
        let took = self.clock.monotonic().saturating_sub(began);
        match &forwarded {
            Forwarded::Answered(answer) => {
                self.metrics.ended(UpstreamResult::Status(answer.status), took);
            }
            Forwarded::Unreachable { .. } => self.metrics.ended(UpstreamResult::Unreachable, took),
            Forwarded::TimedOut { .. } => self.metrics.ended(UpstreamResult::Timeout, took),
            Forwarded::Broken { .. } => self.metrics.ended(UpstreamResult::Broken, took),
            // No request was made.
            Forwarded::Full => {}
        }
        forwarded
    }

    /// Asks one address after the other until one takes the request.
    async fn attempts(
        &self,
        connector: &Arc<Connector>,
        request: &UpstreamRequest,
        deadline: Instant,
    ) -> Result<Arrived, Forwarded> {
        let mut detail = String::new();
        for (endpoint, address) in self.candidates(deadline).await? {
            // The pool first; a connection of its own only if the pooled one was proved stale.
            for peer in [&*address.pooled, &address.fresh] {
                let (mut session, reused) = match self.connect(connector, peer, deadline).await {
                    Ok(connected) => connected,
                    Err(fault) => {
                        detail = format!("{}: {fault}", address.socket);
                        self.refused(&endpoint, &address);
                        break;
                    }
                };
                if !reused && address.connected() {
                    endpoint.show(self.clock.monotonic());
                }
                let held = Held { _pending: address.begin() };
                let header =
                    exchange::request_header(request, &endpoint.host, self.url_path.as_deref())
                        .map_err(|error| Forwarded::Broken {
                            sent_whole: false,
                            detail: exchange::describe(&error),
                        })?;
                let mut progress = Progress::default();
                let outcome = exchange::exchange(
                    &mut session,
                    reused,
                    header,
                    request,
                    deadline,
                    &mut progress,
                )
                .await;
                let sent_whole = progress.sent_whole;
                match outcome {
                    Ok(status) => {
                        return Ok(Arrived {
                            session,
                            status,
                            request_complete: sent_whole,
                            connector: Arc::clone(connector),
                            peer: Arc::clone(&address.pooled),
                            held,
                        });
                    }
                    Err(Fault::Stale(fault)) => {
                        self.stale.fetch_add(1, Ordering::Relaxed);
                        detail = fault;
                    }
                    Err(Fault::TimedOut) => return Err(Forwarded::TimedOut { sent_whole }),
                    Err(Fault::Broken(detail)) => {
                        return Err(Forwarded::Broken { sent_whole, detail });
                    }
                }
            }
        }
        Err(Forwarded::Unreachable { detail, retry_after: None })
    }

    /// The addresses in the order in which they are asked: those in service by turns, then the
    /// others, which are better than none.
    async fn candidates(
        &self,
        deadline: Instant,
    ) -> Result<Vec<(Arc<Endpoint>, Arc<Address>)>, Forwarded> {
        let mut known = self.known();
        if known.is_empty() {
            let mut detail = String::new();
            let until = deadline.min(Instant::now() + self.settings.connect_timeout);
            for endpoint in &self.endpoints {
                detail = match timeout_at(until, endpoint.look_up(true)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(fault)) => format!("looking up the name: {fault}"),
                    Err(_) => "looking up the name takes too long".to_owned(),
                };
            }
            known = self.known();
            if known.is_empty() {
                return Err(Forwarded::Unreachable { detail, retry_after: None });
            }
        }
        if known.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % known.len();
            known.rotate_left(turn);
            let now = self.clock.monotonic();
            known.sort_by_key(|(_, address)| !address.in_service(now));
        }
        Ok(known)
    }

    fn known(&self) -> Vec<(Arc<Endpoint>, Arc<Address>)> {
        let mut known = Vec::with_capacity(self.endpoints.len());
        for endpoint in &self.endpoints {
            for address in endpoint.addresses().iter() {
                known.push((Arc::clone(endpoint), Arc::clone(address)));
            }
        }
        known
    }

    /// A connection, new or out of the pool, and whether it is the latter.
    async fn connect(
        &self,
        connector: &Connector,
        peer: &HttpPeer,
        deadline: Instant,
    ) -> Result<(HttpSession, bool), String> {
        let until = deadline.min(Instant::now() + self.settings.connect_timeout);
        match timeout_at(until, connector.get_http_session(peer)).await {
            Ok(Ok((AnySession::H1(session), reused))) => Ok((session, reused)),
            Ok(Ok(_)) => Err("the other side speaks another protocol".to_owned()),
            Ok(Err(error)) => Err(exchange::describe(&error)),
            Err(_) => Err("not connected in time".to_owned()),
        }
    }

    fn refused(&self, endpoint: &Endpoint, address: &Address) {
        let now = self.clock.monotonic();
        if address.refused(&self.settings, now) {
            endpoint.show(now);
        }
        if endpoint.is_name() {
            endpoint.doubted.notify_one();
        }
    }
}

/// The `Host` header for a URL.
pub(super) fn host_header(authority: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(authority).ok()
}
