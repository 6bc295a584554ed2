//! The limit of open files for this process, including sockets.
//!
//! Shells and service managers commonly allow 1,024, and far more on request. Without free files no
//! connection can be accepted and no upstream reached. So the limit is raised as far as possible,
//! and connections are limited below it, so that further ones are refused with an answer.

/// The part of the limit that is kept for upstreams, the store and files: one in four.
const KEPT: u64 = 4;

/// Requests enough open files for `max_connections`, and returns how many connections the granted
/// limit allows.
pub(super) fn connections_within(max_connections: usize) -> usize {
    let wanted = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_mul(2);
    match rlimit::increase_nofile_limit(wanted.max(1024)) {
        Ok(granted) => {
            let possible = possible_with(granted, max_connections);
            if possible < max_connections {
                tracing::warn!(
                    max_connections,
                    possible,
                    open_files = granted,
                    "server.max_connections is lowered to what the limit on open files allows"
                );
            }
            possible
        }
        Err(fault) => {
            tracing::warn!(%fault, "the limit on open files cannot be read");
            max_connections
        }
    }
}

fn possible_with(granted: u64, max_connections: usize) -> usize {
    let possible = usize::try_from(granted - granted / KEPT).unwrap_or(usize::MAX);
    max_connections.min(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_of_the_files_to_the_rest() {
        for (granted, max, expected) in
            [(1024, 10_000, 768), (20_000, 10_000, 10_000), (1024, 700, 700), (0, 10, 0)]
        {
            assert_eq!(possible_with(granted, max), expected);
        }
    }
}
