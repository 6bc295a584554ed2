//! The published keys of one source, and the check of a request with them.

use super::client::{Ask, Wants};
use super::fetcher::Fetcher;
use super::named::Named;
use super::site::{Published, Site};
use hookward_time::UnixMillis;
use hookward_verify::demand::{Demand, demand, keys_of_certificate};
use hookward_verify::fault::Fault;
use hookward_verify::keys::{KeySet, Keys};
use hookward_verify::request::Request;
use hookward_verify::sender::{KeySite, KeySiteKind, Sender};
use hookward_verify::verify::{Genuine, verify_with};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// How many places that requests name are remembered; the one that was used longest ago goes first.
const REMEMBERED: usize = 32;

/// The longest id of a key that is asked for, in bytes.
const LONGEST_KEY_ID: usize = 128;

/// What is known of a source's keys, for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysStatus {
    /// When keys were last fetched; `None`: never.
    pub fetched_at: Option<UnixMillis>,
    /// How long ago that is.
    pub age: Option<Duration>,
    /// Why the last attempt failed; `None` if it did not.
    pub last_error: Option<String>,
}

/// The keys of one source.
pub struct SourceKeys {
    fetcher: Arc<Fetcher>,
    /// The sets of its secrets: index, label and place.
    sets: Vec<(usize, String, Arc<Site>)>,
    named: Arc<Named>,
}

impl SourceKeys {
    pub(super) const fn new(
        fetcher: Arc<Fetcher>,
        sets: Vec<(usize, String, Arc<Site>)>,
        named: Arc<Named>,
    ) -> Self {
        Self { fetcher, sets, named }
    }

    /// Checks a request, with a key that may have to be fetched first; that takes no longer than to
    /// `deadline`.
    ///
    /// # Errors
    /// As [`verify_with`]; [`Fault::SecretUnavailable`] where the key is not to be had.
    pub async fn check(
        &self,
        sender: &Sender,
        head: Request<'_>,
        body: &[u8],
        now: UnixMillis,
        deadline: Instant,
    ) -> Result<Genuine, Fault> {
        match demand(sender, head, body, now)? {
            Demand::Own => verify_with(sender, own(sender)?, head, body),
            Demand::Brought(keys) => verify_with(sender, &keys, head, body),
            Demand::Published { key_id } => {
                let keys = self.published(sender, key_id.as_deref(), deadline).await?;
                verify_with(sender, &keys, head, body)
            }
            Demand::Certificate { url } => {
                let ask = Ask { url, wants: Wants::Certificate };
                let site = self.named_site(&ask);
                match self.answer_of(&site, deadline).await? {
                    Published::Certificate(certificate) => {
                        let keys = keys_of_certificate(own(sender)?, &certificate, now)?;
                        verify_with(sender, &keys, head, body)
                    }
                    Published::Set(_) | Published::Nothing => {
                        Err(unavailable("what was fetched is not a certificate"))
                    }
                }
            }
        }
    }

    /// Confirms a subscription by asking a place that the caller has pinned.
    ///
    /// # Errors
    /// [`Fault::SecretUnavailable`], where it could not be confirmed now.
    pub async fn confirm(&self, url: Url, deadline: Instant) -> Result<(), Fault> {
        let site = self.named_site(&Ask { url, wants: Wants::Nothing });
        self.answer_of(&site, deadline).await.map(|_| ())
    }

    /// When the keys were fetched, of the set that is the oldest or the certificate that is the newest.
    #[must_use]
    pub fn standing(&self) -> KeysStatus {
        let now = self.fetcher.clock.monotonic();
        let named: Vec<Arc<Site>> = self.named.0.lock().sites.clone();
        let told = if self.sets.is_empty() {
            let told = named.iter().map(|site| site.told());
            told.max_by_key(|told| told.fetched)
        } else {
            let told = self.sets.iter().map(|(_, _, site)| site.told());
            told.min_by_key(|told| told.fetched)
        };
        let fetched = told.as_ref().and_then(|told| told.fetched);
        KeysStatus {
            fetched_at: fetched.map(|(wall, _)| wall),
            age: fetched.map(|(_, at)| now.saturating_sub(at)),
            last_error: told.and_then(|told| told.last_error),
        }
    }

    /// The keys of all sets, fetched anew where the request names one that none of them has.
    async fn published(
        &self,
        sender: &Sender,
        key_id: Option<&str>,
        deadline: Instant,
    ) -> Result<Keys, Fault> {
        let mut found: Vec<(usize, &str, Arc<KeySet>)> = Vec::new();
        let mut why = None;
        for place in &sender.key_sites {
            let Some(ask) = by_id(place, key_id) else { continue };
            let site = self.named_site(&ask);
            match self.answer_of(&site, deadline).await {
                Ok(Published::Set(set)) => found.push((place.entry, &place.label, set)),
                Ok(_) => {}
                Err(fault) => why = Some(fault),
            }
        }
        let is_known = self.sets.iter().any(|(_, _, site)| match site.published() {
            Some(Published::Set(set)) => key_id.is_none_or(|id| set.has(id)),
            _ => false,
        });
        if !is_known {
            let now = self.fetcher.clock.monotonic();
            for (_, _, site) in &self.sets {
                if site.take(now) {
                    self.fetcher.start(Arc::clone(site));
                }
            }
            for (_, _, site) in &self.sets {
                _ = timeout_at(deadline, site.settled()).await;
            }
        }
        for (entry, label, site) in &self.sets {
            if let Some(Published::Set(set)) = site.published() {
                found.push((*entry, label, set));
            }
        }
        if found.is_empty() {
            return Err(why.unwrap_or_else(|| unavailable("the sender's keys were never fetched")));
        }
        Ok(Keys::of_sets(found.iter().map(|(entry, label, set)| (*entry, *label, &**set))))
    }

    /// What a place answered, which is asked if it never did.
    async fn answer_of(&self, site: &Arc<Site>, deadline: Instant) -> Result<Published, Fault> {
        let now = self.fetcher.clock.monotonic();
        if let Some(published) = site.published() {
            if site.take_if_stale(now) {
                self.fetcher.start(Arc::clone(site));
            }
            return Ok(published);
        }
        if self.named.may_ask(now) && site.take(now) {
            self.named.count(now);
            self.fetcher.start(Arc::clone(site));
        }
        _ = timeout_at(deadline, site.settled()).await;
        site.published().ok_or_else(|| {
            let why = site.told().last_error;
            unavailable(&why.unwrap_or_else(|| "the key was not fetched in time".to_owned()))
        })
    }

    fn named_site(&self, ask: &Ask) -> Arc<Site> {
        let mut places = self.named.0.lock();
        let at = places.sites.iter().position(|site| site.ask() == ask);
        let site = match at {
            Some(at) => places.sites.remove(at),
            None => Arc::new(Site::new(ask.clone())),
        };
        places.sites.push(Arc::clone(&site));
        if places.sites.len() > REMEMBERED {
            // One that has nothing is worth less than any that has.
            let empty = places.sites.iter().position(|site| site.published().is_none());
            places.sites.remove(empty.unwrap_or(0));
        }
        site
    }
}

fn own(sender: &Sender) -> Result<&Keys, Fault> {
    sender.keys.as_ref().map_err(|why| unavailable(why))
}

/// What asks a place for one key.
fn by_id(place: &KeySite, key_id: Option<&str>) -> Option<Ask> {
    let KeySiteKind::ById { client_id, secret } = &place.kind else { return None };
    let id = key_id.filter(|id| (1..=LONGEST_KEY_ID).contains(&id.len()))?;
    let wants =
        Wants::Key { id: id.to_owned(), client_id: client_id.clone(), secret: secret.clone() };
    Some(Ask { url: place.url.clone(), wants })
}

fn unavailable(why: &str) -> Fault {
    Fault::SecretUnavailable(why.to_owned().into())
}
