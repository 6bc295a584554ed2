//! Signatures as other names of the events that they came with.

use super::deliver;
use crate::world::{Ask, Expect, Kind, WITHIN, World, word};
use hookward_claims::{Ending, Waited};
use std::sync::Arc;

for_every_store! {
    a_signature_of_a_delivered_event_makes_its_next_bearer_a_duplicate
    a_signature_that_came_with_a_copy_counts_as_well
    a_forgotten_event_is_forwarded_whatever_its_signature
}

async fn a_signature_of_a_delivered_event_makes_its_next_bearer_a_duplicate(world: World) {
    let claim = Ask::event("1").signed("s").one(&world.here).await.won();
    let replay = Ask::event("2").signed("s").one(&world.there).await.in_flight();
    claim.settle(Ending::Delivered, "", Arc::new(1)).await;
    assert!(matches!(replay.wait(WITHIN).await, Waited::Delivered { .. }));
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
    claim.settle(Ending::Delivered, "", Arc::new(1)).await;
    assert!(matches!(here.wait(WITHIN).await, Waited::Result(_)));
    assert!(matches!(there.wait(WITHIN).await, Waited::Delivered { .. }));
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
