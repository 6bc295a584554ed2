//! `hookward dedupe move`: what one store knows, copied into another.

use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use super::print;
use crate::config::{ConfigPart, DedupeSettings, StoreSettings};
use crate::operator::runtime::open_store;
use hookward_claims::{Copying, DiskStore, StoreError, copy};
use hookward_secret::Secret;
use hookward_time::{Clock, SystemClock};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// One page of what a store knows.
const WITHIN: Duration = Duration::from_secs(30);

/// Two stores.
#[derive(Debug, clap::Args)]
pub struct MoveArguments {
    /// Configuration whose store knows the events; it is not changed
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Configuration whose store is to know them as well
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Copies what one store knows into another, and prints how much that was.
///
/// # Errors
/// When a configuration cannot be used, when a store is the memory of a process or the folder of
/// one that runs, or when a store does not answer. What was copied before stays copied.
pub(super) fn run(arguments: &MoveArguments) -> Result<Exit, CommandStop> {
    let load = |file: &PathBuf| Ok(ConfigFile::of(file).load(ConfigPart::Store)?.dedupe);
    let (from, to) = (load(&arguments.from)?, load(&arguments.to)?);
    for (settings, file) in [(&from, &arguments.from), (&to, &arguments.to)] {
        movable(settings)
            .map_err(|why| CommandStop::new(Exit::Usage, format!("{}: {why}", file.display())))?;
    }
    if is_same(&from.store, &to.store) {
        return Err(CommandStop::new(
            Exit::Usage,
            "both files name the same store; nothing to move",
        ));
    }
    for settings in [&from, &to] {
        free(settings)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|fault| CommandStop::new(Exit::CannotServe, fault.to_string()))?;
    let copied = runtime.block_on(copied(&from, &to));
    let copied = copied.map_err(|fault| {
        CommandStop::new(Exit::CannotServe, format!("{fault}; it is safe to run the command again"))
    })?;
    print(&report(&copied))?;
    Ok(Exit::Done)
}

async fn copied(from: &DedupeSettings, to: &DedupeSettings) -> Result<Copying, StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (old, _) = open_store(from, &clock).await?;
    let (new, _) = open_store(to, &clock).await?;
    copy(old.as_ref(), new.as_ref(), WITHIN).await
}

/// Whether there is anything that a command can reach.
fn movable(settings: &DedupeSettings) -> Result<(), &'static str> {
    match settings.store {
        StoreSettings::Memory => Err(
            "store = \"memory\" lives in the process that serves; no command can read or fill it",
        ),
        _ => Ok(()),
    }
}

/// Whether a folder is not in use.
fn free(settings: &DedupeSettings) -> Result<(), CommandStop> {
    match &settings.store {
        StoreSettings::Disk { path } if DiskStore::is_in_use(path) => Err(CommandStop::new(
            Exit::CannotServe,
            format!(
                "a running process has {} open. Stop the proxy, run this command, and start the \
                 proxy with the new configuration",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

fn is_same(from: &StoreSettings, to: &StoreSettings) -> bool {
    match (from, to) {
        (StoreSettings::Disk { path: from }, StoreSettings::Disk { path: to }) => {
            let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
            real(from) == real(to)
        }
        (
            StoreSettings::Redis { url: from, prefix: one, .. },
            StoreSettings::Redis { url: to, prefix: other, .. },
        ) => one == other && same_text(from, to),
        (StoreSettings::Postgres { url: from, .. }, StoreSettings::Postgres { url: to, .. }) => {
            same_text(from, to)
        }
        _ => false,
    }
}

fn same_text(one: &Secret, other: &Secret) -> bool {
    one.expose().ct_eq(other.expose()).into()
}

fn report(copied: &Copying) -> String {
    let Copying { found, new, in_flight } = copied;
    let mut text = String::new();
    for (what, found, new) in [
        ("delivered ids", found.delivered, new.delivered),
        ("uncertain ids", found.uncertain, new.uncertain),
        ("other names of events", found.aliases, new.aliases),
    ] {
        let known = found.saturating_sub(new);
        // Writing to a String does not fail.
        _ = writeln!(text, "{what}: {found} found, {new} moved, {known} known there");
    }
    if *in_flight > 0 {
        _ = writeln!(
            text,
            "{in_flight} in flight were left out: a proxy still serves with the old store. Stop it \
             and run the command again"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_claims::Moved;

    #[test]
    fn a_report_says_what_was_new_and_what_was_left_out() {
        let found = Moved { delivered: 5, uncertain: 1, aliases: 0 };
        let new = Moved { delivered: 3, uncertain: 1, aliases: 0 };
        let told = report(&Copying { found, new, in_flight: 2 });
        assert!(told.contains("delivered ids: 5 found, 3 moved, 2 known there\n"), "{told}");
        assert!(told.contains("uncertain ids: 1 found, 1 moved, 0 known there\n"), "{told}");
        assert!(told.contains("2 in flight were left out"), "{told}");
    }
}
