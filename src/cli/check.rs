//! `hookward check`: all problems of a configuration, or a table of its sources, routes and
//! upstreams.

use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::{complain, print, waiting};
use crate::config::{
    Config, ListingStyle, Problem, SystemSecrets, counts, render_problems, report, to_json,
};
use crate::published;
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

/// Prints all problems of the configuration, or a table of its sources, routes and upstreams
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    /// Configuration file; the same as --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    positional: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print only the problems, to stdout, as one JSON document
    #[arg(long)]
    json: bool,
    /// Also fetch each key set that a sender publishes, and report failures
    #[arg(long)]
    online: bool,
}

/// Exits with 2 on an error, with 1 if keys could not be fetched, otherwise with 0, even with
/// warnings.
///
/// # Errors
/// When stdout cannot be written to.
pub fn run(arguments: &CheckArguments) -> Result<Exit, CommandStop> {
    let file = arguments.file.or(arguments.positional.as_ref());
    let loaded = Config::load(&file.path(), &SystemSecrets);
    let mut exit = if loaded.is_ok() { Exit::Done } else { Exit::Usage };
    let (config, mut problems) = match loaded {
        Ok((config, problems)) => (Some(config), problems),
        Err(problems) => (None, problems),
    };
    if arguments.online
        && let Some(config) = &config
    {
        let unfetched = published::fetch_each(config, &file.path().to_string_lossy());
        if !unfetched.is_empty() {
            exit = Exit::No;
            problems.splice(0..0, unfetched);
        }
    }
    if let Some(config) = &config {
        problems.extend(waiting::strays(config, &file.path().to_string_lossy()));
        problems.sort_by_key(|problem| problem.severity);
    }
    if arguments.json {
        print(&format!("{}\n", to_json(&problems)))?;
        return Ok(exit);
    }
    show(&file, &problems);
    if let Some(config) = config {
        print(&report::render(&config))?;
    } else if let Some(hint) = file.hint() {
        complain(&format!("{hint}\n"));
    }
    Ok(exit)
}

/// Colours and source lines are for people, so they appear only on a terminal.
fn show(file: &ConfigFile, problems: &[Problem]) {
    let is_terminal = stderr().is_terminal();
    let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let is_decorated = is_terminal && wants_colour;
    let text = is_decorated.then(|| std::fs::read_to_string(file.path()).ok()).flatten();
    let style = ListingStyle { colour: is_decorated, text: text.as_deref() };
    complain(&render_problems(problems, style));
    complain(&format!("{}\n", counts(problems)));
}
