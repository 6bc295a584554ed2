//! `hookward demo`: the product's first minute.
//!
//! A proxy, an ERP and a CRM in this process; a shop that delivers to it all that a shop and its
//! enemies deliver; a table of what became of each. Then it goes on serving, to be tried by hand.

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

/// Serves with two built-in receivers, delivers all sorts of things to itself and shows what became
/// of each; then goes on serving
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// End after the table, with 0 if every line is as it must be, else with 1
    #[arg(long)]
    once: bool,
}

/// Plays the script, prints the table, and serves on unless it is to be done once.
///
/// # Errors
/// When no address can be listened on.
pub fn run(arguments: &DemoArguments) -> Result<ExitCode, CommandStop> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|fault| CommandStop::new(Exit::CannotServe, format!("no runtime: {fault}")))?;
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
