//! What fetches, and by which clock.

use super::client::Fetch;
use super::site::Site;
use arc_swap::ArcSwap;
use hookward_time::Clock;
use std::sync::Arc;

pub(super) struct Fetcher {
    pub(super) clock: Arc<dyn Clock>,
    client: ArcSwap<Box<dyn Fetch>>,
}

impl Fetcher {
    pub(super) fn new(clock: Arc<dyn Clock>, client: Box<dyn Fetch>) -> Self {
        Self { clock, client: ArcSwap::from_pointee(client) }
    }

    /// Fetches by `client` from now on.
    pub(super) fn replace(&self, client: Box<dyn Fetch>) {
        self.client.store(Arc::new(client));
    }

    /// Fetches in a task of its own, so that no delivery that leaves ends it.
    pub(super) fn start(self: &Arc<Self>, site: Arc<Site>) {
        let fetcher = Arc::clone(self);
        tokio::spawn(async move {
            let client = fetcher.client.load_full();
            let answer = client.fetch(site.ask()).await;
            site.conclude(answer, fetcher.clock.as_ref());
        });
    }
}
