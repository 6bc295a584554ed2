//! One place where keys are: what it answered last, and when it may be asked again.

use super::client::{Ask, SiteAnswer, Wants};
use hookward_time::{Clock, UnixMillis};
use hookward_verify::certificates::Certificate;
use hookward_verify::keys::KeySet;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a place is left alone after it was asked, whatever it answered.
const LEFT_ALONE: Duration = Duration::from_mins(1);

/// What a place publishes.
#[derive(Clone, Debug)]
pub(super) enum Published {
    Set(Arc<KeySet>),
    Certificate(Arc<Certificate>),
    Nothing,
}

pub(super) struct Site {
    ask: Ask,
    state: Mutex<SiteState>,
    /// How many questions have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct SiteState {
    published: Option<Published>,
    fetched: Option<(UnixMillis, Duration)>,
    fresh_for: Duration,
    asked: Option<Duration>,
    is_asked: bool,
    last_error: Option<String>,
}

/// What can be told of a place.
#[derive(Clone, Debug)]
pub(super) struct SiteStatus {
    pub(super) fetched: Option<(UnixMillis, Duration)>,
    pub(super) last_error: Option<String>,
}

impl Site {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask, state: Mutex::default(), ended: watch::Sender::new(0) }
    }

    pub(super) const fn ask(&self) -> &Ask {
        &self.ask
    }

    /// What it published last, however long ago.
    pub(super) fn published(&self) -> Option<Published> {
        self.state.lock().published.clone()
    }

    pub(super) fn told(&self) -> SiteStatus {
        let state = self.state.lock();
        SiteStatus { fetched: state.fetched, last_error: state.last_error.clone() }
    }

    /// Whether it may be asked now. If so it counts as asked, and the caller has to do it.
    pub(super) fn take(&self, now: Duration) -> bool {
        self.state.lock().take(now)
    }

    /// As [`Site::take`], if there is nothing yet or what there is has lived nine tenths of its time.
    pub(super) fn take_if_stale(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        state.is_stale(now) && state.take(now)
    }

    /// Takes an answer in; one that cannot be used changes no key.
    pub(super) fn conclude(&self, answer: Result<SiteAnswer, String>, clock: &dyn Clock) {
        let read = answer.and_then(|answer| {
            let published = match self.ask.wants {
                Wants::Set | Wants::Key { .. } => {
                    KeySet::from_json(&answer.body).map(|set| Published::Set(Arc::new(set)))
                }
                Wants::Certificate => Certificate::read(&answer.body)
                    .map(|certificate| Published::Certificate(Arc::new(certificate))),
                Wants::Nothing => Ok(Published::Nothing),
            };
            published.map(|published| (published, answer.fresh_for))
        });
        let mut state = self.state.lock();
        state.is_asked = false;
        match read {
            Ok((published, fresh_for)) => {
                state.published = Some(published);
                state.fetched = Some((clock.wall(), clock.monotonic()));
                state.fresh_for = fresh_for;
                state.last_error = None;
            }
            Err(why) => {
                tracing::warn!(url = %self.ask.url, fault = %why, "keys could not be fetched");
                state.last_error = Some(why);
            }
        }
        drop(state);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Waits until no question is under way.
    pub(super) async fn settled(&self) {
        let mut ended = self.ended.subscribe();
        loop {
            ended.borrow_and_update();
            if !self.state.lock().is_asked {
                return;
            }
            if ended.changed().await.is_err() {
                return;
            }
        }
    }
}

impl SiteState {
    fn is_stale(&self, now: Duration) -> bool {
        self.fetched.is_none_or(|(_, at)| now.saturating_sub(at) >= self.fresh_for * 9 / 10)
    }

    fn take(&mut self, now: Duration) -> bool {
        let rested = self.asked.is_none_or(|at| now.saturating_sub(at) >= LEFT_ALONE);
        let free = rested && !self.is_asked;
        if free {
            self.asked = Some(now);
            self.is_asked = true;
        }
        free
    }
}
