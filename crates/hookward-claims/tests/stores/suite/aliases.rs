//! Signatures as other names of the events that they came with.

use super::deliver;
use crate::world::{Ask, Expect, Kind, LEASE, WITHIN, World, word};
use hookward_claims::Standing;
use std::sync::Arc;

for_every_store! {
    a_signature_of_a_delivered_event_makes_its_next_bearer_a_duplicate
    a_signature_that_came_with_a_copy_counts_as_well
    a_forgotten_event_is_forwarded_whatever_its_signature
    a_signature_that_is_looked_at_once_a_claim_has_lapsed_is_not_noted
}

async fn a_signature_of_a_delivered_event_makes_its_next_bearer_a_duplicate(world: World) {
    let claim = Ask::event("1").signed("s").one(&world.here).await.won();
    let replay = Ask::event("2").signed("s").one(&world.there).await.in_flight();
    claim.delivered(Arc::new(1)).await;
    assert!(matches!(replay.wait(WITHIN).await, Some(Err(Standing::Delivered { .. }))));
    for claims in [&world.here, &world.there] {
        assert_eq!(word(&Ask::event("3").signed("s").one(claims).await), "delivered");
        assert_eq!(word(&Ask::event("3").signed("s").look().one(claims).await), "delivered");
    }
    assert_eq!(word(&Ask::event("3").signed("t").one(&world.here).await), "won");
}

async fn a_signature_that_came_with_a_copy_counts_as_well(world: World) {
    let claim = Ask::event("1").signed("s").one(&world.here).await.won();
    let here = Ask::event("1").signed("t").one(&world.here).await.in_flight();
    let there = Ask::event("1").signed("u").one(&world.there).await.in_flight();
    assert_eq!(word(&Ask::event("2").signed("t").one(&world.there).await), "in flight");
    claim.delivered(Arc::new(1)).await;
    assert!(matches!(here.wait(WITHIN).await, Some(Ok(_))));
    assert!(matches!(there.wait(WITHIN).await, Some(Err(Standing::Delivered { .. }))));
    // And one that comes with a duplicate, looked at only.
    assert_eq!(word(&Ask::event("1").signed("v").look().one(&world.here).await), "delivered");
    for signature in ["s", "t", "u", "v"] {
        let hold = Ask::event("2").signed(signature).one(&world.there).await;
        assert_eq!(word(&hold), "delivered", "{signature}");
    }
}

async fn a_forgotten_event_is_forwarded_whatever_its_signature(world: World) {
    deliver(&world.here, Ask::event("1").signed("s")).await;
    world.there.forget(&"shop".into(), &"1".into(), &["erp".into()], WITHIN).await.unwrap();
    assert_eq!(word(&Ask::event("1").signed("s").one(&world.here).await), "won");
}

/// The event is absent then, as far as anybody but the holder of the claim knows.
async fn a_signature_that_is_looked_at_once_a_claim_has_lapsed_is_not_noted(world: World) {
    let lapsed = Ask::event("1").one(&world.here).await.won();
    world.pass(LEASE).await;
    assert_eq!(word(&Ask::event("1").signed("s").look().one(&world.there).await), "absent");
    lapsed.delivered(Arc::new(1)).await;
    assert_eq!(word(&Ask::event("2").signed("s").one(&world.there).await), "won");
}
