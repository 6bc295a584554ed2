//! A gate in the test's own process: a real configuration, clocks that stand still, a store that
//! counts and can fail, and destinations that write down what they see and do as they are told.

use super::{Gate, Snapshot};
use crate::answer::Answer;
use crate::clock::{Clock, ManualClock, UnixMillis};
use crate::config::Config;
use crate::config::tests::TestSecrets;
use crate::dedupe::{
    ClaimStore, Claims, Counters, Fence, Health, Intent, Key, MemoryStore, Settled, Standing,
    StoreError, Target, Verdict,
};
use crate::metrics::Metrics;
use crate::request::{Body, BodyError, BodySource, RequestHead};
use crate::sign::{SignRequest, SigningKey, sign};
use crate::upstream::{Forwarded, Forwarder, ReplyBody, UpstreamAnswer, UpstreamRequest};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// The upstreams of most tests.
pub(crate) const UPSTREAMS: &str = "[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n\
                                    [upstreams.crm]\nurl = \"http://127.0.0.1:9\"\n";

/// The source `shop` of preset `opentiendas` with these keys, all of whose events go to `erp`.
pub(crate) fn shop(keys: &str) -> String {
    shop_to("[\"erp\"]", keys)
}

/// The same with these destinations.
pub(crate) fn shop_to(to: &str, keys: &str) -> String {
    format!(
        "{UPSTREAMS}[sources.shop]\npath = \"/shop\"\npreset = \"opentiendas\"\n\
         secrets = [{{ env = \"SECRET\" }}]\n{keys}\n\
         [[sources.shop.routes]]\nevents = [\"order.*\"]\nto = {to}\n"
    )
}

/// The envelope of an event of the shop that happened at [`NOW`].
pub(crate) fn order(id: &str) -> String {
    envelope(id, "order.created", NOW)
}

pub(crate) fn envelope(id: &str, kind: &str, at: UnixMillis) -> String {
    format!(r#"{{"event_id":"{id}","type":"{kind}","created_at":"{}"}}"#, at.to_rfc3339())
}

/// Everything around one gate.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Watched>,
    pub(crate) upstreams: Arc<Upstreams>,
}

impl Stage {
    /// A gate for this configuration.
    pub(crate) fn of(toml: &str) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let shared: Arc<dyn Clock> = clock.clone();
        let store = Arc::new(Watched::new(MemoryStore::new(1000, shared.clone())));
        let claims = Claims::new(store.clone() as Arc<dyn ClaimStore>, shared.clone());
        let metrics = Arc::new(Metrics::new().unwrap());
        let upstreams = Arc::new(Upstreams::default());
        let snapshot = Snapshot::new(config(toml), upstreams.clone(), &metrics, &shared, None);
        let gate = Arc::new(Gate::new(shared, metrics, claims, snapshot));
        Self { gate, clock, store, upstreams }
    }

    /// Serves this configuration from now on.
    pub(crate) fn reload(&self, toml: &str) {
        let before = self.gate.snapshot();
        let shared: Arc<dyn Clock> = self.clock.clone();
        let upstreams = self.upstreams.clone();
        let metrics = &self.gate.metrics;
        self.gate.swap(Snapshot::new(config(toml), upstreams, metrics, &shared, Some(&before)));
    }

    /// What the sender of this source would send: a delivery with this body, signed.
    pub(crate) fn signed(&self, source: &str, body: &str) -> Delivery {
        let snapshot = self.gate.snapshot();
        let source = snapshot.sources.named(source).expect("a source");
        let key = SigningKey::Shared(source.secrets.first().expect("a secret"));
        let at = self.clock.wall();
        let request = SignRequest {
            id: Some("in-a-header"),
            event_type: Some("order.created"),
            at,
            query: None,
            body: body.as_bytes(),
        };
        let signed = sign(source, &key, &request).expect("signed");
        let delivery = Delivery::to(&source.path, body);
        signed.headers.iter().fold(delivery, |delivery, (name, value)| delivery.with(name, value))
    }

    /// Delivers and waits for the answer.
    pub(crate) async fn deliver(&self, mut delivery: Delivery) -> Met {
        let answer = self.gate.deliver(&delivery.head, &mut delivery.body).await;
        Met { answer, body_was_read: delivery.body.was_read }
    }

    /// A signed delivery of the shop.
    pub(crate) async fn order(&self, id: &str) -> Met {
        self.deliver(self.signed("shop", &order(id))).await
    }

    /// Delivers from a task of its own.
    pub(crate) fn start(&self, delivery: Delivery) -> tokio::task::JoinHandle<Met> {
        let stage = self.clone();
        tokio::spawn(async move { stage.deliver(delivery).await })
    }

    /// How many deliveries of the shop were counted so.
    pub(crate) fn ended(&self, outcome: &str, reason: &str) -> u64 {
        self.gate.metrics.deliveries.with_label_values(&["shop", outcome, reason]).get()
    }

    /// How the event stands with `erp`.
    pub(crate) async fn standing(&self, event_id: &str) -> Standing {
        let key = Key::of("shop", event_id, "erp");
        let target = Target { key, alias: None, lease: Duration::ZERO, ttl: Duration::ZERO };
        let targets = [target];
        let looked = self.store.inner.claim(&targets, Fence(0), Intent::Look, Duration::MAX);
        looked.await.unwrap().pop().unwrap()
    }
}

fn config(toml: &str) -> Config {
    let parsed = Config::parse(toml, "c.toml", Path::new(""), &TestSecrets::usual());
    parsed.map_err(|problems| problems[0].to_string()).expect("a configuration").0
}

/// Under a paused clock: lets everything run until it waits for something.
pub(crate) async fn all_wait() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A request that has not been sent yet.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) head: RequestHead,
    pub(crate) body: SentBody,
}

impl Delivery {
    pub(crate) fn to(path: &str, body: &str) -> Self {
        let head = RequestHead {
            method: Method::POST,
            path: path.to_owned(),
            query: None,
            headers: HeaderMap::new(),
            client: "203.0.113.7".parse().unwrap(),
            via: None,
            host: "hooks.example.com".to_owned(),
            secure: true,
        };
        let body = Ok(Bytes::copy_from_slice(body.as_bytes()));
        Self { head, body: SentBody { body, was_read: false } }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.head.headers.insert(name, HeaderValue::try_from(value).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.head.headers.remove(name);
        self
    }

    pub(crate) fn by(mut self, method: Method) -> Self {
        self.head.method = method;
        self
    }

    pub(crate) fn from(mut self, client: &str) -> Self {
        self.head.client = client.parse().unwrap();
        self
    }

    pub(crate) fn asking(mut self, query: &str) -> Self {
        self.head.query = Some(query.to_owned());
        self
    }

    pub(crate) fn breaking_off(mut self, fault: BodyError) -> Self {
        self.body.body = Err(fault);
        self
    }
}

/// A body on its way.
#[derive(Clone)]
pub(crate) struct SentBody {
    body: Result<Bytes, BodyError>,
    was_read: bool,
}

#[async_trait]
impl BodySource for SentBody {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        self.was_read = true;
        let bytes = self.body.clone()?;
        bytes.chunks(7).for_each(seen);
        Ok(Body { bytes, held: None })
    }
}

/// What a sender met.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) answer: Answer,
    pub(crate) body_was_read: bool,
}

impl Met {
    /// Status, outcome and reason at once, as tables of expectations write them.
    pub(crate) fn verdict(&self) -> (u16, &'static str, &'static str) {
        let reason = self.answer.refusal.as_ref().map_or("", |refusal| refusal.reason.label());
        (self.answer.status, self.answer.outcome.label(), reason)
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.verdict().2
    }

    /// When to come again, if the refusal says it more exactly than its reason.
    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.answer.refusal.as_ref()?.retry_after.as_deref()
    }

    pub(crate) fn text(&self) -> String {
        match &self.answer.body {
            ReplyBody::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            ReplyBody::Streamed { .. } => panic!("a streamed body"),
        }
    }
}

/// What a destination does with a request.
pub(crate) enum Act {
    /// This, at once.
    Give(Forwarded),
    /// This, once the door is open.
    Behind(Door, Forwarded),
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
pub(crate) struct Door(Arc<watch::Sender<bool>>);

impl Door {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }
}

/// Destinations that record; they answer 200 unless told otherwise.
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

#[async_trait]
impl Forwarder for Upstreams {
    async fn forward(&self, upstream: &str, request: UpstreamRequest) -> Forwarded {
        self.seen.lock().push((upstream.to_owned(), request));
        match self.plan(upstream) {
            None => status(200),
            Some(Act::Give(forwarded)) => forwarded,
            Some(Act::Behind(door, forwarded)) => {
                drop(door.0.subscribe().wait_for(|is_open| *is_open).await);
                forwarded
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Panic) => panic!("the forwarder breaks, as this test wants it to"),
        }
    }
}

/// A memory store whose claims are counted, and which can be out of order.
pub(crate) struct Watched {
    inner: MemoryStore,
    claims: AtomicUsize,
    is_broken: AtomicBool,
}

impl Watched {
    fn new(inner: MemoryStore) -> Self {
        Self { inner, claims: AtomicUsize::new(0), is_broken: AtomicBool::new(false) }
    }

    /// How often it was asked for claims.
    pub(crate) fn asked(&self) -> usize {
        self.claims.load(Ordering::SeqCst)
    }

    pub(crate) fn breaks(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    fn state(&self) -> Result<(), StoreError> {
        let problem = "is out of order".to_owned();
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        if is_broken { Err(StoreError { store: "memory", problem }) } else { Ok(()) }
    }
}

#[async_trait]
impl ClaimStore for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn counters(&self) -> &Counters {
        self.inner.counters()
    }

    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.state()?;
        self.inner.claim(targets, fence, intent, within).await
    }

    async fn settle(
        &self,
        key: Key,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        self.state()?;
        self.inner.settle(key, fence, verdict, within).await
    }

    async fn forget(&self, key: Key, within: Duration) -> Result<Standing, StoreError> {
        self.state()?;
        self.inner.forget(key, within).await
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        self.state()?;
        self.inner.entries(within).await
    }

    async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        self.state()?;
        self.inner.health(within).await
    }
}
