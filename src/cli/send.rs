//! `hookward send`: signs an event and posts it.

use super::client::{Client, PATIENCE, no_answer, url};
use super::configuration::{ConfigFile, reachable, source};
use super::exit::{CommandStop, Exit};
use super::signing::{PrivateKey, complain_of_unused, key, read_file, unsigned};
use super::trust::{Authorities, Trust};
use super::{complain, print};
use crate::config::{Config, ConfigPart};
use crate::delivery::source::Source;
use crate::senders::receiver::show::printable;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use hookward_verify::scheme::{Algorithm, TimestampPlace};
use hookward_verify::sender::Sender;
use hookward_verify::sign::{SignRequest, new_id, sample_body, sign};
use std::path::PathBuf;

/// Signs an event and posts it; prints status and outcome of each delivery
#[derive(Debug, clap::Args)]
pub struct SendArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Source to send as
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Event type [default: one that the first route takes]
    #[arg(long = "type", value_name = "T")]
    kind: Option<String>,
    /// Event id [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Body to send, byte for byte; - is stdin [default: the preset's sample with id, type and time]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Sign a captured body again with the current time, if the scheme has the time in a header
    #[arg(long, requires = "body")]
    refresh_time: bool,
    /// Allow a destination on another machine
    #[arg(long)]
    really: bool,
    /// URL to post to, including the path [default: the configuration's listener on this machine]
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    #[command(flatten)]
    authorities: Authorities,
    /// Send the same bytes this many times, like a sender's retries
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    #[command(flatten)]
    private_key: PrivateKey,
}

/// Exits with 0 if every answer is a 2xx, otherwise with 1.
///
/// # Errors
/// When the configuration cannot be used or nothing answers.
pub fn run(arguments: &SendArguments) -> Result<Exit, CommandStop> {
    let config = arguments.file.load(ConfigPart::Source(&arguments.source))?;
    let source = source(&config, &arguments.source)?;
    let at = SystemClock::new().wall();
    let id = arguments.id.clone().unwrap_or_else(new_id);
    let kind = arguments.kind.clone().unwrap_or_else(|| source.example_type());
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => default_url(&config, source)?,
    };
    if !arguments.really && !is_this_machine(&url) {
        let problem = format!(
            "{url} is not this machine, and what is sent there is acted on; --really sends it all \
             the same"
        );
        return Err(CommandStop::new(Exit::Usage, problem));
    }
    if arguments.refresh_time {
        time_is_ours(source)?;
    }
    let body = match &arguments.body {
        Some(path) => {
            complain_of_unused(source, arguments.id.as_deref(), arguments.kind.as_deref());
            read_file(path)?
        }
        None => sample(source, &id, &kind, at)?,
    };
    let request = SignRequest {
        id: Some(&id),
        event_type: Some(&kind),
        path: &source.path,
        at,
        query: None,
        body: &body,
    };
    let private_key = arguments.private_key.read(source)?;
    let placed = at_url(source, &url);
    let sender = placed.as_ref().unwrap_or(&source.sender);
    let signed = sign(sender, &key(source, private_key.as_ref())?, &request)
        .map_err(|fault| unsigned(source, &fault))?;
    let trust = trust(arguments, &config)?;
    for warning in config.certificate_ends().iter().filter_map(|end| end.warning(at)) {
        complain(&format!("hookward: warning: {warning}\n"));
    }
    let mut headers = signed.headers;
    if arguments.body.is_none() {
        complain(&format!(
            "hookward: note: event `{}` is invented, with a sample body; it is marked `{SAMPLE}: \
             true`\n",
            printable(&id)
        ));
        headers.push((SAMPLE.to_owned(), "true".to_owned()));
    }
    let body = signed.body.as_deref().unwrap_or(&body);
    let client = Client::new(trust, PATIENCE);
    let mut exit = Exit::Done;
    for _ in 0..arguments.times {
        let told = client.post(&url, &headers, body);
        let told = told.map_err(|fault| no_answer(&url, &fault))?;
        print(&format!("{}\n", printable(&told.to_string())))?;
        if !(200..300).contains(&told.status) {
            exit = Exit::No;
        }
    }
    Ok(exit)
}

/// For RFC 9421: the sender who was given the URL that is posted to, if the configuration states none. What a
/// signature of RFC 9421 covers of it is https, as the proxy takes it behind whatever ends TLS.
fn at_url(source: &Source, url: &str) -> Option<Sender> {
    let sender = &source.sender;
    let is_needed = sender.scheme.signature.algorithm == Algorithm::HttpMessageSignatures
        && sender.public_url.is_none();
    let bare = url.split_once('?').map_or(url, |(bare, _)| bare);
    let (_, rest) = bare.split_once("://").filter(|_| is_needed)?;
    let placed = Sender {
        secrets: sender.secrets.clone(),
        preset: sender.preset.clone(),
        ..Sender::without_secrets(sender.scheme.clone(), "it only signs")
    };
    Some(placed.with_public_url(format!("https://{rest}")))
}

/// Marks an invented event.
const SAMPLE: &str = "Hookward-Sample";

/// Whether a request to this URL stays on this machine.
fn is_this_machine(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// Refuses to send an old body as a new one if it contains the time.
fn time_is_ours(source: &Source) -> Result<(), CommandStop> {
    let rule = source.sender.scheme.timestamp.as_ref();
    let Some(TimestampPlace::Json(pointer)) = rule.map(|rule| &rule.from) else { return Ok(()) };
    let problem = format!(
        "--refresh-time cannot help: source `{}` has its time in the body, at {pointer}. With \
         another time it would be another body, not the one that the sender sent. Have the sender \
         send it again.",
        source.name
    );
    Err(CommandStop::new(Exit::Usage, problem))
}

/// Which certificate to trust: for the configuration's own listener, the one that it shows.
fn trust(arguments: &SendArguments, config: &Config) -> Result<Trust, CommandStop> {
    match &config.server.tls {
        Some(tls) if arguments.url.is_none() && !arguments.authorities.are_named() => {
            Trust::only(&tls.cert)
        }
        _ => arguments.authorities.trust(),
    }
}

/// The preset's sample with this id, type and time.
fn sample(source: &Source, id: &str, kind: &str, at: UnixMillis) -> Result<Vec<u8>, CommandStop> {
    let preset = source.sender.preset.as_deref().and_then(hookward_verify::presets::named);
    let base = preset.map(|preset| preset.about.sample.as_bytes());
    sample_body(&source.sender, base, id, kind, at).map_err(|fault| unsigned(source, &fault))
}

fn default_url(config: &Config, source: &Source) -> Result<String, CommandStop> {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let Some(address) = config.server.listen.first() else {
        return Err(CommandStop::new(Exit::Usage, "server.listen is empty; use --url URL"));
    };
    let address = reachable("server.listen", *address)?;
    Ok(format!("{scheme}://{address}{}", source.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_a_loopback_address_or_localhost() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/a", true),
            ("http://127.9.9.9/a", true),
            ("https://localhost/a", true),
            ("http://[::1]:8080/a", true),
            ("http://[::ffff:127.0.0.1]/a", true),
            ("http://10.0.0.7/a", false),
            ("https://hooks.example.com/a", false),
            ("http://localhost.example.com/a", false),
            ("http://0.0.0.0/a", false),
        ] {
            assert_eq!(is_this_machine(url), expected, "{url}");
        }
    }
}
