//! Destinations: connections, retries and answers of the receiver apps.
//!
//! [`Forwarder`] is the lifecycle's view of one; [`Upstreams`] has all of them over one pool of
//! connections. What a destination may have seen decides whether an event is sent again, so it is
//! determined exactly: see [`Forwarded`] and `docs/decisions/0002-stale-connections.md`.
//!
//! A request uses the `path` of the route, otherwise the path of the upstream's URL, otherwise the
//! path that the sender used. The query is passed on.

mod address;
mod answer_body;
mod answer_head;
mod background;
mod breaker;
mod connection;
mod destination;
mod evidence;
mod exchange;
mod experience;
mod fault;
mod gate;
mod idle;
mod pin;
mod reply;
mod request_head;
mod segments;
#[cfg(test)]
mod tests;
mod tls;
mod upstreams;

pub use destination::UpstreamStatus;
pub use experience::LastResult;
pub use fault::UpstreamFault;
pub use upstreams::Upstreams;

use crate::delivery::proof::Permit;
use crate::inbox::StoredHead;
use crate::outgoing_lines::OutgoingLines;
use crate::request::RequestHead;
use bytes::Bytes;
use hookward_names::UpstreamName;
use http::{HeaderMap, Method};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A request to one destination, header rules already applied. Outside of this module it is made of
/// an event that may be forwarded, see [`UpstreamRequest::of_event`]; the only other ones are health
/// checks.
#[derive(Clone, Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "it keeps out the rest of this crate, too")]
pub struct UpstreamRequest {
    /// The sender's method.
    pub method: Method,
    /// The route's `path`, if it has one: requested instead of the rest.
    pub route_path: Option<String>,
    /// The path that the sender used: asked for where neither route nor url has one.
    pub sender_path: String,
    /// The sender's query without its `?`, passed on.
    pub query: Option<String>,
    /// End-to-end headers; without `Host`, `Content-Length` and hop-by-hop ones, which the
    /// connection adds.
    pub headers: OutgoingLines,
    /// The body, shared and not copied.
    pub body: Bytes,
    /// Keeps others from making one.
    _sealed: (),
}

impl UpstreamRequest {
    /// The request that carries an event on, as the permit of its delivery allows.
    #[must_use]
    pub fn of_event(
        _: Permit,
        head: &RequestHead,
        route_path: Option<String>,
        headers: OutgoingLines,
        body: Bytes,
    ) -> Self {
        Self {
            method: head.method.clone(),
            route_path,
            sender_path: head.path.clone(),
            query: head.query.clone(),
            headers,
            body,
            _sealed: (),
        }
    }

    /// The request that carries an event on that was stored.
    #[must_use]
    pub fn of_kept(
        _: Permit,
        head: StoredHead,
        route_path: Option<String>,
        headers: OutgoingLines,
        body: Bytes,
    ) -> Self {
        let StoredHead { method, path: sender_path, query, .. } = head;
        Self { method, route_path, sender_path, query, headers, body, _sealed: () }
    }
}

/// How a forwarding ended, in terms of what the destination may have seen.
#[derive(Debug)]
pub enum Forwarded {
    /// A whole response header arrived (never a 1xx).
    Answered(UpstreamAnswer),
    /// No connection, so nothing was sent; or none was tried because the upstream is known to be
    /// down, in which case `retry_after` says when it will be tried again.
    Unreachable {
        /// For the log.
        detail: String,
        /// When the next attempt will be made, if one was refused without trying.
        retry_after: Option<Duration>,
    },
    /// The waiting room of the upstream's concurrency limit is full; nothing was sent.
    Full,
    /// `timeout` ran out. `sent_whole`: the last byte of the request had been written.
    TimedOut {
        /// Whether the destination may have all of it.
        sent_whole: bool,
    },
    /// The connection broke, or what came was not HTTP. `sent_whole` as above.
    Broken {
        /// Whether the destination may have all of it.
        sent_whole: bool,
        /// For the log.
        detail: String,
    },
}

/// A destination's answer.
#[derive(Debug)]
pub struct UpstreamAnswer {
    /// 200 to 599.
    pub status: u16,
    /// End-to-end headers only.
    pub headers: HeaderMap,
    /// Its body; not read at all unless the status is 2xx.
    pub body: ReplyBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// The beginning, and a channel that gives the rest as it arrives. `Err` breaks it off; a
    /// dropped receiver ends the reading.
    Streamed {
        /// What was there when the answer was given.
        first: Bytes,
        /// What comes.
        rest: mpsc::Receiver<Result<Bytes, BrokenOff>>,
    },
}

/// A body that did not arrive completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenOff;

/// One destination, ready to be sent to.
#[async_trait::async_trait]
pub trait Forwarder: Send + Sync {
    /// Sends `request` and reads the answer, within the upstream's `timeout`; a 2xx body is read up
    /// to 64 KiB before the answer is given, and streamed beyond.
    async fn forward(&self, request: &UpstreamRequest) -> Forwarded;

    /// How many attempts that nobody waits for may begin now.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// A place for an attempt that nobody waits for; events that a sender waits for go first.
    ///
    /// # Errors
    /// How long to wait before asking again: no place is spare, or the upstream is known to be down.
    fn spare(&self) -> Result<Spare, Duration> {
        Ok(Spare::default())
    }

    /// As [`forward`](Self::forward), in a place that was taken before.
    async fn forward_in(&self, request: &UpstreamRequest, place: Spare) -> Forwarded {
        let forwarded = self.forward(request).await;
        drop(place);
        forwarded
    }
}

/// A place among an upstream's `max_concurrent`; dropping it releases the place.
#[derive(Debug, Default)]
pub struct Spare {
    place: Option<OwnedSemaphorePermit>,
    /// Of those that attempts may take that no sender waits for.
    share: Option<OwnedSemaphorePermit>,
}

/// The destinations of one configuration. They are looked up once, when it is made ready to serve.
pub trait Forwarders: Send + Sync {
    /// The upstream of this name.
    fn forwarder(&self, name: &UpstreamName) -> Option<Arc<dyn Forwarder>>;
}
