//! The places that requests to one source name, and how often one may be asked.

use super::site::Site;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How many places that requests name are asked in a minute, for one source.
const NEW_A_MINUTE: usize = 4;

/// The places that requests to one source have named.
#[derive(Default)]
pub(super) struct Named(pub(super) Mutex<RecentSites>);

#[derive(Default)]
pub(super) struct RecentSites {
    /// The one that was used last is the last.
    pub(super) sites: Vec<Arc<Site>>,
    /// When one was asked that had nothing yet, in the last minute.
    pub(super) asked: VecDeque<Duration>,
}

impl Named {
    pub(super) fn may_ask(&self, now: Duration) -> bool {
        let mut places = self.0.lock();
        while places
            .asked
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= Duration::from_mins(1))
        {
            places.asked.pop_front();
        }
        places.asked.len() < NEW_A_MINUTE
    }

    pub(super) fn count(&self, now: Duration) {
        self.0.lock().asked.push_back(now);
    }
}
