//! The tables in the database: versions and migrations.
//!
//! Each version is an SQL file that migrates from the previous one. They are applied in one
//! transaction under a lock, so that of several instances that start at the same time only one does
//! the work. An unknown version is never changed.

use super::fault::ServerFault;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The files; the first creates version 1. A released file is never edited.
const MIGRATIONS: [&str; 3] =
    [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];

/// The version that this program writes and reads.
const CURRENT: usize = MIGRATIONS.len();

/// The oldest version whose programs can work with version [`CURRENT`]. The first instance of an
/// upgrade must not stop them.
const WORKS_FOR: usize = 1;

/// The first server version with everything that the schema needs: 130000 is 13.0.
const OLDEST_SERVER: usize = 130_000;

/// The lock for changing the schema; a number that other programs are unlikely to use.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7525899362094768995)";

/// The settings of every session. Each statement must see everything committed before it, so the
/// isolation level is set explicitly. Plans are made once, because they do not depend on the
/// values.
const SESSION: &str = "SET search_path = pg_catalog; SET TimeZone = 'UTC'; \
     SET default_transaction_isolation = 'read committed'; \
     SET statement_timeout = '15s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '15s'; \
     SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; \
     SELECT current_setting('server_version_num'), to_regclass('hookward.schema')";

/// The message for an impossible answer.
const ODD: &str = "gave an answer that cannot be read";

/// The version of the tables, and the oldest program version that can use them.
const VERSION: &str = "SELECT version, works_for FROM hookward.schema";

/// Sets up the session, and creates or migrates the tables if necessary.
///
/// # Errors
/// The server is too old, its tables have an unknown version, or it refuses a request.
pub(super) async fn prepare(client: &mut Client) -> Result<(), ServerFault> {
    let server = row(client, SESSION).await?;
    let [number, schema] = &server[..] else { return Err(ServerFault::new(ODD.to_owned())) };
    let number: usize = number.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if number < OLDEST_SERVER {
        let (is, oldest) = (number / 10_000, OLDEST_SERVER / 10_000);
        return Err(ServerFault::new(format!(
            "is version {is}; {oldest} is the oldest that serves"
        )));
    }
    if schema.is_some() && version(client).await? >= CURRENT {
        return Ok(());
    }
    migrate(client).await
}

/// The version of the tables.
async fn version(client: &Client) -> Result<usize, ServerFault> {
    let found = row(client, VERSION).await?;
    let number = |nth: usize| found.get(nth)?.as_deref()?.parse::<usize>().ok();
    match (number(0), number(1)) {
        (Some(version), Some(works_for)) if works_for <= CURRENT => Ok(version),
        (Some(version), Some(_)) => Err(ServerFault::new(format!(
            "has tables of version {version}, made by a later Hookward; this one knows versions up \
             to {CURRENT}. Nothing was changed"
        ))),
        _ => Err(ServerFault::new(
            "has a table hookward.schema that is not Hookward's; give Hookward a database of its \
             own"
            .to_owned(),
        )),
    }
}

async fn migrate(client: &mut Client) -> Result<(), ServerFault> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    // Another instance may have been faster.
    let names = "SELECT to_regnamespace('hookward'), to_regclass('hookward.schema')";
    let found = row(transaction.client(), names).await?;
    let from = match &found[..] {
        [_, Some(_)] => version(transaction.client()).await?,
        [schema, None] => {
            if schema.is_none() {
                transaction.batch_execute("CREATE SCHEMA hookward").await?;
            }
            transaction
                .batch_execute(
                    "CREATE TABLE hookward.schema (version integer, works_for integer); \
                     INSERT INTO hookward.schema VALUES (0, 0)",
                )
                .await?;
            0
        }
        _ => return Err(ServerFault::new(ODD.to_owned())),
    };
    for migration in MIGRATIONS.iter().skip(from) {
        transaction.batch_execute(migration).await?;
    }
    if from < CURRENT {
        let now =
            format!("UPDATE hookward.schema SET version = {CURRENT}, works_for = {WORKS_FOR}");
        transaction.batch_execute(&now).await?;
        tracing::info!(from, to = CURRENT, "the tables of the postgres store were set up");
    }
    Ok(transaction.commit().await?)
}

/// The first row that a query gives, as text.
async fn row(client: &Client, query: &str) -> Result<Vec<Option<String>>, ServerFault> {
    let messages = client.simple_query(query).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row
        .map(|row| (0..row.len()).map(|nth| row.get(nth).map(str::to_owned)).collect())
        .unwrap_or_default())
}
