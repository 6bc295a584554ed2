//! `hookward reload`: makes a running proxy read its configuration anew.

use super::admin::{ask, document};
use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::{complain, print};
use crate::config::ConfigPart;
use crate::senders::receiver::show::printable;
use serde_json::Value;
use std::fmt::Write as _;

/// Makes a running proxy read its configuration file anew; prints what changed
#[derive(Debug, clap::Args)]
pub struct ReloadArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Ends with 2 if the new configuration was refused; the old one then goes on serving.
///
/// # Errors
/// When the configuration cannot be read here, or nobody answers.
pub fn run(arguments: &ReloadArguments) -> Result<Exit, CommandStop> {
    // The new file may be wrong; where the proxy listens has to be readable all the same.
    let admin = arguments.file.load(ConfigPart::Admin)?.admin;
    let (status, body) = ask(&admin, &http::Method::POST, "/reload")?;
    let told = document(&body)?;
    if status != 200 {
        let mut text = "not reloaded; the old configuration goes on serving".to_owned();
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

/// What changed, a line for each kind of thing.
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
