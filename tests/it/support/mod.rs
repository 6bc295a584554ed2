//! The three actors of every black-box test: [`Sender`] → [`Proxy`] → [`Upstream`].

mod hop;
mod http;
mod key_server;
mod load;
mod metrics;
// The tests of the store itself need the same server.
#[expect(dead_code, reason = "they use all of it")]
#[path = "../../../crates/hookward-claims/tests/stores/postgres_server.rs"]
mod postgres;
mod prometheus;
mod proxy;
mod receiver;
mod redis;
mod sender;
mod upstream;

pub use self::prometheus::Prometheus;
pub use self::redis::Redis;
pub use hop::Hop;
pub use http::{Connection, Response, get, request};
pub use key_server::{KeyServer, Page};
pub use load::{Fate, Load, Retries};
pub use metrics::Scrape;
pub use postgres::PostgresServer;
pub use proxy::{Proxy, SHOP_SECRET, Setup, hookward, printed, resident_bytes, stdout};
pub use receiver::{Kind, Receiver};
pub use sender::{Delivery, Event, Sender, hmac_sha256_hex};
pub use upstream::{Gate, Reply, Seen, Upstream};

use hookward_time::{Clock, SystemClock};
use std::sync::LazyLock;
use std::time::Duration;

/// How long anything may take before a test is given up; far more than it ever needs.
pub const PATIENCE: Duration = Duration::from_mins(1);

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

/// A point on the steady clock.
pub fn instant() -> Duration {
    CLOCK.monotonic()
}

/// The wall clock as whole seconds since 1970.
pub fn unix_now() -> i64 {
    CLOCK.wall().0.div_euclid(1000)
}

/// The time `seconds` from now, as RFC 3339.
pub fn rfc3339_in(seconds: i64) -> String {
    hookward_time::UnixMillis::from_seconds(unix_now() + seconds).to_rfc3339()
}

/// Asks until the answer is yes; what is waited for is an event, the pause only spares the CPU.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = instant();
    while !holds() {
        assert!(
            instant().saturating_sub(start) < PATIENCE,
            "did not happen within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
