//! Where events wait until their destinations accept them.
//!
//! [`InboxStore`] is what the rest of the process has of it: acceptance, looking, and what people change.
//! [`Worker`] sends what is due, on a thread of its own, with the attempt that a live delivery makes. What
//! is on disk, and when what is due, is the crate `hookward-inbox`'s; what is in a database,
//! `hookward-inbox-postgres`'s. Knows neither TOML nor Prometheus' formats.

mod background;
mod engine;
mod head;
mod opening;
mod pace;
mod sending;
mod statistics;
mod store;
mod strays;
mod worker;

pub use head::StoredHead;
pub use opening::{InboxPlace, Opening, policies};
pub use sending::Reserve;
pub use store::{InboxStore, Incoming, Stands, WaitingEvent};
pub use strays::KnownNames;
pub use worker::Worker;
