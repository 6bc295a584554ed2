use super::*;
use std::collections::HashSet;

#[test]
fn every_reason_is_listed_once_and_at_its_own_index() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "{reason:?}");
    }
    let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
}

/// The table of answers in the documentation: outcome, status, reasons.
const DOCUMENTED: &[(&str, u16, &str)] = &[
    ("rejected", 404, "unknown_source"),
    ("rejected", 405, "method_not_allowed"),
    ("rejected", 413, "body_too_large"),
    ("rejected", 408, "header_timeout body_timeout"),
    ("rejected", 415, "content_encoding"),
    ("rejected", 400, "bad_request"),
    ("rejected", 401, "signature_missing signature_malformed signature_mismatch"),
    ("rejected", 401, "timestamp_missing timestamp_malformed timestamp_too_old"),
    ("rejected", 401, "timestamp_in_future"),
    ("rejected", 422, "payload_malformed event_id_missing event_type_missing unrouted"),
    ("rejected", 429, "rate_limited"),
    ("rejected", 403, "address_not_allowed"),
    ("rejected", 503, "overloaded shutting_down secret_unavailable store_unavailable"),
    ("held", 503, "in_flight still_working uncertain inbox_full"),
    ("failed", 503, "upstream_unreachable"),
    ("failed", 504, "upstream_timeout"),
    ("failed", 502, "upstream_error upstream_refused upstream_broken"),
    ("failed", 429, "upstream_busy"),
];

#[test]
fn every_reason_has_the_documented_outcome_and_status() {
    let mut documented = 0;
    for (outcome, status, labels) in DOCUMENTED {
        for label in labels.split(' ') {
            let reason = Reason::ALL.into_iter().find(|reason| reason.label() == label);
            let facets = reason.expect(label).facets();
            assert_eq!((facets.outcome.label(), facets.status), (*outcome, *status), "{label}");
            documented += 1;
        }
    }
    assert_eq!(documented, Reason::ALL.len());
}

#[test]
fn a_status_is_more_exact_than_its_reason_only_where_that_is_documented() {
    for (kind, status) in [
        (Malformed::Expectation, 417),
        (Malformed::HeadTooLarge, 431),
        (Malformed::TransferCoding, 501),
        (Malformed::Version, 505),
    ] {
        let refusal = Refusal::malformed(kind, "");
        assert_eq!((refusal.reason, refusal.status()), (Reason::BadRequest, status));
    }
    for (theirs, ours) in [(500, 500), (503, 503), (599, 599), (200, 502), (404, 502)] {
        let refusal = Refusal::passing_on(theirs, "");
        assert_eq!((refusal.reason, refusal.status()), (Reason::UpstreamError, ours));
    }
}

#[test]
fn labels_are_snake_case() {
    for label in Reason::ALL.iter().map(|r| r.label()).chain(Outcome::ALL.map(Outcome::label)) {
        assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
    }
}

#[test]
fn whoever_should_come_again_later_is_told_when() {
    for reason in Reason::ALL {
        let facets = reason.facets();
        if facets.status == 503 {
            assert!(facets.retry_after_seconds.is_some(), "{}", facets.label);
        }
    }
}

#[test]
fn a_wait_is_rounded_up_so_that_nobody_comes_too_early() {
    let refusal = Refusal::new(Reason::Uncertain).retry_after(Duration::from_millis(1001));
    assert_eq!(refusal.retry_after.as_deref(), Some("2"));
    let refusal = Refusal::new(Reason::Uncertain).retry_after(Duration::ZERO);
    assert_eq!(refusal.retry_after.as_deref(), Some("1"));
}
