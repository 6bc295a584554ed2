//! Tests of what is counted, and under which labels.

use super::*;
use hookward_time::{ManualClock, UnixMillis};

#[test]
fn a_scrape_shows_name_labels_help_and_value() {
    let metrics = Metrics::new().unwrap();
    let source =
        metrics.source_handles("shop", ["order.created", "other"].into_iter(), ["0"].into_iter());
    source.ended(Outcome::Delivered, None, Duration::from_millis(3));
    source.start_at_zero(&[], [Reason::InFlight].into_iter());
    source.ended(Outcome::Rejected, Some(Reason::SignatureMismatch), Duration::ZERO);
    source.event("order.created", Outcome::Delivered);
    source.event("made.up.by.the.sender", Outcome::Delivered);
    source.secret_matched(0);
    let text = metrics.render().unwrap();
    for line in [
        r#"hookward_deliveries_total{outcome="delivered",reason="",source="shop"} 1"#,
        r#"hookward_deliveries_total{outcome="rejected",reason="signature_mismatch",source="shop"} 1"#,
        r#"hookward_deliveries_total{outcome="held",reason="in_flight",source="shop"} 0"#,
        r#"hookward_events_total{outcome="delivered",source="shop",type="order.created"} 1"#,
        r#"hookward_events_total{outcome="delivered",source="shop",type="other"} 1"#,
        r#"hookward_secret_matches_total{secret="0",source="shop"} 1"#,
        r#"hookward_delivery_duration_seconds_count{outcome="delivered",source="shop"} 1"#,
        "# HELP hookward_in_flight Events that are being forwarded.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("made.up"));
    assert!(!text.contains("rate_limited"), "what never happened has no series");
}

#[test]
fn upstream_results_are_counted_by_class() {
    let metrics = Metrics::new().unwrap();
    let erp = metrics.for_upstream("erp");
    for result in [
        UpstreamResult::Status(204),
        UpstreamResult::Status(599),
        UpstreamResult::Timeout,
        UpstreamResult::Unreachable,
        UpstreamResult::Broken,
    ] {
        erp.ended(result, Duration::ZERO);
    }
    let text = metrics.render().unwrap();
    for result in ["2xx", "5xx", "timeout", "unreachable", "broken"] {
        let line =
            format!(r#"hookward_upstream_requests_total{{result="{result}",upstream="erp"}} 1"#);
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn a_gauge_goes_back_when_the_guard_is_dropped() {
    let metrics = Metrics::new().unwrap();
    let held = Counted::on(&metrics.body_bytes, 4096);
    assert_eq!(metrics.body_bytes.get(), 4096);
    drop(held);
    assert_eq!(metrics.body_bytes.get(), 0);
}

#[test]
fn a_stage_takes_the_time_since_the_one_before_it() {
    let metrics = Metrics::new().unwrap();
    let stages = metrics.for_stages();
    let clock = ManualClock::at(UnixMillis(0));
    let mut watch = stages.watch(&clock);
    for (stage, seconds) in [(Stage::Read, 1), (Stage::Verify, 2), (Stage::Upstream, 4)] {
        clock.advance(Duration::from_secs(seconds));
        watch.ends(stage);
    }
    clock.advance(Duration::from_secs(8));
    assert_eq!(watch.took(), Duration::from_secs(15));
    let text = metrics.render().unwrap();
    for (stage, seconds) in [("read", 1), ("verify", 2), ("dedupe", 0), ("upstream", 4)] {
        let line = format!(r#"hookward_stage_duration_seconds_sum{{stage="{stage}"}} {seconds}"#);
        assert!(text.contains(&line), "{line}: {text}");
    }
}
