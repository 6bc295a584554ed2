//! Measures the cost of a delivery beside other proxies on the same machine at the same time.
//!
//! `hookward-load run HOOKWARD DOCS` starts everything as processes of their own, measures in
//! interleaved rounds and writes `performance.md`, `performance.json` and two plots into DOCS.
//! `hookward-load compare ROUNDS HOOKWARD...` measures a few cases with several builds,
//! and `hookward-load memory HOOKWARD` the memory with a million ids.
//! The other commands are the processes: `upstream PORT` and `pass-through PORT UPSTREAM`.

mod compare;
mod connection;
mod event;
mod goals;
mod latency;
mod load;
mod machine;
mod measure;
mod pass_through;
mod peers;
mod plot;
mod process;
mod report;
mod subject;
mod syscalls;
mod upstream;

use std::path::Path;

/// The allocator of the proxy, for the yardstick too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "usage: hookward-load run HOOKWARD DOCS [ROUNDS] | upstream PORT | pass-through PORT UPSTREAM | compare ROUNDS HOOKWARD... | memory HOOKWARD";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["upstream", port] => upstream::serve(port.parse().expect("a port")),
        ["pass-through", port, upstream] => pass_through::serve(port, upstream),
        ["run", hookward, docs] => measure::run(Path::new(hookward), Path::new(docs), 5),
        ["run", hookward, docs, rounds] => {
            measure::run(Path::new(hookward), Path::new(docs), rounds.parse().expect("a number"));
        }
        ["memory", hookward] => measure::memory(Path::new(hookward)),
        ["compare", rounds, ref binaries @ ..] => {
            compare::run(binaries, rounds.parse().expect("a number"));
        }
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
}
