//! The kernel's counters for a connection: evidence that a request on a reused connection cannot
//! have been accepted, and may therefore be sent again.
//!
//! `docs/decisions/0002-stale-connections.md` gives the reasons:
//! - no byte of it left this machine; or
//! - no byte of it was acknowledged, and the other side closed in order (FIN): a FIN acknowledges
//!   everything that its sender's kernel had taken in, so it was sent before the first byte
//!   arrived; or
//! - no byte of it was acknowledged, and the other side reset (RST), and the request was two
//!   segments or more: a process that had read all of them would have had them acknowledged.

use pingora::protocols::Digest;
use pingora::protocols::l4::ext::TCP_INFO;

/// A connection's counters of sent and acknowledged bytes, before a request was written on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    sent: u64,
    acknowledged: u64,
}

/// The kernel's state of an idle connection before a request is written on it. One system call
/// returns both parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Neither side has ended it, read or unread; `None` if the kernel does not tell.
    pub(super) is_open: Option<bool>,
    /// What the evidence is held against.
    pub(super) counters: Option<Counters>,
}

/// `TCP_ESTABLISHED` of the kernel. A received FIN makes it `TCP_CLOSE_WAIT`, a reset `TCP_CLOSE`.
const ESTABLISHED: u8 = 1;

impl Standing {
    pub(super) fn of(connection: &Digest) -> Self {
        let info = connection.socket_digest.as_ref().and_then(|socket| socket.tcp_info());
        Self {
            is_open: info.as_ref().map(|info| info.tcpi_state == ESTABLISHED),
            counters: info.as_ref().and_then(Counters::told_by),
        }
    }
}

impl Counters {
    /// As the kernel tells them; `None` if it does not.
    fn of(connection: &Digest) -> Option<Self> {
        Self::told_by(&connection.socket_digest.as_ref()?.tcp_info()?)
    }

    /// A kernel or sandbox that has the call but not the counters shows zeros, and zeros that stay
    /// zeros would prove anything. A connection that had an exchange before has sent something and
    /// was told so, so zeros are not believed.
    fn told_by(info: &TCP_INFO) -> Option<Self> {
        let counters = Self { sent: info.tcpi_bytes_sent, acknowledged: info.tcpi_bytes_acked };
        (counters.sent > 0 && counters.acknowledged > 1).then_some(counters)
    }

    /// Whether a request that was written since cannot have been accepted.
    pub(super) fn prove_unaccepted(self, connection: &Digest, end: End, request: Segments) -> bool {
        Self::of(connection).is_some_and(|now| self.proves_unaccepted_by(now, end, request))
    }

    const fn proves_unaccepted_by(self, now: Self, end: End, request: Segments) -> bool {
        let nothing_left = now.sent == self.sent;
        let nothing_acknowledged = now.acknowledged == self.acknowledged;
        nothing_left
            || nothing_acknowledged
                && match end {
                    End::Closed => true,
                    End::Reset => matches!(request, Segments::TwoOrMore),
                    End::Other => false,
                }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order: the end of the stream was read, and no reset was reported at any time.
    Closed,
    /// A reset was reported.
    Reset,
    /// In any other way.
    Other,
}

/// How a request was sent: its head is a separate segment, and so is the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segments {
    /// The head alone.
    One,
    /// Head and body.
    TwoOrMore,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_are_evidence() {
        use Segments::{One, TwoOrMore};
        let before = Counters { sent: 79, acknowledged: 80 };
        for (sent, acknowledged, end, request, unaccepted) in [
            (79, 80, End::Other, One, true),
            (79, 80, End::Closed, TwoOrMore, true),
            (153, 80, End::Closed, One, true),
            (153, 80, End::Closed, TwoOrMore, true),
            (153, 80, End::Reset, TwoOrMore, true),
            (153, 80, End::Reset, One, false),
            (153, 80, End::Other, TwoOrMore, false),
            (153, 81, End::Closed, TwoOrMore, false),
            (153, 154, End::Closed, TwoOrMore, false),
            (153, 154, End::Reset, TwoOrMore, false),
        ] {
            let now = Counters { sent, acknowledged };
            assert_eq!(
                before.proves_unaccepted_by(now, end, request),
                unaccepted,
                "{now:?} {end:?} {request:?}"
            );
        }
    }
}
