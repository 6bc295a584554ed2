//! Several addresses, their health, and the limits of an upstream.

use super::raw::{RawUpstream, settings};
use super::{Bench, OK, kernel_counts, pattern, request};
use crate::config::{Balance, Breaker, Ejection, HealthCheck};
use crate::upstream::Forwarded;
use hookward_time::{ManualClock, UnixMillis};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Waits until `condition` holds, for things that happen in the background.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn healthy(bench: &Bench, address: SocketAddr) -> i64 {
    let status = bench.upstreams.status().remove(0);
    let found = status.addresses.into_iter().find(|(at, _)| *at == address.to_string());
    i64::from(found.unwrap().1 != Some(false))
}

#[tokio::test]
async fn addresses_take_turns() {
    let (one, two) = (RawUpstream::answering(OK).await, RawUpstream::answering(OK).await);
    let bench = Bench::of(&[settings("erp", &[one.address, two.address])]);
    for _ in 0..10 {
        bench.answer("{}").await;
    }
    assert_eq!((one.requests().len(), two.requests().len()), (5, 5));
}

#[tokio::test]
async fn the_least_pending_address_comes_first() {
    let release = Arc::new(Notify::new());
    let slow = RawUpstream::holding(Arc::clone(&release), OK).await;
    let quick = RawUpstream::answering(OK).await;
    let mut settings = settings("erp", &[slow.address, quick.address]);
    settings.balance = Balance::LeastPending;
    let bench = Arc::new(Bench::of(&[settings]));
    let waiting = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.answer("{}").await.status }
    });
    until("the slow one has it", || slow.requests().len() == 1).await;
    for _ in 0..9 {
        bench.answer("{}").await;
    }
    assert_eq!((slow.requests().len(), quick.requests().len()), (1, 9));
    release.notify_one();
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn an_address_that_fails_is_left_out_for_its_time_and_tried_again_after_it() {
    let gone = RawUpstream::answering(OK).await.address;
    let there = RawUpstream::answering(OK).await;
    let mut settings = settings("erp", &[gone, there.address]);
    settings.ejection = Some(Ejection { after: 2, period: Duration::from_secs(10) });
    let clock = Arc::new(ManualClock::at(UnixMillis(0)));
    let bench = Bench::by(clock.clone(), &[settings]);
    assert_eq!(healthy(&bench, gone), 1);
    for _ in 0..6 {
        assert_eq!(bench.answer("{}").await.status, 200);
    }
    assert_eq!((healthy(&bench, gone), healthy(&bench, there.address)), (0, 1));
    let status = bench.upstreams.status();
    assert_eq!(status[0].healthy, Some(true));
    let expected = [(gone.to_string(), Some(false)), (there.address.to_string(), Some(true))];
    assert_eq!(status[0].addresses, expected);

    // It is back, and its time is up.
    let back = RawUpstream::serving_on(gone, |connection| connection.answer_all(OK)).await;
    for _ in 0..4 {
        bench.answer("{}").await;
    }
    assert_eq!(back.requests().len(), 0, "not before");
    clock.advance(Duration::from_secs(10));
    for _ in 0..4 {
        bench.answer("{}").await;
    }
    assert_eq!(back.requests().len(), 2);
    assert_eq!(healthy(&bench, gone), 1);
}

#[tokio::test]
async fn addresses_that_are_all_out_of_service_are_tried_nevertheless() {
    let raw = RawUpstream::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    let mut settings = raw.settings("erp");
    settings.health = Some(health("/"));
    let bench = Bench::of(&[settings]);
    bench.upstreams.start();
    until("the check failed", || healthy(&bench, raw.address) == 0).await;
    assert_eq!(bench.answer("{}").await.status, 500);
    assert_eq!(bench.upstreams.status()[0].healthy, Some(false));
}

fn health(path: &str) -> HealthCheck {
    HealthCheck {
        path: path.to_owned(),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(1),
        healthy_after: 2,
        unhealthy_after: 2,
    }
}

#[tokio::test]
async fn health_checks_take_an_address_out_and_bring_it_back() {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    let one = RawUpstream::serving(move |mut connection| {
        let is_well = Arc::clone(&is_well);
        async move {
            while let Some(request) = connection.request().await {
                let check = request.starts_with(b"GET /healthz HTTP/1.1\r\n");
                let down = check && !is_well.load(Ordering::SeqCst);
                connection
                    .say(if down { "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" } else { OK })
                    .await;
            }
        }
    })
    .await;
    let two = RawUpstream::answering(OK).await;
    let mut settings = settings("erp", &[one.address, two.address]);
    settings.health = Some(health("/healthz"));
    let bench = Bench::of(&[settings]);
    bench.upstreams.start();
    let events = |raw: &RawUpstream| {
        raw.requests().iter().filter(|request| request.starts_with(b"POST")).count()
    };
    well.store(false, Ordering::SeqCst);
    until("it is out", || healthy(&bench, one.address) == 0).await;
    for _ in 0..4 {
        assert_eq!(bench.answer("{}").await.status, 200);
    }
    assert_eq!((events(&one), events(&two)), (0, 4));
    well.store(true, Ordering::SeqCst);
    until("it is back", || healthy(&bench, one.address) == 1).await;
    for _ in 0..4 {
        assert_eq!(bench.answer("{}").await.status, 200);
    }
    assert_eq!((events(&one), events(&two)), (2, 6));
}

#[tokio::test]
async fn background_work_ends_with_the_upstream_and_goes_on_over_a_reload() {
    let raw = RawUpstream::answering(OK).await;
    let mut settings = raw.settings("erp");
    settings.health = Some(health("/healthz"));
    let mut bench = Bench::of(&[settings.clone()]);
    bench.upstreams.start();
    until("it is checked", || raw.connections() > 3).await;
    bench.upstreams = bench.upstreams.reconfigured(&[settings], &bench.metrics).unwrap();
    let before = raw.connections();
    until("it is checked still", || raw.connections() > before + 3).await;
    bench.upstreams = bench.upstreams.reconfigured(&[], &bench.metrics).unwrap();
    assert!(bench.upstreams.status().is_empty());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = raw.connections();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(raw.connections(), before);
}

#[tokio::test]
async fn a_reload_keeps_connections_and_what_is_known_of_unchanged_upstreams() {
    let (raw, other) = (RawUpstream::answering(OK).await, RawUpstream::answering(OK).await);
    let mut bench = Bench::of(&[raw.settings("erp")]);
    bench.answer("{}").await;
    let before: *const _ = bench.upstreams.destination_named("erp");
    let with_another = [other.settings("crm"), raw.settings("erp")];
    bench.upstreams = bench.upstreams.reconfigured(&with_another, &bench.metrics).unwrap();
    let after: *const _ = bench.upstreams.destination_named("erp");
    assert_eq!(before, after);
    let mut changed = raw.settings("erp");
    changed.timeout = Duration::from_secs(5);
    bench.upstreams = bench.upstreams.reconfigured(&[changed], &bench.metrics).unwrap();
    let changed: *const _ = bench.upstreams.destination_named("erp");
    assert_ne!(before, changed);
    bench.answer("{}").await;
    assert_eq!((raw.requests().len(), raw.connections()), (2, 1), "the pool is the process's");
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_lets_one_probe_pass_when_its_time_is_up() {
    let gone = RawUpstream::answering(OK).await.address;
    let mut settings = settings("erp", &[gone]);
    settings.breaker = Some(Breaker { failures: 2, open_for: Duration::from_secs(5) });
    let clock = Arc::new(ManualClock::at(UnixMillis(0)));
    let bench = Bench::by(clock.clone(), &[settings]);
    for _ in 0..2 {
        let forwarded = bench.send("{}").await;
        assert!(matches!(forwarded, Forwarded::Unreachable { retry_after: None, .. }));
    }
    clock.advance(Duration::from_secs(2));
    let back = RawUpstream::serving_on(gone, |connection| connection.answer_all(OK)).await;
    let forwarded = bench.send("{}").await;
    let Forwarded::Unreachable { retry_after: Some(wait), .. } = forwarded else {
        panic!("{forwarded:?}");
    };
    assert_eq!(wait, Duration::from_secs(3));
    assert_eq!(bench.upstreams.status()[0].healthy, Some(false));
    assert_eq!(back.connections(), 0);
    clock.advance(Duration::from_secs(3));
    assert_eq!(bench.answer("{}").await.status, 200);
    assert_eq!(bench.upstreams.status()[0].healthy, Some(true));
}

#[tokio::test]
async fn a_5xx_is_an_answer_and_neither_opens_the_breaker_nor_takes_an_address_out() {
    let raw = RawUpstream::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    let mut settings = raw.settings("erp");
    settings.ejection = Some(Ejection { after: 1, period: Duration::from_mins(1) });
    settings.breaker = Some(Breaker { failures: 1, open_for: Duration::from_mins(1) });
    let bench = Bench::of(&[settings]);
    for _ in 0..3 {
        assert_eq!(bench.answer("{}").await.status, 500);
    }
    // Not well, and sent to all the same.
    assert_eq!(healthy(&bench, raw.address), 0);
    assert_eq!(bench.answer("{}").await.status, 500);
    assert_eq!((raw.requests().len(), raw.connections()), (4, 1));
}

#[tokio::test]
async fn a_burst_waits_its_turn_and_what_finds_no_room_is_refused() {
    let release = Arc::new(Notify::new());
    let raw = RawUpstream::holding(Arc::clone(&release), OK).await;
    let mut settings = raw.settings("erp");
    settings.max_concurrent = Some(2);
    settings.max_waiting = 3;
    let bench = Arc::new(Bench::of(&[settings]));
    let burst: Vec<_> = (0..7)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.send("{}").await })
        })
        .collect();
    until("both places are taken", || raw.requests().len() == 2).await;
    let mut full = 0;
    let mut answered = 0;
    for sent in burst {
        release.notify_one();
        match sent.await.unwrap() {
            Forwarded::Full => full += 1,
            Forwarded::Answered(_) => answered += 1,
            other => panic!("{other:?}"),
        }
        release.notify_one();
    }
    assert_eq!((answered, full), (5, 2));
    assert!(raw.connections() <= 2);
    assert_eq!(bench.counted("2xx"), 5, "what was refused was no request");
}

#[tokio::test]
async fn a_name_that_moves_is_followed() {
    let raw = RawUpstream::answering(OK).await;
    let mut settings = raw.settings("erp");
    settings.urls[0].host = "localhost".into();
    let bench = Bench::of(&[settings]);
    bench.upstreams.start();
    bench.answer("{}").await;
    let label = format!("localhost:{}", raw.address.port());
    assert_eq!(bench.upstreams.status()[0].addresses, [(label, Some(true))]);
    assert_eq!(raw.requests().len(), 1);
}

/// A server that stops as usual: it accepts no connections, answers current requests, and closes
/// idle connections, even if a request is on its way to them.
struct Restarting {
    address: SocketAddr,
    running: Option<(RawUpstream, Arc<Notify>)>,
}

impl Restarting {
    async fn start(&mut self) {
        let stop = Arc::new(Notify::new());
        let told = Arc::clone(&stop);
        let raw = RawUpstream::serving_on(self.address, move |mut connection| {
            let told = Arc::clone(&told);
            async move {
                let mut stopping = std::pin::pin!(told.notified());
                stopping.as_mut().enable();
                let mut last = false;
                while !last || connection.has_unread() {
                    tokio::select! {
                        biased;
                        request = connection.request() => {
                            if request.is_none() {
                                return;
                            }
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            connection.say(OK).await;
                        }
                        () = &mut stopping, if !last => last = true,
                    }
                }
            }
        })
        .await;
        self.address = raw.address;
        self.running = Some((raw, stop));
    }

    /// The requests that were read, once all of them are answered.
    async fn stop(&mut self) -> Vec<Vec<u8>> {
        let (mut raw, stop) = self.running.take().unwrap();
        raw.stop_listening().await;
        stop.notify_waiters();
        tokio::time::sleep(Duration::from_millis(50)).await;
        raw.requests()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_one_of_two_addresses_under_load_costs_no_request() {
    if !kernel_counts() {
        return;
    }
    let mut one = Restarting { address: "127.0.0.1:0".parse().unwrap(), running: None };
    one.start().await;
    let two = RawUpstream::answering(OK).await;
    let mut settings = settings("erp", &[one.address, two.address]);
    settings.ejection = Some(Ejection { after: 3, period: Duration::from_millis(50) });
    let bench = Arc::new(Bench::of(&[settings]));
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (bench, stop) = (Arc::clone(&bench), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut sent = 0_u32;
                while !stop.load(Ordering::SeqCst) {
                    match bench.erp().forward(&request(pattern(2000))).await {
                        Forwarded::Answered(answer) if answer.status == 200 => sent += 1,
                        other => panic!("after {sent}: {other:?}"),
                    }
                }
                sent
            })
        })
        .collect();
    let mut seen_by_one = 0;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        seen_by_one += one.stop().await.len();
        one.start().await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.unwrap() as usize;
    }
    seen_by_one += one.stop().await.len();
    assert!(seen_by_one > 100, "{seen_by_one}: it was used in between");
    assert_eq!(seen_by_one + two.requests().len(), sent, "each was read once");
}
