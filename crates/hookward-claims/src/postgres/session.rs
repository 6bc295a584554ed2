//! One connection, set up and ready for calls.

use super::fault::Fault;
use super::schema;
use super::server::{self, Driver, Server};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// The time limit for connecting and setting up the session; a call waits no longer than its own
/// time.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// A request to the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Claim,
    Settle,
    Forget,
    Entries,
    MakeRoom,
    ClearOut,
}

/// The functions of the schema, each called by a statement that is prepared once per connection.
const QUESTIONS: [&str; 6] = [
    "SELECT * FROM hookward.claim($1, $2, $3, $4, $5, $6, $7, $8)",
    "SELECT hookward.settle($1, $2, $3, $4, $5, $6, $7, $8)",
    "SELECT * FROM hookward.forget($1, $2, $3)",
    "SELECT hookward.entries()",
    "SELECT hookward.make_room(clock_timestamp() + $1::bigint * interval '1 ms')",
    "SELECT hookward.clear_out()",
];

/// A connection to the server.
pub(super) struct Session {
    client: Client,
    statements: Vec<Statement>,
    /// Moves the bytes while the session exists.
    _driver: Driver,
}

impl Session {
    /// Connects, and creates the tables if necessary.
    pub(super) async fn dial(server: &Server) -> Result<Self, Fault> {
        let dialing = async {
            let (mut client, driver) = server::connect(server).await?;
            schema::prepare(&mut client).await?;
            let mut statements = Vec::with_capacity(QUESTIONS.len());
            for question in QUESTIONS {
                statements.push(client.prepare(question).await?);
            }
            Ok(Self { client, statements, _driver: driver })
        };
        tokio::time::timeout(DIAL_WITHIN, dialing).await.unwrap_or_else(|_| {
            Err(Fault::new(format!("did not let us in within {} s", DIAL_WITHIN.as_secs())))
        })
    }

    /// Makes one call.
    pub(super) async fn ask(
        &self,
        question: Question,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let Some(statement) = self.statements.get(question as usize) else {
            return Err(Fault::new(format!("was never asked {question:?}")));
        };
        Ok(self.client.query(statement, values).await?)
    }

    /// Whether it is known to be broken.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the server has finished all requests.
    pub(super) async fn settle_down(&self) -> Result<(), Fault> {
        Ok(self.client.batch_execute("").await?)
    }
}
