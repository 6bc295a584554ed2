//! An inbox that several instances share, in the PostgreSQL database that has their claims.
//!
//! It gives what `hookward_inbox` gives, by the same rules: when an event is tried again, when it is given
//! up, how a backlog ramps up, in which order a key arrives. Where that crate has a log on a disk
//! of one process, this one has tables (`hookward-claims` has the schema) and asks them:
//!
//! - An event is stored together with the end of its claim, in one transaction.
//! - An instance *takes* what is due, under a lease and a fence. What it has not ended when the lease
//!   is over, another one takes; a late end changes nothing, except that a delivery is noted.
//! - Whatever is decided about a key or a lane is decided under its lock, by the server's clock.
//!
//! What this process has to know at once, as which destinations are paused, it reads every second and
//! whenever the server notifies it.

mod accepting;
mod attempt;
mod changing;
mod commons;
mod entry;
mod figures;
mod handle;
mod holding;
mod looking;
mod moving;
mod sealing;
mod taking;
mod upkeep;
mod waiting;

pub use handle::SharedInbox;
pub use waiting::waiting_at;
