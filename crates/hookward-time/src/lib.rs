//! Time, as a value that is passed in.
//!
//! Code that needs the time takes a [`Clock`] or a point in time. Nothing else calls
//! `SystemTime::now` or `Instant::now`, so a test can set the clock exactly to the edge of a
//! tolerance, without sleeping:
//!
//! ```
//! use hookward_time::{Clock, ManualClock, UnixMillis};
//! use std::time::Duration;
//!
//! let clock = ManualClock::at(UnixMillis::from_seconds(1_773_656_430));
//! clock.advance(Duration::from_millis(1));
//! assert_eq!(clock.wall().to_rfc3339(), "2026-03-16T10:20:30.001Z");
//! ```
//!
//! A clock has two sides, because they answer different questions. *Wall* time is compared with what
//! a sender or a file says; it can jump. *Monotonic* time measures how long something takes; it never
//! goes back.

use jiff::fmt::temporal::DateTimePrinter;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in wall time: whole milliseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// A point that lies `seconds` after the epoch; saturates at the ends of the range.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// A point so many milliseconds after the epoch; saturates.
    #[must_use]
    pub fn from_unsigned(millis: u64) -> Self {
        Self(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// Milliseconds after the epoch; 0 before the epoch.
    #[must_use]
    pub fn unsigned(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }

    /// How far `self` lies after `earlier`, in milliseconds; negative if it lies before.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `duration` later; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with milliseconds, as in `2026-03-16T10:20:30.123Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let mut text = Vec::with_capacity("2026-03-16T10:20:30.001Z".len());
        self.write_rfc3339(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// Writes the same behind `text`.
    pub fn write_rfc3339(self, text: &mut Vec<u8>) {
        let Ok(instant) = jiff::Timestamp::from_millisecond(self.0) else {
            text.extend_from_slice(self.0.to_string().as_bytes());
            return;
        };
        // Writing to a Vec does not fail.
        let _ = DateTimePrinter::new().precision(Some(3)).print_timestamp(&instant, text);
    }
}

/// A duration as a configuration writes it, in the largest unit that gives a whole number: `72h`,
/// `5m`, `4500ms`; hours and minutes where neither does it alone, as `11h 13m`.
#[must_use]
pub fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 1000, millis / 1000) {
        (1.., _) if millis < 60_000 => format!("{millis}ms"),
        (0, seconds) if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (0, seconds) if seconds > 3600 && seconds % 60 == 0 => {
            format!("{}h {}m", seconds / 3600, seconds / 60 % 60)
        }
        (0, seconds) if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        (0, seconds) if seconds < 600 => format!("{seconds}s"),
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock; may jump in both directions.
    fn wall(&self) -> UnixMillis;
    /// Time since an arbitrary fixed point in this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn wall(&self) -> UnixMillis {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `wall` and a monotonic time of zero.
    #[must_use]
    pub const fn at(wall: UnixMillis) -> Self {
        Self { wall: AtomicI64::new(wall.0), monotonic: AtomicU64::new(0) }
    }

    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.monotonic.fetch_add(millis, Ordering::SeqCst);
        self.jump(i64::try_from(millis).unwrap_or(i64::MAX));
    }

    /// Moves the wall clock alone by `millis`, as a correction of the machine's clock does.
    pub fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_prints_as_utc_with_milliseconds() {
        assert_eq!(UnixMillis(1_773_656_430_123).to_rfc3339(), "2026-03-16T10:20:30.123Z");
        assert_eq!(UnixMillis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_duration_reads_as_a_configuration_writes_it() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (4500, "4500ms"),
            (5000, "5s"),
            (90_000, "90s"),
            (300_000, "5m"),
            (3_600_000, "1h"),
            (96 * 3_600_000, "96h"),
            (11 * 3_600_000 + 13 * 60_000, "11h 13m"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(written(duration), text);
            assert_eq!(humantime::parse_duration(text), Ok(duration));
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(UnixMillis::from_seconds(100));
        clock.advance(Duration::from_secs(5));
        clock.jump(-3_600_000);
        assert_eq!(clock.wall(), UnixMillis::from_seconds(105 - 3600));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}
