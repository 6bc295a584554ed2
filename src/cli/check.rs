//! `hookward check`: all problems of a configuration, or what it comes to.

use super::configuration::ConfigFile;
use super::exit::{Exit, Stop};
use super::{complain, print};
use crate::config::{Config, SystemSecrets, report};

/// Prints all problems of the configuration, or a table of its sources, routes and upstreams
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Ends with 2 on an error, else with 0: a warning stops nobody.
///
/// # Errors
/// When stdout cannot be written to.
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    match Config::load(&arguments.file.path(), &SystemSecrets) {
        Ok((config, notes)) => {
            complain(&report::render_problems(&notes));
            print(&report::render(&config))?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            complain(&report::render_problems(&problems));
            if let Some(hint) = arguments.file.hint() {
                complain(&format!("{hint}\n"));
            }
            Ok(Exit::Usage)
        }
    }
}
