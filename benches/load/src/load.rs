//! Load: a closed loop on a number of connections, or a fixed rate.

use crate::connection::{Blocking, Connection};
use crate::event::Maker;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Threads of a fixed rate, each with a connection.
const SENDERS: u32 = 16;

/// Latencies in nanoseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds")
}

/// Connections that are open already, each sending its next request once the last is answered.
pub struct ClosedLoop {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
}

impl ClosedLoop {
    pub fn open(to: SocketAddr, connections: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let connections = runtime.block_on(async {
            let mut open = Vec::with_capacity(connections);
            for _ in 0..connections {
                open.push(Connection::open(to).await.expect("a connection"));
            }
            open
        });
        Self { runtime, connections }
    }

    /// How many were answered in `time`.
    ///
    /// # Panics
    /// At an answer that is not the expected one: then nothing was measured.
    pub fn run(&mut self, maker: &Maker, time: Duration, at_most: u64) -> u64 {
        let end = Instant::now() + time;
        let share = at_most / self.connections.len() as u64;
        let connections = std::mem::take(&mut self.connections);
        self.runtime.block_on(async {
            let tasks: Vec<_> = connections
                .into_iter()
                .map(|mut connection| {
                    let maker = maker.clone();
                    tokio::spawn(async move {
                        let (mut count, mut request) = (0, Vec::new());
                        while count < share && Instant::now() < end {
                            maker.next(&mut request);
                            let status = connection.exchange(&request).await.expect("an answer");
                            assert_eq!(status, maker.kind().status(), "{:?}", maker.kind());
                            count += 1;
                        }
                        (connection, count)
                    })
                })
                .collect();
            let mut all = 0;
            for task in tasks {
                let (connection, count) = task.await.expect("every answer is as expected");
                self.connections.push(connection);
                all += count;
            }
            all
        })
    }
}

/// Sends `per_second` fresh events a second and returns how long each took.
///
/// If a request cannot be sent when it is due, because the previous one was not answered yet, its
/// time counts from when it was due.
pub fn fixed_rate(
    to: SocketAddr,
    maker: &Maker,
    per_second: u32,
    time: Duration,
) -> Histogram<u64> {
    let every = Duration::from_secs(1) * SENDERS / per_second;
    let start = Instant::now() + Duration::from_millis(20);
    let threads: Vec<_> = (0..SENDERS)
        .map(|index| {
            let maker = maker.clone();
            std::thread::spawn(move || {
                let mut connection = Blocking::open(to).expect("a connection");
                let (mut times, mut request) = (histogram(), Vec::new());
                let mut due = start + every * index / SENDERS;
                let mut free = start;
                while due < start + time {
                    maker.next(&mut request);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let from = if free > due { due } else { Instant::now() };
                    let status = connection.exchange(&request).expect("an answer");
                    assert_eq!(status, 200);
                    free = Instant::now();
                    let took = u64::try_from((free - from).as_nanos()).unwrap_or(u64::MAX);
                    times.saturating_record(took);
                    due += every;
                }
                times
            })
        })
        .collect();
    let mut all = histogram();
    for thread in threads {
        all.add(thread.join().expect("every answer is as expected")).expect("the same bounds");
    }
    all
}
