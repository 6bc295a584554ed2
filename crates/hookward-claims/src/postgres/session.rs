//! One connection, set up and ready for calls.

use super::fault::ServerFault;
use super::schema;
use super::server::{self, Driver, PostgresServer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// The time limit for connecting and setting up the session; a call waits no longer than its own
/// time.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// A request to the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum StatementKind {
    Claim,
    Settle,
    Forget,
    Entries,
    MakeRoom,
    ClearOut,
    /// What the inbox asks.
    Other(&'static str),
}

/// The functions for claims, each called by a statement that is prepared with the connection.
const QUESTIONS: [&str; 6] = [
    "SELECT * FROM hookward.claim($1, $2, $3, $4, $5, $6, $7, $8)",
    "SELECT hookward.settle($1, $2, $3, $4, $5, $6, $7, $8)",
    "SELECT * FROM hookward.forget($1, $2, $3)",
    "SELECT hookward.entries()",
    "SELECT hookward.make_room(clock_timestamp() + $1::bigint * interval '1 ms')",
    "SELECT hookward.clear_out()",
];

impl StatementKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Claim => QUESTIONS[0],
            Self::Settle => QUESTIONS[1],
            Self::Forget => QUESTIONS[2],
            Self::Entries => QUESTIONS[3],
            Self::MakeRoom => QUESTIONS[4],
            Self::ClearOut => QUESTIONS[5],
            Self::Other(text) => text,
        }
    }
}

/// A connection to the server.
pub(super) struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Moves the bytes while the session exists.
    _driver: Driver,
}

impl Session {
    /// Connects, and creates the tables if necessary.
    pub(super) async fn dial(server: &PostgresServer) -> Result<Self, ServerFault> {
        let dialing = async {
            let (mut client, driver) = server::connect(server).await?;
            schema::prepare(&mut client).await?;
            let mut statements = HashMap::with_capacity(QUESTIONS.len());
            for question in QUESTIONS {
                statements.insert(question, client.prepare(question).await?);
            }
            Ok(Self { client, statements: Mutex::new(statements), _driver: driver })
        };
        tokio::time::timeout(DIAL_WITHIN, dialing).await.unwrap_or_else(|_| {
            Err(ServerFault::new(format!("did not let us in within {} s", DIAL_WITHIN.as_secs())))
        })
    }

    /// Makes one call.
    pub(super) async fn ask(
        &self,
        question: StatementKind,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServerFault> {
        let text = question.text();
        let known = self.statements.lock().get(text).cloned();
        let statement = if let Some(statement) = known {
            statement
        } else {
            let made = self.client.prepare(text).await?;
            self.statements.lock().insert(text, made.clone());
            made
        };
        Ok(self.client.query(&statement, values).await?)
    }

    /// Runs a command that gives nothing, in a transaction of its own or in none.
    pub(super) async fn execute(&self, command: &str) -> Result<(), ServerFault> {
        Ok(self.client.batch_execute(command).await?)
    }

    /// Asks what is asked so seldom that it is not worth a prepared statement.
    pub(super) async fn run(
        &self,
        text: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServerFault> {
        Ok(self.client.query(text, values).await?)
    }

    /// Whether it is known to be broken.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the server has finished all requests.
    pub(super) async fn settle_down(&self) -> Result<(), ServerFault> {
        Ok(self.client.batch_execute("").await?)
    }
}
