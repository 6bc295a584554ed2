//! Starts the delivery of an event that the inbox may store.
//!
//! With one destination the sender's task makes the live attempt, as on a `sync` route: nothing is
//! prepared for storing until the attempt has failed or is late. Several destinations have a task of
//! their own.

use crate::delivery::answer::DestinationOutcome;
use crate::delivery::gate::SharedState;
use crate::delivery::in_place::InPlace;
use crate::delivery::keeping::{Keep, Keeping};
use crate::delivery::leg::{Leg, Way};
use crate::delivery::outbound::Dispatch;
use crate::delivery::pending::{PendingDestination, broke_off, ours};
use crate::telemetry::metrics::Counted;
use hookward_claims::Hold;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What is waited for at a destination.
pub(super) enum Awaited {
    /// The end of a live attempt that whoever waits makes, and of storing the event if that fails.
    Spilling(Spilling),
    /// Anything else.
    Pending(PendingDestination),
}

impl Awaited {
    /// As [`PendingDestination::wait`].
    pub(super) async fn wait(self, deadline: Instant) -> Option<DestinationOutcome> {
        let pending = match self {
            Self::Spilling(spilling) => match spilling.live().await {
                Ok(end) => return Some(end),
                Err(rest) => PendingDestination::Here(rest),
            },
            Self::Pending(pending) => pending,
        };
        pending.wait(deadline).await
    }
}

/// Starts what is ours to deliver, and says what is to be waited for at each destination, in their
/// order.
pub(super) fn start(
    gate: &SharedState,
    dispatch: &Dispatch<'_>,
    keep: Keep,
    holds: Vec<Hold<DestinationOutcome>>,
    in_flight: &Arc<Counted>,
    started: Duration,
) -> Vec<Awaited> {
    let keeping = Arc::new(Keeping::of(gate, dispatch, keep, in_flight, started));
    let destinations = dispatch.route.destinations.iter().zip(&dispatch.route.upstreams);
    let mut legs = Vec::new();
    let begun = holds.into_iter().zip(destinations).map(|(hold, ((to, _), served))| {
        let claim = match ours(hold) {
            Ok(claim) => Arc::new(Mutex::new(claim)),
            Err(pending) => return Awaited::Pending(*pending),
        };
        let (to, served) = (to.clone(), Arc::clone(served));
        let leg = Leg { to, served, claim, tell: None, way: Way::Open };
        if dispatch.route.destinations.len() == 1 {
            return Awaited::Spilling(Spilling { keeping: Arc::clone(&keeping), leg: Some(leg) });
        }
        let (tell, told) = oneshot::channel();
        legs.push(Leg { tell: Some(tell), ..leg });
        Awaited::Pending(PendingDestination::Ours(told))
    });
    let begun = begun.collect();
    if !legs.is_empty() {
        tokio::spawn(keeping.see_through(legs));
    }
    begun
}

/// The live attempt at the one destination of an event. Dropped before its end, it goes on in a task.
pub(super) struct Spilling {
    keeping: Arc<Keeping>,
    /// Absent once it is at its end or somebody else's to see through.
    leg: Option<Leg>,
}

impl Spilling {
    /// The end of the live attempt if the destination accepted the event in time; else what remains to
    /// be done.
    async fn live(mut self) -> Result<DestinationOutcome, InPlace> {
        if let Some(leg) = &mut self.leg
            && self.keeping.decides_at_once()
        {
            self.keeping.decide(leg).await;
            if let Some(end) = self.keeping.meet(leg).await {
                self.leg = None;
                return Ok(end);
            }
        }
        Err(self.rest())
    }

    fn rest(mut self) -> InPlace {
        let (tell, told) = oneshot::channel();
        let legs: Vec<Leg> =
            self.leg.take().map(|leg| Leg { tell: Some(tell), ..leg }).into_iter().collect();
        let late = legs.first().map(|leg| self.keeping.late(&leg.to));
        let seen_through = Arc::clone(&self.keeping).see_through(legs);
        let work = async move {
            seen_through.await;
            told.await.unwrap_or_else(|_| DestinationOutcome::Failed(broke_off()))
        };
        InPlace::new(work, move |end| {
            if let Some(late) = late {
                late.log(end);
            }
        })
    }
}

impl Drop for Spilling {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and the claim is left in doubt.
        if let (Some(leg), Ok(runtime)) = (self.leg.take(), Handle::try_current()) {
            runtime.spawn(Arc::clone(&self.keeping).see_through(vec![leg]));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::InboxSettings;
    use crate::delivery::lifecycle::testing::{Act, Latch, Stage, all_wait, order, shop, status};
    use crate::inbox::{InboxPlace, InboxStore, Opening};
    use hookward_claims::Standing;
    use std::path::Path;
    use std::time::Duration;

    /// A gate whose route `spill`s into an inbox in this folder.
    async fn stage(folder: &Path) -> Stage {
        let dedupe =
            format!("[dedupe]\nstore = \"disk\"\npath = {:?}\n", folder.display().to_string());
        let stage = Stage::of(&format!("{dedupe}{}delivery = \"spill\"\n", shop("")));
        let settings = InboxSettings {
            folder: Some(folder.to_owned()),
            max_bytes: 1 << 30,
            min_free: 1,
            keep_dead: Duration::from_hours(1),
            keep_delivered: Duration::ZERO,
            keys: Vec::new(),
            is_used: true,
        };
        let opening = Opening {
            settings: &settings,
            policies: Vec::new(),
            sources: vec!["shop".to_owned()],
            place: InboxPlace::Folder(folder.to_owned()),
            metrics: stage.gate.metrics.clone(),
            clock: stage.clock.clone(),
        };
        stage.gate.open_inbox(InboxStore::open(opening).await.unwrap());
        stage
    }

    fn stored(stage: &Stage) -> usize {
        stage.gate.inbox().unwrap().stats().entries
    }

    #[tokio::test]
    async fn an_attempt_whose_sender_is_gone_goes_on_and_is_settled_or_stored() {
        for (given, is_stored) in [(200, false), (503, true)] {
            let folder = tempfile::tempdir().unwrap();
            let stage = stage(folder.path()).await;
            let latch = Latch::closed();
            stage.upstreams.next("erp", Act::Behind(latch.clone(), status(given)));
            let sender = stage.start(stage.signed("shop", &order("1")));
            while stage.upstreams.asked().is_empty() {
                all_wait().await;
            }
            sender.abort();
            assert!(sender.await.is_err(), "nobody hears of it");
            assert_eq!(stage.gate.metrics.in_flight.get(), 1);
            latch.open();
            while stage.gate.metrics.in_flight.get() > 0 {
                all_wait().await;
            }
            assert_eq!(stored(&stage), usize::from(is_stored), "{given}");
            let is_delivered = matches!(stage.standing("1").await, Standing::Delivered { .. });
            assert_eq!(is_delivered, !is_stored, "{given}");
            assert_eq!(stage.order("1").await.verdict().1, "duplicate");
            assert_eq!(stage.upstreams.asked().len(), 1, "once");
        }
    }

    #[tokio::test]
    async fn a_forwarder_that_breaks_is_an_attempt_in_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let stage = stage(folder.path()).await;
        stage.upstreams.next("erp", Act::Panic);
        assert_eq!(stage.order("1").await.verdict(), (200, "queued", ""));
        assert_eq!(stored(&stage), 1);
        assert_eq!(stage.order("1").await.verdict().1, "duplicate");
    }
}
