//! For `hookward check`: events that wait in the inbox under names which the configuration has no more.

use super::admin::{call, url_of};
use super::client::Client;
use super::trust::Trust;
use crate::config::{Config, InboxSettings, Problem, Severity, StoreSettings};
use crate::inbox::KnownNames;
use hookward_claims::PostgresTls;
use hookward_inbox::{CipherKeys, OpenError, WaitingCount, waiting_in};
use hookward_inbox_postgres::waiting_at;
use hookward_time::{Clock as _, SystemClock};
use serde::Deserialize;
use std::time::Duration;

/// How long to wait for the running proxy, and for a database.
const PATIENCE: Duration = Duration::from_secs(2);

/// A warning for each name, as told by the running proxy, or else by the store. A note if neither can
/// be asked.
pub(super) fn strays(config: &Config, file: &str) -> Vec<Problem> {
    let Some(inbox) = &config.inbox else { return Vec::new() };
    let (severity, found) = match asked(config).unwrap_or_else(|| looked_up(config, inbox)) {
        Ok(waiting) => (Severity::Warning, KnownNames::of(config).strays(&waiting)),
        Err(why) => {
            let unknown = "whether events wait in the inbox under other names is not known";
            (Severity::Note, vec![format!("{unknown}: {why}")])
        }
    };
    found.into_iter().map(|what| Problem::new(severity, file, what)).collect()
}

/// The body of `GET /inbox/waiting`.
#[derive(Deserialize)]
struct WaitingBody {
    waiting: Vec<WaitingMember>,
}

#[derive(Deserialize)]
struct WaitingMember {
    source: String,
    to: String,
    events: u64,
}

/// What the running proxy says; `None` if there is none.
fn asked(config: &Config) -> Option<Result<Vec<WaitingCount>, String>> {
    let url = url_of(&config.admin, "/inbox/waiting").ok()?;
    let client = Client::new(Trust::Web, PATIENCE);
    let answer = call(&client, &http::Method::GET, &url, config.admin.own_token(), None);
    let (status, body) = answer.ok()?;
    Some(match (status, serde_json::from_str::<WaitingBody>(&body)) {
        (200, Ok(body)) => {
            let count = |WaitingMember { source, to, events }| WaitingCount { source, to, events };
            Ok(body.waiting.into_iter().map(count).collect())
        }
        // It has no inbox.
        (404, _) => Ok(Vec::new()),
        _ => Err(format!("{url} answered {status}")),
    })
}

/// What the store says.
fn looked_up(config: &Config, inbox: &InboxSettings) -> Result<Vec<WaitingCount>, String> {
    match (&inbox.folder, &config.dedupe.store) {
        (Some(folder), _) => {
            let now = SystemClock::new().wall().unsigned();
            waiting_in(folder, CipherKeys::new(&inbox.key_bytes()), now).map_err(
                |fault| match fault {
                    OpenError::InUse(folder) => format!(
                        "a running process has {} open, and does not answer at admin.listen",
                        folder.display()
                    ),
                    fault => fault.to_string(),
                },
            )
        }
        (None, StoreSettings::Postgres { url, tls }) => {
            let tls = tls.clone().map(PostgresTls::from);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|fault| fault.to_string())?;
            runtime
                .block_on(waiting_at(url, tls.as_ref(), PATIENCE))
                .map_err(|fault| fault.to_string())
        }
        (None, _) => Ok(Vec::new()),
    }
}
