//! What one store knows, copied into another: every store that outlives its process into every one.

use crate::world::{Ask, Expect, Kind, TTL, WITHIN, World, word};
use hookward_claims::Fence;
use hookward_claims::{
    ClaimKey, Copying, Hold, Intent, KnownFact, MemoryStore, Moved, Standing, Target, copy,
};
use hookward_time::{Clock, ManualClock, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

const MOMENT: Duration = Duration::from_secs(100);

macro_rules! between {
    ($($test:ident: $from:ident $to:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (from, to) = (World::new(Kind::$from).await, World::new(Kind::$to).await);
                a_copy_knows_what_the_store_knew(&from, &to).await;
            }
        )*
    };
}

between! {
    disk_to_disk: Disk Disk;
    disk_to_redis: Disk Redis;
    disk_to_postgres: Disk Postgres;
    disk_to_memory: Disk Memory;
    redis_to_disk: Redis Disk;
    redis_to_redis: Redis Redis;
    redis_to_postgres: Redis Postgres;
    postgres_to_disk: Postgres Disk;
    postgres_to_redis: Postgres Redis;
    postgres_to_postgres: Postgres Postgres;
}

async fn a_copy_knows_what_the_store_knew(from: &World, to: &World) {
    let delivered = async |world: &World, ask: Ask<'_>| {
        ask.one(&world.here).await.won().delivered(Arc::new(1)).await;
    };
    delivered(from, Ask::event("delivered").signed("signature").body(7)).await;
    delivered(from, Ask::event("both").body(7)).await;
    let doubt = Ask::event("doubt").one(&from.here).await.won();
    doubt.uncertain("timeout", Arc::new(1)).await;
    let released = Ask::event("released").one(&from.here).await.won();
    released.released("500", Arc::new(1)).await;
    let _in_flight = Ask::event("in flight").one(&from.here).await.won();
    delivered(from, Ask::event("no doubt").body(7)).await;
    let since = from.clock.wall();

    let doubted = Ask::event("no doubt").one(&to.here).await.won();
    doubted.uncertain("timeout", Arc::new(1)).await;
    delivered(to, Ask::event("both").body(8)).await;
    from.pass(MOMENT * 10).await;
    to.clock.advance(MOMENT * 10);

    let (old, new) = (from.here.store(), to.here.store());
    let copied = copy(old, new, WITHIN).await.unwrap();
    let found = Moved { delivered: 3, uncertain: 1, aliases: 1 };
    let is_new = Moved { delivered: 2, uncertain: 1, aliases: 1 };
    let in_flight = u64::from(from.kind.is_server());
    assert_eq!(copied, Copying { found, new: is_new, in_flight });
    let again = copy(old, new, WITHIN).await.unwrap();
    assert_eq!(again, Copying { found, new: Moved::default(), in_flight });

    let stands = async |ask: Ask<'_>| word(&ask.look().one(&to.here).await);
    let known = Ask::event("delivered").body(7).look().one(&to.here).await;
    assert!(
        matches!(known, Hold::Delivered { since: at, same_body: true } if at == since),
        "it is {}",
        word(&known)
    );
    assert_eq!(stands(Ask::event("another id").signed("signature").body(7)).await, "delivered");
    assert_eq!(stands(Ask::event("both").body(8)).await, "delivered", "its own word counts");
    assert_eq!(stands(Ask::event("no doubt").body(7)).await, "delivered");
    for absent in ["released", "in flight", "another"] {
        assert_eq!(stands(Ask::event(absent)).await, "absent", "{absent}");
    }
    // The hold of 50 minutes and the ttl go on where they were.
    assert_eq!(stands(Ask::event("doubt")).await, "uncertain");
    to.pass(MOMENT * 19).await;
    assert_eq!(stands(Ask::event("doubt")).await, "uncertain");
    to.pass(MOMENT * 2).await;
    assert_eq!(stands(Ask::event("doubt")).await, "absent");
    to.pass(TTL.saturating_sub(MOMENT * 32)).await;
    assert_eq!(stands(Ask::event("delivered").body(7)).await, "delivered");
    to.pass(MOMENT * 2).await;
    assert_eq!(stands(Ask::event("delivered")).await, "absent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_page_is_copied_whole() {
    for kind in [Kind::Disk, Kind::Redis, Kind::Postgres] {
        let (from, to) = (World::new(kind).await, World::new(Kind::Memory).await);
        let key =
            |number: u32| ClaimKey::of(&"shop".into(), &number.to_string().into(), &"erp".into());
        let known: Vec<KnownFact> = (0..2500)
            .flat_map(|number| {
                let (key, since, left) = (key(number), UnixMillis(i64::from(number)), TTL);
                let alias = ClaimKey::of_alias(&"shop".into(), &number.to_string(), &"erp".into());
                [
                    KnownFact::Delivered { key, since, fingerprint: number.into(), left },
                    KnownFact::Alias { alias, to: key, left },
                ]
            })
            .collect();
        from.here.store().import(&known, WITHIN * 4).await.unwrap();
        let copied = copy(from.here.store(), to.here.store(), WITHIN).await.unwrap();
        let all = Moved { delivered: 2500, uncertain: 0, aliases: 2500 };
        assert_eq!(copied.new, all, "{kind:?}");
        for number in [0, 999, 1000, 1001, 2499] {
            let (key, lease, ttl) = (key(number), MOMENT, TTL);
            let target = [Target { key, alias: None, lease, ttl }];
            let look = to.here.store().claim(&target, Fence(1), Intent::Look, WITHIN);
            let expected = Standing::Delivered {
                since: UnixMillis(i64::from(number)),
                fingerprint: number.into(),
            };
            assert_eq!(look.await.unwrap(), [expected], "{kind:?} {number}");
        }
    }
}

#[tokio::test]
async fn what_is_in_the_memory_of_a_process_cannot_be_copied() {
    let clock = Arc::new(ManualClock::at(UnixMillis(0)));
    let store = || MemoryStore::new(10, Arc::clone(&clock) as _);
    let refused = copy(&store(), &store(), WITHIN).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be copied"), "{refused}");
}
