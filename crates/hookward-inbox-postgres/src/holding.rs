//! The order of a key, held for a live attempt, on all instances.

use crate::commons::{Commons, Uuid, natural, span, uuid};
use hookward_claims::ClaimKey;
use hookward_inbox::LaneHold;
use hookward_names::{SourceName, UpstreamName};
use std::sync::Arc;
use std::time::Duration;

const HOLD: &str = "SELECT hookward.hold_lane($1, $2, $3)";
const RELEASE: &str = "SELECT hookward.release_lane($1, $2)";

/// A sender waits for it.
const HOLD_WITHIN: Duration = Duration::from_secs(2);

/// One call that releases it; without it the hold lapses.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// Lets the next one go when it is dropped.
#[derive(Debug)]
struct SharedHold {
    commons: Arc<Commons>,
    lane: Uuid,
    place: i64,
}

impl Commons {
    /// Holds a lane; `None` if earlier events of it wait, or the database does not say so.
    pub(crate) async fn hold_lane(
        self: &Arc<Self>,
        source: &str,
        to: &str,
        key: &str,
    ) -> Option<LaneHold> {
        let lease = span(self.policy(to).takeover_after);
        let (source, to) = (SourceName::from(source), UpstreamName::from(to));
        let (lane, within) = (uuid(ClaimKey::of_lane(&source, key, &to)), span(HOLD_WITHIN));
        let answer = self.database.ask(HOLD, &[&lane, &lease, &within], HOLD_WITHIN).await;
        let rows = answer.map_err(|fault| self.trouble(&fault)).ok()?;
        let place: i64 = rows.first()?.try_get::<_, Option<i64>>(0).ok()??;
        let hold = SharedHold { commons: Arc::clone(self), lane, place };
        Some(LaneHold::new(natural(place), hold))
    }
}

impl Drop for SharedHold {
    fn drop(&mut self) {
        let (commons, lane, place) = (Arc::clone(&self.commons), self.lane, self.place);
        let settling = commons.settling();
        self.commons.runtime.spawn(async move {
            let answer = commons.database.ask(RELEASE, &[&lane, &place], RELEASE_WITHIN).await;
            if let Err(fault) = answer {
                commons.trouble(&fault);
            }
            drop(settling);
            commons.wake.notify_waiters();
        });
    }
}
