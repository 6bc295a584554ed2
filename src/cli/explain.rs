//! `hookward explain`: judges a captured request offline, from files or from a running proxy's
//! captures.

use super::configuration::{ConfigFile, source, tell_unreadable, time};
use super::exit::{CommandStop, Exit};
use super::signing::{not_both_from_stdin, read_file, read_key};
use super::{admin, print};
use crate::config::ConfigPart;
use crate::delivery::captures;
use crate::delivery::source::Source;
use crate::request::RequestHead;
use crate::senders::explain::{Question, read_head};
use crate::senders::receiver::show::printable;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use hookward_verify::scheme::Algorithm;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Judges a captured request step by step and says why it would or would not be forwarded
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Source whose rules apply
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Captured headers: an optional request line, then one `Name: value` per line
    #[arg(long, value_name = "FILE", required_unless_present = "last", requires = "body")]
    headers: Option<PathBuf>,
    /// Captured body, byte for byte; - is stdin
    #[arg(long, value_name = "FILE", required_unless_present = "last", requires = "headers")]
    body: Option<PathBuf>,
    /// Judge the last refused delivery that the running proxy captured, or the Nth last
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "1",
        conflicts_with_all = ["headers", "body", "at"]
    )]
    last: Option<NonZeroUsize>,
    /// What the sender publishes, for sources whose keys are fetched: a key set (JWKS) or a certificate
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print the judgement as one JSON document
    #[arg(long)]
    json: bool,
    /// When it arrived: RFC 3339 or unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    at: Option<UnixMillis>,
}

/// Exits with 0 if the request would be forwarded, otherwise with 1.
///
/// # Errors
/// When the configuration, the source or a file cannot be used.
pub fn run(arguments: &ExplainArguments) -> Result<Exit, CommandStop> {
    let config = arguments.file.load(ConfigPart::Source(&arguments.source))?;
    let source = source(&config, &arguments.source)?;
    if source.sender.keys.is_ok() {
        tell_unreadable(source);
    }
    let captured = match (&arguments.headers, &arguments.body, arguments.last) {
        (Some(headers), Some(body), _) => from_files(headers, body, &source.path)?,
        (_, _, last) => from_proxy(arguments, source, last.map_or(1, NonZeroUsize::get))?,
    };
    let Captured { head, body, at, remarks } = captured;
    let at = arguments.at.or(at).unwrap_or_else(|| SystemClock::new().wall());
    let all: Vec<_> = config.sources.iter().collect();
    let max_body_bytes = config.server.limits.max_body_bytes;
    let key = arguments.key.as_deref().map(read_key).transpose()?;
    let key = key.as_ref();
    let (head, body) = (&head, body.as_slice());
    let question = Question { source, all: &all, key, max_body_bytes, head, body, at };
    let explanation = question.explain();
    if arguments.json {
        print(&format!("{}\n", explanation.to_json()))?;
    } else {
        print(&format!("{remarks}{explanation}\n"))?;
    }
    Ok(if explanation.is_forwarded() { Exit::Done } else { Exit::No })
}

/// A request to judge.
struct Captured {
    head: RequestHead,
    body: Vec<u8>,
    /// When it arrived, if known.
    at: Option<UnixMillis>,
    /// Other facts about it, one per line.
    remarks: String,
}

fn from_files(headers: &Path, body: &Path, path: &str) -> Result<Captured, CommandStop> {
    not_both_from_stdin(headers, body)?;
    let head = read_file(headers)?;
    let head = read_head(&head, path).map_err(|fault| {
        CommandStop::new(Exit::Usage, format!("{}: {fault}", headers.display()))
    })?;
    Ok(Captured { head, body: read_file(body)?, at: None, remarks: String::new() })
}

/// The `nth` last refusal of the source that the running proxy captured; 1 is the last.
fn from_proxy(
    arguments: &ExplainArguments,
    source: &Source,
    nth: usize,
) -> Result<Captured, CommandStop> {
    let admin = arguments.file.load(ConfigPart::Admin)?.admin;
    let name = utf8_percent_encode(source.name.as_str(), NON_ALPHANUMERIC);
    let path = format!("/captures/{name}");
    let (status, list) = admin::ask(&admin, &Method::GET, &path)?;
    if status == 404 {
        let problem = format!("the running proxy has no source `{}`; reload it", source.name);
        return Err(CommandStop::new(Exit::No, problem));
    }
    let list = admin::document(&list)?;
    let Some(capture) = list.get(nth - 1) else {
        return Err(CommandStop::new(Exit::No, nothing_captured(source, &list)));
    };
    let (status, message) = admin::ask(&admin, &Method::GET, &format!("{path}/{}", capture["id"]))?;
    if status == 404 {
        return Err(CommandStop::new(Exit::No, "a newer capture has just replaced it"));
    }
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(message.len());
    let (head, rest) = message.split_at(end);
    let unreadable =
        |fault| CommandStop::new(Exit::CannotServe, format!("the capture cannot be read: {fault}"));
    let head = read_head(head, &source.path).map_err(unreadable)?;
    let body = rest.get(4..).unwrap_or_default().to_vec();
    let text = |member: &str| printable(capture[member].as_str().unwrap_or_default());
    let (at, reason, client) = (text("at"), text("reason"), text("client"));
    let mut remarks = format!("refused at {at} as `{reason}`, from {client}\n");
    if is_masked(source, &head) {
        remarks.push_str(
            "the token was not captured, so its check fails here
",
        );
    }
    Ok(Captured { head, body, at: time(&at).ok(), remarks })
}

fn is_masked(source: &Source, head: &RequestHead) -> bool {
    source.sender.scheme.signature.algorithm == Algorithm::Token
        && head.headers.iter().any(|(_, value)| value == captures::MASK.as_bytes())
}

fn nothing_captured(source: &Source, list: &serde_json::Value) -> String {
    let name = &source.name;
    match (list.as_array().map_or(0, Vec::len), source.capture) {
        (0, 0) => format!(
            "source `{name}` captures nothing: set `capture = 20` in [sources.{name}], reload, and \
             wait for the next refusal"
        ),
        (0, _) => format!("source `{name}` has refused nothing since `capture` was set"),
        (count, _) => format!("source `{name}` has {count} captured refusals"),
    }
}
