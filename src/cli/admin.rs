//! `hookward dedupe` and `hookward health`: calls to the admin listener of a running process; `dedupe
//! move` is in [`moving`].

use super::client::{Client, no_answer, url};
use super::configuration::{self, ConfigFile, reachable};
use super::exit::{CommandStop, Exit};
use super::moving::{self, MoveArguments};
use super::print;
use super::trust::{Authorities, Trust};
use crate::config::{AdminSettings, Config, ConfigPart};
use crate::senders::receiver::show::printable;
use hookward_secret::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// How long to wait for the admin listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows, forgets or moves what is known of events
#[derive(Debug, clap::Args)]
pub struct DedupeArguments {
    #[command(subcommand)]
    action: DedupeAction,
}

#[derive(Debug, clap::Subcommand)]
enum DedupeAction {
    /// Prints the event's state at each destination; exits with 1 if the event is unknown
    Get(EventArguments),
    /// Forgets the event, so that a re-send is forwarded; exits with 1 if the event is unknown
    Forget(EventArguments),
    /// Copies what one store knows of events into another, with the time that is left to each;
    /// it can be repeated
    Move(MoveArguments),
}

#[derive(Debug, clap::Args)]
struct EventArguments {
    /// Name of the source
    source: String,
    /// Event id
    id: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Checks whether a running proxy is ready; used for the container's health check
#[derive(Debug, clap::Args)]
pub struct HealthArguments {
    /// URL to request [default: /readyz of the configuration's admin listener]
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    #[command(flatten)]
    authorities: Authorities,
    #[command(flatten)]
    file: ConfigFile,
}

/// Prints the answer of the admin listener.
///
/// # Errors
/// When the configuration cannot be used, or the listener does not answer or refuses.
pub fn dedupe(arguments: &DedupeArguments) -> Result<Exit, CommandStop> {
    let (event, method) = match &arguments.action {
        DedupeAction::Get(event) => (event, http::Method::GET),
        DedupeAction::Forget(event) => (event, http::Method::DELETE),
        DedupeAction::Move(arguments) => return moving::run(arguments),
    };
    let config = event.file.load(ConfigPart::Admin)?;
    configuration::source(&config, &event.source)?;
    let Config { admin, .. } = config;
    let segment = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let path = format!("/dedupe/{}/{}", segment(&event.source), segment(&event.id));
    let url = url_of(&admin, &path)?;
    let client = Client::new(Trust::Web, PATIENCE);
    let (status, text) = call(&client, &method, &url, admin.own_token(), None)
        .map_err(|fault| no_answer(&url, &fault))?;
    match status {
        200..300 if method == http::Method::GET => {
            print(&with_line_end(text))?;
            Ok(Exit::Done)
        }
        200..300 => {
            print("forgotten\n")?;
            Ok(Exit::Done)
        }
        404 if title(&text).is_some() => {
            print("not known\n")?;
            Ok(Exit::No)
        }
        other => Err(refused(other, &title(&text).unwrap_or_else(|| beginning(&text)))),
    }
}

/// Maps a status that is neither a success nor "unknown" to the end of a command.
pub(super) fn refused(status: u16, why: &str) -> CommandStop {
    match status {
        401 => CommandStop::new(
            Exit::Usage,
            format!(
                "the admin listener refuses: {why}; [admin].token here must be the same as the proxy's"
            ),
        ),
        403 => CommandStop::new(Exit::Usage, format!("the admin listener refuses: {why}")),
        409 => CommandStop::new(Exit::No, why),
        503 => CommandStop::new(Exit::CannotServe, format!("the store does not answer: {why}")),
        _ => CommandStop::new(
            Exit::CannotServe,
            format!("the admin listener answered {status}: {why}"),
        ),
    }
}

/// The title of a problem document; `None` if the body is something else, for example from another
/// program at that address.
pub(super) fn title(text: &str) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_str(text).ok()?;
    problem.get("title").and_then(|title| title.as_str()).map(beginning)
}

/// A foreign text, cut to fit on a line.
fn beginning(text: &str) -> String {
    printable(text.get(..text.floor_char_boundary(200)).unwrap_or_default().trim_end())
}

/// Exits with 0 if the proxy is ready, otherwise with 1, even if nothing answers: container engines
/// know no other code for bad health.
///
/// # Errors
/// When the configuration cannot be used or nothing answers.
pub fn health(arguments: &HealthArguments) -> Result<Exit, CommandStop> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => url_of(&arguments.file.load(ConfigPart::File)?.admin, "/readyz")?,
    };
    let client = Client::new(arguments.authorities.trust()?, PATIENCE);
    let (status, text) = call(&client, &http::Method::GET, &url, None, None)
        .map_err(|fault| CommandStop { exit: Exit::No, ..no_answer(&url, &fault) })?;
    print(&with_line_end(text))?;
    Ok(if (200..300).contains(&status) { Exit::Done } else { Exit::No })
}

pub(super) fn url_of(admin: &AdminSettings, path: &str) -> Result<String, CommandStop> {
    Ok(format!("http://{}{path}", reachable("admin.listen", admin.listen)?))
}

pub(super) fn with_line_end(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

/// Status and body of an answer.
pub(super) fn call(
    client: &Client,
    method: &http::Method,
    url: &str,
    token: Option<&Secret>,
    body: Option<String>,
) -> Result<(u16, String), ureq::Error> {
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header(http::header::AUTHORIZATION, bearer(token));
    }
    let (status, body) = match body {
        Some(body) => client.ask(request.header("content-type", "application/json").body(body)?),
        None => client.ask(request.body(())?),
    }?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Requests this path from the admin listener of a configuration.
///
/// # Errors
/// When nothing answers, or the listener refuses. A 404 or a 422 is an answer.
pub(super) fn ask(
    admin: &AdminSettings,
    method: &http::Method,
    path: &str,
) -> Result<(u16, Vec<u8>), CommandStop> {
    let url = url_of(admin, path)?;
    let client = Client::new(Trust::Web, PATIENCE);
    let mut request = http::Request::builder().method(method).uri(&url);
    if let Some(token) = admin.own_token() {
        request = request.header(http::header::AUTHORIZATION, bearer(token));
    }
    let request =
        request.body(()).map_err(|fault| CommandStop::new(Exit::Usage, fault.to_string()))?;
    let (status, body) = client.ask(request).map_err(|fault| no_answer(&url, &fault))?;
    match status {
        200..300 | 404 | 422 => Ok((status, body)),
        other => {
            let text = String::from_utf8_lossy(&body);
            Err(refused(other, &title(&text).unwrap_or_else(|| beginning(&text))))
        }
    }
}

/// A JSON answer of the admin listener.
///
/// # Errors
/// When it is not JSON, because another program uses the address.
pub(super) fn document(body: &[u8]) -> Result<serde_json::Value, CommandStop> {
    serde_json::from_slice(body).map_err(|_| {
        CommandStop::new(
            Exit::CannotServe,
            "the program that answers at admin.listen is not this version of Hookward",
        )
    })
}

fn bearer(token: &Secret) -> Vec<u8> {
    [b"Bearer ", token.expose()].concat()
}
