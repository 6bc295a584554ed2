//! `hookward explain`: a captured request, judged offline.

use super::configuration::{ConfigFile, source, tell_unreadable, time};
use super::exit::{Exit, Stop};
use super::print;
use super::signing::{not_both_from_stdin, read_file};
use crate::config::Part;
use crate::senders::explain::{Question, read_head};
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use std::path::PathBuf;

/// Judges a captured request step by step and says why it would be forwarded, or why not
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Source to judge it as
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Captured headers: an optional request line, then one `Name: value` a line
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// Captured body, byte for byte; - is stdin
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// When it arrived: RFC 3339 or unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    at: Option<UnixMillis>,
}

/// Ends with 0 if the request would be forwarded, else with 1.
///
/// # Errors
/// When the configuration, the source or a file cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let config = arguments.file.load(Part::Source(&arguments.source))?;
    let source = source(&config, &arguments.source)?;
    if source.sender.keys.is_ok() {
        tell_unreadable(source);
    }
    not_both_from_stdin(&arguments.headers, &arguments.body)?;
    let head = read_file(&arguments.headers)?;
    let head = read_head(&head, &source.path).map_err(|fault| {
        Stop::new(Exit::Usage, format!("{}: {fault}", arguments.headers.display()))
    })?;
    let body = read_file(&arguments.body)?;
    let at = arguments.at.unwrap_or_else(|| SystemClock::new().wall());
    let all: Vec<_> = config.sources.iter().collect();
    let max_body_bytes = config.server.max_body_bytes;
    let question = Question { source, all: &all, max_body_bytes, head: &head, body: &body, at };
    let explanation = question.explain();
    print(&format!("{explanation}\n"))?;
    Ok(if explanation.is_forwarded() { Exit::Done } else { Exit::No })
}
