//! What the kernel knows about bytes on a connection: the proof that a request on a reused
//! connection cannot have been seen, and may therefore be sent again.
//!
//! Two proofs hold, and nothing else is one (`docs/decisions/0002-stale-connections.md`):
//! no byte of it left this machine; or the other side closed in order (FIN) and had by then
//! acknowledged no byte of it. A FIN acknowledges everything that its sender's kernel had taken
//! in, so that side had closed before the first byte arrived. A reset (RST) is no proof: it may
//! cross a request that was read and not yet acknowledged.

use pingora::protocols::Digest;

/// A connection's counters of sent and acknowledged bytes, before a request was written on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    sent: u64,
    acknowledged: u64,
}

impl Counters {
    /// As the kernel tells them; `None` if it does not.
    ///
    /// A kernel or sandbox that has the call but not the counters shows zeros, and zeros that stay
    /// zeros would prove anything. A connection that had an exchange before has sent something and
    /// was told so, so zeros are not believed.
    pub(super) fn of(connection: &Digest) -> Option<Self> {
        let info = connection.socket_digest.as_ref()?.tcp_info()?;
        let counters = Self { sent: info.tcpi_bytes_sent, acknowledged: info.tcpi_bytes_acked };
        (counters.sent > 0 && counters.acknowledged > 1).then_some(counters)
    }

    /// Whether what was written since cannot have been seen.
    pub(super) fn prove_unseen(self, connection: &Digest, end: End) -> bool {
        Self::of(connection).is_some_and(|now| self.proves_unseen_by(now, end))
    }

    const fn proves_unseen_by(self, now: Self, end: End) -> bool {
        let nothing_left = now.sent == self.sent;
        let nothing_arrived = now.acknowledged == self.acknowledged && matches!(end, End::Closed);
        nothing_left || nothing_arrived
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order: the end of the stream was read, and no reset was reported at any time.
    Closed,
    /// In any other way.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_proofs_hold() {
        let before = Counters { sent: 79, acknowledged: 80 };
        for (sent, acknowledged, end, unseen) in [
            (79, 80, End::Other, true),
            (79, 80, End::Closed, true),
            (153, 80, End::Closed, true),
            (153, 80, End::Other, false),
            (153, 81, End::Closed, false),
            (153, 154, End::Closed, false),
        ] {
            let now = Counters { sent, acknowledged };
            assert_eq!(before.proves_unseen_by(now, end), unseen, "{now:?} {end:?}");
        }
    }
}
