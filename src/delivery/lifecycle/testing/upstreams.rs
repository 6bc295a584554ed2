//! Scripted destinations that record what they get.

use crate::upstream::{
    Forwarded, Forwarder, Forwarders, ReplyBody, UpstreamAnswer, UpstreamRequest,
};
use async_trait::async_trait;
use bytes::Bytes;
use hookward_names::UpstreamName;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// What a destination does with a request.
pub(crate) enum Act {
    /// This, at once.
    Give(Forwarded),
    /// This, once the latch is open.
    Behind(Latch, Forwarded),
    /// Never anything.
    Hang,
    /// The forwarder itself breaks.
    Panic,
}

/// An answer with nothing but a status.
pub(crate) fn status(status: u16) -> Forwarded {
    answer(status, &[], "")
}

pub(crate) fn answer(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Forwarded {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let body = ReplyBody::Whole(Bytes::copy_from_slice(body.as_bytes()));
    Forwarded::Answered(UpstreamAnswer { status, headers, body })
}

/// Holds destinations back until it is opened.
#[derive(Clone)]
pub(crate) struct Latch(Arc<watch::Sender<bool>>);

impl Latch {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }
}

/// Destinations that record requests; they answer 200 unless scripted otherwise.
#[derive(Default)]
pub(crate) struct Upstreams {
    seen: Mutex<Vec<(String, UpstreamRequest)>>,
    planned: Mutex<VecDeque<(String, Act)>>,
}

impl Upstreams {
    /// What `upstream` does with its next request for which nothing is planned yet.
    pub(crate) fn next(&self, upstream: &str, act: Act) -> &Self {
        self.planned.lock().push_back((upstream.to_owned(), act));
        self
    }

    /// Which upstreams were asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(upstream, _)| upstream.clone()).collect()
    }

    pub(crate) fn requests(&self) -> Vec<UpstreamRequest> {
        self.seen.lock().iter().map(|(_, request)| request.clone()).collect()
    }

    fn plan(&self, upstream: &str) -> Option<Act> {
        let mut planned = self.planned.lock();
        let at = planned.iter().position(|(name, _)| name == upstream)?;
        planned.remove(at).map(|(_, act)| act)
    }
}

impl Forwarders for Arc<Upstreams> {
    fn forwarder(&self, name: &UpstreamName) -> Option<Arc<dyn Forwarder>> {
        Some(Arc::new(One { upstreams: self.clone(), name: name.clone() }))
    }
}

struct One {
    upstreams: Arc<Upstreams>,
    name: UpstreamName,
}

#[async_trait]
impl Forwarder for One {
    async fn forward(&self, request: &UpstreamRequest) -> Forwarded {
        self.upstreams.seen.lock().push((self.name.to_string(), request.clone()));
        match self.upstreams.plan(self.name.as_str()) {
            None => status(200),
            Some(Act::Give(forwarded)) => forwarded,
            Some(Act::Behind(latch, forwarded)) => {
                drop(latch.0.subscribe().wait_for(|is_open| *is_open).await);
                forwarded
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Panic) => panic!("the forwarder breaks, as this test wants it to"),
        }
    }
}
