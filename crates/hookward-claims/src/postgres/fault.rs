//! Errors of the server, as sentences, and how to recover.

use std::error::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Why the server did not fulfil a request.
#[derive(Clone, Debug)]
pub(super) struct ServerFault {
    /// The rest of a sentence that begins with the store and its address. Never a password.
    pub(super) problem: String,
    pub(super) remedy: Remedy,
    /// The server's code; a call that it refused with one changed nothing.
    pub(super) code: Option<String>,
    /// Whether the server may have done what it was asked all the same.
    pub(super) is_in_doubt: bool,
}

/// What may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing that this process can do.
    None,
    /// The same call on another connection: this one is broken, or leads to a server that no longer
    /// serves.
    Reconnect,
    /// The same call once more.
    Repeat,
    /// The same call, once there is a partition for the row.
    MakeRoom,
}

impl ServerFault {
    pub(super) const fn new(problem: String) -> Self {
        Self { problem, remedy: Remedy::None, code: None, is_in_doubt: false }
    }
}

impl From<tokio_postgres::Error> for ServerFault {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(cause) = error.as_db_error() {
            let code = Some(cause.code().code().to_owned());
            let remedy = remedy(cause.code());
            return Self { problem: said(cause), remedy, code, is_in_doubt: false };
        }
        // The library names the operation; the cause comes after that.
        let mut problem = format!("does not serve: {error}");
        if let Some(source) = error.source()
            && !problem.ends_with(&source.to_string())
        {
            problem = format!("{problem}: {source}");
        }
        Self { problem, remedy: Remedy::Reconnect, code: None, is_in_doubt: true }
    }
}

/// The server's message, with an explanation if it needs one.
fn said(cause: &DbError) -> String {
    let hint = match *cause.code() {
        SqlState::READ_ONLY_SQL_TRANSACTION => "it is a standby, or set to be read only: ",
        SqlState::DISK_FULL => "its disk is full: ",
        SqlState::INSUFFICIENT_PRIVILEGE => "the user lacks a right: ",
        SqlState::LOCK_NOT_AVAILABLE => "another transaction holds a lock for too long: ",
        _ => "",
    };
    format!("does not serve: {hint}{} ({})", cause.message(), cause.code().code())
}

fn remedy(code: &SqlState) -> Remedy {
    // Class 08 is about connections, 57P about a server that is stopping or starting.
    if code == &SqlState::READ_ONLY_SQL_TRANSACTION
        || code.code().starts_with("08")
        || code.code().starts_with("57P")
        || code == &SqlState::FEATURE_NOT_SUPPORTED
    {
        Remedy::Reconnect
    } else if code == &SqlState::CHECK_VIOLATION {
        Remedy::MakeRoom
    } else if code == &SqlState::T_R_SERIALIZATION_FAILURE
        || code == &SqlState::T_R_DEADLOCK_DETECTED
        // A table of events was dropped between two looks.
        || code == &SqlState::UNDEFINED_TABLE
    {
        Remedy::Repeat
    } else {
        Remedy::None
    }
}
