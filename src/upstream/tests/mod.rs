//! Forwarding over real sockets, against destinations that misbehave in every way.

mod addresses;
mod answers;
mod endings;
mod keep_alive;
pub(super) mod raw;
mod requests;
mod stale;
mod tls;

use super::{
    Forwarded, Forwarder, Forwarders as _, ReplyBody, UpstreamAnswer, UpstreamRequest, Upstreams,
};
use crate::config::UpstreamSettings;
use crate::outgoing_lines::OutgoingLines;
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use hookward_time::{Clock, SystemClock};
use http::Method;
use pingora::protocols::SocketDigest;
use std::os::fd::AsRawFd;
use std::sync::Arc;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Upstreams with their metrics.
struct Bench {
    upstreams: Upstreams,
    metrics: Metrics,
}

impl Bench {
    fn of(settings: &[UpstreamSettings]) -> Self {
        Self::by(Arc::new(SystemClock::new()), settings)
    }

    /// The same by a clock of the test's.
    fn by(clock: Arc<dyn Clock>, settings: &[UpstreamSettings]) -> Self {
        let metrics = Metrics::new().unwrap();
        let upstreams = Upstreams::new(settings, &metrics, clock).unwrap();
        Self { upstreams, metrics }
    }

    async fn send(&self, body: impl Into<Bytes>) -> Forwarded {
        self.erp().forward(&request(body)).await
    }

    /// The answer to a request that must be answered.
    fn erp(&self) -> Arc<dyn Forwarder> {
        self.upstreams.forwarder(&"erp".into()).unwrap()
    }

    async fn answer(&self, body: impl Into<Bytes>) -> UpstreamAnswer {
        match self.send(body).await {
            Forwarded::Answered(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// How often a result was counted.
    fn counted(&self, result: &str) -> u64 {
        self.metrics.upstream_requests.with_label_values(&["erp", result]).get()
    }
}

fn request(body: impl Into<Bytes>) -> UpstreamRequest {
    UpstreamRequest {
        method: Method::POST,
        route_path: None,
        sender_path: "/webhooks/shop".into(),
        query: None,
        headers: OutgoingLines::default(),
        body: body.into(),
        _sealed: (),
    }
}

/// Whether this machine's kernel gives the counters without which a stale connection cannot be
/// told from a crash (Linux 6.2); what needs them cannot be shown elsewhere.
fn kernel_counts() -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    SocketDigest::from_raw_fd(stream.as_raw_fd()).tcp_info().is_some()
}

/// A body in which every place is different, so that a shift or a repetition shows.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap()).collect()
}

/// All of a body, and whether it came to its end.
async fn read(body: ReplyBody) -> (Vec<u8>, bool) {
    match body {
        ReplyBody::Whole(bytes) => (bytes.to_vec(), true),
        ReplyBody::Streamed { first, mut rest } => {
            let mut all = first.to_vec();
            while let Some(piece) = rest.recv().await {
                match piece {
                    Ok(piece) => all.extend_from_slice(&piece),
                    Err(_) => return (all, false),
                }
            }
            (all, true)
        }
    }
}
