//! One request to one destination, and what its result means for the claim, the sender and the
//! inbox.

use crate::delivery::answer::DestinationOutcome;
use crate::delivery::report::readable;
use crate::outcome::{Reason, Refusal};
use crate::upstream::{Forwarded, ReplyBody};
use hookward_inbox::{Tried, TryOutcome};
use hookward_time::{Clock, UnixMillis};
use std::time::Duration;

/// How a request ended.
#[derive(Debug)]
pub struct Met {
    /// What its claim is settled with, and its sender is told.
    pub end: DestinationOutcome,
    /// What the inbox learns of it; `None` where no request was made, or where a live one was accepted.
    pub tried: Option<Tried>,
    /// When the upstream can be asked again, where it is known to be down.
    pub wait: Option<Duration>,
}

/// Waits for a forwarding to end and says what that means.
pub async fn met(
    clock: &dyn Clock,
    upstream: &str,
    forwarding: impl Future<Output = Forwarded>,
) -> Met {
    let began = clock.monotonic();
    Met::of(clock, upstream, began, forwarding.await)
}

/// A request that began at `began`, on the monotonic clock, and has ended now.
pub(super) fn tried(clock: &dyn Clock, began: Duration, outcome: TryOutcome) -> Tried {
    let took = clock.monotonic().saturating_sub(began);
    Tried { took, ..Tried::new(begun_at(clock, began).unsigned(), outcome) }
}

/// The wall time at `began`, on the monotonic clock.
pub(super) fn begun_at(clock: &dyn Clock, began: Duration) -> UnixMillis {
    let ago = clock.monotonic().saturating_sub(began).as_millis();
    UnixMillis(clock.wall().0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX)))
}

/// How a request ended, for the inbox; `None` where no request was made.
pub(super) fn outcome(forwarded: &Forwarded) -> Option<TryOutcome> {
    match forwarded {
        Forwarded::Answered(answer) => Some(TryOutcome::Status(answer.status)),
        Forwarded::TimedOut { .. } => Some(TryOutcome::Timeout),
        Forwarded::Broken { .. } => Some(TryOutcome::Broken),
        Forwarded::Unreachable { retry_after: None, .. } => Some(TryOutcome::Unreachable),
        // The breaker is open, or the waiting room full.
        Forwarded::Unreachable { .. } | Forwarded::Full => None,
    }
}

impl Met {
    /// What a request means that began at `began`, on the monotonic clock, and has ended now.
    pub(super) fn of(
        clock: &dyn Clock,
        upstream: &str,
        began: Duration,
        forwarded: Forwarded,
    ) -> Self {
        let tried = outcome(&forwarded).map(|outcome| tried(clock, began, outcome));
        let retry_after = retry_after_of(&forwarded, clock);
        let wait = match &forwarded {
            Forwarded::Unreachable { retry_after, .. } => *retry_after,
            _ => None,
        };
        let end = judge(forwarded, upstream);
        let uncertain = matches!(end, DestinationOutcome::Uncertain(_));
        let tried = tried.map(|tried| Tried { uncertain, retry_after, ..tried });
        Self { end, tried, wait }
    }

    /// What is known of a request whose task ended without a word.
    #[must_use]
    pub fn broken_off(at: UnixMillis) -> Self {
        let tried = Tried { uncertain: true, ..Tried::new(at.unsigned(), TryOutcome::Broken) };
        let refusal = Refusal::because(Reason::Uncertain, "forwarding broke off");
        Self { end: DestinationOutcome::Uncertain(refusal), tried: Some(tried), wait: None }
    }
}

/// How long a receiver asks to be left alone.
fn retry_after_of(forwarded: &Forwarded, clock: &dyn Clock) -> Option<Duration> {
    let Forwarded::Answered(answer) = forwarded else { return None };
    let text = answer.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    if !is_wait(text) {
        return None;
    }
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    u64::try_from(until - clock.wall().0).ok().map(Duration::from_millis)
}

/// What a destination's answer means: for its claim, and for the sender.
pub(super) fn judge(forwarded: Forwarded, upstream: &str) -> DestinationOutcome {
    // After the last byte was sent the destination may have acted on the event, so nobody may send
    // it again until the hold is over; before that it cannot have read all of it.
    let doubt = |sent_whole: bool, refusal: Refusal| {
        if sent_whole {
            DestinationOutcome::Uncertain(refusal)
        } else {
            DestinationOutcome::Failed(refusal)
        }
    };
    let refused =
        |reason: Reason, detail: String| Refusal::because(reason, format!("{upstream}: {detail}"));
    match forwarded {
        Forwarded::Answered(answer) if (200..300).contains(&answer.status) => {
            DestinationOutcome::Accepted(answer)
        }
        Forwarded::Answered(answer) => {
            let status = answer.status;
            let detail = match &answer.body {
                ReplyBody::Whole(told) if !told.is_empty() => {
                    format!("answered {status}: {}", readable(&String::from_utf8_lossy(told)))
                }
                _ => format!("answered {status}"),
            };
            let retry_after = answer
                .headers
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .filter(|wait| is_wait(wait))
                .map(str::to_owned);
            let refusal = match status {
                429 => refused(Reason::UpstreamBusy, detail).with_retry_after(retry_after),
                500.. => Refusal::passing_on(status, format!("{upstream}: {detail}"))
                    .with_retry_after(retry_after),
                _ => refused(Reason::UpstreamRefused, detail),
            };
            DestinationOutcome::Failed(refusal)
        }
        Forwarded::Unreachable { detail, retry_after } => {
            let refusal = refused(Reason::UpstreamUnreachable, detail);
            let refusal = match retry_after {
                Some(wait) => refusal.retry_after(wait),
                None => refusal,
            };
            DestinationOutcome::Failed(refusal)
        }
        Forwarded::Full => {
            let refusal = refused(Reason::Overloaded, "its waiting room is full".to_owned());
            DestinationOutcome::Failed(refusal)
        }
        Forwarded::TimedOut { sent_whole } => {
            let refusal =
                refused(Reason::UpstreamTimeout, "no answer within its timeout".to_owned());
            doubt(sent_whole, refusal)
        }
        Forwarded::Broken { sent_whole, detail } => {
            doubt(sent_whole, refused(Reason::UpstreamBroken, detail))
        }
    }
}

/// Seconds or an HTTP date (RFC 9110 section 10.2.3). What is neither would make a sender fall back
/// on who knows what, so it is not passed on.
fn is_wait(text: &str) -> bool {
    let is_seconds = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_seconds || (text.ends_with(" GMT") && jiff::fmt::rfc2822::parse(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{ReplyBody, UpstreamAnswer};
    use hookward_time::ManualClock;
    use http::{HeaderMap, HeaderValue};

    fn answer(status: u16, wait: Option<&'static str>) -> Forwarded {
        let mut headers = HeaderMap::new();
        if let Some(wait) = wait {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(wait));
        }
        Forwarded::Answered(UpstreamAnswer {
            status,
            headers,
            body: ReplyBody::Whole(bytes::Bytes::new()),
        })
    }

    #[tokio::test]
    async fn the_inbox_learns_what_was_sent_and_what_was_asked_for() {
        let clock = ManualClock::at(UnixMillis(1_792_568_819_000)); // Wed, 21 Oct 2026 07:46:59 GMT
        let of = async |forwarded| met(&clock, "erp", async { forwarded }).await;
        for (text, expected) in [
            (Some("7"), Some(Duration::from_secs(7))),
            (Some("Wed, 21 Oct 2026 07:47:09 GMT"), Some(Duration::from_secs(10))),
            (Some("Wed, 21 Oct 2026 07:00:00 GMT"), None),
            (Some("soon"), None),
            (None, None),
        ] {
            let tried = of(answer(503, text)).await.tried.unwrap();
            assert_eq!((tried.outcome, tried.retry_after), (TryOutcome::Status(503), expected));
        }
        let tried = of(Forwarded::TimedOut { sent_whole: true }).await.tried.unwrap();
        assert_eq!((tried.outcome, tried.uncertain), (TryOutcome::Timeout, true));
        let tried = of(Forwarded::TimedOut { sent_whole: false }).await.tried.unwrap();
        assert!(!tried.uncertain);
        let refused = |retry_after| Forwarded::Unreachable { detail: String::new(), retry_after };
        assert!(of(refused(None)).await.tried.is_some());
        let second = Some(Duration::from_secs(1));
        let open = of(refused(second)).await;
        assert_eq!((open.tried, open.wait), (None, second), "the breaker made no request");
        assert_eq!(of(Forwarded::Full).await.tried, None);
    }
}
