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
//!
//! A request that is longer than a segment can be is two by itself; a shorter one is written as two,
//! its head and its body.

use pingora::protocols::SocketDigest;
use pingora::protocols::l4::ext::TCP_INFO;

/// A connection's counters of sent and acknowledged bytes, before a request was written on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketCounters {
    sent: u64,
    acknowledged: u64,
    /// What a segment holds at most.
    segment: usize,
}

/// The kernel's state of an idle connection before a request is written on it. One system call
/// returns both parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketState {
    /// Neither side has ended it, read or unread; `None` if the kernel does not tell.
    pub(super) is_open: Option<bool>,
    /// What the evidence is held against.
    pub(super) counters: Option<SocketCounters>,
}

/// `TCP_ESTABLISHED` of the kernel. A received FIN makes it `TCP_CLOSE_WAIT`, a reset `TCP_CLOSE`.
const ESTABLISHED: u8 = 1;

impl SocketState {
    pub(super) fn of(socket: Option<&SocketDigest>) -> Self {
        let info = socket.and_then(SocketDigest::tcp_info);
        Self {
            is_open: info.as_ref().map(|info| info.tcpi_state == ESTABLISHED),
            counters: info.as_ref().and_then(SocketCounters::told_by),
        }
    }
}

impl SocketCounters {
    /// A kernel or sandbox that has the call but not the counters shows zeros, and zeros that stay
    /// zeros would prove anything. A connection that had an exchange before has sent something and
    /// was told so, so zeros are not believed.
    fn told_by(info: &TCP_INFO) -> Option<Self> {
        let counters = Self {
            sent: info.tcpi_bytes_sent,
            acknowledged: info.tcpi_bytes_acked,
            segment: usize::try_from(info.tcpi_snd_mss).unwrap_or(usize::MAX),
        };
        (counters.sent > 0 && counters.acknowledged > 1).then_some(counters)
    }

    /// Whether so many bytes have to be written as two segments to be two.
    pub(super) const fn fit_in_one(self, bytes: usize) -> bool {
        bytes <= self.segment
    }

    /// Whether a request of so many bytes that was written since cannot have been accepted.
    /// `apart`: as two segments, however short it is.
    pub(super) fn prove_unaccepted(
        self,
        now: Self,
        end: ConnectionEnd,
        bytes: usize,
        apart: bool,
    ) -> bool {
        let nothing_left = now.sent == self.sent;
        let nothing_acknowledged = now.acknowledged == self.acknowledged;
        nothing_left
            || nothing_acknowledged
                && match end {
                    ConnectionEnd::Closed => true,
                    // The size of a segment may have changed while it was written.
                    ConnectionEnd::Reset => {
                        apart || !self.fit_in_one(bytes) && !now.fit_in_one(bytes)
                    }
                    ConnectionEnd::Other => false,
                }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// In order: the end of the stream was read, and no reset was reported at any time.
    Closed,
    /// A reset was reported.
    Reset,
    /// In any other way.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_are_evidence() {
        let before = SocketCounters { sent: 79, acknowledged: 80, segment: 1448 };
        let (apart, at_once) = (true, false);
        for (sent, acknowledged, end, bytes, apart, unaccepted) in [
            (79, 80, ConnectionEnd::Other, 74, at_once, true),
            (79, 80, ConnectionEnd::Closed, 74, apart, true),
            (153, 80, ConnectionEnd::Closed, 74, at_once, true),
            (153, 80, ConnectionEnd::Closed, 74, apart, true),
            (153, 80, ConnectionEnd::Reset, 74, apart, true),
            (153, 80, ConnectionEnd::Reset, 74, at_once, false),
            (1527, 80, ConnectionEnd::Reset, 1448, at_once, false),
            (1528, 80, ConnectionEnd::Reset, 1449, at_once, true),
            (1528, 80, ConnectionEnd::Other, 1449, at_once, false),
            (153, 80, ConnectionEnd::Other, 74, apart, false),
            (153, 81, ConnectionEnd::Closed, 74, apart, false),
            (153, 154, ConnectionEnd::Closed, 74, apart, false),
            (153, 154, ConnectionEnd::Reset, 74, apart, false),
        ] {
            let now = SocketCounters { sent, acknowledged, ..before };
            assert_eq!(
                before.prove_unaccepted(now, end, bytes, apart),
                unaccepted,
                "{now:?} {end:?} {bytes} {apart}"
            );
        }
    }

    #[test]
    fn what_was_two_segments_at_one_time_only_is_not_believed_to_have_been_two() {
        let smaller = SocketCounters { sent: 79, acknowledged: 80, segment: 1200 };
        let larger = SocketCounters { segment: 1448, sent: 1379, ..smaller };
        assert!(!smaller.prove_unaccepted(larger, ConnectionEnd::Reset, 1300, false));
        assert!(!SocketCounters { sent: 79, ..larger }.prove_unaccepted(
            SocketCounters { sent: 1379, ..smaller },
            ConnectionEnd::Reset,
            1300,
            false
        ));
        assert!(smaller.prove_unaccepted(larger, ConnectionEnd::Reset, 1500, false));
    }
}
