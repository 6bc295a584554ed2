//! The listener: turns connections from strangers into well-formed requests.
//!
//! `Listener` is an application on Pingora's listening service. It accepts connections within
//! limits, speaks TLS if configured, and then HTTP/1 ([`http1`](self)) or HTTP/2. Each request
//! becomes a [`RequestHead`] and a [`BodySource`]; the [`Door`] judges it and returns an
//! [`Answer`], which is written back. Everything that is ambiguous, too large or too slow is
//! refused here. This module knows no signatures, sources or upstreams.
//!
//! | file | owns |
//! | --- | --- |
//! | `head`, `target`, `malformed` | what a well-formed HTTP/1 head is, and its refusals |
//! | `http1`, `http2` | the life of a connection |
//! | `chunks` | what well-formed chunks are, and the data in them |
//! | `frames`, `frame_watch` | what an HTTP/2 sender may do without asking for anything |
//! | `watched` | a connection that a watch reads first |
//! | `body`, `wire_body` | reading a body within size, time and memory, over HTTP/2 and HTTP/1 |
//! | `respond`, `wire_answer` | what an answer consists of, and its bytes on HTTP/1 |
//! | `client` | who the sender is, behind trusted proxies |
//! | `limits`, `memory`, `traffic`, `places` | what senders may use, and what they use now |

mod body;
pub mod chunks;
mod client;
mod fragment;
mod frame_watch;
mod frames;
pub mod head;
mod http1;
mod http2;
mod limits;
mod listener;
mod malformed;
mod memory;
mod places;
mod respond;
mod target;
mod traffic;
mod watched;
mod wire_answer;
mod wire_body;

pub use limits::{Limits, READ_BUFFER_BYTES, SLOW_START};
pub(crate) use listener::{Listener, Responder};
pub use memory::{BodyMemory, Share};
pub(crate) use respond::HttpReply;
pub use traffic::Traffic;

use crate::delivery::answer::Answer;
use crate::outcome::{Reason, Refusal};
use crate::request::{BodySource, RequestHead};
use crate::telemetry::metrics::Counted;
use async_trait::async_trait;
use listener::Connection;
use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as TransportStream;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use places::Places;
use rustls::ServerConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The handler of requests on the public listener.
#[async_trait]
pub trait Door: Send + Sync + 'static {
    /// Judges, forwards, counts and logs one request.
    async fn deliver(&self, head: RequestHead, body: &mut dyn BodySource) -> Answer;

    /// Counts and logs what never became a request: bad framing, a header that did not arrive, a
    /// connection over a limit.
    fn refuse(&self, refusal: Refusal, client: IpAddr) -> Answer;
}

/// The public side: a [`Door`] whose answers are written out.
pub(crate) struct Public(pub(crate) Arc<dyn Door>);

#[async_trait]
impl Responder for Public {
    async fn respond(&self, head: RequestHead, body: &mut dyn BodySource) -> HttpReply {
        self.0.deliver(head, body).await.into()
    }

    fn refuse(&self, refusal: Refusal, client: IpAddr) -> HttpReply {
        self.0.refuse(refusal, client).into()
    }
}

/// How many connections over a limit get an answer at the same time; further ones are just closed.
const TOLD_AT_ONCE: usize = 64;

impl Listener {
    /// Serves until another connection needs the place.
    async fn serve_giving_way(
        self: &Arc<Self>,
        places: &Arc<Places>,
        stream: Stream,
        shutdown: ShutdownWatch,
    ) {
        let place = places.take();
        tokio::select! {
            () = self.serve(stream, shutdown) => {}
            () = place.is_given_away() => {}
        }
    }

    async fn serve(self: &Arc<Self>, stream: Stream, shutdown: ShutdownWatch) {
        let accepted = Instant::now();
        let peer = peer_of(&stream);
        let limits = self.limits.load();
        let per_address = limits
            .max_connections_per_address
            .filter(|_| !client::is_trusted(peer, &limits.trusted_proxies))
            .map(|max| (peer, max));
        let Some(_open) = self.traffic.connect(limits.max_connections, per_address) else {
            return Box::pin(self.turn_away(stream, peer)).await;
        };
        let _counted = self.connections.as_ref().map(|gauge| Counted::on(gauge, 1));
        let handshake_by = accepted + limits.header_timeout;
        drop(limits);
        let tls = self.tls.load_full();
        let stream = match &tls {
            None => stream,
            Some(config) => {
                match timeout_at(handshake_by, Box::pin(encrypt(stream, Arc::clone(config)))).await
                {
                    Ok(Some(stream)) => stream,
                    Ok(None) | Err(_) => return,
                }
            }
        };
        let tls = tls.is_some();
        let connection = Connection { listener: self, peer, tls, accepted, shutdown };
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            Box::pin(http2::serve(connection, stream)).await;
        } else {
            http1::serve(connection, stream).await;
        }
    }

    /// Tells a connection over a limit to come again, and closes it. With TLS it is only closed: a
    /// handshake is what an overloaded machine cannot spare.
    async fn turn_away(&self, mut stream: Stream, peer: IpAddr) {
        if self.tls.load().is_some() {
            return;
        }
        let Some(_told) = self.traffic.turn_away(TOLD_AT_ONCE) else {
            return;
        };
        let refusal = Refusal::because(Reason::Overloaded, "too many connections");
        http1::refuse(self, &mut stream, refusal, peer).await;
    }
}

#[async_trait]
impl ServerApp for Listener {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        match &self.places {
            None => self.serve(stream, shutdown.clone()).await,
            Some(places) => {
                Box::pin(self.serve_giving_way(places, stream, shutdown.clone())).await;
            }
        }
        None
    }
}

/// The stream behind a TLS handshake; `None` if the other side does not get through it.
async fn encrypt(stream: Stream, config: Arc<ServerConfig>) -> Option<Stream> {
    let transport = stream.into_any().downcast::<TransportStream>().ok()?;
    let handshake = Acceptor::from_server_config(config).tls_handshake(*transport).await;
    match handshake {
        Ok(stream) => Some(Box::new(stream)),
        Err(fault) => {
            // Scanners set how often this happens, so it is no line of its own at `info`.
            tracing::debug!(%fault, "TLS handshake failed");
            None
        }
    }
}

/// The address at the other end; an IPv4 one also where the socket is an IPv6 one.
fn peer_of(stream: &Stream) -> IpAddr {
    stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr()?.as_inet().map(|peer| peer.ip().to_canonical()))
        // Only a socket that is closed already has no peer.
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests;
