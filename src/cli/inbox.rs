//! `hookward inbox`, `hookward pause` and `hookward resume`: operators' requests to the inbox.

mod conditions;
mod moving;

use super::admin::{call, refused, title, url_of, with_line_end};
use super::client::{Client, no_answer};
use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::print;
use super::trust::Trust;

use crate::config::{AdminSettings, ConfigPart};
use conditions::{ChangeArguments, Conditions};
use http::Method;
use moving::MoveEvents;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// A replay of many events needs many flushes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Shows and changes events in the inbox of a running proxy
#[derive(Debug, clap::Args)]
pub struct InboxArguments {
    #[command(subcommand)]
    action: InboxAction,
}

#[derive(Debug, clap::Subcommand)]
enum InboxAction {
    /// Lists events, one line per destination
    List(List),
    /// Shows one event with its last attempts
    Show(Show),
    /// Makes events due now, with a new retry budget
    Replay(Replay),
    /// Discards events, so that they are never sent again
    Discard(ChangeArguments),
    /// Moves events that wait for one upstream, as one that was renamed, to another
    Move(MoveEvents),
    /// Erases the bytes of an event at once, including on disk
    Erase(Erase),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    conditions: Conditions,
    /// Show at most this many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print the answer of the admin listener as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Number of the event, as shown by `list`
    seq: u64,
    /// Print the answer of the admin listener as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, clap::Args)]
struct Replay {
    #[command(flatten)]
    change: ChangeArguments,
    /// Use a new Idempotency-Key, so that the receiver treats it as a new event
    #[arg(long)]
    as_new: bool,
}

#[derive(Debug, clap::Args)]
struct Erase {
    /// Name of the source
    source: String,
    /// Event id
    id: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Stops sending to an upstream of a running proxy; its events wait
#[derive(Debug, clap::Args)]
pub struct PauseArguments {
    /// Name of the upstream
    upstream: String,
    /// When the pause ends on its own: RFC 3339 or unix seconds
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Reason for the audit line
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Ends the pause of an upstream
#[derive(Debug, clap::Args)]
pub struct ResumeArguments {
    /// Name of the upstream
    upstream: String,
    /// Reason for the audit line
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Runs the command.
///
/// # Errors
/// When the configuration cannot be used, or the listener does not answer or refuses.
pub fn inbox(arguments: &InboxArguments) -> Result<Exit, CommandStop> {
    match &arguments.action {
        InboxAction::List(list) => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &list.limit.to_string());
            for (name, value) in list.conditions.stated() {
                query.append_pair(name, value);
            }
            let path = format!("/inbox?{}", query.finish());
            let said = ask(&list.file, &Method::GET, &path, None)?.found()?;
            print(&if list.json { said.text() } else { table(&said.body) })?;
            Ok(Exit::Done)
        }
        InboxAction::Show(show) => {
            let said = ask(&show.file, &Method::GET, &format!("/inbox/{}", show.seq), None)?;
            let said = said.found()?;
            print(&if show.json { said.text() } else { one(&said.body) })?;
            Ok(Exit::Done)
        }
        InboxAction::Replay(replay) => {
            let more = replay.as_new.then(|| ("as_new", true.into()));
            change(&replay.change, "replay", more)
        }
        InboxAction::Discard(discard) => change(discard, "discard", None),
        InboxAction::Move(moving) => {
            let (change, to) = moving.as_change();
            self::change(&change, "move", Some(("to", to.into())))
        }
        InboxAction::Erase(erase) => {
            let segment = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            let path = format!("/inbox/{}/{}", segment(&erase.source), segment(&erase.id));
            ask(&erase.file, &Method::DELETE, &path, None)?.found()?;
            print("erased\n")?;
            Ok(Exit::Done)
        }
    }
}

/// Pauses an upstream.
///
/// # Errors
/// Like [`inbox`].
pub fn pause(arguments: &PauseArguments) -> Result<Exit, CommandStop> {
    let body = json!({ "until": arguments.until, "reason": arguments.reason });
    let path = of_upstream(&arguments.upstream, "pause");
    ask(&arguments.file, &Method::POST, &path, Some(&body))?.found()?;
    print("paused\n")?;
    Ok(Exit::Done)
}

/// Resumes an upstream.
///
/// # Errors
/// Like [`inbox`].
pub fn resume(arguments: &ResumeArguments) -> Result<Exit, CommandStop> {
    let body = json!({ "reason": arguments.reason });
    let path = of_upstream(&arguments.upstream, "resume");
    ask(&arguments.file, &Method::POST, &path, Some(&body))?.found()?;
    print("resumed\n")?;
    Ok(Exit::Done)
}

fn of_upstream(name: &str, verb: &str) -> String {
    format!("/upstreams/{}/{verb}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// Asks for a change; `more` is a member that only this verb has.
fn change(
    change: &ChangeArguments,
    verb: &str,
    more: Option<(&str, Value)>,
) -> Result<Exit, CommandStop> {
    let conditions: Map<String, Value> =
        change.conditions.stated().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut body = json!({ "reason": change.reason, "dry_run": change.dry_run });
    let members = match (change.seq.is_empty(), conditions.is_empty()) {
        (false, true) => ("seq", json!(change.seq)),
        (true, false) => ("filter", Value::Object(conditions)),
        _ => {
            let what = "select events by number, or by conditions such as --state dead --to erp";
            return Err(CommandStop::new(Exit::Usage, what));
        }
    };
    if members.0 == "filter" && change.expect.is_none() && !change.dry_run {
        let what = "conditions need --expect N; --dry-run shows how many events they match";
        return Err(CommandStop::new(Exit::Usage, what));
    }
    if let Some(body) = body.as_object_mut() {
        body.insert(members.0.to_owned(), members.1);
        if let Some(expect) = change.expect {
            body.insert("expect".to_owned(), expect.into());
        }
        if let Some((name, value)) = more {
            body.insert(name.to_owned(), value);
        }
    }
    let said = ask(&change.file, &Method::POST, &format!("/inbox/{verb}"), Some(&body))?.found()?;
    let count = |name| said.body.get(name).and_then(Value::as_u64).unwrap_or_default();
    print(&match (change.json, change.dry_run) {
        (true, _) => said.text(),
        (false, true) => format!("{} would be changed\n", count("matched")),
        (false, false) => format!("{} matched, {} changed\n", count("matched"), count("changed")),
    })?;
    Ok(Exit::Done)
}

/// The answer of the admin listener.
struct Said {
    status: u16,
    text: String,
    body: Value,
}

impl Said {
    /// The requested result, or why there is none.
    fn found(self) -> Result<Self, CommandStop> {
        let why = || title(&self.text).unwrap_or_else(|| "the proxy does not know it".to_owned());
        match self.status {
            200..300 => Ok(self),
            400 => Err(CommandStop::new(Exit::Usage, why())),
            404 => Err(CommandStop::new(Exit::No, why())),
            other => Err(refused(other, &why())),
        }
    }

    fn text(&self) -> String {
        with_line_end(self.text.clone())
    }
}

fn ask(
    file: &ConfigFile,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Said, CommandStop> {
    let admin: AdminSettings = file.load(ConfigPart::Admin)?.admin;
    let url = url_of(&admin, path)?;
    let client = Client::new(Trust::Web, PATIENCE);
    let body = body.map(Value::to_string);
    let (status, text) = call(&client, method, &url, admin.own_token(), body)
        .map_err(|fault| no_answer(&url, &fault))?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Ok(Said { status, text, body })
}

const COLUMNS: [(&str, &str); 9] = [
    ("SEQ", "seq"),
    ("STATE", "state"),
    ("TO", "to"),
    ("SOURCE", "source"),
    ("EVENT", "event_id"),
    ("TYPE", "event_type"),
    ("ACCEPTED", "accepted_at"),
    ("ATTEMPTS", "attempts"),
    ("LAST", "last_result"),
];

fn cell(event: &Value, member: &str) -> String {
    match event.get(member) {
        Some(Value::String(text)) => crate::senders::receiver::show::printable(text),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn table(page: &Value) -> String {
    let events = page.get("events").and_then(Value::as_array);
    let rows: Vec<[String; 9]> = std::iter::once(COLUMNS.map(|(title, _)| title.to_owned()))
        .chain(events.into_iter().flatten().map(|event| COLUMNS.map(|(_, name)| cell(event, name))))
        .collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if page.get("next").is_some_and(|next| !next.is_null()) {
        text.push_str("There are more; --limit shows up to 1000.\n");
    }
    text
}

fn one(event: &Value) -> String {
    let mut text = String::new();
    let members = COLUMNS.iter().chain(&[("NEXT", "next_attempt_at")]);
    for (title, name) in members {
        let _ = writeln!(text, "{:<10}{}", title.to_lowercase(), cell(event, name));
    }
    for one in event.get("tries").and_then(Value::as_array).into_iter().flatten() {
        let (at, result, ms) = (cell(one, "at"), cell(one, "result"), cell(one, "ms"));
        let _ = writeln!(text, "  {at}  {result}  {ms} ms");
    }
    for one in event.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let (at, what, by) = (cell(one, "at"), cell(one, "what"), cell(one, "by"));
        let from = one.get("from").filter(|from| !from.is_null());
        let from = from.map(|_| format!(" from {}", cell(one, "from"))).unwrap_or_default();
        let _ = writeln!(text, "  {at}  {what}{from} by {by}");
    }
    text
}
