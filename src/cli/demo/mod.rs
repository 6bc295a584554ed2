//! `hookward demo`: a demonstration without any configuration.
//!
//! It runs a proxy, an ERP and a CRM in this process, plays a shop and its attackers, and prints a
//! table of the results. Then it keeps serving, so that users can try it.

mod script;
mod stage;
mod table;

use super::exit::{CommandStop, Exit};
use super::print;
use crate::config::{LogFormat, LogSettings};
use crate::operator::server;
use crate::telemetry::log;
use script::DemoLine;
use stage::DemoStage;
use std::process::ExitCode;

/// Runs a demonstration: a proxy with two built-in receivers, genuine and forged deliveries, and a
/// table of the results; then keeps serving
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Exit after the table, with 0 if every line is as expected, otherwise with 1
    #[arg(long)]
    once: bool,
}

/// Plays the script, prints the table, and keeps serving unless `--once` is given.
///
/// # Errors
/// When it cannot listen on any address.
pub fn run(arguments: &DemoArguments) -> Result<ExitCode, CommandStop> {
    let runtime = tokio::runtime::Runtime::new().map_err(|fault| {
        CommandStop::new(Exit::CannotServe, format!("cannot start the runtime: {fault}"))
    })?;
    let ended = runtime.block_on(play(arguments.once));
    runtime.shutdown_background();
    ended
}

async fn play(once: bool) -> Result<ExitCode, CommandStop> {
    let stage = DemoStage::build().await?;
    print(&table::heading(&stage))?;
    let mut lines: Vec<DemoLine> = Vec::new();
    for scene in script::scenes() {
        lines.push(scene.play(&stage).await);
    }
    print(&table::render(&lines))?;
    if once {
        let all_right = lines.iter().all(DemoLine::is_right);
        return Ok(if all_right { Exit::Done } else { Exit::No }.into());
    }
    print(&table::invitation(&stage))?;
    let settings = LogSettings { format: LogFormat::Text, ..LogSettings::default() };
    let _log =
        log::install(&settings).map_err(|fault| CommandStop::new(Exit::CannotServe, fault))?;
    server::until_signalled(stage.running)
        .await
        .map(ExitCode::from)
        .map_err(|fault| CommandStop::new(Exit::CannotServe, fault.to_string()))
}
