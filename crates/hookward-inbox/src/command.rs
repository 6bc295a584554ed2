//! What the writing thread is asked to do, and how it answers.

use crate::clock::Millis;
use crate::event::{Accept, AcceptError, Accepted};
use crate::known::Known;
use crate::tries::Tried;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) type Done = oneshot::Sender<()>;
pub(crate) type AcceptReply = oneshot::Sender<Result<Accepted, AcceptError>>;

/// What the writer is asked to do.
pub(crate) enum WriterCommand {
    Accept {
        accept: Box<Accept>,
        at: Millis,
        reply: AcceptReply,
    },
    Begin {
        seq: u64,
        at: Millis,
        done: Done,
    },
    End {
        seq: u64,
        tried: Tried,
        known: Option<Known>,
        done: Option<Done>,
    },
    /// The record of an entry does not read.
    SetAside {
        seq: u64,
    },
    Change(Change),
    /// Look around now.
    Tick {
        done: Done,
    },
}

/// A flush that returned.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) number: u64,
    /// The thread that made it.
    pub(crate) by: usize,
    pub(crate) result: io::Result<()>,
    pub(crate) took: Duration,
}

/// Why a change was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The disk refused it. A part of it may be in force until a restart.
    #[error("the change could not be made durable: {0}")]
    Failed(Arc<io::Error>),
    /// The database of a shared inbox does not answer. Nothing was asked to change.
    #[error("the inbox does not answer: {0}")]
    Unanswered(String),
    /// The inbox was closed.
    #[error("the inbox is closed")]
    Closed,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;

pub(crate) enum Change {
    Replay { seqs: Vec<u64>, as_new: bool, by: String, reply: Reply<usize> },
    Discard { seqs: Vec<u64>, by: String, reply: Reply<usize> },
    Move { seqs: Vec<u64>, to: String, by: String, reply: Reply<usize> },
    Erase { source: String, id: String, reply: Reply<usize> },
    Pause { to: String, until: Option<Millis>, reply: Reply<()> },
    Resume { to: String, reply: Reply<()> },
}

impl Change {
    pub(crate) fn refuse(self, error: &io::Error) {
        let refused = failed(error);
        match self {
            Self::Replay { reply, .. }
            | Self::Discard { reply, .. }
            | Self::Move { reply, .. }
            | Self::Erase { reply, .. } => {
                _ = reply.send(Err(refused));
            }
            Self::Pause { reply, .. } | Self::Resume { reply, .. } => _ = reply.send(Err(refused)),
        }
    }
}

pub(crate) fn failed(error: &io::Error) -> ChangeError {
    ChangeError::Failed(Arc::new(io::Error::new(error.kind(), error.to_string())))
}
