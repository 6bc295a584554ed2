//! The documents: Markdown for people, JSON for programs.

use crate::goals::{self, Goal};
use crate::latency::RATES;
use crate::measure::{PLOTTED, Results, SIZES, name_of};
use std::fmt::Write as _;
use std::path::Path;

/// The hand-written part above the generated one.
const MARK: &str = "<!-- Below this line `make bench-load` writes. -->\n";

const INTRODUCTION: &str = "# Performance\n\n";

/// Writes `performance.md`, keeping what is above its mark, and `performance.json`.
pub fn write(results: &Results, documents: &Path) {
    let goals = goals::all(results);
    let file = documents.join("performance.md");
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let kept = before.split_once(MARK).map_or(INTRODUCTION, |(kept, _)| kept);
    std::fs::write(&file, format!("{kept}{MARK}\n{}", markdown(results, &goals))).expect("a file");
    let json = serde_json::json!({ "goals": goals, "results": results });
    let json = serde_json::to_string_pretty(&json).expect("numbers and names");
    std::fs::write(documents.join("performance.json"), json + "\n").expect("a file");
}

fn markdown(results: &Results, goals: &[Goal]) -> String {
    let mut text = String::new();
    let out = &mut text;
    measured_on(out, results).expect("a string takes it");
    goal_table(out, goals).expect("a string takes it");
    cost_tables(out, results).expect("a string takes it");
    latency_table(out, results).expect("a string takes it");
    syscall_table(out, results).expect("a string takes it");
    text
}

fn measured_on(out: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    writeln!(out, "## The machine\n")?;
    writeln!(
        out,
        "{}, {} cores, {}; load average {} when the run began. Commit {}, {}. Medians of {} interleaved rounds.\n",
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.load,
        machine.commit,
        machine.date,
        results.rounds
    )?;
    for version in &machine.versions {
        writeln!(out, "- {version}")?;
    }
    writeln!(out)
}

fn goal_table(out: &mut String, goals: &[Goal]) -> std::fmt::Result {
    writeln!(out, "## Goals\n")?;
    writeln!(out, "| case | must | aim | measured | |\n| --- | --- | --- | --- | --- |")?;
    for goal in goals {
        let bound =
            |bound: Option<f64>| bound.map_or(String::new(), |b| format!("≤ {b} {}", goal.unit));
        let digits = if goal.unit.is_empty() { 2 } else { 0 };
        let measured =
            goal.measured.map_or("–".to_owned(), |m| format!("{m:.digits$} {}", goal.unit));
        let (must, aim) = (bound(goal.must), bound(goal.aim));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            goal.case,
            must.trim(),
            aim.trim(),
            measured.trim(),
            goal.verdict()
        )?;
    }
    writeln!(out)
}

fn cost_tables(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "## CPU per request\n\nIn µs of the process, user code and kernel together.\n")?;
    writeln!(out, "| 1 KiB | µs |\n| --- | --- |")?;
    let mut costs: Vec<(&str, f64)> = results
        .costs
        .keys()
        .filter(|case| {
            !SIZES[1..].iter().any(|size| case.ends_with(&format!("/{}", name_of(*size))))
        })
        .filter_map(|case| Some((&**case, results.cost(case)?)))
        .collect();
    costs.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (case, cost) in costs {
        let (subject, name) = case.split_once('/').unwrap_or((case, ""));
        let name = if name == "1 KiB" { String::new() } else { format!(", {name}") };
        writeln!(out, "| {subject}{name} | {cost:.1} |")?;
    }
    writeln!(out, "\n![CPU per request by body size](performance-cpu.svg)\n")?;
    write!(out, "| body |")?;
    for key in PLOTTED {
        write!(out, " {key} |")?;
    }
    writeln!(out, "\n| --- |{}", " --- |".repeat(PLOTTED.len()))?;
    for size in SIZES {
        write!(out, "| {} |", name_of(size))?;
        for key in PLOTTED {
            match results.cost(&format!("{key}/{}", name_of(size))) {
                Some(cost) => write!(out, " {cost:.1} |")?,
                None => write!(out, " – |")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn latency_table(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "## Latency\n\nIn µs, at fixed rates on 16 connections: p50 / p90 / p99. `direct` is the upstream alone.\n"
    )?;
    writeln!(out, "![Latency by load](performance-latency.svg)\n")?;
    write!(out, "| |")?;
    for rate in RATES {
        write!(out, " {rate}/s |")?;
    }
    writeln!(out, "\n| --- |{}", " --- |".repeat(RATES.len()))?;
    for (key, rates) in &results.latencies {
        write!(out, "| {key} |")?;
        for p in rates.values() {
            write!(out, " {:.0} / {:.0} / {:.0} |", p.p50, p.p90, p.p99)?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn syscall_table(out: &mut String, results: &Results) -> std::fmt::Result {
    let Some(calls) = &results.syscalls else { return Ok(()) };
    writeln!(
        out,
        "## System calls\n\nPer delivery on warm connections, one at a time; waiting is in it.\n"
    )?;
    writeln!(out, "| call | per delivery |\n| --- | --- |")?;
    for (name, each) in calls {
        writeln!(out, "| {name} | {each:.2} |")?;
    }
    Ok(())
}
