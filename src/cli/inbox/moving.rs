//! `hookward inbox move`.

use super::conditions::{ChangeArguments, Conditions};
use crate::cli::configuration::ConfigFile;

#[derive(Debug, clap::Args)]
pub(super) struct MoveEvents {
    /// The name that the events wait under
    from: String,
    /// Name of the upstream that gets them
    onto: String,
    /// Of this source
    #[arg(long)]
    source: Option<String>,
    /// Of this event type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Of this event id
    #[arg(long)]
    id: Option<String>,
    /// Accepted at this time or later: RFC 3339 or unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many events that is; nothing is moved if that is wrong
    #[arg(long, value_name = "N")]
    expect: Option<usize>,
    /// For the audit line
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Says how many would be moved, and moves none
    #[arg(long)]
    dry_run: bool,
    /// Prints what the admin listener says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl MoveEvents {
    /// The same as any other change: by conditions, one of which is where the events wait.
    pub(super) fn as_change(&self) -> (ChangeArguments, &str) {
        let conditions = Conditions {
            source: self.source.clone(),
            to: Some(self.from.clone()),
            state: None,
            kind: self.kind.clone(),
            id: self.id.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
        };
        let change = ChangeArguments {
            seq: Vec::new(),
            conditions,
            expect: self.expect,
            reason: self.reason.clone(),
            dry_run: self.dry_run,
            json: self.json,
            file: self.file.clone(),
        };
        (change, &self.onto)
    }
}
