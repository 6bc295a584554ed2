//! Claims that this process takes on its own while the store does not answer.

use super::{
    Claim, ClaimRequest, Claims, Entered, HeldClaim, Hold, Intent, Standing, Target, Terms, Waiter,
};
use std::sync::Arc;

impl<T: Send + Sync + 'static> Claims<T> {
    /// The state of each destination as far as this process knows it, for delivering an event while
    /// the store does not answer. Unknown ones are won: their results are remembered here, and the
    /// store is updated once it answers.
    pub async fn take_alone(&self, request: ClaimRequest<'_>) -> Vec<Hold<T>> {
        let terms = Terms {
            fingerprint: request.terms.fingerprint,
            ttl: request.terms.ttl,
            hold: request.terms.uncertain_hold,
        };
        let mut holds = Vec::with_capacity(request.terms.destinations.len());
        for (destination, lease) in request.terms.destinations {
            let target = request.target(destination, *lease);
            holds.push(self.take_one_alone(target, &request, terms).await);
        }
        holds
    }

    async fn take_one_alone(
        &self,
        target: Target,
        request: &ClaimRequest<'_>,
        terms: Terms,
    ) -> Hold<T> {
        loop {
            if let Some(standing) = self.ledger.unsettled.standing(target.key, self.ledger.now()) {
                return self.hold(target, &standing, terms);
            }
            if request.terms.intent == Intent::Look {
                return Hold::Absent;
            }
            let key = target.key;
            match self.ledger.flights.enter(key, terms.fingerprint, self.ledger.now(), target.lease)
            {
                Entered::Leads(flight) => {
                    let fence = self.ledger.next_fence();
                    flight.stands(Ok(Standing::Claimed));
                    let (ledger, asked) = (Arc::clone(&self.ledger), self.ledger.now());
                    return Hold::Won(Claim::new(HeldClaim {
                        ledger,
                        key,
                        fence,
                        flight,
                        terms,
                        asked,
                    }));
                }
                Entered::Follows(flight) => {
                    match self.ledger.bounded(request.terms.within, flight.standing()).await {
                        Some(Ok(Standing::Claimed)) | None => {
                            let same_body = flight.fingerprint == terms.fingerprint;
                            let ledger = Arc::clone(&self.ledger);
                            return Hold::InFlight(Waiter::here(ledger, flight, same_body));
                        }
                        Some(Ok(standing)) => return self.hold(target, standing, terms),
                        // The store did not answer its leader either, which has left.
                        Some(Err(_)) => {}
                    }
                }
            }
        }
    }
}
