//! An end of a delivery that is not forwarded.

use crate::delivery::answer::{Answer, Success};
use crate::outcome::Refusal;
use hookward_verify::handshake::Reply;

/// An end before the event is forwarded.
pub(super) enum Stop {
    /// With a reason.
    Refused(Refusal),
    /// With an answer of our own: a handshake, a duplicate, an event that no route wants.
    Answered(Box<Answer>),
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(why: T) -> Self {
        Self::Refused(why.into())
    }
}

impl Stop {
    pub(super) fn handshake(reply: Reply) -> Self {
        Self::Answered(Box::new(Answer::handshake(reply)))
    }

    pub(super) fn well(success: Success) -> Self {
        Self::Answered(Box::new(Answer::empty(success, 200)))
    }
}
