//! The goals, and whether they are met.

use crate::measure::{Results, median};
use serde::Serialize;

/// A bound that a measured number is held against.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub case: &'static str,
    pub must: Option<f64>,
    pub aim: Option<f64>,
    pub unit: &'static str,
    /// `None` where a peer is not installed.
    pub measured: Option<f64>,
}

impl Goal {
    pub fn verdict(&self) -> &'static str {
        let within = |bound: Option<f64>| {
            self.measured.zip(bound).is_some_and(|(measured, bound)| measured <= bound)
        };
        match (self.measured, self.must, self.aim) {
            (None, ..) => "not measured",
            _ if within(self.aim) => "aim met",
            (_, Some(_), Some(_)) if within(self.must) => "met, aim missed",
            (_, Some(_), None) if within(self.must) => "met",
            (_, None, _) => "aim missed",
            _ => "**missed**",
        }
    }
}

/// All goals with what was measured.
pub fn all(results: &Results) -> Vec<Goal> {
    let delivered = "hookward/1 KiB";
    let ratio = |case, of: &str, to: &str, must, aim| Goal {
        case,
        must,
        aim,
        unit: "",
        measured: results.ratio(of, to),
    };
    let added = |at: fn(&crate::latency::Percentiles) -> f64| {
        let of = |key: &str| results.latencies.get(key)?.get(&2000).map(at);
        Some(of("hookward")? - of("direct")?)
    };
    let calls = |names: &[&str]| {
        let calls = results.syscalls.as_ref()?;
        Some(names.iter().filter_map(|name| calls.get(*name)).sum())
    };
    let number = |case, must, aim, unit, measured| Goal { case, must, aim, unit, measured };
    vec![
        ratio(
            "1 KiB, against `ProxyHttp` pass-through",
            delivered,
            "pass-through/1 KiB",
            Some(0.9),
            Some(0.75),
        ),
        ratio(
            "the same with `level = \"info\"`, lines to a file",
            "hookward-info/1 KiB",
            "pass-through/1 KiB",
            Some(1.05),
            Some(0.85),
        ),
        ratio("1 KiB, against nginx + Lua", delivered, "nginx-lua/1 KiB", Some(0.95), Some(0.8)),
        ratio(
            "1 KiB, against HAProxy that only checks the HMAC",
            delivered,
            "haproxy-hmac/1 KiB",
            None,
            Some(1.1),
        ),
        ratio(
            "32 KiB, against `ProxyHttp` pass-through",
            "hookward/32 KiB",
            "pass-through/32 KiB",
            Some(1.2),
            Some(1.1),
        ),
        ratio(
            "32 KiB, against nginx + Lua",
            "hookward/32 KiB",
            "nginx-lua/32 KiB",
            Some(0.45),
            Some(0.35),
        ),
        number(
            "1 MiB, against pass-through + one SHA-256 of the body",
            Some(1.3),
            None,
            "",
            one_mib(results),
        ),
        ratio("forged, against delivered", "hookward/forged", delivered, Some(0.6), None),
        ratio("repeated, against delivered", "hookward/repeated", delivered, Some(0.6), None),
        ratio(
            "fan-out to two, against delivered",
            "hookward/fan-out to two",
            delivered,
            Some(1.7),
            None,
        ),
        ratio(
            "two threads, CPU per delivery against one",
            "hookward-two-threads/1 KiB",
            delivered,
            Some(1.1),
            Some(1.05),
        ),
        ratio("disk store, against memory", "hookward-disk/1 KiB", delivered, Some(1.2), None),
        ratio("Redis store, against memory", "hookward-redis/1 KiB", delivered, Some(1.6), None),
        number("added latency at 2,000/s, p50", Some(100.0), None, "µs", added(|p| p.p50)),
        number("added latency at 2,000/s, p99", Some(400.0), None, "µs", added(|p| p.p99)),
        number("memory, idle", Some(30.0), None, "MB", Some(results.memory_idle)),
        number(
            "memory, a million ids",
            Some(300.0),
            Some(150.0),
            "MB",
            Some(results.memory_with_ids),
        ),
        number(
            "reading system calls of a delivery",
            Some(2.0),
            None,
            "",
            calls(&["recvfrom", "read", "readv"]),
        ),
        number(
            "writing system calls of a delivery",
            Some(2.0),
            None,
            "",
            calls(&["sendto", "write", "writev", "sendmsg", "sendmmsg"]),
        ),
    ]
}

fn one_mib(results: &Results) -> Option<f64> {
    let (own, pass) =
        (results.costs.get("hookward/1 MiB")?, results.costs.get("pass-through/1 MiB")?);
    let floor = pass.iter().zip(&results.sha256_of_1_mib).map(|(pass, hash)| pass + hash);
    Some(median(own.iter().zip(floor).map(|(own, floor)| own / floor)))
}
