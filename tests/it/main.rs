//! Black-box tests: the real binary between senders and recording upstreams.
//!
//! Nothing in here calls the library, except its clock. Every promise is checked from outside: by
//! the sender's answers, the upstream's requests and the counters.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an actor that cannot do its part fails the test, with a message"
)]
#![expect(unreachable_pub, reason = "one crate that nobody else uses")]

mod admin;
mod alerts;
mod answers;
mod calls;
mod captures;
mod change;
mod checking;
mod claims;
mod clues;
mod commands;
mod contract;
mod conversations;
mod crates;
mod deploy;
mod docs;
mod faults;
mod forwarding;
mod hardening;
mod hostile;
mod inbox;
mod inbox_shared;
mod listener;
mod living;
mod log;
mod modes;
mod offline;
mod page;
mod process;
mod published_keys;
mod receivers;
mod refusals;
mod reload;
mod routing;
mod senders;
#[cfg(feature = "otlp")]
mod spans;
mod stores;
mod structure;
mod support;
mod tokens;
mod watching;
