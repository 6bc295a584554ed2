//! How often each place in the code may write a line.
//!
//! A stranger, or anyone who has recorded one genuine delivery, can cause almost any line as often
//! as they like. So every place has a limit unless it is listed here as one that only an operator
//! can reach, and a new line is limited by default. The next line from the same place says how many
//! were left out.

use crate::delivery::bucket::Bucket;
use crate::delivery::source::RateLimit;
use hookward_time::Clock;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines one place may write.
const LINES: RateLimit = RateLimit { requests: 20, per: Duration::from_secs(1) };

/// Late ends, each of which belongs to a different event.
const LATE_ENDS: RateLimit = RateLimit { requests: 100, per: Duration::from_secs(1) };

const LATE_END_MODULE: &str = "hookward::delivery::dispatch";

/// Modules whose lines are not limited here: deliveries have their own limits, and the others write
/// only when an operator does something.
const UNLIMITED: [&str; 4] = [
    "hookward::delivery::report",
    "hookward::operator::runtime",
    "hookward::operator::server",
    "hookward::cli",
];

/// The limits of all places; they share one state.
#[derive(Clone, Debug)]
pub(super) struct LineLimits(Arc<SharedLimits>);

#[derive(Debug)]
struct SharedLimits {
    clock: Arc<dyn Clock>,
    /// One for each place in the code that writes.
    places: RwLock<HashMap<Identifier, Arc<CallSite>>>,
}

#[derive(Debug)]
struct CallSite {
    bucket: Bucket,
    suppressed: AtomicU64,
}

impl LineLimits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(SharedLimits { clock, places: RwLock::default() }))
    }

    /// How many lines of this place were left out since the last call.
    pub(super) fn take_suppressed(&self, place: &Metadata<'_>) -> u64 {
        let places = self.0.places.read();
        places.get(&place.callsite()).map_or(0, |place| place.suppressed.swap(0, Ordering::Relaxed))
    }

    fn allows(&self, place: &Metadata<'_>) -> bool {
        let Some(limit) = limit_of(place.target()) else { return true };
        let place = self.place(place.callsite(), limit);
        let allowed = place.bucket.take().is_ok();
        if !allowed {
            place.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    fn place(&self, id: Identifier, limit: RateLimit) -> Arc<CallSite> {
        if let Some(place) = self.0.places.read().get(&id) {
            return Arc::clone(place);
        }
        let new = || CallSite {
            bucket: Bucket::new(limit, Arc::clone(&self.0.clock)),
            suppressed: AtomicU64::new(0),
        };
        Arc::clone(self.0.places.write().entry(id).or_insert_with(|| Arc::new(new())))
    }
}

fn limit_of(module: &str) -> Option<RateLimit> {
    let is_within = |parent: &str| {
        module.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if UNLIMITED.iter().any(|parent| is_within(parent)) {
        None
    } else if is_within(LATE_END_MODULE) {
        Some(LATE_ENDS)
    } else {
        Some(LINES)
    }
}

impl<S: Subscriber> Layer<S> for LineLimits {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        self.allows(event.metadata())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_causes_and_deliveries_are_not_limited_by_place() {
        for module in [
            "hookward::delivery::report",
            "hookward::operator::runtime::desk",
            "hookward::cli::run",
        ] {
            assert_eq!(limit_of(module), None, "{module}");
        }
        for module in [
            "hookward::delivery::lifecycle",
            "hookward::edge",
            "hookward::reporter",
            "h2",
            "log",
            "",
        ] {
            assert_eq!(limit_of(module), Some(LINES), "{module}");
        }
        assert_eq!(limit_of("hookward::delivery::dispatch"), Some(LATE_ENDS));
    }
}
