//! `hookward discover`: works out an unknown sender's scheme from one captured delivery.

use super::exit::{Exit, Stop};
use super::print;
use super::signing::{not_both_from_stdin, read_file};
use crate::senders::discover::{Names, discover, obstacles};
use crate::senders::explain::read_head;
use hookward_secret::Secret;
use std::path::PathBuf;

/// The path to assume if the capture has none.
const UNKNOWN_PATH: &str = "/webhooks/sender";

/// Works out an unknown sender's scheme from one captured delivery, and prints the table that
/// verifies it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Environment variable with the secret
    #[arg(long, value_name = "VAR")]
    secret_env: String,
    /// Captured headers: an optional request line, then one `Name: value` per line
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// Captured body, byte for byte; - is stdin
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Name for the source in the printed table
    #[arg(long, value_name = "NAME", default_value = "sender", value_parser = source_name)]
    name: String,
}

/// Exits with 1 if no scheme fits.
///
/// # Errors
/// When the variable or a file cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let variable = &arguments.secret_env;
    // Text that is not a name may be the secret itself, typed by mistake, so it is not printed.
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.starts_with(|c: char| c.is_ascii_digit()) || !variable.chars().all(fits) {
        let problem = "--secret-env takes the name of an environment variable, not the secret";
        return Err(Stop::new(Exit::Usage, problem.to_owned()));
    }
    let secret = match std::env::var(variable) {
        Ok(text) if !text.is_empty() => Secret::from(text),
        Ok(_) => return Err(Stop::new(Exit::Usage, format!("{variable} is empty"))),
        Err(_) => {
            let problem = format!("{variable} is not in the environment, or not UTF-8");
            return Err(Stop::new(Exit::Usage, problem));
        }
    };
    not_both_from_stdin(&arguments.headers, &arguments.body)?;
    let head = read_file(&arguments.headers)?;
    let head = read_head(&head, UNKNOWN_PATH).map_err(|fault| {
        Stop::new(Exit::Usage, format!("{}: {fault}", arguments.headers.display()))
    })?;
    let body = read_file(&arguments.body)?;
    let names = Names { source: &arguments.name, variable };
    let Some(found) = discover(&head, &body, &secret, names) else {
        let mut problem = "no header, text, key and algorithm that were tried together make this \
                           signature; is it the secret of this very webhook, and the body byte \
                           for byte?"
            .to_owned();
        for obstacle in obstacles(&head, &body, &secret) {
            problem.push_str("\n  ");
            problem.push_str(&obstacle);
        }
        return Err(Stop::new(Exit::No, problem));
    };
    print(&found.table)?;
    Ok(Exit::Done)
}

/// Reads a NAME that is valid in a configuration.
fn source_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("the name of a source has 1 to 64 letters, digits, `_` and `-`".to_owned())
    }
}
