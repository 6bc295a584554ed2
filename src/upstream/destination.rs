//! One upstream: which address is tried, how often, and for how long.
//!
//! The rule for a second attempt: whatever the method, another address may be tried as long as
//! nothing was sent, and a request on a reused connection is sent again once if the kernel's
//! counters show that it cannot have been accepted. In every other case the first attempt is the
//! only one.

use super::address::{Address, Candidates, Endpoint, any_healthy};
use super::answer_body::AnswerBody;
use super::background;
use super::breaker::CircuitBreaker;
use super::connection::{UpstreamConnection, joined};
use super::evidence::{SocketCounters, SocketState};
use super::exchange::{self, ExchangeFault, Outgoing, Progress};
use super::experience::{Experience, LastResult};
use super::gate::ConcurrencyLimit;
use super::pin::OTHER_CERTIFICATE;
use super::reply::{ArrivedReply, Held};
use super::{Forwarded, Spare, UpstreamRequest, request_head};
use crate::config::{Balance, UpstreamSettings};
use crate::telemetry::metrics::{UpstreamMetrics, UpstreamResult};
use hookward_names::UpstreamName;
use hookward_time::{Clock, written};
use pingora::connectors::TransportConnector;
use pingora::upstreams::peer::Peer as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// When to try again to get a place that was taken in between.
const NO_SPARE_PLACE: Duration = Duration::from_millis(100);

/// How an upstream is doing, for `/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: UpstreamName,
    /// Whether it is well, as its checks say, or as its answers tell where there are none. `None`:
    /// nothing is known yet.
    pub healthy: Option<bool>,
    /// The same of each address as configured.
    pub addresses: Vec<(String, Option<bool>)>,
    /// How the last request to it ended.
    pub last: Option<LastResult>,
}

/// An upstream in use.
#[derive(Debug)]
pub(super) struct Destination {
    settings: UpstreamSettings,
    /// Of the TLS files that were read; 0 without.
    fingerprint: u64,
    endpoints: Vec<Arc<Endpoint>>,
    gate: Option<ConcurrencyLimit>,
    breaker: Option<CircuitBreaker>,
    /// Where the next round begins.
    turn: AtomicUsize,
    /// Reused connections that had ended before a request could be accepted on them.
    #[cfg(test)]
    stale: AtomicUsize,
    metrics: UpstreamMetrics,
    experience: Experience,
    clock: Arc<dyn Clock>,
    /// Ends with the upstream.
    background: OnceLock<JoinSet<()>>,
}

impl Destination {
    pub(super) fn new(
        settings: UpstreamSettings,
        fingerprint: u64,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: UpstreamMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            gate: settings
                .max_concurrent
                .map(|places| ConcurrencyLimit::new(places, settings.max_waiting)),
            breaker: settings.breaker.map(CircuitBreaker::new),
            settings,
            fingerprint,
            endpoints,
            turn: AtomicUsize::new(0),
            #[cfg(test)]
            stale: AtomicUsize::new(0),
            metrics,
            experience: Experience::default(),
            clock,
            background: OnceLock::new(),
        }
    }

    pub(super) fn name(&self) -> UpstreamName {
        self.settings.name.clone()
    }

    /// How often a request was sent again because the pooled connection had ended before it.
    #[cfg(test)]
    pub(super) fn stale_connections(&self) -> usize {
        self.stale.load(Ordering::Relaxed)
    }

    /// Whether it is what these settings and TLS files ask for.
    pub(super) fn is_as(&self, settings: &UpstreamSettings, fingerprint: u64) -> bool {
        self.settings == *settings && self.fingerprint == fingerprint
    }

    /// Starts its background tasks, once, on the current runtime.
    pub(super) fn start(&self, connector: &Arc<TransportConnector>) {
        self.background
            .get_or_init(|| background::start(&self.settings, &self.endpoints, connector));
    }

    /// How many attempts that nobody waits for may begin now.
    pub(super) fn room(&self) -> usize {
        self.gate.as_ref().map_or(usize::MAX, ConcurrencyLimit::room)
    }

    /// A place for one of them, or how long to wait before asking again.
    pub(super) fn spare(&self) -> Result<Spare, Duration> {
        let refusal = self.breaker.as_ref().and_then(|b| b.refusal(self.clock.monotonic()));
        match (refusal, &self.gate) {
            (Some(wait), _) => Err(wait),
            (None, Some(gate)) => gate.spare().ok_or(NO_SPARE_PLACE),
            (None, None) => Ok(Spare::default()),
        }
    }

    pub(super) fn status(&self) -> UpstreamStatus {
        let now = self.clock.monotonic();
        let is_checked = self.settings.health.is_some();
        let verdicts: Vec<Option<bool>> =
            self.endpoints.iter().map(|endpoint| endpoint.healthy(now, is_checked)).collect();
        let at_addresses = any_healthy(verdicts.iter().copied());
        let (impression, last) = self.experience.get();
        let passes = self.breaker.as_ref().is_none_or(|breaker| breaker.refusal(now).is_none());
        let healthy = match (passes, is_checked) {
            (false, _) => Some(false),
            (true, true) => at_addresses,
            (true, false) => impression.filter(|_| at_addresses != Some(false)).or(at_addresses),
        };
        let is_alone = verdicts.len() == 1;
        let urls = self.settings.urls.iter().map(Endpoint::label);
        let verdicts = self.endpoints.iter().zip(verdicts).map(|(endpoint, verdict)| {
            // Of a name that is not found there is no address to know anything of.
            if is_alone || endpoint.addresses().is_empty() { healthy } else { verdict }
        });
        let addresses = urls.zip(verdicts).collect();
        UpstreamStatus { name: self.settings.name.clone(), healthy, addresses, last }
    }

    /// Sends `request` within `timeout` and counts how it went.
    pub(super) async fn forward(
        &self,
        connector: &Arc<TransportConnector>,
        request: &UpstreamRequest,
        place: Option<Spare>,
    ) -> Forwarded {
        let began = self.clock.monotonic();
        let forwarded = self.admit(connector, request, place).await;
        let result = match &forwarded {
            Forwarded::Answered(answer) => UpstreamResult::Status(answer.status),
            Forwarded::Unreachable { .. } => UpstreamResult::Unreachable,
            Forwarded::TimedOut { .. } => UpstreamResult::Timeout,
            Forwarded::Broken { .. } => UpstreamResult::Broken,
            // No request was made.
            Forwarded::Full => return forwarded,
        };
        self.metrics.ended(result, self.clock.monotonic().saturating_sub(began));
        let error = self.error(&forwarded);
        self.experience.note(LastResult { result, at: self.clock.wall(), error });
        forwarded
    }

    /// What was wrong with an exchange, in words; `None` of a 2xx.
    fn error(&self, forwarded: &Forwarded) -> Option<String> {
        match forwarded {
            Forwarded::Answered(answer) if (200..300).contains(&answer.status) => None,
            Forwarded::Answered(answer) => Some(format!("it answered {}", answer.status)),
            Forwarded::Unreachable { detail, .. } => Some(format!("no connection: {detail}")),
            Forwarded::TimedOut { .. } => {
                Some(format!("no answer within {}", written(self.settings.timeout)))
            }
            Forwarded::Broken { detail, .. } => Some(format!("no valid answer: {detail}")),
            Forwarded::Full => None,
        }
    }

    /// Past the breaker and through the gate. The breaker is asked before the waiting room too,
    /// so that nobody waits there for what will be refused.
    async fn admit(
        &self,
        connector: &Arc<TransportConnector>,
        request: &UpstreamRequest,
        reserved: Option<Spare>,
    ) -> Forwarded {
        self.start(connector);
        let deadline = Instant::now() + self.settings.timeout;
        let refusal = self.breaker.as_ref().and_then(|b| b.refusal(self.clock.monotonic()));
        if let Some(retry_after) = refusal {
            return refused_by_breaker(retry_after);
        }
        // The share is given back when the head of the answer is there, the place with its body.
        let Spare { place: reserved, share: _share } = reserved.unwrap_or_default();
        let place = match &self.gate {
            Some(_) if reserved.is_some() => reserved,
            Some(gate) => match gate.enter(deadline).await {
                Ok(place) => Some(place),
                Err(_) => return Forwarded::Full,
            },
            None => None,
        };
        let admission = match &self.breaker {
            Some(breaker) => match breaker.admit(self.clock.monotonic()) {
                Ok(admission) => Some(admission),
                Err(retry_after) => return refused_by_breaker(retry_after),
            },
            None => None,
        };
        match self.attempts(connector, request, place, deadline).await {
            Ok(arrived) => {
                if let Some(admission) = admission {
                    admission.succeeded();
                }
                Forwarded::Answered(arrived.into_answer(deadline).await)
            }
            Err(failed) => {
                if let Some(admission) = admission {
                    admission.failed(self.clock.monotonic());
                }
                failed
            }
        }
    }

    /// Asks one address after the other until one takes the request.
    async fn attempts(
        &self,
        connector: &Arc<TransportConnector>,
        request: &UpstreamRequest,
        mut place: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> Result<ArrivedReply, Forwarded> {
        let url_path = self.settings.urls.first().and_then(|url| url.path.as_deref());
        let mut detail = String::new();
        for (endpoint, address) in self.candidates(deadline).await? {
            // The pool first; a connection of its own only if the pooled one was stale, or if none is
            // to be kept.
            let unkept = usize::from(self.settings.keep_alive.is_none());
            for may_reuse in [true, false].into_iter().skip(unkept) {
                let connected = self.connect(connector, &address, may_reuse, deadline).await;
                let (mut connection, before) = match connected {
                    Ok(connected) => connected,
                    Err(fault) => {
                        detail = format!("{}: {fault}", address.socket);
                        address.failed(&self.settings, self.clock.monotonic());
                        if endpoint.is_name() {
                            endpoint.doubted.notify_one();
                        }
                        break;
                    }
                };
                let pending = address.begin();
                let more = joined(request.body.len());
                let head = request_head::written(request, &endpoint.host, url_path, more).map_err(
                    |why| Forwarded::Broken { sent_whole: false, detail: why.to_owned() },
                )?;
                let outgoing = Outgoing { method: &request.method, head, body: &request.body };
                let mut progress = Progress::default();
                let exchanging =
                    exchange::exchange(&mut connection, before, outgoing, deadline, &mut progress);
                let outcome = exchanging.await;
                let sent_whole = progress.sent_whole;
                match outcome {
                    Ok(head) => {
                        address.answered(head.status < 500);
                        return Ok(ArrivedReply {
                            body: AnswerBody::framed(head.framing),
                            connection,
                            head,
                            request_complete: sent_whole,
                            address: Arc::clone(&address),
                            keep_alive: self.settings.keep_alive,
                            error_bytes: self.settings.error_bytes,
                            _held: Held { _pending: pending, _place: place.take() },
                        });
                    }
                    Err(ExchangeFault::Stale(fault)) => {
                        #[cfg(test)]
                        self.stale.fetch_add(1, Ordering::Relaxed);
                        detail = fault;
                    }
                    Err(ExchangeFault::TimedOut) => {
                        address.failed(&self.settings, self.clock.monotonic());
                        return Err(Forwarded::TimedOut { sent_whole });
                    }
                    Err(ExchangeFault::Broken(detail)) => {
                        address.failed(&self.settings, self.clock.monotonic());
                        return Err(Forwarded::Broken { sent_whole, detail });
                    }
                }
            }
        }
        Err(Forwarded::Unreachable { detail, retry_after: None })
    }

    /// The addresses in the order in which they are asked: those in service as `balance` says,
    /// then the others, which are better than none.
    async fn candidates(&self, deadline: Instant) -> Result<Candidates, Forwarded> {
        let mut known = self.known();
        if known.is_empty() {
            let mut detail = String::new();
            let until = deadline.min(Instant::now() + self.settings.connect_timeout);
            for endpoint in &self.endpoints {
                detail = match timeout_at(until, endpoint.look_up(true)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(fault)) => format!("looking up {}: {fault}", endpoint.name()),
                    Err(_) => format!("looking up {} takes too long", endpoint.name()),
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
            known.sort_by_cached_key(|(_, address)| {
                let load = match self.settings.balance {
                    Balance::RoundRobin => 0,
                    Balance::LeastPending => address.pending(),
                };
                (!address.in_service(now), load)
            });
        }
        Ok(known)
    }

    fn known(&self) -> Candidates {
        let mut known = Candidates::new();
        for endpoint in &self.endpoints {
            for address in endpoint.addresses().iter() {
                known.push((Arc::clone(endpoint), Arc::clone(address)));
            }
        }
        known
    }

    /// A connection, and of one that was idle what the kernel counted before.
    async fn connect(
        &self,
        connector: &TransportConnector,
        address: &Address,
        may_reuse: bool,
        deadline: Instant,
    ) -> Result<(UpstreamConnection, Option<SocketCounters>), String> {
        if may_reuse && let Some(stream) = address.idle.take() {
            let socket = stream.id();
            let connection = UpstreamConnection::over(stream);
            // The other side may have ended it, which nobody has read yet. Without the kernel's word
            // the socket is asked, which knows of a reset only.
            let SocketState { is_open, counters } = connection.standing();
            if is_open.unwrap_or_else(|| address.fresh.matches_fd(socket))
                && address.accepts(&connection)
            {
                return Ok((connection, counters));
            }
        }
        let until = deadline.min(Instant::now() + self.settings.connect_timeout);
        // Boxed: nearly all requests find a connection, and hold no room for a handshake.
        let connecting = Box::pin(connector.new_stream(&address.fresh));
        let connected = timeout_at(until, connecting).await;
        let connection = match connected {
            Ok(Ok(stream)) => UpstreamConnection::over(stream),
            Ok(Err(error)) => return Err(exchange::describe_connecting(&error)),
            Err(_) => return Err("not connected in time".to_owned()),
        };
        if !connection.speaks_http1() {
            return Err("the other side speaks another protocol".to_owned());
        }
        if !address.accepts(&connection) {
            return Err(OTHER_CERTIFICATE.to_owned());
        }
        Ok((connection, None))
    }
}

fn refused_by_breaker(retry_after: std::time::Duration) -> Forwarded {
    Forwarded::Unreachable {
        detail: "the circuit breaker is open".to_owned(),
        retry_after: Some(retry_after),
    }
}
