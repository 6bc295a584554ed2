//! A configured sender, resolved: found by request path, with everything that its deliveries need.
//!
//! Built once by `config`, and only read afterwards. It knows neither clocks nor sockets.

use crate::delivery::route::{Route, TypeGlob};
use hookward_secret::UnreadableSecret;
use hookward_verify::sender::Sender;
use http::HeaderName;
use ipnet::IpNet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use hookward_names::SourceName;

/// One `[sources.NAME]` table with its preset's facts filled in.
#[derive(Debug)]
pub struct Source {
    /// Its name: log, metric label, header and claim key.
    pub name: SourceName,
    /// The exact bytes of the path, without the query.
    pub path: String,
    /// How it signs, and the secrets that are shared with it.
    pub sender: Sender,
    /// Those that could not; the source serves without them.
    pub unreadable: Vec<UnreadableSecret>,
    /// How long the sender is kept waiting for an answer.
    pub respond_within: Duration,
    /// How much an answer says.
    pub answers: Answers,
    /// What happens to an event that no route wants.
    pub unrouted: Unrouted,
    /// Whether a failed judgement stops a delivery or is only counted.
    pub mode: Mode,
    /// Sender addresses that are let in; empty: any.
    pub allow: Vec<IpNet>,
    /// How many requests are let in.
    pub rate_limit: Option<RateLimit>,
    /// Headers that are withheld from receivers by default, and go on to those of this source.
    pub pass_headers: Vec<HeaderName>,
    /// How many refused deliveries stay in memory, whole; 0: none.
    pub capture: usize,
    /// How long a delivered id is remembered, counted from the delivery.
    pub dedupe_ttl: Duration,
    /// The routes in order; the first that takes a type wins.
    pub routes: Vec<Route>,
}

impl Source {
    /// A source that says nothing else: everything at its default, and no route.
    #[must_use]
    pub fn new(
        name: impl Into<SourceName>,
        path: String,
        sender: Sender,
        dedupe_ttl: Duration,
    ) -> Self {
        Self {
            name: name.into(),
            path,
            sender,
            unreadable: Vec::new(),
            respond_within: Duration::from_secs(10),
            answers: Answers::Full,
            unrouted: Unrouted::Accept,
            mode: Mode::Enforce,
            allow: Vec::new(),
            rate_limit: None,
            pass_headers: Vec::new(),
            capture: 0,
            dedupe_ttl,
            routes: Vec::new(),
        }
    }

    /// A type that the first route takes, for samples; `example.event` if there is no route.
    #[must_use]
    pub fn example_type(&self) -> String {
        let globs = self.routes.iter().flat_map(|route| &route.events);
        match globs.clone().find_map(TypeGlob::literal) {
            Some(literal) => literal.to_owned(),
            None => globs
                .map(|glob| glob.as_str().replace('*', "example"))
                .next()
                .unwrap_or_else(|| "example.event".to_owned()),
        }
    }

    /// Whether events of it may be stored. In shadow mode none are: each delivery is forwarded.
    #[must_use]
    pub fn uses_inbox(&self) -> bool {
        self.mode == Mode::Enforce && self.routes.iter().any(Route::uses_inbox)
    }

    /// The first route that takes events of this type, with its index.
    #[must_use]
    pub fn route(&self, event_type: &str) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().find(|(_, route)| route.takes(event_type))
    }
}

/// How much the sender gets in addition to the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Headers and a body: those of the receiver's 2xx, of a handshake or of a refusal.
    Full,
    /// The status alone, every success as 200: Xero takes an answer with a body or a cookie for a
    /// failure.
    Bare,
}

/// What happens to a genuine event that no route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// 200, not forwarded: the sender is content and stops.
    Accept,
    /// 422: the sender shows it as failed.
    Reject,
}

/// Whether checks are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What fails is refused.
    Enforce,
    /// What fails is counted and logged, and forwarded anyway.
    Shadow,
}

/// `rate_limit`: a bucket that holds one period's worth and is refilled evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per period; at least 1.
    pub requests: u32,
    /// The period: a second or a minute.
    pub per: Duration,
}

/// What paths have in common that people take for the same one.
fn likeness(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.collect::<Vec<_>>().join("/").to_ascii_lowercase()
}

/// All sources, found by path.
#[derive(Debug, Default)]
pub struct SourceTable {
    sources: Vec<Arc<Source>>,
    by_path: HashMap<String, usize>,
    by_likeness: HashMap<String, usize>,
}

impl SourceTable {
    /// A table of these; where two share a path (which `config` refuses) the later one is found.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let by_path = sources
            .iter()
            .enumerate()
            .map(|(index, source)| (source.path.clone(), index))
            .collect();
        let by_likeness = sources.iter().enumerate().map(|(at, s)| (likeness(&s.path), at));
        let by_likeness = by_likeness.collect();
        Self { sources: sources.into_iter().map(Arc::new).collect(), by_path, by_likeness }
    }

    /// The source whose path this one is but for its slashes and its case: a clue for the log, and
    /// never a reason to serve it.
    #[must_use]
    pub fn resembling(&self, path: &str) -> Option<&Arc<Source>> {
        self.sources.get(*self.by_likeness.get(&likeness(path))?)
    }

    /// The index and the source whose path has exactly these bytes.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(usize, &Arc<Source>)> {
        let index = *self.by_path.get(path)?;
        self.sources.get(index).map(|source| (index, source))
    }

    /// The source of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.iter().find(|source| source.name.as_str() == name)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Source>> {
        self.sources.iter()
    }
}
