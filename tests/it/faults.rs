//! Faults around the serving proxy. After every fault nothing is in flight, nothing has panicked,
//! and a retry gets the right answer.

use crate::support::{
    Connection, Event, Proxy, Reply, Sender, Setup, Upstream, eventually, instant, resident_bytes,
};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Nothing is left of a fault, and the next delivery goes through.
#[track_caller]
fn is_well(proxy: &Proxy) {
    eventually("nothing is in flight", || proxy.metric("hookward_in_flight", &[]) == 0);
    eventually("no body is held", || proxy.metric("hookward_body_bytes", &[]) == 0);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    let probe = Event::order(&format!("probe-{:?}", instant())).signed();
    assert_eq!(Sender::to(proxy).deliver(&probe).outcome(), "delivered");
    assert_eq!(Sender::to(proxy).deliver(&probe).outcome(), "duplicate");
}

/// An upstream with small buffers that leaves its first connection unread, and answers the others.
fn never_reads_at_first() -> (SocketAddr, Arc<Mutex<Vec<TcpStream>>>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let unread = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&unread);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            if kept.is_empty() {
                kept.push(stream);
                continue;
            }
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..count]);
                    // Every body here ends so.
                    if seen.ends_with(b"\"}") {
                        seen.clear();
                        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
                    }
                }
            });
        }
    });
    (address, unread)
}

#[test]
fn an_upstream_that_never_reads_is_given_up_and_the_retry_is_forwarded() {
    let (address, _unread) = never_reads_at_first();
    let proxy = Setup::new()
        .server("max_body = \"16MiB\"")
        .table(&format!("[upstreams.erp]\nurl = \"http://{address}\"\ntimeout = \"3s\""))
        .shop_to(&["erp"], "")
        .start();
    let large = Event::order("large").padded_to(12 * 1024 * 1024).signed();
    let sender = Sender::to(&proxy);
    let first = sender.deliver(&large);
    assert_eq!(first.verdict(), (504, "failed", "upstream_timeout".to_owned()));
    assert_eq!(sender.deliver(&large).outcome(), "delivered", "it never had all of it");
    assert_eq!(sender.deliver(&large).outcome(), "duplicate");
    is_well(&proxy);
}

#[test]
fn a_reset_in_the_middle_of_an_answer_is_held_and_then_forwarded_again() {
    for part in ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let erp = Upstream::start();
        erp.next(Reply::ThenClose(Box::new(Reply::Raw(part.as_bytes().to_vec()))));
        let proxy = Setup::shop(&erp).dedupe("uncertain_hold = \"1s\"").start();
        let sender = Sender::to(&proxy);
        let delivery = Event::order("evt-1").signed();
        let first = sender.deliver(&delivery);
        assert_eq!(first.verdict(), (502, "failed", "upstream_broken".to_owned()), "{part}");
        assert_eq!(sender.deliver(&delivery).reason(), "uncertain", "{part}");
        eventually("the hold is over", || sender.deliver(&delivery).outcome() == "delivered");
        erp.saw(2);
        is_well(&proxy);
    }
}

#[test]
fn an_accepted_event_stays_accepted_though_the_answers_body_breaks_off() {
    let erp = Upstream::start();
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf".to_vec();
    erp.next(Reply::ThenClose(Box::new(Reply::Raw(part))));
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("evt-1").signed();
    drop(Connection::open(proxy.address).send(delivery.bytes(proxy.address)).try_response());
    eventually("it is settled", || Sender::to(&proxy).deliver(&delivery).outcome() == "duplicate");
    erp.saw(1);
    is_well(&proxy);
}

/// Reads and forgets all that comes until the connection ends; how many bytes that were.
fn drain(mut stream: TcpStream) -> u64 {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        total += count as u64;
    }
    total
}

#[test]
fn an_answer_of_100_mib_passes_without_being_held() {
    let erp = Upstream::start();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100 * MIB);
    let chunk = vec![b'x'; 1024 * 1024];
    erp.next(Reply::Repeat(head.clone().into_bytes(), chunk.clone(), 100));
    erp.next(Reply::Repeat(head.into_bytes(), chunk, 100));
    let proxy = Setup::shop(&erp).start();
    assert_eq!(Sender::to(&proxy).deliver(&Event::order("first").signed()).body.len(), 104_857_600);
    let before = resident_bytes(proxy.pid());
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    let delivery = Event::order("second").signed();
    stream.write_all(&delivery.bytes(proxy.address)).unwrap();
    // Whoever reads nothing yet makes the upstream wait, not the proxy swell.
    eventually("the upstream is asked", || erp.seen().len() == 2);
    let pid = proxy.pid();
    let peak = Arc::new(AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                peak.fetch_max(resident_bytes(pid), Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let total = drain(stream);
        done.store(true, Ordering::Release);
        assert!(total > 100 * MIB, "{total} bytes");
    });
    let grown = peak.load(Ordering::Acquire).saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
    is_well(&proxy);
}

#[test]
fn a_header_without_end_from_an_upstream_is_cut_off() {
    let erp = Upstream::start();
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000)).repeat(64);
    erp.next(Reply::Repeat(b"HTTP/1.1 200 OK\r\n".to_vec(), line.into_bytes(), 3000));
    let proxy = Setup::new()
        .dedupe("uncertain_hold = \"1s\"")
        .upstream("erp", &erp, "timeout = \"3s\"")
        .shop_to(&["erp"], "")
        .start();
    let before = resident_bytes(proxy.pid());
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert!(
        ["upstream_broken", "upstream_timeout"].contains(&response.reason().as_str()),
        "{response:?}"
    );
    let grown = resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
    is_well(&proxy);
}

#[test]
fn informational_answers_without_end_are_cut_off() {
    let erp = Upstream::start();
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100).into_bytes();
    erp.next(Reply::Repeat(Vec::new(), interim, usize::MAX));
    let proxy =
        Setup::new().upstream("erp", &erp, "timeout = \"1s\"").shop_to(&["erp"], "").start();
    let before = resident_bytes(proxy.pid());
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert!(
        ["upstream_broken", "upstream_timeout"].contains(&response.reason().as_str()),
        "{response:?}"
    );
    assert!(resident_bytes(proxy.pid()).saturating_sub(before) < 16 * MIB);
    is_well(&proxy);
}

#[test]
fn idle_connections_that_an_upstream_closes_cost_no_delivery() {
    let erp = Upstream::start();
    erp.otherwise(Reply::ThenClose(Box::new(Reply::Status(200))));
    let proxy = Setup::shop(&erp).start();
    for n in 0..30 {
        let response = Sender::to(&proxy).deliver(&Event::order(&format!("evt-{n}")).signed());
        assert_eq!(response.outcome(), "delivered", "{n}: {response:?}");
    }
    erp.saw(30);
    is_well(&proxy);
}

#[test]
fn a_process_out_of_file_descriptors_recovers() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).limits("ulimit -n 64").start();
    let delivered = Event::order("before").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivered).outcome(), "delivered");
    let mut open = Connection::open(proxy.address);
    let first = open.send(Event::order("on-it").signed().bytes(proxy.address)).response();
    assert_eq!(first.outcome(), "delivered");
    // The kernel takes them all; the process cannot.
    let waiting: Vec<_> = (0..100).map(|_| Connection::open(proxy.address)).collect();
    std::thread::sleep(Duration::from_millis(300));
    let during = open.send(delivered.bytes(proxy.address)).response();
    assert_eq!(during.outcome(), "duplicate", "who is in is served");
    drop(waiting);
    drop(open);
    eventually("it takes connections again", || {
        let mut connection = Connection::open(proxy.address);
        connection.try_send(delivered.bytes(proxy.address)).is_ok()
            && connection.try_response().is_ok_and(|response| response.outcome() == "duplicate")
    });
    is_well(&proxy);
}

#[test]
fn a_process_with_little_memory_serves_on() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .server("threads = 2\nbody_memory = \"8MiB\"")
        .dedupe("capacity = 10000")
        .limits("ulimit -v 400000")
        .start();
    let large: Vec<_> = (0..60)
        .map(|n| Event::order(&format!("large-{n}")).padded_to(1024 * 1024).signed())
        .collect();
    let mut missing = large;
    eventually("all are delivered", || {
        let responses = Sender::to(&proxy).deliver_at_once(&missing);
        let mut kept = Vec::new();
        for (delivery, response) in missing.drain(..).zip(responses) {
            match response.verdict() {
                (200, _, _) => {}
                (503, "rejected", reason) if reason == "overloaded" => kept.push(delivery),
                other => panic!("{other:?}"),
            }
        }
        missing = kept;
        missing.is_empty()
    });
    erp.saw(60);
    is_well(&proxy);
}

/// How many descriptors this process may still open without getting in its own way.
fn spare_descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    soft.saturating_sub(600)
}

#[test]
fn thousands_of_idle_connections_cost_little_and_stop_nobody() {
    let count = spare_descriptors().min(10_000);
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp)
        .server("max_connections = 20000\nidle_timeout = \"300s\"")
        .limits("ulimit -n \"$(ulimit -Hn)\"")
        .start();
    is_well(&proxy);
    let before = resident_bytes(proxy.pid());
    let probe = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let idle: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = Connection::open(proxy.address);
            // One request each, so that they are idle and not merely new.
            assert_eq!(connection.send(probe).response().status, 404);
            connection
        })
        .collect();
    let open = proxy.metric("hookward_connections", &[]);
    assert!(open >= i64::try_from(count).unwrap(), "{open} of {count}");
    let each = resident_bytes(proxy.pid()).saturating_sub(before) / count as u64;
    assert!(each < 24 * 1024, "{each} bytes for each of {count}");
    let start = instant();
    is_well(&proxy);
    assert!(instant().saturating_sub(start) < Duration::from_secs(5));
    eprintln!("{count} idle connections: {each} bytes each");
    drop(idle);
    eventually("they are gone", || proxy.metric("hookward_connections", &[]) < 10);
}

/// Deliveries of all threads until `until` says stop, each thread pausing so that all together
/// keep to `rate` a second; how many there were.
fn load(to: SocketAddr, next: &AtomicUsize, seconds: u64, rate: Option<f64>) -> usize {
    const THREADS: u32 = 4;
    let start = instant();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut connection = Connection::open(to);
                let mut mine = 0_u32;
                loop {
                    let elapsed = instant().saturating_sub(start);
                    if elapsed >= Duration::from_secs(seconds) {
                        return;
                    }
                    if let Some(rate) = rate {
                        let due = Duration::from_secs_f64(f64::from(mine * THREADS) / rate);
                        std::thread::sleep(due.saturating_sub(elapsed));
                    }
                    let id = format!("soak-{}", next.fetch_add(1, Ordering::Relaxed));
                    let delivery = Event::order(&id).padded_to(2000).signed();
                    let response = connection.send(delivery.bytes(to)).response();
                    assert_eq!(response.outcome(), "delivered", "{response:?}");
                    mine += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner()
}

/// An upstream that counts and keeps nothing.
fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..read]);
                    if seen.ends_with(b"\"}") {
                        seen.clear();
                        count.fetch_add(1, Ordering::Relaxed);
                        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
                    }
                }
            });
        }
    });
    (address, accepted)
}

/// Seconds of `make soak`; a few in every run of the tests.
fn soak_seconds() -> u64 {
    std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn under_load_memory_stays_flat_and_every_event_arrives_once() {
    let seconds = soak_seconds();
    let (address, counter) = counting();
    let proxy = Setup::new()
        .table(&format!("[upstreams.erp]\nurl = \"http://{address}\""))
        .shop_to(&["erp"], "")
        // Full before the measuring starts, so that what is remembered does not look like a leak.
        .dedupe("capacity = 200")
        .start();
    let next = AtomicUsize::new(0);
    let whole = (seconds / 5).max(1);
    let warm = load(proxy.address, &next, whole, None);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = warm as f64 / whole as f64 * 0.8;
    let before = resident_bytes(proxy.pid());
    let sent = load(proxy.address, &next, seconds, Some(rate));
    let after = resident_bytes(proxy.pid());
    assert_eq!(counter.load(Ordering::Relaxed), warm + sent, "each once");
    let grown = after.saturating_sub(before);
    eprintln!("{sent} deliveries at {rate:.0}/s for {seconds} s: {before} bytes, then {after}");
    assert!(grown < 8 * MIB, "{grown} bytes more after {sent} deliveries");
    is_well(&proxy);
}
