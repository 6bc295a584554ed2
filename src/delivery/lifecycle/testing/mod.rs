//! A gate in the test's own process: a real configuration, manual clocks, a store that counts and
//! can fail, and scripted destinations that record what they get.

mod delivery;
mod store;
mod upstreams;

pub(crate) use delivery::{Delivery, Met};
pub(crate) use upstreams::{Act, Latch, answer, status};

use crate::config::Config;
use crate::config::tests::TestSecrets;
use crate::delivery::gate::{SharedState, Snapshot};
use crate::delivery::lifecycle;
use crate::telemetry::metrics::Metrics;
use hookward_claims::{ClaimKey, ClaimStore, Claims, Fence, Intent, MemoryStore, Standing, Target};
use hookward_time::{Clock, ManualClock, UnixMillis};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::Watched;
use upstreams::Upstreams;

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
    pub(crate) gate: Arc<SharedState>,
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
        let snapshot = Snapshot::new(config(toml), &upstreams, &metrics, &shared, None);
        let gate = Arc::new(SharedState::new(shared, metrics, claims, snapshot));
        Self { gate, clock, store, upstreams }
    }

    /// Serves this configuration from now on.
    pub(crate) fn reload(&self, toml: &str) {
        let before = self.gate.snapshot();
        let shared: Arc<dyn Clock> = self.clock.clone();
        let upstreams = self.upstreams.clone();
        let metrics = &self.gate.metrics;
        self.gate.swap(Snapshot::new(config(toml), &upstreams, metrics, &shared, Some(&before)));
    }

    /// What the sender of this source would send: a delivery with this body, signed.
    pub(crate) fn signed(&self, source: &str, body: &str) -> Delivery {
        let snapshot = self.gate.snapshot();
        let source = snapshot.sources.named(source).expect("a source");
        let key = SigningKey::Shared(source.sender.secrets.first().expect("a secret"));
        let at = self.clock.wall();
        let request = SignRequest {
            id: Some("in-a-header"),
            event_type: Some("order.created"),
            path: &source.path,
            at,
            query: None,
            body: body.as_bytes(),
        };
        let signed = sign(&source.sender, &key, &request).expect("signed");
        let delivery = Delivery::to(&source.path, body);
        signed.headers.iter().fold(delivery, |delivery, (name, value)| delivery.with(name, value))
    }

    /// Delivers and waits for the answer.
    pub(crate) async fn deliver(&self, mut delivery: Delivery) -> Met {
        let answer = lifecycle::deliver(&self.gate, &delivery.head, &mut delivery.body).await;
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
        let key = ClaimKey::of(&"shop".into(), &event_id.into(), &"erp".into());
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
