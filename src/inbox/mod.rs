//! Where events wait until their destinations accept them.
//!
//! [`Inbox`] is the interface for the rest of the process: accepting events, queries, and
//! operators' changes. [`Worker`] sends due events with the same kind of attempt as a live
//! delivery. The crate `hookward-inbox` manages the disk and the schedule. This module knows
//! neither TOML nor Prometheus' formats.

mod head;
mod opening;
mod sending;
mod statistics;
mod store;
mod worker;

pub use head::StoredHead;
pub use opening::{Opening, policies};
pub use store::{Inbox, Incoming, Standing};
pub use worker::{Reserve, Worker};
