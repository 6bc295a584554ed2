//! How long idle connections are kept: `keep_alive`.

use super::raw::RawUpstream;
use super::{Bench, OK};
use crate::config::UpstreamSettings;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn keeping(raw: &RawUpstream, keep_alive: Option<Duration>) -> UpstreamSettings {
    UpstreamSettings { keep_alive, ..raw.settings("erp") }
}

#[tokio::test]
async fn an_idle_connection_is_closed_from_our_side_once_its_time_is_up() {
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let raw = RawUpstream::serving(move |mut connection| {
        let told = Arc::clone(&told);
        async move {
            // Never closes by itself: what ends the loop is our side.
            while connection.request().await.is_some() {
                connection.say(OK).await;
            }
            told.notify_one();
        }
    })
    .await;
    let bench = Bench::of(&[keeping(&raw, Some(Duration::from_millis(100)))]);
    assert_eq!(bench.answer("a").await.status, 200);
    assert!(timeout(PATIENCE, ended.notified()).await.is_ok(), "it is kept for ever");
    assert_eq!(bench.answer("b").await.status, 200);
    assert_eq!(raw.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_is_kept_serves_the_next_event() {
    let raw = RawUpstream::answering(OK).await;
    let bench = Bench::of(&[keeping(&raw, Some(PATIENCE))]);
    for body in ["a", "b", "c"] {
        assert_eq!(bench.answer(body).await.status, 200);
    }
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn with_off_each_event_has_a_connection_of_its_own() {
    let raw = RawUpstream::answering(OK).await;
    let bench = Bench::of(&[keeping(&raw, None)]);
    for body in ["a", "b", "c"] {
        assert_eq!(bench.answer(body).await.status, 200);
    }
    assert_eq!(raw.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_was_kept_for_longer_is_not_used_after_a_reload() {
    let raw = RawUpstream::answering(OK).await;
    let mut bench = Bench::of(&[keeping(&raw, Some(PATIENCE))]);
    assert_eq!(bench.answer("a").await.status, 200);
    let shorter = [keeping(&raw, Some(PATIENCE / 2))];
    bench.upstreams = bench.upstreams.reconfigured(&shorter, &bench.metrics).unwrap();
    for body in ["b", "c"] {
        assert_eq!(bench.answer(body).await.status, 200);
    }
    assert_eq!(raw.connections(), 2, "the one from before, and one for b and c");
}
