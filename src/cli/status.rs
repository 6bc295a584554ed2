//! `hookward status`: the status of a running proxy, as tables.

use super::admin::{ask, document};
use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::print;
use crate::config::ConfigPart;
use crate::config::report::section;
use crate::senders::receiver::show::printable;
use hookward_time::{Clock as _, SystemClock, UnixMillis};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Shows the status of a running proxy: sources, upstreams, secrets, certificates, store
#[derive(Debug, clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Print the answer of the admin listener as JSON
    #[arg(long)]
    json: bool,
}

/// Exits with 1 if something is wrong: a source that is not ready, an upstream that is not healthy,
/// an expired certificate, a store that does not answer.
///
/// # Errors
/// When the configuration cannot be used or nothing answers.
pub fn run(arguments: &StatusArguments) -> Result<Exit, CommandStop> {
    let admin = arguments.file.load(ConfigPart::Admin)?.admin;
    let (_, body) = ask(&admin, &http::Method::GET, "/status")?;
    let status = document(&body)?;
    let now = SystemClock::new().wall();
    let wrong = wrong(&status, now);
    if arguments.json {
        print(&format!("{status}\n"))?;
    } else {
        print(&shown(&status, &wrong, now))?;
    }
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::No })
}

/// What is wrong, as sentences.
fn wrong(status: &Value, now: UnixMillis) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, source) in members(&status["sources"]) {
        if source["ready"] == false {
            wrong.push(format!("source {} is not ready: no secret can be read", printable(name)));
        }
    }
    for (name, upstream) in members(&status["upstreams"]) {
        if upstream["healthy"] == false {
            let error = upstream["last_error"].as_str().map(|why| format!(": {}", printable(why)));
            let name = printable(name);
            wrong.push(format!("upstream {name} is not healthy{}", error.unwrap_or_default()));
        }
    }
    for end in status["certificates"].as_array().into_iter().flatten() {
        if time(&end["not_after"]).is_some_and(|at| at <= now) {
            wrong.push(format!("the certificate of {} has expired", text(&end["use"])));
        }
    }
    let dedupe = &status["dedupe"];
    if dedupe["answers"] == false {
        wrong.push(format!("the store does not answer: {}", text(&dedupe["health"])));
    }
    wrong
}

fn shown(status: &Value, wrong: &[String], now: UnixMillis) -> String {
    let mut out = String::new();
    if wrong.is_empty() {
        out.push_str("all is well\n");
    }
    for what in wrong {
        _ = writeln!(out, "NOT WELL: {what}");
    }
    let dedupe = &status["dedupe"];
    let entries = dedupe["entries"].as_u64().map_or("?".to_owned(), |count| count.to_string());
    _ = writeln!(
        out,
        "version {}, up {}, configuration {}, {entries} ids in the {} store",
        text(&status["version"]),
        written_seconds(status["uptime_seconds"].as_i64().unwrap_or(0)),
        text(&status["config_hash"]),
        text(&dedupe["store"]),
    );
    let ago = |value: &Value| time(value).map_or("never".to_owned(), |at| ago(at, now));
    let sources: Vec<_> = members(&status["sources"])
        .map(|(name, source)| {
            let refusal = &source["last_refusal"];
            let refusal = match refusal["reason"].as_str() {
                Some(reason) => format!("{} ({})", printable(reason), ago(&refusal["at"])),
                None => "none".to_owned(),
            };
            let state = if source["ready"] == true { "ready" } else { "not ready" };
            [printable(name), state.to_owned(), ago(&source["last_event_at"]), refusal]
        })
        .collect();
    section(&mut out, ["source", "state", "last event", "last refusal"], &sources);
    let upstreams: Vec<_> = members(&status["upstreams"])
        .map(|(name, upstream)| {
            let state = match (&upstream["paused"], &upstream["healthy"]) {
                (Value::Bool(true), _) => "paused",
                (_, Value::Bool(true)) => "healthy",
                (_, Value::Bool(false)) => "not healthy",
                _ => "not known",
            };
            let result = text(&upstream["last_result"]);
            let (at, error) = (ago(&upstream["last_result_at"]), text(&upstream["last_error"]));
            [printable(name), state.to_owned(), result, at, error]
        })
        .collect();
    section(&mut out, ["upstream", "state", "last result", "when", "error"], &upstreams);
    let mut secrets = Vec::new();
    for (name, source) in members(&status["sources"]) {
        for secret in source["secrets"].as_array().into_iter().flatten() {
            let readable = if secret["readable"] == true { "yes" } else { "no" };
            let last = ago(&secret["last_match_at"]);
            secrets.push([printable(name), text(&secret["name"]), readable.to_owned(), last]);
        }
    }
    section(&mut out, ["source", "secret", "readable", "last match"], &secrets);
    let ends = status["certificates"].as_array().into_iter().flatten();
    let ends: Vec<_> = ends
        .map(|end| [text(&end["use"]), text(&end["not_after"]), ago(&end["not_after"])])
        .collect();
    section(&mut out, ["certificate of", "ends", "which is"], &ends);
    inbox(&mut out, &status["inbox"]);
    out
}

/// The inbox, if there is one.
fn inbox(out: &mut String, inbox: &Value) {
    let states = ["ready", "waiting", "in_flight", "dead"];
    let rows: Vec<_> = members(&inbox["events"])
        .map(|(name, counts)| {
            let [ready, waiting, in_flight, dead] =
                states.map(|state| counts[state].as_u64().unwrap_or(0).to_string());
            [printable(name), ready, waiting, in_flight, dead]
        })
        .collect();
    section(out, ["inbox of", "ready", "waiting", "in flight", "dead"], &rows);
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().map(Map::iter);
    members.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// A text of the answer, escaped; empty if absent.
fn text(value: &Value) -> String {
    value.as_str().map(printable).unwrap_or_default()
}

fn time(value: &Value) -> Option<UnixMillis> {
    let instant = value.as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(UnixMillis(instant.as_millisecond()))
}

/// A time relative to now.
fn ago(at: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.millis_since(at) / 1000;
    match seconds {
        ..0 => format!("in {}", written_seconds(-seconds)),
        _ => format!("{} ago", written_seconds(seconds)),
    }
}

/// A duration in its largest unit.
fn written_seconds(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_not_wrong() {
        let mut status = json!({
            "sources": { "shop": { "ready": true } },
            "upstreams": { "erp": { "healthy": null } },
            "certificates": [{ "use": "listener", "not_after": "2026-03-16T10:20:30.000Z" }],
            "dedupe": { "answers": true },
        });
        let now = UnixMillis::from_seconds(1_773_656_429);
        assert_eq!(wrong(&status, now), Vec::<String>::new());
        assert_eq!(wrong(&status, now.plus(std::time::Duration::from_secs(1))).len(), 1);
        status["sources"]["shop"]["ready"] = json!(false);
        status["upstreams"]["erp"]["healthy"] = json!(false);
        status["dedupe"]["answers"] = json!(false);
        assert_eq!(wrong(&status, now).len(), 3);
    }
}
