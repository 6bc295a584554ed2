//! The commands: one file each, with its arguments, its output and its exit code.
//!
//! Results go to stdout, problems to stderr. Commands decide nothing themselves; they read
//! arguments, call the library and print its results.

pub mod admin;
pub mod check;
pub mod client;
pub mod configuration;
pub mod demo;
pub mod discover;
pub mod exit;
pub mod explain;
pub mod inbox;
pub mod manual;
pub mod moving;
mod output;
pub mod presets;
pub mod receiver;
pub mod reload;
pub mod run;
pub mod send;
pub mod sign;
pub mod signing;
pub mod status;
pub mod trust;
mod waiting;

pub(crate) use output::{complain, print};

use clap::{CommandFactory as _, Parser, Subcommand};
use exit::{CommandStop, Exit};
use std::ffi::OsString;
use std::process::ExitCode;

/// A webhook-verifying reverse proxy: a genuine, fresh event reaches each receiver once, and
/// nothing else gets through.
#[derive(Debug, Parser)]
#[command(name = "hookward", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArguments),
    Check(check::CheckArguments),
    Demo(demo::DemoArguments),
    Sign(sign::SignArguments),
    Send(send::SendArguments),
    Explain(explain::ExplainArguments),
    Discover(discover::DiscoverArguments),
    Presets(presets::PresetsArguments),
    Dedupe(admin::DedupeArguments),
    Inbox(inbox::InboxArguments),
    Pause(inbox::PauseArguments),
    Resume(inbox::ResumeArguments),
    Receiver(receiver::ReceiverArguments),
    Health(admin::HealthArguments),
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
    Status(status::StatusArguments),
    Reload(reload::ReloadArguments),
}

/// Parses the arguments (the program's name first) and runs the command.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(problem) => {
            // Help and version are results; `clap` knows which stream they belong to.
            _ = problem.print();
            let exit = if problem.use_stderr() { Exit::Usage } else { Exit::Done };
            return exit.into();
        }
    };
    let ended = match &arguments.command {
        Command::Run(arguments) => return run::run(arguments).unwrap_or_else(stopped),
        Command::Check(arguments) => check::run(arguments),
        Command::Demo(arguments) => return demo::run(arguments).unwrap_or_else(stopped),
        Command::Sign(arguments) => sign::run(arguments),
        Command::Send(arguments) => send::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Discover(arguments) => discover::run(arguments),
        Command::Presets(arguments) => presets::run(arguments),
        Command::Dedupe(arguments) => admin::dedupe(arguments),
        Command::Inbox(arguments) => inbox::inbox(arguments),
        Command::Pause(arguments) => inbox::pause(arguments),
        Command::Resume(arguments) => inbox::resume(arguments),
        Command::Receiver(arguments) => receiver::run(arguments),
        Command::Health(arguments) => admin::health(arguments),
        Command::Completions(arguments) => manual::completions(arguments, Arguments::command()),
        Command::Man(arguments) => manual::man(arguments, Arguments::command()),
        Command::Status(arguments) => status::run(arguments),
        Command::Reload(arguments) => reload::run(arguments),
    };
    ended.map_or_else(stopped, ExitCode::from)
}

/// Reports why a command ended without a result.
fn stopped(CommandStop { exit, problem }: CommandStop) -> ExitCode {
    complain(&format!("hookward: {problem}\n"));
    exit.into()
}
