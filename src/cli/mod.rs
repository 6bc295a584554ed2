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
pub mod presets;
pub mod receiver;
pub mod reload;
pub mod run;
pub mod send;
pub mod sign;
pub mod signing;
pub mod status;
pub mod trust;

use clap::{CommandFactory as _, Parser, Subcommand};
use exit::{Exit, Stop};
use std::ffi::OsString;
use std::io::{self, Write as _};
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
    Run(run::Arguments),
    Check(check::Arguments),
    Demo(demo::Arguments),
    Sign(sign::Arguments),
    Send(send::Arguments),
    Explain(explain::Arguments),
    Discover(discover::Arguments),
    Presets(presets::Arguments),
    Dedupe(admin::DedupeArguments),
    Inbox(inbox::Arguments),
    Pause(inbox::PauseArguments),
    Resume(inbox::ResumeArguments),
    Receiver(receiver::Arguments),
    Health(admin::HealthArguments),
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
    Status(status::Arguments),
    Reload(reload::Arguments),
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
fn stopped(Stop { exit, problem }: Stop) -> ExitCode {
    complain(&format!("hookward: {problem}\n"));
    exit.into()
}

/// Writes problems to stderr. A failure to write is ignored, because there is nowhere left to
/// report it.
fn complain(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a result to stdout. A reader that closes the pipe early, like `head`, is not an error.
///
/// # Errors
/// When stdout cannot be written to.
fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::new(Exit::No, format!("cannot write to stdout: {fault}")))
        }
        _ => Ok(()),
    }
}
