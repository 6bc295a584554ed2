//! Which events a command means.

use crate::cli::configuration::ConfigFile;

/// Which events to select; all given conditions must be true.
#[derive(Debug, clap::Args)]
pub(super) struct Conditions {
    /// Of this source
    #[arg(long)]
    pub(super) source: Option<String>,
    /// Only this upstream
    #[arg(long, value_name = "UPSTREAM")]
    pub(super) to: Option<String>,
    /// Only this state: ready, waiting, `in_flight`, dead or delivered
    #[arg(long)]
    pub(super) state: Option<String>,
    /// Of this event type
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<String>,
    /// Of this event id
    #[arg(long)]
    pub(super) id: Option<String>,
    /// Accepted at this time or later: RFC 3339 or unix seconds
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Accepted before this time
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ChangeArguments {
    /// Numbers of the events, as shown by `list`; or use conditions
    pub(super) seq: Vec<u64>,
    #[command(flatten)]
    pub(super) conditions: Conditions,
    /// How many events you expect the conditions to match; if the number is wrong, nothing changes
    #[arg(long, value_name = "N")]
    pub(super) expect: Option<usize>,
    /// For the audit line
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Print how many events would change, without changing any
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Prints what the admin listener says
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) file: ConfigFile,
}

impl Conditions {
    pub(super) fn stated(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("source", &self.source),
            ("to", &self.to),
            ("state", &self.state),
            ("type", &self.kind),
            ("id", &self.id),
            ("since", &self.since),
            ("until", &self.until),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
