//! Keys that senders publish: fetched, kept and refreshed.
//!
//! Which key a request needs, and whether its signature holds, is `hookward_verify`'s; here is all that
//! takes a network and a clock. No request makes the proxy ask a place that the configuration does not
//! pin, or ask more often than the limits below: a place once a minute, whichever sources share it, and
//! at most four places a minute and source that requests name. What was fetched once goes on serving
//! while the sender's site is down, and over a reload.

mod client;
mod fetcher;
mod named;
mod once;
mod site;
mod source;
#[cfg(test)]
mod tests;

pub use client::{Ask, Fetch, HttpsClient, SiteAnswer};
pub use once::fetch_each;
pub use source::{KeysStatus, SourceKeys};

use crate::config::FetchSettings;
use crate::delivery::source::Source;
use fetcher::Fetcher;
use hookward_names::SourceName;
use hookward_time::Clock;
use named::Named;
use parking_lot::Mutex;
use site::Site;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything that was fetched, for all sources; lives as long as the process.
pub struct PublishedKeys {
    fetcher: Arc<Fetcher>,
    settings: Mutex<Option<FetchSettings>>,
    /// The places that the configuration names, shared by the sources that name them.
    sites: Mutex<HashMap<Ask, Arc<Site>>>,
    /// What requests named, by source.
    named: Mutex<HashMap<SourceName, Arc<Named>>>,
}

impl PublishedKeys {
    /// Nothing fetched yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, client: Box<dyn Fetch>) -> Arc<Self> {
        Arc::new(Self {
            fetcher: Arc::new(Fetcher::new(clock, client)),
            settings: Mutex::default(),
            sites: Mutex::default(),
            named: Mutex::default(),
        })
    }

    /// Fetches as these settings say from now on.
    pub fn configure(&self, settings: &FetchSettings) {
        let mut current = self.settings.lock();
        if current.as_ref() != Some(settings) {
            self.fetcher.replace(Box::new(HttpsClient::new(settings)));
            *current = Some(settings.clone());
        }
    }

    /// The keys of a source; `None` where it publishes none.
    pub fn of_source(&self, source: &Source) -> Option<Arc<SourceKeys>> {
        if !source.sender.has_published_keys() {
            return None;
        }
        let named = Arc::clone(self.named.lock().entry(source.name.clone()).or_default());
        let mut sites = self.sites.lock();
        let sets = source
            .sender
            .key_sites
            .iter()
            .filter_map(|place| {
                let ask = Ask::of_set(place)?;
                let site = sites.entry(ask.clone()).or_insert_with(|| Arc::new(Site::new(ask)));
                Some((place.entry, place.label.clone(), Arc::clone(site)))
            })
            .collect();
        Some(Arc::new(SourceKeys::new(Arc::clone(&self.fetcher), sets, named)))
    }

    /// Forgets what no source names any more.
    pub fn keep(&self, sources: &[Arc<Source>]) {
        let of_source = |source: &Arc<Source>| {
            source.sender.key_sites.iter().filter_map(Ask::of_set).collect::<Vec<_>>()
        };
        let wanted: Vec<Ask> = sources.iter().flat_map(of_source).collect();
        self.sites.lock().retain(|ask, _| wanted.contains(ask));
        self.named.lock().retain(|name, _| sources.iter().any(|source| source.name == *name));
    }

    /// Starts what is due: places that were never asked, and keys after nine tenths of their time.
    pub fn tick(&self) {
        let due: Vec<Arc<Site>> = self.sites.lock().values().cloned().collect();
        for site in due {
            if site.take_if_stale(self.fetcher.clock.monotonic()) {
                self.fetcher.start(site);
            }
        }
    }
}
