//! Two instances over one store, and a clock that tests move.

use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;
use hookward_claims::{
    Claim, ClaimRequest, ClaimStore, ClaimTerms, Claimable, Claims, DiskStore, Hold, Intent,
    MemoryStore, PostgresStore, RedisStore, StoreError, Waiter,
};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_secret::Secret;
use hookward_time::{Clock, ManualClock, UnixMillis};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const LEASE: Duration = Duration::from_secs(4000);
pub(crate) const HOLD: Duration = Duration::from_mins(50);
pub(crate) const TTL: Duration = Duration::from_secs(10_750);
pub(crate) const WITHIN: Duration = Duration::from_secs(5);

/// The outcome of a delivery, in these tests.
pub(crate) type Result = u32;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Disk,
    Redis,
    Postgres,
}

impl Kind {
    /// Whether the store is a server, whose clock runs by itself and which tells other instances
    /// how a claim ended.
    pub(crate) fn is_server(self) -> bool {
        matches!(self, Self::Redis | Self::Postgres)
    }
}

/// Two instances that share a store.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) here: Arc<Claims<Result>>,
    pub(crate) there: Arc<Claims<Result>>,
    redis: Option<RedisServer>,
    postgres: Option<String>,
    _folder: Option<TempDir>,
}

impl World {
    pub(crate) async fn new(kind: Kind) -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_seconds(1_773_656_430)));
        let (mut redis, mut folder, mut postgres) = (None, None, None);
        let stores: [Arc<dyn ClaimStore>; 2] = match kind {
            Kind::Memory => {
                let store = Arc::new(MemoryStore::new(10_000, Arc::clone(&clock) as _));
                [Arc::clone(&store) as _, store]
            }
            Kind::Disk => {
                let path = folder.insert(tempfile::tempdir().unwrap()).path().join("data");
                let store = DiskStore::open(&path, 10_000, Arc::clone(&clock) as _).unwrap();
                let store = Arc::new(store);
                [Arc::clone(&store) as _, store]
            }
            Kind::Redis => {
                let server = redis.insert(RedisServer::start().await);
                let url = server.url();
                [open_redis(&url, &clock).await, open_redis(&url, &clock).await]
            }
            Kind::Postgres => {
                let url = postgres.insert(new_database().await);
                [open_postgres(url, &clock).await, open_postgres(url, &clock).await]
            }
        };
        let [here, there] = stores.map(|store| Claims::new(store, Arc::clone(&clock) as _));
        Self { kind, clock, here, there, redis, postgres, _folder: folder }
    }

    /// The server behind both instances.
    pub(crate) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().unwrap()
    }

    /// Lets time pass: on the instances' clock, and for a server by taking it off every expiry.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        if let Some(url) = &self.postgres {
            age(url, duration).await;
        }
        let Some(server) = &self.redis else { return };
        let script = ::redis::Script::new(
            "for _, key in ipairs(redis.call('KEYS', '*')) do
               local left = redis.call('PTTL', key) - ARGV[1]
               if left > 0 then redis.call('PEXPIRE', key, left) else redis.call('DEL', key) end
             end",
        );
        let mut connection = server.connection().await;
        let millis = u64::try_from(duration.as_millis()).unwrap();
        let () = script.arg(millis).invoke_async(&mut connection).await.unwrap();
    }
}

pub(crate) async fn open_redis(url: &str, clock: &Arc<ManualClock>) -> Arc<dyn ClaimStore> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let url = Secret::from(url.to_owned());
    Arc::new(RedisStore::open(&url, None, "hookward:", clock, WITHIN).await.unwrap())
}

pub(crate) async fn open_postgres(url: &str, clock: &Arc<ManualClock>) -> Arc<dyn ClaimStore> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let url = Secret::from(url.to_owned());
    Arc::new(PostgresStore::open(&url, None, clock, WITHIN).await.unwrap())
}

/// The URL of an empty database on the server that the tests share.
pub(crate) async fn new_database() -> String {
    tokio::task::spawn_blocking(|| PostgresServer::shared().database()).await.unwrap()
}

/// A connection of the test's own.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Takes a time off every expiry in a database. Rows move to the partitions that they would be in,
/// so there has to be one for the past.
async fn age(url: &str, by: Duration) {
    let script = format!(
        "DO $$ DECLARE first timestamptz; parent text; BEGIN
           SELECT min(starts) INTO first FROM hookward.spans;
           FOREACH parent IN ARRAY ARRAY['standings', 'aliases'] LOOP
             IF to_regclass('hookward.' || parent || '_past') IS NULL THEN
               EXECUTE format('CREATE TABLE hookward.%I PARTITION OF hookward.%I
                 FOR VALUES FROM (MINVALUE) TO (%L)', parent || '_past', parent, first);
             END IF;
           END LOOP;
         END $$;
         UPDATE hookward.standings SET
           expires = expires - {0} * interval '1 ms', leaves = leaves - {0} * interval '1 ms';
         UPDATE hookward.aliases SET leaves = leaves - {0} * interval '1 ms'",
        by.as_millis()
    );
    connect(url).await.batch_execute(&script).await.unwrap();
}

/// An event, as if it were proven.
struct Event(SourceName, EventId);

impl Claimable for Event {
    fn source(&self) -> &SourceName {
        &self.0
    }

    fn event_id(&self) -> &EventId {
        &self.1
    }
}

/// What an instance asks for: one event, for one or several destinations.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) id: &'a str,
    pub(crate) alias: Option<&'a str>,
    pub(crate) to: &'a [&'a str],
    pub(crate) fingerprint: u64,
    pub(crate) intent: Intent,
    pub(crate) within: Duration,
}

impl<'a> Ask<'a> {
    pub(crate) fn event(id: &'a str) -> Self {
        let intent = Intent::Claim;
        Self { id, alias: None, to: &["erp"], fingerprint: 1, intent, within: WITHIN }
    }

    pub(crate) fn signed(self, alias: &'a str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    pub(crate) fn to(self, to: &'a [&'a str]) -> Self {
        Self { to, ..self }
    }

    pub(crate) fn body(self, fingerprint: u64) -> Self {
        Self { fingerprint, ..self }
    }

    pub(crate) fn look(self) -> Self {
        Self { intent: Intent::Look, ..self }
    }

    pub(crate) async fn all(
        self,
        claims: &Arc<Claims<Result>>,
    ) -> std::result::Result<Vec<Hold<Result>>, StoreError> {
        let destinations: Vec<(UpstreamName, Duration)> =
            self.to.iter().map(|to| (UpstreamName::from(*to), LEASE)).collect();
        let terms = ClaimTerms {
            alias: self.alias,
            destinations: &destinations,
            fingerprint: self.fingerprint,
            ttl: TTL,
            uncertain_hold: HOLD,
            intent: self.intent,
            within: self.within,
        };
        let event = Event("shop".into(), self.id.into());
        claims.take(ClaimRequest::of(&event, terms)).await
    }

    pub(crate) async fn one(self, claims: &Arc<Claims<Result>>) -> Hold<Result> {
        let mut holds = self.all(claims).await.unwrap();
        assert_eq!(holds.len(), 1);
        holds.remove(0)
    }
}

/// Unpacks a hold; panics if it is of another kind.
pub(crate) trait Expect {
    fn won(self) -> Claim<Result>;
    fn in_flight(self) -> Waiter<Result>;
}

impl Expect for Hold<Result> {
    fn won(self) -> Claim<Result> {
        match self {
            Hold::Won(claim) => claim,
            other => panic!("not won, but {}", word(&other)),
        }
    }

    fn in_flight(self) -> Waiter<Result> {
        match self {
            Hold::InFlight(waiter) => waiter,
            other => panic!("not in flight, but {}", word(&other)),
        }
    }
}

/// The state in a word.
pub(crate) fn word(hold: &Hold<Result>) -> &'static str {
    match hold {
        Hold::Won(_) => "won",
        Hold::Delivered { same_body: true, .. } => "delivered",
        Hold::Delivered { same_body: false, .. } => "delivered, another body",
        Hold::InFlight(_) => "in flight",
        Hold::Uncertain { .. } => "uncertain",
        Hold::Unguarded => "unguarded",
        Hold::Absent => "absent",
    }
}

/// How a claim is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Delivered,
    Uncertain,
    Released,
}

pub(crate) async fn settle(claim: Claim<Result>, ending: Ending, note: &str, result: Result) {
    let result = Arc::new(result);
    match ending {
        Ending::Delivered => claim.delivered(result).await,
        Ending::Uncertain => claim.uncertain(note, result).await,
        Ending::Released => claim.released(note, result).await,
    }
}

/// An event is in flight, then delivered, for an instance whose wall clock is a day ahead, two days
/// behind that, or a week further.
pub(crate) async fn the_clocks_do_not_matter(
    open: impl AsyncFn(&Arc<ManualClock>) -> Arc<dyn ClaimStore>,
) {
    let wall = UnixMillis::from_seconds(1_773_656_430);
    let (clock, ahead) = (Arc::new(ManualClock::at(wall)), Arc::new(ManualClock::at(wall)));
    ahead.jump(86_400_000);
    let here = Claims::<Result>::new(open(&clock).await, Arc::clone(&clock) as _);
    let there = Claims::<Result>::new(open(&ahead).await, Arc::clone(&ahead) as _);
    let claim = Ask::event("1").one(&here).await.won();
    assert_eq!(word(&Ask::event("1").one(&there).await), "in flight");
    ahead.jump(-2 * 86_400_000);
    assert_eq!(word(&Ask::event("1").one(&there).await), "in flight");
    claim.delivered(Arc::new(1)).await;
    ahead.jump(7 * 86_400_000);
    assert_eq!(word(&Ask::event("1").one(&there).await), "delivered");
}
