//! `hookward discover`: works out an unknown sender's scheme from one captured delivery.

use super::configuration::time;
use super::exit::{CommandStop, Exit};
use super::print;
use super::signing::{not_both_from_stdin, read_file, read_key};
use crate::request::RequestHead;
use crate::senders::discover::{FoundScheme, MemberNames, PublishedQuestion, discover, obstacles};
use crate::senders::explain::read_head;
use hookward_secret::Secret;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use std::path::PathBuf;

/// The path to assume if the capture has none.
const UNKNOWN_PATH: &str = "/webhooks/sender";

/// Works out an unknown sender's scheme from one captured delivery, and prints the table that
/// verifies it
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("proof").required(true).multiple(true)))]
pub struct DiscoverArguments {
    /// Environment variable with the secret
    #[arg(long, value_name = "VAR", group = "proof")]
    secret_env: Option<String>,
    /// What the sender publishes: a public key (PEM), a key set (JWKS) or a certificate, which may be
    /// the root of a chain
    #[arg(long, value_name = "FILE", group = "proof")]
    key: Option<PathBuf>,
    /// When the delivery arrived, for certificates that have expired since: RFC 3339 or unix seconds
    /// [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    at: Option<UnixMillis>,
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
pub fn run(arguments: &DiscoverArguments) -> Result<Exit, CommandStop> {
    let secret = arguments.secret_env.as_deref().map(secret).transpose()?;
    not_both_from_stdin(&arguments.headers, &arguments.body)?;
    let head = read_file(&arguments.headers)?;
    let head = read_head(&head, UNKNOWN_PATH).map_err(|fault| {
        CommandStop::new(Exit::Usage, format!("{}: {fault}", arguments.headers.display()))
    })?;
    let body = read_file(&arguments.body)?;
    let variable = arguments.secret_env.as_deref().unwrap_or("SECRET");
    let names = MemberNames::of_secret(&arguments.name, variable);
    let found = match (&arguments.key, secret) {
        (Some(file), secret) => {
            let at = arguments.at.unwrap_or_else(|| SystemClock::new().wall());
            let key = read_key(file)?;
            let path = file.to_string_lossy();
            let names = MemberNames { file: &path, is_in_file: true, ..names };
            let (head, body, secret) = (&head, body.as_slice(), secret.as_ref());
            with_key(PublishedQuestion { head, body, key: &key, secret, names, at })?
        }
        (None, Some(secret)) => with_secret(&head, &body, &secret, names)?,
        (None, None) => {
            return Err(CommandStop::new(Exit::Usage, "--secret-env or --key is needed"));
        }
    };
    print(&found.table)?;
    Ok(Exit::Done)
}

/// The secret in an environment variable.
fn secret(variable: &str) -> Result<Secret, CommandStop> {
    // Text that is not a name may be the secret itself, typed by mistake, so it is not printed.
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.starts_with(|c: char| c.is_ascii_digit()) || !variable.chars().all(fits) {
        let problem = "--secret-env takes the name of an environment variable, not the secret";
        return Err(CommandStop::new(Exit::Usage, problem.to_owned()));
    }
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => Ok(Secret::from(text)),
        Ok(_) => Err(CommandStop::new(Exit::Usage, format!("{variable} is empty"))),
        Err(_) => {
            let problem = format!("{variable} is not in the environment, or not UTF-8");
            Err(CommandStop::new(Exit::Usage, problem))
        }
    }
}

fn with_secret(
    head: &RequestHead,
    body: &[u8],
    secret: &Secret,
    names: MemberNames<'_>,
) -> Result<FoundScheme, CommandStop> {
    discover(head, body, secret, names).ok_or_else(|| {
        let problem = "no header, text, key and algorithm that were tried together make this \
                       signature; is it the secret of this very webhook, and the body byte for byte?";
        not_found(problem, obstacles(head, body, secret))
    })
}

fn with_key(question: PublishedQuestion<'_>) -> Result<FoundScheme, CommandStop> {
    question
        .discover()
        .map_err(|why| not_found("nothing that was tried verifies the delivery with this key", why))
}

fn not_found(problem: &str, reasons: Vec<String>) -> CommandStop {
    let reasons = reasons.into_iter().map(|reason| format!("\n  {reason}"));
    CommandStop::new(Exit::No, format!("{problem}{}", reasons.collect::<String>()))
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
