//! Operators' requests: look up and forget.

use super::deliver;
use crate::world::{Ask, Expect, Kind, WITHIN, World, word};
use hookward_claims::Standing;
use hookward_time::Clock;
use std::sync::Arc;

for_every_store! {
    looking_takes_nothing
    an_event_in_flight_is_not_forgotten
    a_forgotten_event_is_forwarded_again
}

async fn looking_takes_nothing(world: World) {
    for claims in [&world.here, &world.there] {
        assert_eq!(word(&Ask::event("1").look().one(claims).await), "absent");
    }
    let claim = Ask::event("1").one(&world.here).await.won();
    assert_eq!(word(&Ask::event("1").look().one(&world.there).await), "in flight");
    drop(claim);
}

async fn an_event_in_flight_is_not_forgotten(world: World) {
    let claim = Ask::event("1").one(&world.here).await.won();
    let since = world.clock.wall();
    for claims in [&world.here, &world.there] {
        let stood =
            claims.forget(&"shop".into(), &"1".into(), &["erp".into()], WITHIN).await.unwrap();
        assert_eq!(stood, [("erp".into(), Standing::InFlight { since })]);
    }
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "in flight");
    claim.delivered(Arc::new(1)).await;
    assert_eq!(word(&Ask::event("1").one(&world.there).await), "delivered");
}

async fn a_forgotten_event_is_forwarded_again(world: World) {
    let id = "ids may hold anything: %2F/ é\n";
    let everywhere = ["erp".into(), "crm".into()];
    deliver(&world.here, Ask::event(id).body(9)).await;
    let since = world.clock.wall();
    let delivered = ("erp".into(), Standing::Delivered { since, fingerprint: 9 });
    let absent = ("crm".into(), Standing::Absent);
    let stands =
        world.there.inspect(&"shop".into(), &id.into(), &everywhere, WITHIN).await.unwrap();
    assert_eq!(stands, [delivered.clone(), absent.clone()]);
    let stood = world.there.forget(&"shop".into(), &id.into(), &everywhere, WITHIN).await.unwrap();
    assert_eq!(stood, [delivered, absent.clone()]);
    let stands = world.here.inspect(&"shop".into(), &id.into(), &everywhere, WITHIN).await.unwrap();
    assert_eq!(stands, [("erp".into(), Standing::Absent), absent]);
    let claim = Ask::event(id).one(&world.here).await.won();
    claim.sent();
    claim.uncertain("", Arc::new(1)).await;
    world.here.forget(&"shop".into(), &id.into(), &everywhere, WITHIN).await.unwrap();
    assert_eq!(word(&Ask::event(id).one(&world.there).await), "won");
}
