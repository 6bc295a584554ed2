//! Latency at fixed rates, of the upstream alone and of the proxies before it.

use crate::event::{Kind, Maker};
use crate::load::fixed_rate;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Requests a second.
pub const RATES: [u32; 4] = [500, 1000, 2000, 4000];

const TIME: Duration = Duration::from_secs(2);

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

/// By subject and rate; the median of what each round had.
pub type Latencies = BTreeMap<&'static str, BTreeMap<u32, Percentiles>>;

/// Measures each of `targets` at each rate, in interleaved rounds.
pub fn measure(targets: &[(&'static str, SocketAddr)], rounds: usize) -> Latencies {
    let maker = Maker::new(Kind::Fresh, "/shop", 1024);
    let mut all: BTreeMap<(&'static str, u32), Vec<Percentiles>> = BTreeMap::new();
    for _ in 0..rounds {
        for rate in RATES {
            for (key, address) in targets {
                let times = fixed_rate(*address, &maker, rate, TIME);
                all.entry((key, rate)).or_default().push(percentiles(&times));
            }
        }
    }
    let mut latencies = Latencies::new();
    for ((key, rate), rounds) in all {
        let middle = |of: fn(&Percentiles) -> f64| crate::measure::median(rounds.iter().map(of));
        let percentiles =
            Percentiles { p50: middle(|p| p.p50), p90: middle(|p| p.p90), p99: middle(|p| p.p99) };
        latencies.entry(key).or_default().insert(rate, percentiles);
    }
    latencies
}

fn percentiles(times: &Histogram<u64>) -> Percentiles {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}
