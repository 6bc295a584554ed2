//! When a delivery was sent, and whether that is recent enough.
//!
//! A time that cannot be read is always refused. This module has no clock: the caller passes the
//! time.

use super::genuine::Lifetime;
use crate::fault::Fault;
use crate::scheme::{TimeFormat, TimestampRule};
use hookward_time::UnixMillis;
use jiff::fmt::temporal::DateTimeParser;
use std::time::Duration;

/// Whether `sent` is within `max_age` and `max_ahead` of `now`, including both ends to the
/// millisecond.
///
/// # Errors
/// [`Fault::TimestampTooOld`] or [`Fault::TimestampInFuture`]; the detail says by how much.
pub fn judge(rule: &TimestampRule, sent: UnixMillis, now: UnixMillis) -> Result<(), Fault> {
    let age = now.millis_since(sent);
    if let Some(max_age) = rule.max_age
        && age > millis(max_age)
    {
        let over_millis = age.saturating_sub(millis(max_age));
        return Err(Fault::TimestampTooOld { age_millis: age, over_millis });
    }
    let ahead = age.saturating_neg();
    if ahead > millis(rule.max_ahead) {
        let over_millis = ahead.saturating_sub(millis(rule.max_ahead));
        return Err(Fault::TimestampInFuture { ahead_millis: ahead, over_millis });
    }
    Ok(())
}

/// Checks that a token is valid at `now`, with `max_ahead` as leeway at both ends of its lifetime.
///
/// # Errors
/// [`Fault::TimestampTooOld`] after its end, [`Fault::TimestampInFuture`] before its start.
pub(crate) fn judge_lifetime(
    rule: Option<&TimestampRule>,
    lifetime: Lifetime,
    now: UnixMillis,
) -> Result<(), Fault> {
    let leeway = rule.map_or(0, |rule| millis(rule.max_ahead));
    if let Some(expires) = lifetime.expires {
        let age_millis = now.millis_since(expires);
        if age_millis >= leeway.max(1) {
            let over_millis = age_millis.saturating_sub(leeway);
            return Err(Fault::TimestampTooOld { age_millis, over_millis });
        }
    }
    if let Some(not_before) = lifetime.not_before {
        let ahead_millis = not_before.millis_since(now);
        if ahead_millis > leeway {
            let over_millis = ahead_millis.saturating_sub(leeway);
            return Err(Fault::TimestampInFuture { ahead_millis, over_millis });
        }
    }
    Ok(())
}

/// The instant that `text` names; `None` if it does not have the format. Digits beyond a
/// millisecond are cut off.
#[must_use]
pub fn parse_time(format: TimeFormat, text: &str) -> Option<UnixMillis> {
    match format {
        TimeFormat::Unix => digits(text)?.checked_mul(1000).map(UnixMillis),
        TimeFormat::UnixMs => digits(text).map(UnixMillis),
        TimeFormat::Rfc3339 => rfc3339(text),
    }
}

/// The time in a scheme's format, as the sender would write it.
#[must_use]
pub fn print_time(format: TimeFormat, time: UnixMillis) -> String {
    match format {
        TimeFormat::Unix => time.0.div_euclid(1000).to_string(),
        TimeFormat::UnixMs => time.0.to_string(),
        TimeFormat::Rfc3339 => time.to_rfc3339(),
    }
}

/// Only digits; 15 of them reach the year 30,000 in milliseconds, and far more than needed in
/// seconds.
fn digits(text: &str) -> Option<i64> {
    let sound = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if sound { text.parse().ok() } else { None }
}

/// RFC 3339 and nothing more: jiff would also accept what ISO 8601 and its successors allow.
fn rfc3339(text: &str) -> Option<UnixMillis> {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(shape.len())?;
    let fits = head.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    });
    let (fraction, offset) = match rest.split_first() {
        Some((b'.', rest)) => {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
            (end > 0).then(|| rest.split_at(end))?
        }
        _ => (rest.get(..0)?, rest),
    };
    let offset_fits = match offset {
        b"Z" | b"z" => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()),
        _ => false,
    };
    if !fits || !offset_fits {
        return None;
    }
    // The fraction is read here, because it may have more digits than jiff accepts.
    let mut millis = 0;
    for place in 0..3 {
        millis = millis * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    let mut whole = [0; "2026-03-16T10:20:30+01:00".len()];
    let length = head.len() + offset.len();
    whole.get_mut(..head.len())?.copy_from_slice(head);
    whole.get_mut(head.len()..length)?.copy_from_slice(offset);
    let second = DateTimeParser::new().parse_timestamp(whole.get(..length)?).ok()?;
    Some(UnixMillis(second.as_millisecond() + millis))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use crate::scheme::TimestampPlace;

    fn rule(max_age: Option<u64>, max_ahead: u64) -> TimestampRule {
        TimestampRule {
            from: TimestampPlace::ItemAt(0),
            format: TimeFormat::Unix,
            max_age: max_age.map(Duration::from_secs),
            max_ahead: Duration::from_secs(max_ahead),
        }
    }

    #[test]
    fn both_ends_are_included_to_the_millisecond() {
        let now = UnixMillis(1_000_000_000_123);
        for (age_ms, expected) in [
            (300_000, None),
            (300_001, Some(FaultKind::TimestampTooOld)),
            (299_999, None),
            (0, None),
            (-60_000, None),
            (-60_001, Some(FaultKind::TimestampInFuture)),
            (-59_999, None),
        ] {
            let judged = judge(&rule(Some(300), 60), UnixMillis(now.0 - age_ms), now);
            assert_eq!(judged.err().map(|fault| fault.kind()), expected, "{age_ms}");
        }
    }

    #[test]
    fn a_detail_says_how_far_off_it_is() {
        let now = UnixMillis(1_000_000);
        let fault = judge(&rule(Some(300), 60), UnixMillis(699_500), now).expect_err("too old");
        assert_eq!(fault.to_string(), "300.500 s old, 0.500 s more than max_age");
    }

    #[test]
    fn without_max_age_the_future_is_still_refused() {
        let now = UnixMillis(1_000_000_000_000);
        assert!(judge(&rule(None, 60), UnixMillis(0), now).is_ok());
        assert!(judge(&rule(None, 60), UnixMillis(now.0 + 60_001), now).is_err());
        assert!(judge(&rule(Some(0), 0), UnixMillis(i64::MIN), now).is_err());
        assert!(judge(&rule(Some(0), 0), UnixMillis(i64::MAX), now).is_err());
    }

    #[test]
    fn a_time_is_read_in_its_own_format_only() {
        use TimeFormat::{Rfc3339, Unix, UnixMs};
        for (format, text, expected) in [
            (Unix, "1700000000", Some(1_700_000_000_000)),
            (Unix, "0", Some(0)),
            (Unix, "1700000000000", Some(1_700_000_000_000_000)), // milliseconds read as seconds
            (Unix, "-1", None),
            (Unix, "+1", None),
            (Unix, " 1", None),
            (Unix, "1.5", None),
            (Unix, "0x10", None),
            (Unix, "", None),
            (Unix, "٣", None),
            (Unix, "1234567890123456", None),
            (UnixMs, "1700000000123", Some(1_700_000_000_123)),
            (UnixMs, "2023-11-14T22:13:20Z", None),
            (Rfc3339, "2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            (Rfc3339, "2023-11-14t22:13:20z", Some(1_700_000_000_000)),
            (Rfc3339, "2023-11-14 22:13:20Z", Some(1_700_000_000_000)),
            (Rfc3339, "2023-11-14T22:13:20.1239Z", Some(1_700_000_000_123)),
            (Rfc3339, "2023-11-14T22:13:20.5Z", Some(1_700_000_000_500)),
            (Rfc3339, "2023-11-14T22:13:20.123456789012Z", Some(1_700_000_000_123)),
            (Rfc3339, "2023-11-14T15:13:20-07:00", Some(1_700_000_000_000)),
            (Rfc3339, "2023-11-15T03:43:20.000+05:30", Some(1_700_000_000_000)),
            (Rfc3339, "2023-11-14T22:13:20-00:00", Some(1_700_000_000_000)),
            (Rfc3339, "2016-12-31T23:59:60Z", Some(1_483_228_799_000)), // a leap second
            (Rfc3339, "2023-11-14T22:13:20", None),
            (Rfc3339, "2023-11-14T22:13Z", None),
            (Rfc3339, "20231114T221320Z", None),
            (Rfc3339, "2023-11-14T22:13:20.Z", None),
            (Rfc3339, "2023-02-30T22:13:20Z", None),
            (Rfc3339, "2023-11-14T24:13:20Z", None),
            (Rfc3339, "2023-11-14T22:13:20Z[UTC]", None),
            (Rfc3339, "2023-11-14T22:13:20+0000", None),
            (Rfc3339, "1700000000", None),
            (Rfc3339, "", None),
            (Rfc3339, "2023-11-14T22:13:2é", None),
        ] {
            assert_eq!(parse_time(format, text), expected.map(UnixMillis), "{format:?} {text}");
        }
        let absurd = "9".repeat(200);
        for (_, format) in TimeFormat::NAMES {
            assert_eq!(parse_time(format, &absurd), None);
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let time = UnixMillis(1_700_000_000_000);
        for (_, format) in TimeFormat::NAMES {
            assert_eq!(parse_time(format, &print_time(format, time)), Some(time));
        }
    }
}
