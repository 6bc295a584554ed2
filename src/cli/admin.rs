//! `hookward dedupe` and `hookward health`: calls to the admin listener of a running process.

use super::configuration::{ConfigFile, reachable};
use super::exit::{Exit, Stop};
use super::print;
use crate::config::{AdminSettings, Config, Part};
use crate::secret::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// How long the admin listener may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows or forgets what a running proxy knows of an event
#[derive(Debug, clap::Args)]
pub struct DedupeArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints the event's state at each destination; exit 1 if it is not known
    Get(Event),
    /// Forgets the event, so that a re-send of it is forwarded; exit 1 if it is not known
    Forget(Event),
}

#[derive(Debug, clap::Args)]
struct Event {
    /// Name of the source
    source: String,
    /// Event id
    id: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Asks whether a running proxy is ready; for the container's health check
#[derive(Debug, clap::Args)]
pub struct HealthArguments {
    /// What to ask for [default: /readyz of the configuration's admin listener]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Prints what the admin listener says.
///
/// # Errors
/// When the configuration cannot be used, or the listener does not answer or refuses.
pub fn dedupe(arguments: &DedupeArguments) -> Result<Exit, Stop> {
    let (event, method) = match &arguments.action {
        Action::Get(event) => (event, http::Method::GET),
        Action::Forget(event) => (event, http::Method::DELETE),
    };
    let Config { admin, .. } = event.file.load(Part::Admin)?;
    let segment = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let path = format!("/dedupe/{}/{}", segment(&event.source), segment(&event.id));
    let (status, text) = call(&method, &url_of(&admin, &path), admin.token.as_ref())?;
    match status {
        200..300 if method == http::Method::GET => {
            print(&with_line_end(text))?;
            Ok(Exit::Done)
        }
        200..300 => {
            print("forgotten\n")?;
            Ok(Exit::Done)
        }
        404 => {
            print("not known\n")?;
            Ok(Exit::No)
        }
        other => Err(Stop::new(Exit::No, format!("the admin listener answered {other}: {text}"))),
    }
}

/// Ends with 0 if the proxy is ready, else with 1.
///
/// # Errors
/// When it does not answer.
pub fn health(arguments: &HealthArguments) -> Result<Exit, Stop> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => url_of(&arguments.file.load(Part::File)?.admin, "/readyz"),
    };
    let (status, text) = call(&http::Method::GET, &url, None)?;
    print(&with_line_end(text))?;
    Ok(if (200..300).contains(&status) { Exit::Done } else { Exit::No })
}

fn url_of(admin: &AdminSettings, path: &str) -> String {
    format!("http://{}{path}", reachable(admin.listen))
}

fn with_line_end(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

/// Status and body of an answer.
fn call(method: &http::Method, url: &str, token: Option<&Secret>) -> Result<(u16, String), Stop> {
    let no_answer = |fault: ureq::Error| {
        Stop::new(Exit::No, format!("no answer from {url}: {fault}; is the proxy running?"))
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        let mut value = b"Bearer ".to_vec();
        value.extend_from_slice(token.expose());
        request = request.header(http::header::AUTHORIZATION, value);
    }
    let request = request
        .body(())
        .map_err(|fault| Stop::new(Exit::Usage, format!("`{url}` cannot be asked for: {fault}")))?;
    let mut response = agent.run(request).map_err(no_answer)?;
    let text = response.body_mut().read_to_string().map_err(no_answer)?;
    Ok((response.status().as_u16(), text))
}
