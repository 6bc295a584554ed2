//! `hookward sign`: prints the headers that a sender would send.

use super::configuration::{ConfigFile, source, time};
use super::exit::{CommandStop, Exit};
use super::signing::{PrivateKey, complain_of_unused, key, read_file, unsigned};
use super::{complain, print};
use crate::config::ConfigPart;
use crate::delivery::headers::capitalized;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use hookward_verify::presets;
use hookward_verify::sign::{SignRequest, sign};
use std::path::PathBuf;

/// Prints the headers that the sender would send with a body, for `curl -H @-`
#[derive(Debug, clap::Args)]
pub struct SignArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Source to sign for
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Event type, if the scheme has it in a header
    #[arg(long = "type", value_name = "T")]
    kind: Option<String>,
    /// Body to sign, byte for byte; - is stdin [default: an empty body]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Time of sending: RFC 3339 or unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    at: Option<UnixMillis>,
    /// Event id, if the scheme has it in a header [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    private_key: PrivateKey,
}

/// Prints one `Name: value` per line.
///
/// # Errors
/// When the configuration, the source, its secret or the body cannot be used.
pub fn run(arguments: &SignArguments) -> Result<Exit, CommandStop> {
    let config = arguments.file.load(ConfigPart::Source(&arguments.source))?;
    let source = source(&config, &arguments.source)?;
    let body = match &arguments.body {
        Some(path) => read_file(path)?,
        None => Vec::new(),
    };
    complain_of_unused(source, arguments.id.as_deref(), arguments.kind.as_deref());
    let private_key = arguments.private_key.read(source)?;
    let request = SignRequest {
        path: &source.path,
        id: arguments.id.as_deref(),
        event_type: arguments.kind.as_deref(),
        at: arguments.at.unwrap_or_else(|| SystemClock::new().wall()),
        query: None,
        body: &body,
    };
    let signed = sign(&source.sender, &key(source, private_key.as_ref())?, &request)
        .map_err(|fault| unsigned(source, &fault))?;
    if signed.body.is_some() {
        complain(
            "hookward: this sender's signature is in the body; `hookward send` puts it there
",
        );
    }
    let preset = source.sender.preset.as_deref().and_then(presets::named);
    let lines = signed.headers.iter().map(|(name, value)| {
        let spelling = preset.and_then(|preset| preset.spelling(name)).map(str::to_owned);
        format!("{}: {value}\n", spelling.unwrap_or_else(|| capitalized(name)))
    });
    print(&lines.collect::<String>())?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_spelled_as_its_sender_spells_it_else_with_capitals() {
        let spelled = |preset: &str, name: &str| presets::named(preset).unwrap().spelling(name);
        assert_eq!(spelled("opentiendas", "x-signature"), Some("X-Signature"));
        assert_eq!(spelled("standard-webhooks", "webhook-id"), Some("webhook-id"));
        assert_eq!(spelled("github", "x-github-event"), Some("X-GitHub-Event"));
        assert_eq!(spelled("github", "x-github"), None);
        assert_eq!(capitalized("x-acme-signature"), "X-Acme-Signature");
    }
}
