//! `hookward reload`: makes a running proxy reload its configuration.

use super::admin::{ask, document};
use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::{complain, print};
use crate::config::ConfigPart;
use crate::senders::receiver::show::printable;
use serde_json::Value;
use std::fmt::Write as _;

/// Makes a running proxy reload its configuration file, and prints what changed
#[derive(Debug, clap::Args)]
pub struct ReloadArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Exits with 2 if the new configuration was refused and the old one stays in use.
///
/// # Errors
/// When the configuration cannot be read here, or nothing answers.
pub fn run(arguments: &ReloadArguments) -> Result<Exit, CommandStop> {
    // The new file may be wrong, but the address of the proxy must be readable in it.
    let admin = arguments.file.load(ConfigPart::Admin)?.admin;
    let (status, body) = ask(&admin, &http::Method::POST, "/reload")?;
    let told = document(&body)?;
    if status != 200 {
        let mut text = "not reloaded; the old configuration stays in use".to_owned();
        for problem in texts(&told, "problems") {
            _ = write!(text, "\n{problem}");
        }
        return Err(CommandStop::new(Exit::Usage, text));
    }
    for note in texts(&told, "notes") {
        complain(&format!("{note}\n"));
    }
    print(&changes(told.get("changes").unwrap_or(&Value::Null)))?;
    Ok(Exit::Done)
}

fn texts(told: &Value, member: &str) -> Vec<String> {
    let list = told[member].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(printable).collect()
}

/// What changed, one line per kind of thing.
fn changes(told: &Value) -> String {
    let mut text = String::new();
    for kind in ["sources", "routes", "upstreams"] {
        for how in ["added", "removed", "changed"] {
            let names = texts(&told[kind], how);
            if !names.is_empty() {
                _ = writeln!(text, "{kind} {how}: {}", names.join(", "));
            }
        }
    }
    if text.is_empty() {
        text.push_str("reloaded; no source, route or upstream changed\n");
    }
    text
}
